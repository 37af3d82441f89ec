"""Who is compared: ours, what others do without preemption and with it, and ours minus each of its parts.

Systems without preemption that know priorities were given the same two choices each on development seeds (`plan.py`):
whether LOW may fill both slots of a device or has one, and streams with or without priorities. What is here had the
fewest HIGH violations.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from covey.services.scheduler.core.contention import PriorityPolicy, Slowdowns
from covey.services.scheduler.core.interference import Interference
from covey.services.scheduler.core.prioritising import Prioritised, Rules
from covey.services.scheduler.core.promising import KEPT, Promises
from covey.simulator.contenders.clockwork import Clockwork
from covey.simulator.contenders.igniter import homes_of
from covey.simulator.contenders.predictors import Ewma, Fastest, IGniter, Recent, Sgd, Solo, StaticRegression
from covey.simulator.shared_device import Sharing
from covey.simulator.sharing import Devices


class System(NamedTuple):
    """How its devices run batches, and what decides which."""

    sharing: Sharing
    make: Callable[[Devices, random.Random], PriorityPolicy]
    preempts: bool = False


def learned(devices: Devices) -> Interference:
    """Ours, started from the pairs that were measured beforehand."""
    slowdowns = Interference(devices.profiles)
    for pair in devices.history:
        slowdowns.learn(pair.load, pair.overlaps, pair.seconds)
    return slowdowns


def _ours(
    slowdowns: Callable[[Devices], Slowdowns] = learned, rules: Rules | None = None, kept: float = KEPT
) -> System:
    def make(devices: Devices, rng: random.Random) -> PriorityPolicy:
        return Prioritised(devices.profiles, devices.count, slowdowns(devices), Promises(kept), rules)

    return System(Sharing.PRIORITIES, make)


def _strict(slowdowns: Callable[[Devices], Slowdowns], low_slots: int = 1) -> System:
    def make(devices: Devices, rng: random.Random) -> PriorityPolicy:
        return Clockwork(devices, slowdowns(devices), 2, True, low_slots)

    return System(Sharing.HARDWARE, make)


def _clockwork(devices: Devices, rng: random.Random) -> PriorityPolicy:
    return Clockwork(devices, Recent(devices.profiles), 2, False, serial=True)


def _igniter(devices: Devices, rng: random.Random) -> PriorityPolicy:
    slowdowns = IGniter(devices.profiles, devices.history)
    return Clockwork(devices, slowdowns, 2, True, 1, homes_of(devices, slowdowns))


def _reef(devices: Devices, rng: random.Random) -> PriorityPolicy:
    return Clockwork(devices, Fastest(devices.profiles), 4, True, 1)


def _orion(devices: Devices, rng: random.Random) -> PriorityPolicy:
    return Clockwork(devices, Fastest(devices.profiles), 3, True, 1)


SYSTEMS = {
    "ours": _ours(),
    "clockwork": System(Sharing.ONE, _clockwork),
    "clockwork+strict": System(
        Sharing.STREAMS, lambda devices, rng: Clockwork(devices, Recent(devices.profiles), 2, True)
    ),
    "streams": _strict(lambda devices: Recent(devices.profiles)),
    "gpulet": _strict(lambda devices: StaticRegression(devices.profiles, devices.history)),
    "igniter": System(Sharing.HARDWARE, _igniter),
    "ewma": _strict(lambda devices: Ewma(devices.profiles)),
    "sgd": _strict(lambda devices: Sgd(devices.profiles, devices.history)),
    "orion": System(Sharing.KERNELS, _orion, preempts=True),
    "reef": System(Sharing.RESET, _reef, preempts=True),
}

ABLATIONS = {
    "no interference": _ours(lambda devices: Solo(devices.profiles)),
    "static regression": _ours(lambda devices: StaticRegression(devices.profiles, devices.history)),
    "no quantile": _ours(kept=0.5),
    "no reserve": _ours(rules=Rules(exchange=float("inf"))),
    "no patience": _ours(rules=Rules(patience=0.0)),
    "no protection": _ours(rules=Rules(protect=False)),
    "no floor": _ours(rules=Rules(floor=0.0)),
    "no chunks": System(
        Sharing.HARDWARE,
        lambda devices, rng: Prioritised(
            devices.profiles, devices.count, learned(devices), Promises(), Rules(chunk_bytes=0)
        ),
    ),
}
"""Ours, with one part switched off or put into its plain form."""

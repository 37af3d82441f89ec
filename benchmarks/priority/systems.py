"""Who is compared: ours, what others do without preemption and with it, and ours minus each of its parts.

Systems without preemption that know priorities were tuned one by one on development seeds (`tuning.py`), each with as
many trials as ours: slots, LOW's among them, the margin of predictions, the size of LOW batches. `TUNED` has what came
of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from covey.services.scheduler.core.contention import PriorityPolicy, Slowdowns
from covey.services.scheduler.core.interference import Interference
from covey.services.scheduler.core.prioritising import Prioritised, Rules
from covey.services.scheduler.core.promising import KEPT, Promises
from covey.simulator.contenders.clockwork import Clockwork
from covey.simulator.contenders.igniter import homes_of
from covey.simulator.contenders.predictors import Ewma, Fastest, IGniter, Recent, Sgd, Solo, StaticRegression
from covey.simulator.shared_device import Sharing
from covey.simulator.sharing import Devices, PolicyMaker


class System(NamedTuple):
    """How its devices run batches, and what decides which."""

    sharing: Sharing
    make: PolicyMaker
    preempts: bool = False


def learned(devices: Devices) -> Interference:
    """Ours, started from the pairs that were measured beforehand."""
    slowdowns = Interference(devices.profiles)
    for pair in devices.history:
        slowdowns.learn(pair.load, pair.overlaps, pair.seconds)
    return slowdowns


def ours(slowdowns: Callable[[Devices], Slowdowns] = learned, rules: Rules | None = None, kept: float = KEPT) -> System:
    """The policy of priorities with this predictor, these rules, and promises that are kept so often."""

    def make(devices: Devices, rng: random.Random) -> PriorityPolicy:
        return Prioritised(devices.profiles, devices.count, slowdowns(devices), Promises(kept), rules)

    return System(Sharing.PRIORITIES, make)


class Order(NamedTuple):
    """What can be set of a system that runs HIGH before LOW, side by side: what `tuning.py` has chosen from."""

    slots: int = 2
    low_slots: int = 1
    margin: float = 1.0
    """What a prediction is multiplied by."""
    low_batch_max: int = 16


def made(order: Order, slowdowns: Callable[[Devices], Slowdowns], homes: bool = False) -> PolicyMaker:
    """`homes`: each model has its devices, as iGniter places them."""

    def make(devices: Devices, rng: random.Random) -> PriorityPolicy:
        predictor = slowdowns(devices)
        places = homes_of(devices, predictor) if homes else None
        slots, low_slots, margin, low_batch_max = order
        return Clockwork(devices, predictor, slots, True, low_slots, places, margin=margin, low_batch_max=low_batch_max)

    return make


PREDICTED_BY: Mapping[str, Callable[[Devices], Slowdowns]] = {
    "clockwork+strict": lambda devices: Recent(devices.profiles),
    "streams": lambda devices: Recent(devices.profiles),
    "gpulet": lambda devices: StaticRegression(devices.profiles, devices.history),
    "igniter": lambda devices: IGniter(devices.profiles, devices.history),
    "ewma": lambda devices: Ewma(devices.profiles),
    "sgd": lambda devices: Sgd(devices.profiles, devices.history),
}
"""Without preemption, HIGH before LOW."""
TUNED = {
    "clockwork+strict": Order(low_batch_max=1),
    "streams": Order(margin=0.9, low_batch_max=2),
    "gpulet": Order(low_batch_max=1),
    "igniter": Order(margin=0.8),
    "ewma": Order(low_batch_max=1),
    "sgd": Order(low_batch_max=1),
}
"""The best of each, as results/priority-tuning.txt shows."""


def strict(name: str, order: Order) -> System:
    """One of those that run HIGH before LOW."""
    sharing = Sharing.STREAMS if name == "clockwork+strict" else Sharing.HARDWARE
    return System(sharing, made(order, PREDICTED_BY[name], homes=name == "igniter"))


def _clockwork(devices: Devices, rng: random.Random) -> PriorityPolicy:
    return Clockwork(devices, Recent(devices.profiles), 2, False, serial=True)


def _reef(devices: Devices, rng: random.Random) -> PriorityPolicy:
    return Clockwork(devices, Fastest(devices.profiles), 4, True, 1)


def _orion(devices: Devices, rng: random.Random) -> PriorityPolicy:
    return Clockwork(devices, Fastest(devices.profiles), 3, True, 1)


SYSTEMS = {
    "ours": ours(),
    "clockwork": System(Sharing.ONE, _clockwork),
    **{name: strict(name, order) for name, order in TUNED.items()},
    "orion": System(Sharing.KERNELS, _orion, preempts=True),
    "reef": System(Sharing.RESET, _reef, preempts=True),
}

ABLATIONS = {
    "no interference": ours(lambda devices: Solo(devices.profiles)),
    "static regression": ours(lambda devices: StaticRegression(devices.profiles, devices.history)),
    "no quantile": ours(kept=0.5),
    "no reserve": ours(rules=Rules(exchange=1e9)),
    "fixed worth": ours(rules=Rules(exchange=0.01, missed_least=1.0)),
    "no patience": ours(rules=Rules(patience=0.0)),
    "no protection": ours(rules=Rules(protect=False)),
    "no floor": ours(rules=Rules(floor=0.0)),
    "no chunks": System(
        Sharing.HARDWARE,
        lambda devices, rng: Prioritised(
            devices.profiles, devices.count, learned(devices), Promises(), Rules(chunk_bytes=0)
        ),
    ),
}
"""Ours, with one part switched off or put into its plain form."""

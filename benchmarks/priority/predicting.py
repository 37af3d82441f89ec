"""How wrong are predictors, by one record of what ran beside what?

All are asked about the same batches in the same order, each before it learns from it, so that none gains from another's
schedule. What is asked is how long a batch computes, given what computed beside it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.priority.plan import Cell
from benchmarks.priority.systems import SYSTEMS, learned
from covey.services.scheduler.core.contention import PriorityPolicy, Slowdowns
from covey.simulator.contenders.predictors import Ewma, IGniter, Recent, Sgd, Solo, StaticRegression
from covey.simulator.sharing import WARM, Corun, Devices, play

PREDICTORS: dict[str, Callable[[Devices], Slowdowns]] = {
    "none": lambda devices: Solo(devices.profiles),
    "clockwork": lambda devices: Recent(devices.profiles),
    "static": lambda devices: StaticRegression(devices.profiles, devices.history),
    "igniter": lambda devices: IGniter(devices.profiles, devices.history),
    "ewma": lambda devices: Ewma(devices.profiles),
    "sgd": lambda devices: Sgd(devices.profiles, devices.history),
    "ours": learned,
}


class Error(NamedTuple):
    """Of one predictor, as shares of what batches took."""

    mape: float
    p95: float
    under: float
    """Share of batches that took longer than predicted."""


def errors_in(cell: Cell, seed: int) -> dict[str, Error]:
    """By predictor, and `floor`: what one is wrong by that knows all but the noise of a batch that is run again."""
    found: list[Devices] = []

    def make(devices: Devices, rng: object) -> PriorityPolicy:
        found.append(devices)
        return system.make(devices, rng)  # type: ignore[arg-type]  # the rng that it was given

    system = SYSTEMS["ours"]
    coruns = play(cell.traffic(), cell.devices, system.sharing, make, seed, keep=True).coruns
    warm = int(WARM * len(coruns))
    errors = {name: _error(made(found[0]), coruns, warm) for name, made in PREDICTORS.items()}
    return errors | {"floor": _of([1 / each.noise - 1 for each in coruns[warm:]])}


def _error(predictor: Slowdowns, coruns: Sequence[Corun], warm: int) -> Error:
    errors = []
    for corun in coruns:
        errors.append(predicted_s(predictor, corun) / corun.seconds - 1)
        predictor.learn(corun.load, corun.overlaps, corun.seconds)
    return _of(errors[warm:])


def predicted_s(predictor: Slowdowns, corun: Corun) -> float:
    """Its work, drained at the predicted rate of each part of the time."""
    rates = [part.seconds / predictor.slowdown(corun.load, part.others) for part in corun.overlaps]
    return predictor.solo_s(corun.load) * sum([part.seconds for part in corun.overlaps]) / sum(rates)


def _of(errors: Sequence[float]) -> Error:
    sizes = sorted([abs(error) for error in errors])
    under = sum([error < 0 for error in errors]) / len(errors)
    return Error(sum(sizes) / len(sizes), sizes[int(0.95 * len(sizes))], under)

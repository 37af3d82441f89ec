"""What batches really do to one another on a device: the hidden truth that predictors have to learn.

It is written apart from every predictor and in other terms, or the test would be circular. Shares of a device's
multiprocessors and of its memory's bandwidth saturate smoothly, what does not fit in the cache becomes traffic, pairs
of models have quirks that nothing foretells, and copies disturb. Time adds to it: a device is throttled for a while, a
model gets a new version, and one was never measured. All of it is invented; none of these models was run on a GPU.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from covey.model import Priority
from covey.services.scheduler.core.contention import Demand, Load, ModelProfile
from covey.simulator.hardware import LatencyTable
from covey.values import dataclass

SIZES = (1, 2, 4, 8, 16)
STEEPNESS = 4.0
"""Of saturation: how sharply a resource that is asked for more than it has makes everyone wait."""
SPILL = 0.7
"""How much more traffic there is for each cache's worth that does not fit in the cache."""
LAUNCH = 0.3
"""The part of a batch that waits for launches, as a share like those of its demand."""
BOTTLENECK = 2.0
"""How much more than its share in the work a resource counts, the more of it a batch needs."""
CROWD = 0.05
"""What that part grows by for each neighbour."""
YIELDS = 0.6
"""How much of a LOW neighbour's multiprocessors a HIGH stream notices, where streams have priorities."""
COPYING = 0.06
"""Of the bandwidth that a copy under way takes."""
QUIRK = 0.12
"""Relative deviation of what a pair of models does to one another."""
PROFILED = 0.1
"""Relative deviation of a demand that was measured beforehand."""
NOISE = 0.03
"""Relative deviation of a batch that is run again, with everything the same."""


@dataclass(frozen=True, slots=True)
class ModelTruth:
    """One model: seconds alone are `fixed_s + each_s * size`."""

    fixed_s: float
    each_s: float
    first: Demand
    """Of a batch of one, and ..."""
    full: Demand
    """... of the largest."""
    bytes_in: int
    bytes_out: int
    batch_max: int = 16
    measured: bool = True

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple([size for size in SIZES if size <= self.batch_max])

    def solo_s(self, size: int) -> float:
        return self.fixed_s + self.each_s * size

    def demand(self, size: int) -> Demand:
        """Between the first and the full by the logarithm of the size."""
        share = math.log2(size) / math.log2(self.batch_max)
        return Demand(*[low + (high - low) * share for low, high in zip(self.first, self.full, strict=True)])


MB = 1_000_000
MODELS: Mapping[str, ModelTruth] = {
    "mobile": ModelTruth(0.0016, 0.0003, Demand(0.35, 0.35, 0.20), Demand(0.75, 0.60, 0.50), MB * 6 // 10, 4_000),
    "residual": ModelTruth(0.0035, 0.0009, Demand(0.60, 0.40, 0.40), Demand(0.95, 0.65, 0.80), MB * 6 // 10, 4_000),
    "dense": ModelTruth(0.0045, 0.0022, Demand(0.85, 0.45, 0.60), Demand(1.00, 0.50, 1.00), MB * 6 // 10, 4_000),
    "language": ModelTruth(0.0050, 0.0016, Demand(0.75, 0.55, 0.50), Demand(1.00, 0.60, 0.70), 4_000, 4_000),
    "recommend": ModelTruth(0.0025, 0.0005, Demand(0.15, 0.80, 0.70), Demand(0.35, 1.00, 0.90), 2 * MB, 10_000),
    "segment": ModelTruth(0.0090, 0.0055, Demand(0.80, 0.70, 0.70), Demand(0.95, 0.85, 1.00), 6 * MB, 3 * MB, 4),
    "newcomer": ModelTruth(
        0.0040, 0.0013, Demand(0.45, 0.65, 0.50), Demand(0.70, 0.95, 0.80), MB, MB, 8, measured=False
    ),
}
"""Six, and one that nobody has measured."""


class Drift(NamedTuple):
    """What changes while a run lasts, at shares of its length."""

    throttled: tuple[float, float] = (0.35, 0.6)
    """From, to: devices are slower by ..."""
    throttle: float = 1.1
    renewed: str = "residual"
    """This model has a new version at ..."""
    renewed_at: float = 0.5
    renewed_s: float = 1.15
    """... times its seconds, and ..."""
    renewed_bandwidth: float = 1.35
    """... times its bandwidth."""


NONE = Drift(throttle=1.0, renewed="")


class Truth:
    """What slows a batch down, and by how much. `lasts_s`: how long the run is that `drift` has shares of."""

    def __init__(
        self,
        models: Mapping[str, ModelTruth],
        drift: Drift,
        lasts_s: float,
        rng: random.Random,
        quirk: float = QUIRK,
    ) -> None:
        self.models = models
        self._drift = drift
        self._lasts_s = lasts_s
        self._quirks = {(one, other): rng.lognormvariate(0.0, quirk) for one in models for other in models}
        self._known: dict[tuple[bool, bool, tuple[Load, ...], int], list[float]] = {}

    def solo_s(self, load: Load, now: float) -> float:
        """Alone, on a device that is not throttled."""
        return self.models[load.model].solo_s(load.size) * (self._drift.renewed_s if self._is_new(load, now) else 1.0)

    def slowdowns(self, loads: Sequence[Load], copies: int, streams: bool, now: float) -> list[float]:
        """Of each of these batches, which compute side by side while so many copies are under way.

        `streams`: a HIGH stream's blocks are scheduled before a LOW one's; memory knows no priority.
        """
        renewed = now >= self._drift.renewed_at * self._lasts_s
        key = (streams, renewed, tuple(loads), copies)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._reckoned(key)
        throttle = self._throttle(now)
        return found if throttle == 1.0 else [throttle * each for each in found]

    def _throttle(self, now: float) -> float:
        begins, ends = self._drift.throttled
        return self._drift.throttle if begins * self._lasts_s <= now < ends * self._lasts_s else 1.0

    def _is_new(self, load: Load, now: float) -> bool:
        return load.model == self._drift.renewed and now >= self._drift.renewed_at * self._lasts_s

    def _reckoned(self, key: tuple[bool, bool, tuple[Load, ...], int]) -> list[float]:
        streams, renewed, loads, copies = key
        demands = [self._demand(load, renewed) for load in loads]
        spill = 1.0 + SPILL * max(0.0, sum(demand.cache for demand in demands) - 1.0)
        traffic = spill * sum(demand.bandwidth for demand in demands) + COPYING * copies
        return [
            self._slowdown(at, loads, demands, traffic if len(loads) > 1 else demands[0].bandwidth, streams)
            for at in range(len(loads))
        ]

    def _demand(self, load: Load, renewed: bool) -> Demand:
        demand = self.models[load.model].demand(load.size)
        if renewed and load.model == self._drift.renewed:
            return demand._replace(bandwidth=min(1.0, demand.bandwidth * self._drift.renewed_bandwidth))
        return demand

    def _slowdown(self, at: int, loads: Sequence[Load], demands: list[Demand], traffic: float, streams: bool) -> float:
        load, mine = loads[at], demands[at]
        busy = mine.compute
        quirk = 1.0
        for other, (neighbour, theirs) in enumerate(zip(loads, demands, strict=True)):
            if other == at:
                continue
            weight = 1.0
            if streams and load.priority != neighbour.priority:
                weight = YIELDS if load.priority is Priority.HIGH else 2.0 - YIELDS
            busy += weight * theirs.compute
            quirk *= self._quirks[load.model, neighbour.model]
        parts = [share**BOTTLENECK for share in (mine.compute, mine.bandwidth, LAUNCH)]
        stretches = (
            _saturated(busy) / _saturated(mine.compute),
            _saturated(traffic) / _saturated(mine.bandwidth),
            1.0 + CROWD * (len(loads) - 1),
        )
        stretch: float = sum(part * stretch for part, stretch in zip(parts, stretches, strict=True)) / sum(parts)
        return 1.0 + max(0.0, stretch - 1.0) * quirk


def _saturated(asked: float) -> float:
    """Nearly 1 while a resource suffices, what is asked of it beyond."""
    return float((1.0 + asked**STEEPNESS) ** (1.0 / STEEPNESS))


def paired_gain(models: Mapping[str, ModelTruth]) -> float:
    """Batches of one that a device does in the time that it takes for one alone, where two always run side by side and
    each pair of models as often as any other."""
    truth = Truth(models, NONE, 1.0, random.Random(0), quirk=0.0)
    gains = []
    for one in models:
        for other in models:
            loads = [Load(one, 1, Priority.HIGH), Load(other, 1, Priority.HIGH)]
            gains.append(sum([1.0 / slowdown for slowdown in truth.slowdowns(loads, 0, False, 0.0)]))
    return sum(gains) / len(gains)


def profiles_of(models: Mapping[str, ModelTruth], rng: random.Random) -> dict[str, ModelProfile]:
    """What was measured beforehand, each model alone. One that was not is guessed at from the others: its demands are
    their mean, and its seconds are wrong by a fifth to two fifths, as a reckoning from its operations would be."""
    known = [model for model in models.values() if model.measured]
    mean = Demand(*[sum(shares) / len(known) for shares in zip(*[model.demand(4) for model in known], strict=True)])
    return {name: _profile(model, mean, rng) for name, model in models.items()}


def _profile(model: ModelTruth, mean: Demand, rng: random.Random) -> ModelProfile:
    wrong = 1.0 if model.measured else 1.0 + rng.choice((-1, 1)) * rng.uniform(0.2, 0.4)
    seconds = tuple([wrong * model.solo_s(size) for size in model.sizes])
    blurred = [[rng.lognormvariate(0.0, PROFILED) for _ in mean] for _ in model.sizes]
    demands = tuple(
        [
            Demand(*[min(1.0, share * blur) for share, blur in zip(model.demand(size), by, strict=True)])
            if model.measured
            else mean
            for size, by in zip(model.sizes, blurred, strict=True)
        ]
    )
    curve = LatencyTable(model.sizes, seconds, NOISE)
    return ModelProfile(curve, model.sizes, demands, model.bytes_in, model.bytes_out, model.measured)

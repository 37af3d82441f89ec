"""How much longer does a batch compute beside others than alone? Learned while it happens.

Recursive least squares with forgetting (Plackett, 1950; e.g. Haykin, "Adaptive Filter Theory", ch. 10) on eight
features of both sides, started from pairs that were measured beforehand, if any. What is learned from is the whole time
that a batch computed for, so the features of each part of it are weighted by the share of its *work* that was done
then: a part counts for its seconds by how slow it was, as far as is known. Apart from it, each model has a level: how
much longer it takes than its profile says, for a new version or a profile that was only a guess. Ours, in the spirit of
Strait ("adaptive kernel-interference prediction").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from covey.model import Priority
from covey.services.scheduler.core.contention import Load, ModelProfile, Overlap


class Learning(NamedTuple):
    """How fast, and how far."""

    forgetting: float = 0.998
    """Weight of a batch for each later one."""
    ignorance: float = 0.5
    """Variance of a weight of which nothing is known yet."""
    ignorance_max: float = 50.0
    """Trace of the covariance beyond which it has blown up, and begins anew with the weights that it has."""
    slowdown_max: float = 6.0
    level: float = 0.08
    """Weight of the last batch in its model's level."""
    level_first: float = 0.5
    """That of the first batches of a model that was never measured, falling to `level`."""
    outlier: float = 3.0
    """Times too fast or slow that a batch may be; beyond it is cut to that."""


Vector = tuple[float, ...]
Features = tuple[float, float, float, float, float, float, float, float]
ALONE: Features = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
COMPANIES_MAX = 20_000
"""Batches and neighbours whose features are kept at hand."""
START = (1.0, 0.05, 0.0, 0.0, 0.4, 0.1, 0.5, 0.3)
"""Weights before anything was seen: two that both want a resource wait for one another."""


class Interference:
    """Implements `Slowdowns`."""

    def __init__(self, profiles: Mapping[str, ModelProfile], learning: Learning | None = None) -> None:
        self.resets = 0
        self._profiles = profiles
        self._learning = learning or Learning()
        self._weights = list(START)
        self._covariance = _diagonal(self._learning.ignorance)
        self._levels: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._solo: dict[tuple[str, int], float] = {}
        self._features: dict[tuple[Load, tuple[Load, ...]], Features] = {}
        self._slowdowns: dict[tuple[Load, tuple[Load, ...]], float] = {}

    def solo_s(self, load: Load) -> float:
        key = (load.model, load.size)
        alone_s = self._solo.get(key)
        if alone_s is None:
            profile = self._profiles[load.model]
            alone_s = profile.curve.mean_s(load.size)
            if profile.measured:  # a curve that is a guess may get better
                self._solo[key] = alone_s
        return alone_s * self._levels.get(load.model, 1.0)

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        key = (load, others)
        found = self._slowdowns.get(key)
        if found is None:
            predicted = _product(self._weights, self._features_of(load, others))
            found = self._slowdowns[key] = min(max(predicted, 1.0), self._learning.slowdown_max)
        return found

    def learn(self, load: Load, overlaps: Sequence[Overlap], seconds: float) -> None:
        """Of one batch: O(d²)."""
        rates = [part.seconds / self.slowdown(load, part.others) for part in overlaps]
        total = sum(rates)
        if total <= 0.0 or seconds <= 0.0:
            return
        mixed = [0.0] * len(ALONE)
        for part, rate in zip(overlaps, rates, strict=True):
            for at, feature in enumerate(self._features_of(load, part.others)):
                mixed[at] += feature * rate / total
        predicted = max(_product(self._weights, mixed), 1.0)
        most = self._learning.outlier
        ratio = min(max(seconds / (self.solo_s(load) * predicted), 1.0 / most), most)
        settled = self._adjust(load.model, ratio)
        if settled:
            self._regress(mixed, predicted, predicted * ratio)

    def _adjust(self, model: str, ratio: float) -> bool:
        """Its model's level; False: the model is too new to tell its level from its neighbours."""
        learning, seen = self._learning, self._seen.get(model, 0)
        self._seen[model] = seen + 1
        rate = learning.level
        settled = self._profiles[model].measured or seen >= 10
        if not settled:
            rate = max(learning.level_first / (1 + seen), learning.level)
        self._levels[model] = self._levels.get(model, 1.0) * ratio**rate
        return settled

    def _regress(self, features: Sequence[float], predicted: float, observed: float) -> None:
        """One step of recursive least squares on relative errors: both sides by what was predicted."""
        scaled = [feature / predicted for feature in features]
        covariance, forgetting = self._covariance, self._learning.forgetting
        gain = [_product(row, scaled) for row in covariance]
        denominator = forgetting + _product(gain, scaled)
        error = (observed - _product(self._weights, features)) / predicted
        self._weights = [weight + each / denominator * error for weight, each in zip(self._weights, gain, strict=True)]
        for row, mine in zip(covariance, gain, strict=True):
            by = mine / denominator
            for column, other in enumerate(gain):
                row[column] = (row[column] - by * other) / forgetting
        if not 0.0 < sum(row[at] for at, row in enumerate(covariance)) < self._learning.ignorance_max:
            self.resets += 1
            self._covariance = _diagonal(self._learning.ignorance)
        self._slowdowns.clear()

    def _features_of(self, load: Load, others: tuple[Load, ...]) -> Features:
        key = (load, others)
        found = self._features.get(key)
        if found is None:
            if len(self._features) >= COMPANIES_MAX:
                self._features.clear()
            found = self._features[key] = features(self._profiles, load, others)
        return found


def features(profiles: Mapping[str, ModelProfile], load: Load, others: tuple[Load, ...]) -> Features:
    """Of a batch and its neighbours: 1, what they ask for of each resource, and what both sides ask for of it.

    Neighbours of a lower priority give way on the multiprocessors, so those of the others are counted apart.
    """
    if not others:
        return ALONE
    mine = profiles[load.model].demand(load.size)
    compute = bandwidth = cache = peers = 0.0
    for other in others:
        theirs = profiles[other.model].demand(other.size)
        compute += theirs.compute
        bandwidth += theirs.bandwidth
        cache += theirs.cache
        if not (load.priority is Priority.HIGH and other.priority is Priority.LOW):
            peers += theirs.compute
    return (
        1.0,
        float(len(others)),
        bandwidth,
        cache,
        mine.compute * compute,
        mine.compute * peers,
        mine.bandwidth * bandwidth,
        mine.cache * cache,
    )


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    (a, b, c, d, e, f, g, h), (i, j, k, l, m, n, o, p) = one, other  # noqa: E741  # unrolled: three times as fast
    return a * i + b * j + c * k + d * l + e * m + f * n + g * o + h * p


def _diagonal(variance: float) -> list[list[float]]:
    size = len(ALONE)
    return [[variance * (row == column) for column in range(size)] for row in range(size)]

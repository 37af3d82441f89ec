"""Predictors that ours is compared with, behind the same seam (`Slowdowns`); how they predict, not how they schedule.

* `Solo`: nothing interferes; what is measured beforehand is what a batch takes.
* `Recent`: Clockwork (Gujarati et al., OSDI 2020): the 99th percentile of the last ten of a model and size.
* `StaticRegression`: gpulets (Choi et al., ATC 2022): slowdown linear in both sides' cache and bandwidth, fitted once.
* `IGniter`: (Xu et al., TPDS 2022): the cache use of others prolongs what is active, launches queue, power throttles.
* `Ewma`: of each model's slowdown, whatever ran beside it.
* `Sgd`: our features, by stochastic gradient descent, as in the precursor of Strait (arXiv 2512.18725).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from covey.services.scheduler.core.contention import Load, ModelProfile, Overlap
from covey.services.scheduler.core.interference import START, features
from covey.simulator.sharing import Corun

Profiles = Mapping[str, ModelProfile]


class Solo:
    """Nothing interferes."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    def solo_s(self, load: Load) -> float:
        return self._profiles[load.model].curve.mean_s(load.size)

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        return 1.0

    def learn(self, load: Load, overlaps: Sequence[Overlap], seconds: float) -> None:
        return None


class Recent(Solo):
    """Clockwork's: what was seen of late, beside whatever it was."""

    LAST = 10

    def __init__(self, profiles: Profiles) -> None:
        super().__init__(profiles)
        self._seen: dict[tuple[str, int], deque[float]] = {}

    def solo_s(self, load: Load) -> float:
        seen = self._seen.get((load.model, load.size))
        return max(seen) if seen else super().solo_s(load)

    def learn(self, load: Load, overlaps: Sequence[Overlap], seconds: float) -> None:
        self._seen.setdefault((load.model, load.size), deque(maxlen=self.LAST)).append(seconds)


class Fastest(Recent):
    """The least of the last ten: what a batch takes that was not interrupted."""

    def solo_s(self, load: Load) -> float:
        seen = self._seen.get((load.model, load.size))
        return min(seen) if seen else Solo.solo_s(self, load)


class StaticRegression(Solo):
    """gpulets': fitted once, on pairs that were measured beforehand.

    `slow = c0 l2_me + c1 l2_other + c2 dram_me + c3 dram_other + c4` (interference_model.cpp of the published code).
    """

    def __init__(self, profiles: Profiles, history: Sequence[Corun]) -> None:
        super().__init__(profiles)
        rows = [self._row(each.load, each.overlaps[0].others) for each in history]
        slow = [each.seconds / self.solo_s(each.load) for each in history]
        self._weights = np.linalg.lstsq(np.array(rows), np.array(slow), rcond=None)[0].tolist()

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        if not others:
            return 1.0
        row = self._row(load, others)
        return max(1.0, float(sum(weight * each for weight, each in zip(self._weights, row, strict=True))))

    def _row(self, load: Load, others: tuple[Load, ...]) -> list[float]:
        mine = self._profiles[load.model].demand(load.size)
        theirs = [self._profiles[other.model].demand(other.size) for other in others]
        cache, bandwidth = sum(each.cache for each in theirs), sum(each.bandwidth for each in theirs)
        return [mine.cache, cache, mine.bandwidth, bandwidth, 1.0]


class IGniter(Solo):
    """iGniter's analytic model; its coefficient of the cache is fitted to pairs that were measured beforehand.

    `active * (1 + k * sum of others' cache use) + scheduling delay by co-runner`, then throttled by power, for which
    the use of the multiprocessors stands in (igniter-algorithm.py of the published code).
    """

    POWER_MAX = 1.6
    """Sum of compute shares beyond which the clock falls, ..."""
    CLOCK = 0.1
    """... by so much for each."""

    def __init__(self, profiles: Profiles, history: Sequence[Corun]) -> None:
        super().__init__(profiles)
        uses = np.array([self._cache(each.overlaps[0].others) for each in history])
        excess = np.array([each.seconds / self.solo_s(each.load) - 1.0 for each in history])
        self._coefficient = max(0.0, float(uses @ excess / (uses @ uses)))

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        if not others:
            return 1.0
        power = sum(self._profiles[each.model].demand(each.size).compute for each in (load, *others))
        throttled = 1.0 + self.CLOCK * max(0.0, power - self.POWER_MAX)
        return (1.0 + self._coefficient * self._cache(others)) * throttled

    def _cache(self, others: tuple[Load, ...]) -> float:
        return sum(self._profiles[other.model].demand(other.size).cache for other in others)


class Ewma(Solo):
    """A mean of each model's slowdown."""

    WEIGHT = 0.1

    def __init__(self, profiles: Profiles) -> None:
        super().__init__(profiles)
        self._means = dict.fromkeys(profiles, 1.0)

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        return max(1.0, self._means[load.model])

    def learn(self, load: Load, overlaps: Sequence[Overlap], seconds: float) -> None:
        mean = self._means[load.model]
        self._means[load.model] = mean + self.WEIGHT * (seconds / self.solo_s(load) - mean)


class Sgd(Solo):
    """Normalised gradient steps on our features, weighted by the seconds of each overlap."""

    RATE = 0.1

    def __init__(self, profiles: Profiles, history: Sequence[Corun]) -> None:
        super().__init__(profiles)
        self._weights = list(START)
        for _ in range(5):
            for each in history:
                self.learn(each.load, each.overlaps, each.seconds)

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        row = features(self._profiles, load, others)
        return max(1.0, sum(weight * each for weight, each in zip(self._weights, row, strict=True)))

    def learn(self, load: Load, overlaps: Sequence[Overlap], seconds: float) -> None:
        total = sum(part.seconds for part in overlaps)
        if total <= 0.0:
            return
        mixed = [0.0] * len(START)
        for part in overlaps:
            for at, each in enumerate(features(self._profiles, load, part.others)):
                mixed[at] += each * part.seconds / total
        predicted = sum(weight * each for weight, each in zip(self._weights, mixed, strict=True))
        error = min(max(seconds / self.solo_s(load) - predicted, -2.0), 2.0)
        step = self.RATE * error / sum(each * each for each in mixed)
        self._weights = [weight + step * each for weight, each in zip(self._weights, mixed, strict=True)]

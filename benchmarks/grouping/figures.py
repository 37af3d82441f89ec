"""Figures out of latencies: pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

DRAWS = 2_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """Of latencies, in seconds; NaN where there were none. `std` is the population's."""

    mean: float
    p50: float
    p95: float
    p99: float
    std: float


def summary_of(latencies: Sequence[float]) -> Summary:
    """The summary of one run's latencies."""
    if not latencies:
        return Summary(*[math.nan] * 5)
    ordered = sorted(latencies)
    at = [quantile(ordered, share) for share in (0.50, 0.95, 0.99)]
    return Summary(statistics.fmean(ordered), at[0], at[1], at[2], statistics.pstdev(ordered))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie, between two values along a straight line."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def reduction(ours: float, theirs: float) -> float:
    """By what share ours is lower: 0.58 is 58 % lower."""
    return 1.0 - ours / theirs if theirs else math.nan


def imbalance(shares: Sequence[float]) -> float:
    """The largest over the mean: 1 is even, the number of nodes is all on one. NaN where nobody did anything."""
    mean = statistics.fmean(shares) if shares else 0.0
    return max(shares) / mean if mean else math.nan


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio with its confidence interval."""

    ratio: float
    low: float
    high: float


def paired_ratio(pairs: Sequence[tuple[float, float]], rng: Random, draws: int = DRAWS) -> Interval:
    """The ratio of the sums of paired figures (ours, theirs), and its 95 % interval by a bootstrap over the pairs.

    A pair is the same events in two modes: what makes one stretch of traffic slower than another is in both, so that
    only the difference counts (Efron and Tibshirani 1993, section 8.3).
    """
    if not pairs:
        return Interval(math.nan, math.nan, math.nan)
    ratios = sorted(_ratio([pairs[rng.randrange(len(pairs))] for _ in pairs]) for _ in range(draws))
    tail = (1 - LEVEL) / 2
    return Interval(_ratio(pairs), quantile(ratios, tail), quantile(ratios, 1 - tail))


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return sum(ours for ours, _ in pairs) / sum(theirs for _, theirs in pairs)

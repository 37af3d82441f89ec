"""What a cell's runs say: each system's curve over its headrooms, read at the same cost or at the same tail.

A point of a curve is one headroom, as means over the seeds: device-seconds, and what they bought. Between points a
line; beyond the last nothing is claimed, and a system whose curve does not come to a cost is read where it ends.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.slo.running import Done
from covey.simulator.serving import Figures

ATTAINED = 0.99
"""The share of events to be answered in time, for the question of buying."""


class Point(NamedTuple):
    """A system at one headroom."""

    device_s: float
    value: float


Value = Callable[[Figures], float]


def tail_s(figures: Figures) -> float:
    """The p99 with nothing left out."""
    return figures.p99_all_s


def goodput(figures: Figures) -> float:
    return figures.goodput


def curve(runs: Iterable[Done], value: Value) -> list[Point]:
    """A system's points in order of cost; also of what differs from it by a setting."""
    by_setting: dict[tuple[str, float], list[Figures]] = {}
    for run in runs:
        by_setting.setdefault((run.job.system, run.job.headroom), []).append(run.figures)
    return sorted(
        Point(statistics.fmean([each.device_s for each in all_]), statistics.fmean([value(each) for each in all_]))
        for all_ in by_setting.values()
    )


def at_cost(points: Sequence[Point], device_s: float, better: Callable[..., float]) -> float:
    """The value that a system has for at most this much, `better` (min or max) of what it can choose from.

    A system that is dearer at every headroom counts as it is at its cheapest: it has had more.
    """
    affordable = [point.value for point in points if point.device_s <= device_s]
    crossing = [
        low.value + (high.value - low.value) * (device_s - low.device_s) / (high.device_s - low.device_s)
        for low, high in zip(points, points[1:], strict=False)
        if low.device_s <= device_s < high.device_s and math.isfinite(low.value) and math.isfinite(high.value)
    ]
    return better(affordable + crossing) if affordable else points[0].value


def cost_of(points: Sequence[Point], level: float, is_tail: bool) -> float:
    """The least device-seconds at which a value is at the level, or better; infinite if it never is.

    A tail is better when it is less, anything else when it is more. Between a point that is worse and a dearer one that
    is not, the cost lies on the line.
    """
    worse: Point | None = None
    for point in points:
        if point.value <= level if is_tail else point.value >= level:
            if worse is None or not math.isfinite(worse.value):
                return point.device_s
            part = (level - worse.value) / (point.value - worse.value)
            return worse.device_s + part * (point.device_s - worse.device_s)
        worse = point
    return math.inf


def ratio(ours: float, theirs: float) -> float | None:
    """Theirs by ours; None where that says nothing."""
    return theirs / ours if math.isfinite(ours) and math.isfinite(theirs) and ours > 0 else None


def complete(runs: Sequence[Done]) -> list[Done]:
    """Those of the seeds with which every system was run at every one of its headrooms; all, if there is no such seed.

    A run that was stopped has systems with more seeds than others, and bursts differ from seed to seed.
    """
    seeds: dict[tuple[str, float], set[int]] = {}
    for run in runs:
        seeds.setdefault((run.job.system, run.job.headroom), set()).add(run.job.seed)
    common = set.intersection(*seeds.values()) if seeds else set()
    return [run for run in runs if run.job.seed in common or not common]


def by_system(runs: Iterable[Done]) -> Mapping[str, list[Done]]:
    found: dict[str, list[Done]] = {}
    for run in runs:
        found.setdefault(run.job.system, []).append(run)
    return found

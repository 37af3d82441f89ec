"""The three questions, answered for a cell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from benchmarks.slo.loads import STEADY
from benchmarks.slo.plan import OUR_HEADROOM, OUR_SETTINGS, OURS
from benchmarks.slo.reading import (
    ATTAINED,
    Point,
    Value,
    at_cost,
    by_system,
    complete,
    cost_of,
    curve,
    goodput,
    ratio,
    tail_s,
)
from benchmarks.slo.running import Done
from benchmarks.slo.systems import DROPPING, UNDROPPED

REACTIVE = "reactive"
"""The first word of the systems that scale each stage by what is seen there."""
LEVEL = 0.95


class Tail(NamedTuple):
    """Nothing dropped."""

    p99_ratio: float | None
    """The best baseline's p99 by ours, at our device-seconds."""
    low: float
    high: float
    """Its interval over seeds, paired, at the headrooms as they are."""
    ratios: Mapping[str, float | None]
    """The same for every system, ablations included."""
    cost_saving: float | None
    """At our p99: the share of the cheapest baseline's device-seconds that ours spares."""
    best: str
    is_level: bool
    """The best baseline's curve comes to our cost."""


class Good(NamedTuple):
    """Everything on."""

    goodput: float
    vs_best: float
    """Our goodput by the best baseline's, at our device-seconds."""
    low: float
    high: float
    """Its interval over seeds, as above."""
    ratios: Mapping[str, float | None]
    best: str
    cost: float
    """Device-seconds at which ours answers 99 % in time, at whichever setting; infinite if it never does ..."""
    cost_of_best: float
    """... at which the cheapest baseline does ..."""
    cost_of_reactive: float
    """... and the cheapest one that scales each stage by itself."""

    @property
    def saving_at_attainment(self) -> float | None:
        """The share of the cheapest baseline's cost that ours spares."""
        return _saving(self.cost, self.cost_of_best)

    @property
    def saving_on_reactive(self) -> float | None:
        return _saving(self.cost, self.cost_of_reactive)


def tail_of(runs: Sequence[Done]) -> Tail | None:
    """None where nothing was run."""
    found = by_system(complete([run for run in runs if not run.job.drops]))
    if OURS not in found:
        return None
    ours = _ours(found[OURS], tail_s)
    curves = {name: curve(each, tail_s) for name, each in found.items() if name != OURS}
    read = {name: at_cost(points, ours.device_s, min) for name, points in curves.items()}
    others = [name for name in curves if not UNDROPPED[name].is_ours]
    best = min(others, key=read.__getitem__)
    costs = [cost_of(curves[name], ours.value, is_tail=True) for name in others]
    return Tail(
        ratio(ours.value, read[best]),
        *_interval(found[OURS], found[best], ours.device_s, tail_s, min),
        {name: ratio(ours.value, value) for name, value in read.items()},
        _saving(ours.device_s, min(costs)),
        best,
        curves[best][-1].device_s >= ours.device_s,
    )


def good_of(runs: Sequence[Done]) -> Good | None:
    """None where nothing was run, or ours not at the headroom at which it is read."""
    found = by_system(complete([run for run in runs if run.job.drops]))
    if not any(run.job.headroom == OUR_HEADROOM for run in found.get(OURS, ())):
        return None
    ours = _ours(found[OURS], goodput)
    curves = {name: curve(each, goodput) for name, each in found.items() if name not in OUR_SETTINGS}
    read = {name: at_cost(points, ours.device_s, max) for name, points in curves.items()}
    others = [name for name in read if not DROPPING[name].is_ours]
    best = max(others, key=read.__getitem__)
    low, high = _interval(found[OURS], found[best], ours.device_s, goodput, max)
    costs = {name: cost_of(curves[name], ATTAINED, is_tail=False) for name in others}
    by_stage = [costs[name] for name in others if name.startswith(REACTIVE)]
    return Good(
        ours.value,
        ours.value / max(read[best], 1e-9),
        1 / high,
        1 / low,
        {name: ours.value / max(value, 1e-9) for name, value in read.items()},
        best,
        cost_of(curve(our_settings(runs), goodput), ATTAINED, is_tail=False),
        min(costs.values()),
        min(by_stage, default=math.inf),
    )


def our_settings(runs: Iterable[Done]) -> list[Done]:
    """Those of ours at all of its settings, everything on."""
    return [run for run in complete([run for run in runs if run.job.drops]) if run.job.system in OUR_SETTINGS]


def highest_rates(runs: Iterable[Done]) -> dict[str, float]:
    """System -> the highest steady rate at which 99 % are in time, by what the devices carry; 0 if it has none.

    `runs` are of one pipeline, under steady loads. Between two rates a line.
    """
    rates = {}
    for name, each in by_system(runs).items():
        shares: dict[float, list[float]] = {}
        for run in each:
            shares.setdefault(int(run.job.cell.load.removeprefix(STEADY)) / 100, []).append(run.figures.goodput)
        points = sorted((share, statistics.fmean(values)) for share, values in shares.items())
        rates[name] = _highest(points)
    return rates


def _highest(points: Sequence[tuple[float, float]]) -> float:
    """Where a falling line through (rate, share in time) meets 99 %; the last rate where it never does."""
    highest = 0.0
    for (rate, value), following in zip_longest(points, points[1:]):
        if value < ATTAINED:
            break
        highest = rate
        if following is not None and following[1] < ATTAINED:
            highest += (following[0] - rate) * (value - ATTAINED) / (value - following[1])
    return highest


def _ours(runs: Sequence[Done], value: Value) -> Point:
    (point,) = curve([run for run in runs if run.job.headroom == OUR_HEADROOM], value)
    return point


def _saving(ours: float, theirs: float) -> float | None:
    return 1 - ours / theirs if math.isfinite(ours) and math.isfinite(theirs) else None


def _interval(
    ours: Sequence[Done], theirs: Sequence[Done], device_s: float, value: Value, better: Callable[..., float]
) -> tuple[float, float]:
    """Of theirs by ours, seed by seed, each read at our mean cost; from 0 to infinity for a single seed."""
    logs = []
    for seed in sorted({run.job.seed for run in ours}):
        mine = [value(run.figures) for run in ours if run.job.seed == seed and run.job.headroom == OUR_HEADROOM]
        other = at_cost(curve([run for run in theirs if run.job.seed == seed], value), device_s, better)
        logs.append(math.log(max(other, 1e-9) / max(mine[0], 1e-9)))
    if len(logs) == 1 or not all(map(math.isfinite, logs)):
        return 1e-9, math.inf
    middle = statistics.fmean(logs)
    half = half_of_interval(logs)
    return math.exp(max(middle - half, -20.0)), math.exp(min(middle + half, 50.0))


def half_of_interval(values: Sequence[float]) -> float:
    """Half of the interval, by Student's t, in which the mean of two or more such values lies."""
    from scipy.stats import t as student  # only to report: what makes the runs need not have it

    half = student.ppf((1 + LEVEL) / 2, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return float(half)

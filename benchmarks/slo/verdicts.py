"""The three questions, answered for a cell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import t as student

from benchmarks.slo.reading import ATTAINED, Point, Value, at_cost, by_system, cost_of, curve, goodput, ratio, tail_s
from benchmarks.slo.running import Done
from benchmarks.slo.systems import DROPPING, UNDROPPED

OURS = "ours"
OUR_HEADROOM = 1.1
"""At which ours is read; the others come to its cost, or to its tail."""
LEVEL = 0.95


class Tail(NamedTuple):
    """Nothing dropped."""

    p99_ratio: float | None
    """The best baseline's p99 by ours, at our device-seconds."""
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
    """Its interval over seeds, paired, at the headrooms as they are."""
    best: str
    saving_at_attainment: float | None
    """Of the cheapest baseline's device-seconds where 99 % are answered in time."""


def tail_of(runs: Sequence[Done]) -> Tail | None:
    """None where nothing was run."""
    found = by_system([run for run in runs if not run.job.drops])
    if OURS not in found:
        return None
    ours = _ours(found[OURS], tail_s)
    others = {name: curve(each, tail_s) for name, each in found.items() if not UNDROPPED[name].is_ours}
    read = {name: at_cost(points, ours.device_s, min) for name, points in others.items()}
    best = min(read, key=read.__getitem__)
    costs = [cost_of(points, lambda p99_s: p99_s <= ours.value) for points in others.values()]
    is_level = others[best][-1].device_s >= ours.device_s
    return Tail(ratio(ours.value, read[best]), _saving(ours.device_s, min(costs)), best, is_level)


def good_of(runs: Sequence[Done]) -> Good | None:
    """None where nothing was run."""
    found = by_system([run for run in runs if run.job.drops])
    if OURS not in found:
        return None
    ours = _ours(found[OURS], goodput)
    curves = {name: curve(each, goodput) for name, each in found.items()}
    others = {name: points for name, points in curves.items() if not DROPPING[name].is_ours}
    read = {name: at_cost(points, ours.device_s, max) for name, points in others.items()}
    best = max(read, key=read.__getitem__)
    low, high = _interval(found[OURS], found[best], ours.device_s)
    costs = {name: cost_of(points, lambda share: share >= ATTAINED) for name, points in curves.items()}
    cheapest = min(costs[name] for name in others)
    saving = _saving(costs[OURS], cheapest)
    return Good(ours.value, ours.value / max(read[best], 1e-9), low, high, best, saving)


def _ours(runs: Sequence[Done], value: Value) -> Point:
    (point,) = curve([run for run in runs if run.job.headroom == OUR_HEADROOM], value)
    return point


def _saving(ours: float, theirs: float) -> float | None:
    return 1 - ours / theirs if math.isfinite(ours) and math.isfinite(theirs) else None


def _interval(ours: Sequence[Done], theirs: Sequence[Done], device_s: float) -> tuple[float, float]:
    """Of the ratio of goodputs, seed by seed, each read at our mean cost."""
    logs = []
    for seed in sorted({run.job.seed for run in ours}):
        mine = [run.figures.goodput for run in ours if run.job.seed == seed and run.job.headroom == OUR_HEADROOM]
        other = at_cost(curve([run for run in theirs if run.job.seed == seed], goodput), device_s, max)
        logs.append(math.log(max(mine[0], 1e-9) / max(other, 1e-9)))
    middle, half = statistics.fmean(logs), math.inf
    if len(logs) > 1:
        half = float(student.ppf((1 + LEVEL) / 2, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(middle - half) if math.isfinite(half) else 0.0, math.exp(min(middle + half, 50.0))

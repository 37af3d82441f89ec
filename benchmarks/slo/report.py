"""What is printed: a table for each cell with all of its systems, the verdicts, and the last line."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.slo.loads import OVERLOAD_S
from benchmarks.slo.plan import Cell
from benchmarks.slo.running import Done, capacity_of, workload_of
from benchmarks.slo.verdicts import OUR_HEADROOM, OURS, Good, Tail, good_of, tail_of

Found = Mapping[Cell, Sequence[Done]]
COLUMNS = ("headroom", "device s", "in time", "p50 ms", "p99 ms", "p99 all", "wasted")


def lines_of(found: Found) -> Iterator[str]:
    """Every cell with every system at every headroom, as means over the seeds."""
    for cell, runs in found.items():
        for drops in (False, True):
            chosen = [run for run in runs if run.job.drops == drops]
            if chosen:
                yield f"\n{cell.name}, {'everything on' if drops else 'nothing dropped'}"
                yield " " * 26 + "".join(f"{column:>9}" for column in COLUMNS) + "  dropped"
                yield from _rows(chosen)
        yield from _verdict(tail_of(runs), good_of(runs))


def _rows(runs: Sequence[Done]) -> Iterator[str]:
    grouped: dict[tuple[str, float], list[Done]] = {}
    for run in sorted(runs, key=lambda run: run.job.headroom):
        grouped.setdefault((run.job.system, run.job.headroom), []).append(run)
    for (system, headroom), same in sorted(grouped.items(), key=lambda item: item[0]):
        figures = [run.figures for run in same]
        row = (
            f"{headroom:9.2f}",
            f"{_mean([each.device_s for each in figures]):9.0f}",
            f"{_mean([each.goodput for each in figures]):9.3f}",
            f"{1000 * _mean([each.p50_s for each in figures]):9.0f}",
            f"{1000 * _mean([each.p99_s for each in figures]):9.0f}",
            f"{1000 * _mean([each.p99_all_s for each in figures]):9.0f}",
            f"{_mean([each.wasted_s / max(each.busy_s, 1e-9) for each in figures]):9.3f}",
        )
        dropped = [f"{stage} {_mean([each.dropped[stage] for each in figures]):.0f}" for stage in figures[0].dropped]
        yield f"{system:26}{''.join(row)}  {' '.join(dropped)}"


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def _verdict(tail: Tail | None, good: Good | None) -> Iterator[str]:
    if tail is not None:
        yield (
            f"  p99 of {tail.best} / ours at {'our' if tail.is_level else 'its highest, lower'} cost: "
            f"{_told(tail.p99_ratio)}; cost saved at our p99: {_told(tail.cost_saving)}"
        )
    if good is not None:
        yield (
            f"  goodput of ours / {good.best} at our cost: {good.vs_best:.3f} [{good.low:.3f}, {good.high:.3f}]; "
            f"cost saved where 99 % are in time: {_told(good.saving_at_attainment)}"
        )


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def rows_of(found: Found) -> Iterator[str]:
    """Every run as a line of JSON."""
    for cell, runs in found.items():
        for run in runs:
            job, figures = run.job, run.figures
            row = {
                **{"cell": cell.name, "system": job.system, "headroom": job.headroom, "seed": job.seed},
                **{"drops": job.drops, "cpu_s": run.cpu_s, "estimator_mape": run.errors},
                **{name: getattr(figures, name) for name in figures.__slots__ if name not in ("seconds", "windows")},
                "seconds": [list(second) for second in figures.seconds],
            }
            yield json.dumps(_finite(row))


def _finite(value: object) -> object:
    """JSON has no infinity."""
    match value:
        case float():
            return round(value, 5) if math.isfinite(value) else None
        case Mapping():
            return {key: _finite(each) for key, each in value.items()}
        case list():
            return [_finite(each) for each in value]
        case _:
            return value


def summary_of(found: Found) -> dict[str, object]:
    """The last line. What was not measured is null: no bursty cell was run, or no live run is at hand."""
    tails = {cell: tail for cell, runs in found.items() if (tail := tail_of(runs)) is not None}
    goods = {cell: good for cell, runs in found.items() if (good := good_of(runs)) is not None}
    bursty = [tail.p99_ratio for cell, tail in tails.items() if cell.is_bursty and tail.p99_ratio is not None]
    runs = [run for each in found.values() for run in each]
    errors: dict[str, list[float]] = {}
    for run in runs:
        for name, error in run.errors.items():
            errors.setdefault(name, []).append(error)
    summary = {
        "p99_ratio_bursty_min": min(bursty, default=None),
        "p99_ratio_bursty_max": max(bursty, default=None),
        "cost_saving_at_equal_p99_max": _most([tail.cost_saving for tail in tails.values()]),
        "cost_saving_at_99_attainment_max": _most([good.saving_at_attainment for good in goods.values()]),
        "goodput_vs_best_baseline_min": min([good.vs_best for good in goods.values()], default=None),
        "steady_overload_goodput_vs_capacity": _vs_capacity(found),
        "estimator_mape": {name: statistics.fmean(each) for name, each in errors.items()},
        "sim_vs_live_error": {"throughput": None, "p50": None, "p99": None},
        "us_per_task": {
            str(devices): 1e6 * sum(run.cpu_s for run in same) / sum(run.figures.tasks for run in same)
            for devices in sorted({run.job.cell.devices for run in runs})
            for same in [[run for run in runs if run.job.cell.devices == devices]]
        },
    }
    told = _finite(summary)
    assert isinstance(told, dict)
    return told


def _most(values: Sequence[float | None]) -> float | None:
    return max([value for value in values if value is not None], default=None)


def _vs_capacity(found: Found) -> float | None:
    """The least over cells: what ours answers in time under steady overload, by what the devices carry at most."""
    shares = []
    for cell, runs in found.items():
        ours = [run for run in runs if run.job.system == OURS and run.job.drops and run.job.headroom == OUR_HEADROOM]
        if cell.load == "overload" and ours:
            capacity = capacity_of(cell, workload_of(cell, ours[0].job.places))
            rates = [run.figures.in_time / OVERLOAD_S for run in ours]
            shares.append(statistics.fmean(rates) / capacity)
    return min(shares, default=None)

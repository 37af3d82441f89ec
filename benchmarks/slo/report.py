"""What is printed: a table for each cell with all of its systems, the verdicts, and the last line."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.slo.estimators import Judged
from benchmarks.slo.lines import finite
from benchmarks.slo.loads import OVERLOAD_S, STEADY
from benchmarks.slo.plan import FEW_DEVICES, OUR_HEADROOM, OURS, Cell, asks_for_the_cost
from benchmarks.slo.reading import ATTAINED, complete
from benchmarks.slo.running import Done, arrivals_of, capacity_of, workload_of
from benchmarks.slo.systems import DROPPING
from benchmarks.slo.verdicts import Good, Tail, good_of, highest_rates, tail_of
from covey.simulator.bounds import least_device_s

Found = Mapping[Cell, Sequence[Done]]
COLUMNS = ("headroom", "device s", "in time", "p50 ms", "p99 ms", "p99 all", "wasted")


def lines_of(found: Found) -> Iterator[str]:
    """Every cell with every system at every headroom, as means over the seeds that all of them were run with."""
    for cell, runs in found.items():
        for drops in (False, True):
            chosen = complete([run for run in runs if run.job.drops == drops])
            if chosen:
                seeds = sorted({run.job.seed for run in chosen})
                told = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
                yield f"\n{cell.name}, {'everything on' if drops else 'nothing dropped'}, {told}"
                yield " " * 26 + "".join(f"{column:>9}" for column in COLUMNS) + "  dropped"
                yield from _rows(chosen)
        yield from _verdict(tail_of(runs), good_of(runs))
        share = _share_of_capacity(cell, runs)
        if share is not None:
            yield f"  answered in time by ours, of what the devices carry at most: {share:.3f}"
        least = _least_cost(cell, runs)
        if least is not None:
            yield f"  99 % in time cost whoever knows the load beforehand {least:.0f} or more"
    yield from _estimators(found)
    yield from _rates(found)


def _estimators(found: Found) -> Iterator[str]:
    """How well each foresaw the load, in cells of each load."""
    kept: dict[str, dict[str, list[Judged]]] = {}
    for cell, runs in found.items():
        for run in runs:
            for name, judged in run.estimators.items():
                kept.setdefault(cell.load, {}).setdefault(name, []).append(judged)
    for load, by_name in kept.items():
        yield f"\nestimators under {load}: error now, a cold start ahead, of this too low, too high; s late"
        for name, each in by_name.items():
            means = [statistics.fmean(values) for values in zip(*each, strict=True)]
            yield f"{name:26}" + "".join(f"{mean:9.3f}" for mean in means)


def _rates(found: Found) -> Iterator[str]:
    for pipeline, rates in rates_of(found).items():
        yield f"\n{pipeline}: highest steady rate with 99 % in time, by what {FEW_DEVICES} devices carry"
        yield from (f"{name:26}{rate:9.3f}" for name, rate in rates.items())


def rates_of(found: Found) -> dict[str, dict[str, float]]:
    """Pipeline -> system -> `highest_rates`."""
    steady: dict[str, list[Done]] = {}
    for cell, runs in found.items():
        if cell.load.startswith(STEADY):
            steady.setdefault(cell.pipeline, []).extend(runs)
    return {pipeline: highest_rates(complete(runs)) for pipeline, runs in steady.items()}


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
            f"{_told(tail.p99_ratio)} [{_told(tail.low)}, {_told(tail.high)}]; "
            f"cost saved at our p99: {_told(tail.cost_saving)}"
        )
        yield f"  p99 / ours: {_all_of(tail.ratios)}"
    if good is not None:
        yield (
            f"  goodput of ours / {good.best} at our cost: {_told(good.vs_best)} "
            f"[{_told(good.low)}, {_told(good.high)}]; cost saved where 99 % are in time: "
            f"{_told(good.saving_at_attainment)}, on reactive systems: {_told(good.saving_on_reactive)}"
        )
        if good.saving_at_attainment is not None:
            yield (
                f"  99 % in time cost ours {good.cost:.0f}, the cheapest baseline {good.cost_of_best:.0f}, "
                f"the cheapest reactive one {good.cost_of_reactive:.0f}"
            )
        yield f"  ours / goodput: {_all_of(good.ratios)}"


def _all_of(ratios: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {_told(value)}" for name, value in ratios.items())


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 1000 else "inf"


def summary_of(found: Found) -> dict[str, object]:
    """The last line. What was not measured is null: no bursty cell was run, or no live run is at hand."""
    tails = {cell: tail for cell, runs in found.items() if (tail := tail_of(runs)) is not None}
    goods = {cell: good for cell, runs in found.items() if (good := good_of(runs)) is not None}
    bursty = [tail.p99_ratio for cell, tail in tails.items() if cell.is_bursty and tail.p99_ratio is not None]
    runs = [run for each in found.values() for run in each]
    errors: dict[str, list[Judged]] = {}
    for run in runs:
        for name, judged in run.estimators.items():
            errors.setdefault(name, []).append(judged)
    summary = {
        "p99_ratio_bursty_min": min(bursty, default=None),
        "p99_ratio_bursty_max": max(bursty, default=None),
        "cost_saving_at_equal_p99_max": _most([tail.cost_saving for tail in tails.values()]),
        "cost_saving_at_99_attainment_max": _most([good.saving_at_attainment for good in goods.values()]),
        "goodput_vs_best_baseline_min": min([good.vs_best for good in goods.values()], default=None),
        "cost_saving_at_99_attainment_vs_reactive_max": _most([good.saving_on_reactive for good in goods.values()]),
        "rate_ratio_at_99_attainment": {pipeline: _ratio_of(rates) for pipeline, rates in rates_of(found).items()},
        "steady_overload_goodput_vs_capacity": _vs_capacity(found),
        "estimator_mape": {name: statistics.fmean([judged.now for judged in each]) for name, each in errors.items()},
        "sim_vs_live_error": {"throughput": None, "p50": None, "p99": None},
        "us_per_task": {
            str(devices): 1e6 * sum(run.cpu_s for run in same) / sum(run.figures.tasks for run in same)
            for devices in sorted({run.job.cell.devices for run in runs})
            for same in [[run for run in runs if run.job.cell.devices == devices]]
        },
    }
    told = finite(summary)
    assert isinstance(told, dict)
    return told


def _ratio_of(rates: Mapping[str, float]) -> float | None:
    """Ours by the best baseline's."""
    best = max([rate for name, rate in rates.items() if not DROPPING[name].is_ours], default=0.0)
    return rates[OURS] / best if best and OURS in rates else None


def _most(values: Sequence[float | None]) -> float | None:
    return max([value for value in values if value is not None], default=None)


def _vs_capacity(found: Found) -> float | None:
    """The least over cells."""
    shares = [_share_of_capacity(cell, runs) for cell, runs in found.items()]
    return min([share for share in shares if share is not None], default=None)


def _share_of_capacity(cell: Cell, runs: Sequence[Done]) -> float | None:
    """What ours answers in time under steady overload, by what the devices carry at most; None under other loads."""
    ours = [run for run in runs if run.job.system == OURS and run.job.drops and run.job.headroom == OUR_HEADROOM]
    if cell.load != "overload" or not ours:
        return None
    capacity = capacity_of(cell, workload_of(cell, ours[0].job.places))
    return statistics.fmean([run.figures.in_time / OVERLOAD_S for run in ours]) / capacity


def _least_cost(cell: Cell, runs: Sequence[Done]) -> float | None:
    """What nobody pays less than for 99 % in time; None where it is not asked what they cost."""
    chosen = complete([run for run in runs if run.job.drops])
    if not chosen or not asks_for_the_cost(cell):
        return None
    workload = workload_of(cell, chosen[0].job.places)
    seconds = arrivals_of(cell, workload, chosen[0].job.places).measured_s
    offered = statistics.fmean([run.figures.offered for run in chosen])
    return least_device_s(workload.pipeline, ATTAINED * offered, seconds)

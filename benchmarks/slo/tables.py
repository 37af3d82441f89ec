"""The tables of a report, as HTML."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from benchmarks.slo.estimators import Judged
from benchmarks.slo.plan import FEW_DEVICES, OURS, Cell
from benchmarks.slo.reading import complete
from benchmarks.slo.report import Found, rates_of
from benchmarks.slo.running import Done
from benchmarks.slo.systems import DROPPING, UNDROPPED
from benchmarks.slo.verdicts import good_of, half_of_interval, tail_of


class Goal(NamedTuple):
    """What is wanted of a number of the last line; it is met from there on, up or down."""

    name: str
    told: str
    wanted: str
    is_met: Any
    """(value) -> bool."""


GOALS = (
    Goal("p99_ratio_bursty_min", "p99 of the best baseline by ours, nothing dropped, equal cost: least of bursty cells",
         "1.4 or more", lambda value: value >= 1.4),
    Goal("p99_ratio_bursty_max", "the same: the most", "2.5 or more", lambda value: value >= 2.5),
    Goal("cost_saving_at_equal_p99_max", "share of device-seconds spared at equal p99: the most of any cell",
         "0.29 or more", lambda value: value >= 0.29),
    Goal("cost_saving_at_99_attainment_vs_reactive_max", "spared where 99 % are in time, against reactive scaling",
         "0.7 or more", lambda value: value >= 0.7),
    Goal("cost_saving_at_99_attainment_max", "the same, against the cheapest of all baselines", "", lambda value: True),
    Goal("goodput_vs_best_baseline_min", "goodput by the best baseline's, everything on, equal cost: the least",
         "0.97 or more", lambda value: value >= 0.97),
    Goal("steady_overload_goodput_vs_capacity", "goodput under steady overload by the capacity bound: the least",
         "0.97 or more", lambda value: value >= 0.97),
)  # fmt: skip


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML already; the first column is left-aligned, the others to the right."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    attribute = f' class="{kind}"' if kind else ""
    return f"<div class=wide><table{attribute}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None or not math.isfinite(value) else format(value, form)


def with_interval(values: Sequence[float], form: str = ",.0f") -> str:
    """The mean and half its interval over seeds; ∞ where a seed's is infinite."""
    if not all(map(math.isfinite, values)):
        return "∞"
    mean = format(statistics.fmean(values), form)
    if len(values) < 2:
        return mean
    return f"{mean} <small>± {half_of_interval(values):{form}}</small>"


def goals(summary: Mapping[str, Any], errors: Mapping[str, float]) -> str:
    """What was wanted, and what was found."""
    rows = []
    for goal in GOALS:
        value = summary.get(goal.name)
        met = "" if not goal.wanted or value is None else "met" if goal.is_met(value) else "missed"
        rows.append((escape(goal.told), "not measured" if value is None else f"{value:.3g}", goal.wanted, met))
    for name, most in (("throughput", 0.15), ("p50", 0.15), ("p99", 0.25)):
        error = errors.get(name)
        met = "" if error is None else "met" if error <= most else "missed"
        told = "not measured" if error is None else f"{error:.3g}"
        rows.append((f"simulated against live: the largest error of {name}", told, f"{most:g} or less", met))
    for devices, us in summary.get("us_per_task", {}).items():
        most = 60 if int(devices) <= FEW_DEVICES else 90
        told = f"CPU of one core for a simulated task at {devices} devices, µs"
        rows.append((told, f"{us:.0f}", f"{most} or less", "met" if us <= most else "missed"))
    return table(("", "found", "wanted", ""), rows, "goals")


def verdicts(found: Found) -> str:
    """A line for each cell that is compared at our cost."""
    rows = []
    for cell, runs in found.items():
        tail, good = tail_of(runs), good_of(runs)
        if tail is None and good is None:
            continue
        row = [_linked(cell)]
        if tail is None:
            row += ["–"] * 2
        else:
            level = "" if tail.is_level else ", cheaper throughout"
            row += [_ratio(tail.p99_ratio, tail.low, tail.high, tail.best + level), number(tail.cost_saving)]
        if good is None:
            row += ["–"] * 4
        else:
            row += [number(good.goodput), _ratio(good.vs_best, good.low, good.high, good.best)]
            row += [number(good.saving_at_attainment), number(good.saving_on_reactive)]
        rows.append(row)
    headings = (
        "cell", "p99 of the best by ours", "cost saved at our p99", "our goodput", "by that of the best",
        "cost saved at 99 %", "on reactive",
    )  # fmt: skip
    return table(headings, rows)


def _ratio(value: float | None, low: float, high: float, best: str) -> str:
    interval = f"[{low:.3f}, {high:.3f}] " if value is not None and high < 1e6 else ""
    return f"{number(value)} <small>{interval}{escape(best)}</small>"


def anchor(cell: Cell) -> str:
    return cell.name.replace("/", "-")


def _linked(cell: Cell) -> str:
    return f'<a href="#{anchor(cell)}">{escape(cell.name)}</a>'


def ablations(found: Found) -> str:
    """Ours against ours with one part switched off: above 1 the part is worth something."""
    tails = {cell: tail.ratios for cell, runs in found.items() if (tail := tail_of(runs)) is not None}
    goods = {cell: good.ratios for cell, runs in found.items() if (good := good_of(runs)) is not None}
    return _ablated("p99 without it by ours", tails, UNDROPPED) + _ablated(
        "our goodput by that without it", goods, DROPPING
    )


def _ablated(told: str, ratios: Mapping[Cell, Mapping[str, float | None]], known: Mapping[str, Any]) -> str:
    names = [name for name in known if known[name].is_ours and any(name in each for each in ratios.values())]
    rows = [
        (_linked(cell), *[number(each.get(name)) for name in names])
        for cell, each in ratios.items()
        if any(name in each for name in names)
    ]
    return table((told, *[escape(name) for name in names]), rows) if rows else ""


def estimators(found: Found) -> str:
    """By load: how far each was off, of the present and one cold start ahead."""
    kept: dict[tuple[str, str], list[Judged]] = {}
    for cell, runs in found.items():
        for run in runs:
            for name, judged in run.estimators.items():
                kept.setdefault((cell.load, name), []).append(judged)
    rows = [
        (escape(load), escape(name), *[number(statistics.fmean(values)) for values in zip(*each, strict=True)])
        for (load, name), each in kept.items()
    ]
    headings = ("load", "estimator", "error now", "ahead", "of this too low", "too high", "s late at the last stage")
    return table(headings, rows, "named") if rows else ""


def rates(found: Found) -> str:
    """The highest steady rate at which 99 % are in time."""
    by_pipeline = rates_of(found)
    names = list(dict.fromkeys(name for each in by_pipeline.values() for name in each))
    rows = [[escape(name), *[number(each.get(name)) for each in by_pipeline.values()]] for name in names]
    return table(("system", *by_pipeline), rows) if rows else ""


def simulated_and_live(rows: Sequence[Mapping[str, Any]]) -> str:
    """For each load every live run beside its simulation, and through the step by which estimator."""
    from benchmarks.slo.live.report import LABELS

    order = [label for labels in LABELS.values() for label in labels]
    told: dict[str, list[Sequence[str]]] = {label: [] for label in order}
    for row in rows:
        labels = LABELS.get(row["piece"], [f"step, by {row['piece']}"])
        for label, live, simulated in zip(labels, row["live"], row["simulated"], strict=True):
            cells = [escape(label), str(row["seed"])]
            for name, form, times in (("throughput", ".3g", 1), ("p50_s", ",.0f", 1000), ("p99_s", ",.0f", 1000)):
                off = simulated[name] / live[name] - 1 if live[name] else math.nan
                cells += [number(times * live[name], form), number(times * simulated[name], form), number(off, "+.0%")]
            told.setdefault(label, []).append((*cells, f"{row['cpu']:.0%}", f"{row['others']:.0%}"))
    three = ("live", "simulated", "off")
    headings = ("load", "seed", *three, *three, *three, "the mesh", "others")
    groups = "<tr><th colspan=2></th>" + "".join(
        f"<th colspan={wide}>{group}</th>"
        for group, wide in (("answers a second", 3), ("p50, ms", 3), ("p99, ms", 3), ("of the machine", 2))
    )
    return table(headings, [cells for same in told.values() for cells in same]).replace(
        "<thead>", f"<thead class=groups>{groups}</tr>"
    )


def every_cell(found: Found) -> Iterator[str]:
    """All systems at all headrooms, folded: a block for each cell."""
    for cell, runs in found.items():
        blocks = []
        for drops in (False, True):
            chosen = complete([run for run in runs if run.job.drops == drops])
            if chosen:
                seeds = sorted({run.job.seed for run in chosen})
                told = "everything on" if drops else "nothing dropped"
                numbers = ", ".join(map(str, seeds))
                blocks.append(f"<h4>{told}; {'seed' if len(seeds) == 1 else 'seeds'} {numbers}</h4>" + _runs(chosen))
        bursty = " <small>bursty</small>" if cell.is_bursty else ""
        summary = f"<summary>{escape(cell.name)}{bursty}</summary>"
        yield f'<details id="{anchor(cell)}">{summary}{"".join(blocks)}</details>'


def _runs(runs: Sequence[Done]) -> str:
    grouped: dict[tuple[bool, str, float], list[Done]] = {}
    for run in runs:
        grouped.setdefault((run.job.system != OURS, run.job.system, run.job.headroom), []).append(run)
    rows = []
    for (_, system, headroom), same in sorted(grouped.items(), key=lambda item: item[0]):
        all_ = [run.figures for run in same]
        dropped = [f"{escape(stage)} {statistics.fmean([each.dropped[stage] for each in all_]):,.0f}"
                   for stage in all_[0].dropped if any(each.dropped[stage] for each in all_)]  # fmt: skip
        rows.append(
            (
                f"<b>{escape(system)}</b>" if system == OURS else escape(system),
                f"{headroom:g}",
                with_interval([each.device_s for each in all_]),
                with_interval([100 * each.goodput for each in all_], ".1f"),
                with_interval([1000 * each.p50_s for each in all_]),
                with_interval([1000 * each.p99_s for each in all_]),
                with_interval([1000 * each.p99_all_s for each in all_]),
                with_interval([100 * each.wasted_s / max(each.busy_s, 1e-9) for each in all_], ".1f"),
                ", ".join(dropped) or "–",
            )
        )
    headings = (
        "system", "headroom", "device-seconds", "in time, %", "p50, ms", "p99, ms", "p99 of all, ms", "wasted, %",
        "dropped",
    )  # fmt: skip
    return table(headings, rows, "runs")

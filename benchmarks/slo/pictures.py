"""Pictures of what systems are compared by, one for each question: tails, goodput, cost, drops.

Each returns a figure, or None where its runs are missing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from benchmarks.slo.looks import (
    BLUE,
    INK,
    WIDTH,
    grid,
    legend,
    log_axis,
    look_of,
    rivals,
)
from benchmarks.slo.plan import OURS, Cell, asks_for_the_tail
from benchmarks.slo.reading import ATTAINED, by_system, complete, curve, goodput, tail_s
from benchmarks.slo.report import Found
from benchmarks.slo.running import Done
from benchmarks.slo.verdicts import good_of, our_settings, tail_of

# --- ratios, cell by cell --------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    cell: Cell
    ratio: float
    low: float
    high: float
    told: str


def p99_ratios(found: Found) -> Any:
    """How many times ours the best baseline's p99 is, at our cost and with nothing dropped."""
    rows = []
    for cell, runs in found.items():
        tail = tail_of(runs)
        if tail is not None and tail.p99_ratio is not None:
            rows.append(_Row(cell, tail.p99_ratio, tail.low, tail.high, tail.best))
    return _forest(rows, "p99 of the best baseline / p99 of ours, at our device-seconds (more is better)", (1.4, 2.5))


def goodput_ratios(found: Found) -> Any:
    """Our goodput by the best baseline's, at our cost and with everything on."""
    rows = []
    for cell, runs in found.items():
        good = good_of(runs)
        if good is not None:
            rows.append(_Row(cell, good.vs_best, good.low, good.high, good.best))
    return _forest(rows, "goodput of ours / goodput of the best baseline, at our device-seconds", (0.97,))


def _forest(rows: Sequence[_Row], label: str, goals: Sequence[float]) -> Any:
    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.2 * len(rows)), layout="constrained")
    seen = [value for row in rows for value in (row.ratio, *_bounds(row)) if value > 0]
    left, right = min([*seen, goals[0], 1.0]) / 1.04, max([*seen, goals[0], 1.0]) * 1.04
    for place, row in enumerate(rows):
        axes.hlines(place, *_bounds(row), color=BLUE, linewidth=1.6, alpha=0.7)
        face = BLUE if row.cell.is_bursty else "none"
        axes.plot(row.ratio, place, "o", markersize=5.5, markerfacecolor=face, markeredgecolor=BLUE)
        axes.annotate(
            f"{row.ratio:.2f}  {row.told}", (1.01, place), xycoords=axes.get_yaxis_transform(), va="center", fontsize=8
        )
    axes.axvline(1, color=INK, linewidth=0.9)
    for goal in [goal for goal in goals if goal < right]:
        axes.axvline(goal, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate(f"{goal:g}", (goal, 1), xycoords=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8)
    axes.set_yticks(range(len(rows)), [row.cell.name for row in rows])
    axes.set(xlabel=label, xlim=(left, right), ylim=(len(rows) - 0.4, -0.6))
    if right / left > 3:
        axes.set_xscale("log")
        log_axis(axes.xaxis, lambda value: f"{value:g}")
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _bounds(row: _Row) -> tuple[float, float]:
    """The interval, cut where it says nothing; the point itself for a single seed."""
    if not math.isfinite(row.high) or row.high > 100 * row.ratio:
        return row.ratio, row.ratio
    return max(row.low, row.ratio / 20), min(row.high, row.ratio * 20)


# --- curves over cost ------------------------------------------------------------------------------------------------


def cost_and_p99(found: Found, is_bursty: bool) -> Any:
    """Each system's p99 over what it costs, as its headroom is swept; ours at its default."""
    cells = [cell for cell in found if asks_for_the_tail(cell) and cell.is_bursty == is_bursty]
    panels = [(cell, runs) for cell in cells if (runs := complete([run for run in found[cell] if not run.job.drops]))]
    figure, axes = _curves(panels, drops=False)
    for each in axes:
        each.set_yscale("log")
        log_axis(each.yaxis, lambda value: f"{value:g} s")
    return figure


def cost_and_attainment(found: Found) -> Any:
    """What share each system answers in time, over what it costs, in the cells where ours is swept, too."""
    panels = []
    for cell, runs in found.items():
        chosen = complete([run for run in runs if run.job.drops])
        if len(curve(our_settings(chosen), goodput)) > 1:
            panels.append((cell, chosen))
    figure, axes = _curves(panels, drops=True)
    for each in axes:
        each.axhline(100 * ATTAINED, color=INK, linewidth=0.8, linestyle=":")
        each.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    return figure


def _curves(panels: Sequence[tuple[Cell, Sequence[Done]]], drops: bool) -> tuple[Any, list[Any]]:
    if not panels:
        return None, []
    figure, axes = grid(len(panels), 3, 1.9)
    for each, (cell, runs) in zip(axes, panels, strict=True):
        systems = by_system(runs)
        for name in reversed(rivals(list(systems), drops)):
            swept = our_settings(runs) if drops and name == OURS else systems[name]
            points = curve(swept, goodput if drops else tail_s)
            costs = [point.device_s for point in points]
            values = [100 * point.value if drops else point.value for point in points]
            look = look_of(name)
            size = 7.5 if name == OURS else 4.5
            each.plot(
                costs, values, marker=look.marker, color=look.colour, linewidth=look.width, markersize=size, label=name
            )
        each.set_title(cell.name, loc="left")
        each.grid(axis="y")
    figure.supxlabel("device-seconds", fontsize=9)
    legend(figure, axes)
    return figure, axes


def steady_rates(found: Found) -> Any:
    """What share is answered in time under a steady load, over that load."""
    by_pipeline: dict[str, list[Done]] = {}
    for cell, runs in found.items():
        if cell.load.startswith("steady"):
            by_pipeline.setdefault(cell.pipeline, []).extend(runs)
    if not by_pipeline:
        return None
    figure, axes = grid(len(by_pipeline), 2, 2.5, sharey=True)
    for each, (pipeline, runs) in zip(axes, by_pipeline.items(), strict=True):
        systems = by_system(complete(runs))
        for name in reversed(rivals(list(systems), drops=True)):
            shares: dict[float, list[float]] = {}
            for run in systems[name]:
                shares.setdefault(float(run.job.cell.load.removeprefix("steady")), []).append(run.figures.goodput)
            rates = sorted(shares)
            look = look_of(name)
            values = [100 * statistics.fmean(shares[rate]) for rate in rates]
            each.plot(rates, values, marker=look.marker, color=look.colour, linewidth=look.width, label=name)
        each.axhline(100 * ATTAINED, color=INK, linewidth=0.8, linestyle=":")
        each.set(xlabel="offered, % of what the devices carry", ylabel="answered in time, %")
        each.set_title(pipeline, loc="left")
        each.grid(axis="y")
    legend(figure, axes)
    return figure


# --- goodput and drops -----------------------------------------------------------------------------------------------


def goodput_by_system(found: Found) -> Any:
    """What every system answers in time at our cost, a mark each; ablations left out."""
    rows = [(cell, good) for cell, runs in found.items() if (good := good_of(runs)) is not None]
    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + 0.22 * len(rows)), layout="constrained")
    for name in reversed(rivals([OURS, *(name for _, good in rows for name in good.ratios)], drops=True)):
        look = look_of(name)
        points = [
            (100 * (good.goodput if name == OURS else good.goodput / max(good.ratios[name] or math.inf, 1e-9)), place)
            for place, (_, good) in enumerate(rows)
            if name == OURS or name in good.ratios
        ]
        size = 46 if name == OURS else 26
        shares, places = zip(*points, strict=True)
        axes.scatter(shares, places, s=size, color=look.colour, marker=look.marker, label=name, linewidths=0)
    axes.set_yticks(range(len(rows)), [cell.name for cell, _ in rows])
    axes.set(xlabel="answered in time, % of what was offered, at our device-seconds", ylim=(len(rows) - 0.4, -0.6))
    axes.grid(axis="both")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    legend(figure, [axes])
    return figure


def drops_by_stage(found: Found) -> Any:
    """Where each system drops under steady overload: tasks that never ran, for each hundred events offered."""
    panels = [
        (cell, chosen)
        for cell, runs in found.items()
        if cell.load == "overload" and (chosen := complete([run for run in runs if run.job.drops]))
    ]
    if not panels:
        return None
    figure, axes = grid(len(panels), 2, 2.15, sharey=True)
    names = rivals([run.job.system for _, runs in panels for run in runs], drops=True)
    for each, (cell, runs) in zip(axes, panels, strict=True):
        systems = by_system(runs)
        stages = list(runs[0].figures.dropped)
        shades = plt.get_cmap("cividis")([0.2 + 0.7 * at / max(len(stages) - 1, 1) for at in range(len(stages))])
        before = [0.0] * len(names)
        for stage, shade in zip(stages, shades, strict=True):
            shares = [
                [run.figures.dropped[stage] / max(run.figures.offered, 1) for run in systems.get(name, ())]
                for name in names
            ]
            lengths = [100 * statistics.fmean(of_one) if of_one else 0.0 for of_one in shares]
            each.barh(names, lengths, left=before, color=shade, height=0.7, label=stage)
            before = [start + length for start, length in zip(before, lengths, strict=True)]
        each.set_ylim(len(names) - 0.4, -0.6)
        each.set_title(cell.name, loc="left")
        each.legend(
            fontsize=7,
            ncols=len(stages),
            loc="upper left",
            bbox_to_anchor=(-0.02, -0.1),
            handlelength=1,
            columnspacing=0.9,
        )
        each.grid(axis="x")
    figure.supxlabel("tasks dropped for each 100 events offered", fontsize=9)
    return figure

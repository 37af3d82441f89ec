"""Pictures of what goes on inside: a run over time, estimators, single parts switched off, simulated beside live.

Each returns a figure, or None where its runs are missing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib import pyplot as plt

from benchmarks.slo.looks import (
    BLUE,
    BROWN,
    FAINT,
    GREEN,
    GRID,
    INK,
    ORANGE,
    PINK,
    RED,
    SKY,
    WIDTH,
    Look,
    grid,
    legend,
    log_axis,
    look_of,
    rivals,
)
from benchmarks.slo.plan import OURS, Cell
from benchmarks.slo.reading import by_system
from benchmarks.slo.report import Found
from benchmarks.slo.running import Done
from benchmarks.slo.systems import DROPPING, UNDROPPED
from benchmarks.slo.verdicts import good_of, tail_of

# --- over time -------------------------------------------------------------------------------------------------------


def over_time(found: Found) -> Any:
    """What was offered, which devices were up and what waited, second by second, with nothing dropped."""
    for cell in sorted(found, key=lambda cell: (not cell.is_bursty, cell.load != "step")):
        kept = [run for run in found[cell] if not run.job.drops and run.figures.seconds]
        systems = by_system(kept)
        names = rivals(list(systems), drops=False)
        if len(names) > 1:
            runs = {name: _at_cost_of_ours(systems[name], systems[OURS][0]) for name in names}
            return _timeline(cell, runs)
    return None


def _at_cost_of_ours(runs: Sequence[Done], ours: Done) -> Done:
    same = [run for run in runs if run.job.seed == ours.job.seed] or list(runs)
    return min(same, key=lambda run: abs(math.log(run.figures.device_s / ours.figures.device_s)))


def _timeline(cell: Cell, runs: Mapping[str, Done]) -> Any:
    figure, axes = plt.subplots(
        3, 1, figsize=(WIDTH, 5.2), layout="constrained", sharex=True, height_ratios=(0.8, 1.4, 1.2)
    )
    offered, up, queued = axes
    for name in reversed(list(runs)):
        seconds = runs[name].figures.seconds
        times = [second.ends_at - seconds[0].ends_at for second in seconds]
        look = look_of(name)
        up.step(
            times, [second.up for second in seconds], where="post", color=look.colour, linewidth=look.width, label=name
        )
        queued.plot(times, [second.queued for second in seconds], color=look.colour, linewidth=look.width)
        if name == OURS:
            offered.fill_between(times, [second.offered for second in seconds], step="post", color=FAINT, alpha=0.45)
    costs = ", ".join(f"{name} {run.figures.device_s:,.0f}" for name, run in runs.items())
    offered.set_title(f"{cell.name}, seed {runs[OURS].job.seed}; device-seconds: {costs}", loc="left")
    offered.set_ylabel("events / s")
    up.set_ylabel("devices up")
    queued.set(ylabel="tasks waiting", xlabel="seconds")
    for each in axes:
        each.grid(axis="y")
        each.set_ylim(bottom=0)
    legend(figure, [up])
    return figure


class Estimated(NamedTuple):
    """What estimators said of the last stage, window by window, in events a second at the root."""

    cell: Cell
    stage: str
    times: Sequence[float]
    offered: Sequence[float]
    estimates: Mapping[str, Sequence[float]]


def estimates_over_time(told: Estimated) -> Any:
    """What each estimator said the present load of the last stage was, against what was offered."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    axes.fill_between(told.times, told.offered, step="pre", color=FAINT, alpha=0.45, label="offered")
    looks = [Look(BLUE, "", 2.6), Look(RED, ""), Look(ORANGE, ""), Look(GREEN, ""), Look(PINK, "")]
    for (name, values), look in zip(told.estimates.items(), looks, strict=False):
        axes.plot(told.times, values, color=look.colour, linewidth=look.width, label=name)
    axes.set_title(f"{told.cell.name}: the load of {told.stage}, the last stage, as estimated", loc="left")
    axes.set(xlabel="seconds", ylabel="events / s", ylim=(0, None))
    axes.grid(axis="y")
    legend(figure, [axes])
    return figure


def estimator_errors(found: Found) -> Any:
    """The mean error of each estimator, of the present and one cold start ahead, by load."""
    errors: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for cell, runs in found.items():
        for run in runs:
            for name, judged in run.estimators.items():
                errors.setdefault(cell.load, {}).setdefault(name, []).append((judged.now, judged.ahead))
    if not errors:
        return None
    figure, axes = grid(len(errors), 3, 2.0, sharey=True)
    for each, (load, by_name) in zip(axes, errors.items(), strict=True):
        names = list(by_name)
        for place, name in enumerate(names):
            now, ahead = (statistics.fmean(values) for values in zip(*by_name[name], strict=True))
            colour = BLUE if name.startswith("cascade") else RED if name.startswith("stage") else FAINT
            each.plot([now, ahead], [place, place], color=colour, linewidth=1.0, alpha=0.6)
            each.plot(now, place, "o", color=colour, markersize=5.5, label="the present" if name == names[0] else None)
            each.plot(
                ahead, place, "o", markerfacecolor="none", markeredgecolor=colour, markersize=5.5,
                label="a cold start ahead" if name == names[0] else None,
            )  # fmt: skip
        each.set_yticks(range(len(names)), names)
        each.set_title(load, loc="left")
        each.set(xlim=(0, 1.08 * each.get_xlim()[1]), ylim=(len(names) - 0.4, -0.6))
        each.grid(axis="x")
    figure.supxlabel("mean error, as a share of the true load", fontsize=9)
    legend(figure, axes)
    return figure


def ablations(found: Found) -> Any:
    """What becomes of ours with one part switched off: p99 with nothing dropped, goodput with everything on."""
    tails = [(cell, tail.ratios) for cell, runs in found.items() if (tail := tail_of(runs)) is not None]
    goods = [(cell, good.ratios) for cell, runs in found.items() if (good := good_of(runs)) is not None]
    tails = [(cell, ratios) for cell, ratios in tails if any(UNDROPPED[name].is_ours for name in ratios)]
    goods = [(cell, ratios) for cell, ratios in goods if any(DROPPING[name].is_ours for name in ratios)]
    panels = [
        (tails, UNDROPPED, "p99 without it / p99 of ours"),
        (goods, DROPPING, "goodput of ours / goodput without it"),
    ]
    panels = [panel for panel in panels if panel[0]]
    if not panels:
        return None
    height = 1.3 + 0.3 * max(len(rows) for rows, _, _ in panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, height), layout="constrained", squeeze=False)
    for each, (rows, known, label) in zip(axes.flat, panels, strict=True):
        _ablated(each, rows, known, label)
    return figure


def _ablated(
    axes: Any, rows: Sequence[tuple[Cell, Mapping[str, float | None]]], known: Mapping[str, Any], label: str
) -> None:
    names = [name for name in known if known[name].is_ours and name != OURS]
    for name, colour, marker in zip(names, (RED, ORANGE, GREEN, PINK, BROWN, SKY, FAINT), "sD^vPX*", strict=False):
        points = [
            (min(ratio, 1e3), place)
            for place, (_, ratios) in enumerate(rows)
            if (ratio := ratios.get(name)) is not None and ratio > 0
        ]
        if points:
            told = name.removeprefix(f"{OURS} ")
            axes.scatter(*zip(*points, strict=True), s=32, color=colour, marker=marker, label=told, linewidths=0)
    axes.axvline(1, color=INK, linewidth=0.9)
    axes.set_yticks(range(len(rows)), [cell.name for cell, _ in rows])
    axes.set(xlabel=label, ylim=(len(rows) - 0.4, -0.6))
    if max([ratio for _, ratios in rows for ratio in ratios.values() if ratio], default=1.0) > 4:
        axes.set_xscale("log")
        log_axis(axes.xaxis, lambda value: f"{value:g}")
    axes.grid(axis="both")
    axes.legend(fontsize=7.5, loc="lower right", bbox_to_anchor=(1.02, 1.0), ncols=2, columnspacing=0.8, handlelength=1)


LIVE_GOALS = {"throughput": 0.15, "p50": 0.15, "p99": 0.25}


def live_errors(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Simulated and live runs of each load, by how far they are from the live ones' median."""
    from benchmarks.slo.live.report import LABELS, MEASURES

    cells = [
        (label, [(row["live"][at], row["simulated"][at]) for row in rows if row["piece"] == piece])
        for piece, labels in LABELS.items()
        for at, label in enumerate(labels)
    ]
    cells = [(label, runs) for label, runs in cells if runs]
    if not cells:
        return None
    figure, axes = plt.subplots(
        1, len(MEASURES), figsize=(WIDTH, 1.0 + 0.32 * len(cells)), layout="constrained", sharey=True
    )
    for each, (name, key) in zip(axes, MEASURES.items(), strict=True):
        goal = 100 * LIVE_GOALS[name]
        each.axvspan(-goal, goal, color=GRID, alpha=0.5, linewidth=0)
        each.axvline(0, color=INK, linewidth=0.9)
        for place, (_, runs) in enumerate(cells):
            median = statistics.median([live[key] for live, _ in runs])
            for side, face, lower in ((0, "none", 0.14), (1, BLUE, -0.14)):
                off = [100 * (run[side][key] / median - 1) for run in runs]
                each.plot(
                    off, [place + lower] * len(off), "o", markersize=5, markerfacecolor=face, markeredgecolor=BLUE
                )
        widest = max(abs(limit) for limit in (*each.get_xlim(), goal)) * 1.05
        each.set(xlim=(-widest, widest), ylim=(len(cells) - 0.4, -0.6), xlabel=f"{name}, %")
        each.set_yticks(range(len(cells)), [label for label, _ in cells])
        each.grid(axis="x")
    return figure

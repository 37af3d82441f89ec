"""The pictures of a report, one for each question. Each returns a figure, or None where its runs are missing.

Colours are those of Okabe and Ito, which colour-blind eyes tell apart; marks differ by shape, too. `INK`, `GRID` and
`BLUE`, which is ours, are replaced by the page's own colours, light or dark (see `html.py`); they stay as they are in a
PNG.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.slo.plan import OURS, Cell, asks_for_the_tail
from benchmarks.slo.reading import ATTAINED, by_system, complete, curve, goodput, tail_s
from benchmarks.slo.report import Found
from benchmarks.slo.running import Done
from benchmarks.slo.systems import DROPPING, UNDROPPED
from benchmarks.slo.verdicts import good_of, our_settings, tail_of

INK, FAINT, GRID = "#1f2328", "#8b8f96", "#dcdde0"
BLUE, ORANGE, GREEN, RED, PINK, SKY, BROWN = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c613c",
)  # fmt: skip
WIDTH = 8.6
"""Inches."""


class Look(NamedTuple):
    """How a system is drawn."""

    colour: str
    marker: str
    width: float = 1.4


LOOKS: Mapping[str, Look] = {
    OURS: Look(BLUE, "o", 2.6),
    "reactive": Look(RED, "s"),
    "reactive with drain": Look(ORANGE, "D"),
    "nexus": Look(GREEN, "^"),
    "inferline": Look(PINK, "v"),
    "reactive + expired": Look(RED, "s"),
    "reactive + clipper": Look(ORANGE, "D"),
    "reactive + clockwork": Look(BROWN, "P"),
    "reactive + pard": Look(FAINT, "X"),
    "inferline + pard": Look(PINK, "v"),
    "inferline + clockwork": Look(SKY, "p"),
}
ABLATION = Look(FAINT, ".")
"""And what is not known here."""


def look_of(system: str) -> Look:
    return LOOKS.get(system, ABLATION)


def style() -> Any:
    """The context in which figures are drawn and saved."""
    return plt.rc_context(
        {
            "font.size": 9, "font.family": "sans-serif", "text.color": INK, "axes.labelcolor": INK,
            "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.titlesize": 9, "axes.linewidth": 0.7,
            "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.spines.top": False,
            "axes.spines.right": False, "svg.fonttype": "none", "legend.frameon": False, "figure.facecolor": "none",
            "axes.facecolor": "none", "savefig.facecolor": "none",
        }
    )  # fmt: skip


def rivals(names: Sequence[str], drops: bool) -> list[str]:
    """Ours first, then the others in the order of `systems.py`; no ablation."""
    known = DROPPING if drops else UNDROPPED
    return [name for name in known if name in names and (name == OURS or not known[name].is_ours)]


def _grid(count: int, columns: int, height: float, **shared: Any) -> tuple[Any, list[Any]]:
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 0.75 + height * rows), layout="constrained", squeeze=False, **shared
    )
    flat = list(axes.flat)
    for unused in flat[count:]:
        unused.set_visible(False)
    return figure, flat[:count]


def _legend(figure: Any, axes: Sequence[Any]) -> None:
    """One for all, on top; a system that is in any."""
    handles: dict[str, Any] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    order = [name for name in LOOKS if name in handles] + [name for name in handles if name not in LOOKS]
    columns = 5 if len(order) <= 5 else 4
    figure.legend([handles[name] for name in order], order, loc="outside upper left", ncols=columns, fontsize=8.5)


def _log(axis: Any, form: Callable[[float], str]) -> None:
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


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
        _log(axes.xaxis, lambda value: f"{value:g}")
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
        _log(each.yaxis, lambda value: f"{value:g} s")
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
    figure, axes = _grid(len(panels), 3, 1.9)
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
    _legend(figure, axes)
    return figure, axes


def steady_rates(found: Found) -> Any:
    """What share is answered in time under a steady load, over that load."""
    by_pipeline: dict[str, list[Done]] = {}
    for cell, runs in found.items():
        if cell.load.startswith("steady"):
            by_pipeline.setdefault(cell.pipeline, []).extend(runs)
    if not by_pipeline:
        return None
    figure, axes = _grid(len(by_pipeline), 2, 2.5, sharey=True)
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
    _legend(figure, axes)
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
    _legend(figure, [axes])
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
    figure, axes = _grid(len(panels), 2, 2.15, sharey=True)
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
    _legend(figure, [up])
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
    _legend(figure, [axes])
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
    figure, axes = _grid(len(errors), 3, 2.0, sharey=True)
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
    _legend(figure, axes)
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
        _log(axes.xaxis, lambda value: f"{value:g}")
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

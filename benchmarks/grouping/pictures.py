"""A picture of each question, each a PNG."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from benchmarks.grouping.plan import CONDITIONS, DELAYS_S, MAIN, MAIN_MODES, MODES
from benchmarks.grouping.report import Findings
from benchmarks.grouping.running import Run

OURS, GROUPED, OTHERS, OBJECTIVE = "#2b5c8a", "#7aa6c2", "#c2a878", "#b04a3a"
LINES = {
    "key_hash": "#b04a3a",
    "lru_cache": "#c2a878",
    "least_loaded": "#8fae7e",
    "earliest_start": "#9b7fa8",
    "grouping_strict": GROUPED,
    "grouping_load": OURS,
}
DPI = 130
WIDTH = 8.5


def draw(findings: Findings, folder: Path, name: str) -> list[Path]:
    """Write the pictures for which there are runs; their paths."""
    main = [run for mode in MODES if (run := findings.cells.get((MAIN.name, mode.name))) is not None]
    best = [run for mode in MODES if (run := findings.results.best.get((MAIN.name, mode.name))) is not None]
    pictures: list[tuple[str, Callable[[], Any]]] = []
    if main:
        pictures += [
            ("latency", lambda: _latency(main)),
            ("remote", lambda: _remote(main)),
            ("balance", lambda: _balance(main)),
        ]
    if best:
        pictures.append(("rate", lambda: _rate(best)))
    if len(delayed := _by_delay(findings)) > 1:
        pictures.append(("delay", lambda: _delay(delayed)))
    if findings.versus_best():
        pictures.append(("versus-best", lambda: _versus_best(findings)))
    written = []
    for what, make in pictures:
        figure = make()
        path = folder / f"{name}-{what}.png"
        figure.savefig(path, dpi=DPI)
        plt.close(figure)
        written.append(path)
    return written


def _axes(columns: int, rows: int) -> tuple[Any, list[Any]]:
    """A figure with a place for each of `columns` charts of `rows` lines."""
    figure, axes = plt.subplots(
        1, columns, figsize=(WIDTH, 1.2 + 0.33 * rows), constrained_layout=True, sharey=True, squeeze=False
    )
    for each in axes[0]:
        each.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[0])


def _bars(axes: Any, runs: Sequence[Run], values: Sequence[float], label: str, form: str) -> None:
    """A horizontal bar for each mode, the first on top, with its figure beside it."""
    modes = [run.mode for run in runs]
    bars = axes.barh(modes, values, color=[_colour(mode) for mode in modes], height=0.65)
    axes.bar_label(bars, labels=[form.format(value) for value in values], padding=3, fontsize=8)
    axes.set(xlabel=label, xlim=(0, 1.22 * max([*values, 1e-9])))
    axes.invert_yaxis() if not axes.yaxis_inverted() else None


def _colour(mode: str) -> str:
    return OURS if mode == "grouping_load" else GROUPED if mode.startswith("grouping") else OTHERS


def _latency(runs: Sequence[Run]) -> Any:
    figure, (left, right) = _axes(2, len(runs))
    _bars(left, runs, [run.latency.mean * 1e3 for run in runs], "mean latency, ms", "{:.0f}")
    _bars(right, runs, [run.latency.std * 1e3 for run in runs], "its standard deviation, ms", "{:.0f}")
    for place, run in enumerate(runs):
        left.plot([run.latency.p50 * 1e3, run.latency.p99 * 1e3], [place + 0.38] * 2, color="#444444", linewidth=1)
        left.plot([run.latency.p95 * 1e3], [place + 0.38], "|", color="#444444", markersize=6)
    left.set_xlim(0, 1.15 * max(run.latency.p99 for run in runs) * 1e3)
    figure.suptitle(f"{MAIN.name}, {runs[0].rate:.0f} events/s (line: p50 to p99, tick: p95)", fontsize=10)
    return figure


def _remote(runs: Sequence[Run]) -> Any:
    figure, (left, right) = _axes(2, len(runs))
    _bars(left, runs, [run.remote_gets for run in runs], "gets from other nodes, per event", "{:.2f}")
    _bars(right, runs, [run.bytes_moved / 1e3 for run in runs], "KB read from other nodes, per event", "{:.0f}")
    figure.suptitle(MAIN.name, fontsize=10)
    return figure


def _balance(runs: Sequence[Run]) -> Any:
    figure, (axes,) = _axes(1, len(runs))
    for place, run in enumerate(runs):
        axes.plot([100 * share for share in run.utilisation], [place] * len(run.utilisation), "o", alpha=0.7,
                  color=_colour(run.mode), markersize=7)  # fmt: skip
        axes.text(1.02, place, f"{run.imbalance:.2f}", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(range(len(runs)), [run.mode for run in runs])
    axes.set(xlabel="utilisation of each node's (emulated) device by useful work, %", xlim=(0, None))
    axes.invert_yaxis()
    axes.set_title("max/mean", loc="right", fontsize=8)
    figure.suptitle(f"{MAIN.name}, {runs[0].rate:.0f} events/s", fontsize=10)
    return figure


def _rate(runs: Sequence[Run]) -> Any:
    figure, (left, right) = _axes(2, len(runs))
    _bars(left, runs, [run.rate for run in runs], "highest rate within the objective, events/s", "{:.0f}")
    used = [100 * statistics.fmean(run.utilisation) for run in runs]
    _bars(right, runs, used, "utilisation of the (emulated) devices at it, %", "{:.1f}")
    figure.suptitle(MAIN.name, fontsize=10)
    return figure


def _by_delay(findings: Findings) -> dict[float, list[Run]]:
    """One way delay -> the runs of the main modes, as far as they are there."""
    found: dict[float, list[Run]] = {}
    for condition in CONDITIONS:
        if condition.name.startswith("collisions-large/") and condition.delay_s in DELAYS_S:
            cells = [findings.cells.get((condition.name, mode.name)) for mode in MAIN_MODES]
            if any(cells):
                found[condition.delay_s] = [run for run in cells if run is not None]
    return dict(sorted(found.items()))


def _delay(by_delay: dict[float, list[Run]]) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.8), constrained_layout=True, sharex=True)
    for mode in MAIN_MODES:
        runs = [(delay, run) for delay, found in by_delay.items() for run in found if run.mode == mode.name]
        for each, what in zip(axes, ("mean", "p99"), strict=True):
            each.plot([1e3 * delay for delay, _ in runs], [1e3 * getattr(run.latency, what) for _, run in runs],
                      color=LINES[mode.name], marker="o", markersize=4,
                      label=mode.name)  # fmt: skip
    for each, what in zip(axes, ("mean", "p99"), strict=True):
        each.spines[["top", "right"]].set_visible(False)
        each.set(xlabel="one-way delay per hop, ms", ylabel=f"{what} latency, ms", ylim=(0, None))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    figure.suptitle("collisions-large, each delay at 80 % of what key hash sustains there", fontsize=10)
    return figure


def _versus_best(findings: Findings) -> Any:
    found = findings.versus_best()
    figure, (axes,) = _axes(1, len(found))
    for place, (best, interval) in enumerate(found.values()):
        axes.plot([interval.low, interval.high], [place] * 2, color=OURS, linewidth=2)
        axes.plot([interval.ratio], [place], "o", color=OURS)
        axes.text(1.02, place, best, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.axvline(1.0, color="#888888", linewidth=1)
    axes.axvline(1.03, color=OBJECTIVE, linestyle=":")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set(xlabel="mean latency over the best other mode's (95 % interval; dotted: 3 % worse)")
    axes.set_xlim(0, 1.25 * max([1.1, *(interval.high for _, interval in found.values())]))
    return figure

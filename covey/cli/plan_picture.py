"""The picture of a plan: what each set-up that was played costs, and how late its answers are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator

from covey.simulator.planning import Planned, Prediction, Question

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Of Okabe and Ito: told apart by colour-blind eyes, too."""
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, FAINT = "#222222", "#8a8a8a"
NEVER = 2.0
"""A p99 that never comes is drawn at so many times the highest that does."""


def draw(question: Question, found: Planned, path: Path) -> None:
    """Write a PNG: a mark for each set-up, by the kinds that are in it, filled if it meets the objective."""
    figure, axes = plt.subplots(figsize=(7.5, 4.6), constrained_layout=True)
    objective_s = question.workload.pipeline.objective_s
    finite = [each.p99_s for each in found.tried if math.isfinite(each.p99_s)]
    never_s = NEVER * max([*finite, objective_s])
    still = [each for each in found.tried if each.scaling is None]
    mixes = sorted({_mix(each) for each in still}, key=lambda mix: (mix.count("+"), mix))
    for number, mix in enumerate(mixes):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        same = [each for each in still if _mix(each) == mix]
        _marks(axes, same, question.share, never_s, colour, marker)
        axes.scatter([], [], color=colour, marker=marker, label=mix)
    scaled = [each for each in found.tried if each.scaling is not None]
    if scaled:
        _marks(axes, scaled, question.share, never_s, INK, "x")
        axes.scatter([], [], color=INK, marker="x", label="started and stopped by the mesh")
    axes.axhline(objective_s, color=INK, linewidth=1, linestyle="--")
    axes.annotate(
        f"objective {1000 * objective_s:g} ms", (1, objective_s), (-4, 4), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", fontsize=9, color=INK,
    )  # fmt: skip
    _best(axes, found, never_s)
    if len(finite) < len(found.tried):
        axes.axhline(never_s, color=FAINT, linewidth=0.8, linestyle=":")
    _scales(axes, never_s)
    axes.legend(frameon=False, fontsize=9, loc="best", title="filled: meets the objective",
                title_fontsize=9, alignment="left")  # fmt: skip
    figure.suptitle(f"{question.workload.name}: what it costs to be in time", fontsize=11, x=0.02, ha="left")
    figure.savefig(path, dpi=140)
    plt.close(figure)


def _mix(each: Prediction) -> str:
    return " + ".join(sorted(each.setup.devices))


def _marks(axes: Any, same: Sequence[Prediction], share: float, never_s: float, colour: str, marker: str) -> None:
    for meets in (False, True):
        points = [(each.price, min(each.p99_s, never_s)) for each in same if (each.in_time >= share) == meets]
        if points:
            face = colour if meets or marker == "x" else "none"
            edge = {"edgecolors": colour} if marker != "x" else {}
            axes.scatter(*zip(*points, strict=True), s=38, marker=marker, facecolors=face, linewidths=1.3, **edge)


def _best(axes: Any, found: Planned, never_s: float) -> None:
    """A ring around the answer, and its devices."""
    shown = found.cheapest or found.nearest
    if shown is None:
        return
    at = (shown.price, min(shown.p99_s, never_s))
    axes.scatter(*at, s=190, facecolors="none", edgecolors=INK, linewidths=1.2)
    devices = " + ".join(f"{count} {kind}" for kind, count in sorted(shown.setup.devices.items()))
    told = devices if found.cheapest else f"the nearest: {devices}"
    axes.annotate(told, at, (0, -18), textcoords="offset points", ha="center", va="top", fontsize=9, color=INK)


def _scales(axes: Any, never_s: float) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "never" if value == never_s else f"{value:g} s"))
    axes.yaxis.set_minor_formatter("")
    axes.set(xlabel="price an hour", ylabel="p99")
    axes.set_xlim(left=0)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)

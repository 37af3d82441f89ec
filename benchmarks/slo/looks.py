"""How pictures of a report look: colours, marks, axes, legends.

Colours are those of Okabe and Ito, which colour-blind eyes tell apart; marks differ by shape, too. `INK`, `GRID` and
`BLUE`, which is ours, are replaced by the page's own colours, light or dark (see `html.py`); they stay as they are in a
PNG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.slo.plan import OURS
from benchmarks.slo.systems import DROPPING, UNDROPPED

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
    """Of a system, or of an ablation."""
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


def grid(count: int, columns: int, height: float, **shared: Any) -> tuple[Any, list[Any]]:
    """A figure of so many panels, each so many inches high."""
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 0.75 + height * rows), layout="constrained", squeeze=False, **shared
    )
    flat = list(axes.flat)
    for unused in flat[count:]:
        unused.set_visible(False)
    return figure, flat[:count]


def legend(figure: Any, axes: Sequence[Any]) -> None:
    """One for all, on top; a system that is in any."""
    handles: dict[str, Any] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    order = [name for name in LOOKS if name in handles] + [name for name in handles if name not in LOOKS]
    columns = 5 if len(order) <= 5 else 4
    figure.legend([handles[name] for name in order], order, loc="outside upper left", ncols=columns, fontsize=8.5)


def log_axis(axis: Any, form: Callable[[float], str]) -> None:
    """A logarithmic axis with round ticks."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())

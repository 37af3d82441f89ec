"""What runs came to, as lines and as one summary."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.priority.plan import FULL, Cell
from benchmarks.priority.running import Done
from benchmarks.priority.systems import SYSTEMS
from covey.services.scheduler.core.promising import KEPT

Found = Mapping[tuple[Cell, str], Sequence[Done]]
"""What the seeds of a system in a cell came to."""

HEAD = "system             HIGH missed %   LOW missed %    LOW/s in time   LOW:HIGH   Jain     busy  promises kept"
MISSED = 0.02
"""HIGH violations of the best baseline from which on ours must be fewer."""


def mean(runs: Sequence[Done], of: Callable[[Done], float]) -> float:
    return statistics.fmean([of(run) for run in runs])


def interval(runs: Sequence[Done], of: Callable[[Done], float]) -> float:
    """Half the 95 % interval of the mean over seeds."""
    if len(runs) < 2:
        return math.nan
    return 1.96 * statistics.stdev([of(run) for run in runs]) / math.sqrt(len(runs))


def best_baseline(found: Found, cell: Cell) -> str:
    """Without preemption, that which has the fewest HIGH violations there."""
    names = [name for name, system in SYSTEMS.items() if name != "ours" and not system.preempts]
    return min([name for name in names if (cell, name) in found], key=lambda name: mean(found[cell, name], _high))


def _high(run: Done) -> float:
    return run.high_violations


def lines_of(found: Found, cells: Sequence[Cell]) -> list[str]:
    """Every cell and system."""
    lines = []
    for cell in cells:
        lines.append(f"== {cell.name}")
        lines.append(HEAD)
        for (where, name), runs in found.items():
            if where == cell:
                lines.append(_line(name, runs))
    return lines


def _line(name: str, runs: Sequence[Done]) -> str:
    promised = sum([run.promised for run in runs])
    kept = f"{1 - sum([run.broken for run in runs]) / promised:.3f}" if promised else "-"
    ratio = mean(runs, lambda run: run.low_throughput / run.high_throughput if run.high_throughput else math.nan)
    return (
        f"{name:18} {_percent(runs, _high)} {_percent(runs, lambda run: run.low_violations)} "
        f"{mean(runs, lambda run: run.low_throughput):10.1f} {ratio:12.3f} {mean(runs, lambda run: run.jain):9.4f} "
        f"{mean(runs, lambda run: run.utilisation):6.2f} {kept:>9}"
    )


def _percent(runs: Sequence[Done], of: Callable[[Done], float]) -> str:
    return f"{100 * mean(runs, of):7.2f} ± {100 * interval(runs, of):5.2f}"


def verdicts(found: Found, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Of each cell: ours against the best baseline without preemption, and against preemption."""
    said = []
    for cell in cells:
        best, ours = best_baseline(found, cell), found[cell, "ours"]
        theirs = found[cell, best]
        low = mean(theirs, lambda run: run.low_throughput)
        preempting = [
            mean(found[cell, name], lambda run: run.jain)
            for name, system in SYSTEMS.items()
            if system.preempts and (cell, name) in found
        ]
        said.append(
            {
                "cell": cell.name,
                "counts": cell.utilisation >= FULL,
                "best": best,
                "missed": mean(theirs, _high),
                "drop_pp": 100 * (mean(theirs, _high) - mean(ours, _high)),
                "low_cost": 1 - mean(ours, lambda run: run.low_throughput) / low if low else 0.0,
                "jain_margin": mean(ours, lambda run: run.jain) - max(preempting, default=0.0),
            }
        )
    return said


def summary_of(found: Found, cells: Sequence[Cell], predictors: Mapping[str, Any]) -> dict[str, Any]:
    """The last line. Differences in percentage points, at a utilisation of 0.9 and more."""
    said = [each for each in verdicts(found, cells) if each["counts"]]
    missed = [each for each in said if each["missed"] >= MISSED]
    others = [each for each in said if each["missed"] < MISSED]
    ours = [run for (_, name), runs in found.items() if name == "ours" for run in runs]
    promised = sum([run.promised for run in ours])
    return {
        "high_violation_drop_pp_min": _rounded(min([each["drop_pp"] for each in missed], default=math.nan)),
        "high_violation_drop_pp_max": _rounded(max([each["drop_pp"] for each in missed], default=math.nan)),
        "high_violation_worse_pp_max": _rounded(max([-each["drop_pp"] for each in others], default=math.nan)),
        "low_throughput_cost": _rounded(max([each["low_cost"] for each in said], default=math.nan)),
        "jain_vs_preemption_min": _rounded(min([each["jain_margin"] for each in said], default=math.nan)),
        **predictors,
        "under_prediction_at_quantile": _rounded(sum([run.broken for run in ours]) / promised),
        "promised_quantile": KEPT,
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def verdict_lines(found: Found, cells: Sequence[Cell]) -> list[str]:
    """One line a cell."""
    lines = ["cell                              best baseline     misses %  drop pp  LOW cost %  Jain margin"]
    for each in verdicts(found, cells):
        lines.append(
            f"{each['cell']:33} {each['best']:16} {100 * each['missed']:8.2f} {each['drop_pp']:8.2f} "
            f"{100 * each['low_cost']:10.1f} {each['jain_margin']:12.4f}{'' if each['counts'] else '   (below full)'}"
        )
    return lines

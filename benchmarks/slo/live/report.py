"""Rows of live and simulated runs, as lines for people and as one object."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.slo.live import chain, collisions
from benchmarks.slo.live.running import STALL_S_MAX

Row = Mapping[str, Any]
MEASURES = {"throughput": "throughput", "p50": "p50_s", "p99": "p99_s"}
"""As they are reported -> as they are in a row."""
LABELS = {
    "chain": [f"chain at {share:.0%}" for share in chain.SHARES],
    "collisions": [f"collisions at {rate:g}/s" for rate in collisions.RATES],
}


def lines_of(rows: Sequence[Row]) -> list[str]:
    """Every run, live beside simulated."""
    found = []
    for row in rows:
        labels = LABELS.get(row["piece"], [f"step, by {row['piece']}"])
        for label, live, simulated in zip(labels, row["live"], row["simulated"], strict=True):
            figures = "  ".join(
                f"{name} {live[key]:.4g} | {simulated[key]:.4g} ({simulated[key] / live[key] - 1:+.0%})"
                for name, key in MEASURES.items()
            )
            beside = f"the mesh {row['cpu']:.0%} of the machine, others {row['others']:.0%}"
            spoilt = f", it stood still for {row['stall_s']:.1f} s" if row["stall_s"] > STALL_S_MAX else ""
            lost = live["offered"] - live["answered"]
            failed = f", {lost} events lost" if lost else ""
            found.append(f"{label:22} seed {row['seed']:3}: live | simulated: {figures}; {beside}{spoilt}{failed}")
    return found


def summary_of(rows: Sequence[Row]) -> dict[str, Any]:
    """The largest error of any load, of medians over seeds, beside how far live runs are from their own median."""
    cells = {
        label: [(row["live"][number], row["simulated"][number]) for row in rows if row["piece"] == piece]
        for piece, labels in LABELS.items()
        for number, label in enumerate(labels)
    }
    cells = {label: runs for label, runs in cells.items() if runs}
    errors = {label: {name: _error(runs, key) for name, key in MEASURES.items()} for label, runs in cells.items()}
    spreads = {label: {name: _spread(runs, key) for name, key in MEASURES.items()} for label, runs in cells.items()}
    return {
        "sim_vs_live_error": _largest(errors),
        "live_spread": _largest(spreads),
        "cells": {label: {"error": errors[label], "live_spread": spreads[label]} for label in cells},
        "runs": {label: len(runs) for label, runs in cells.items()},
        "ordering": _ordering(rows),
    }


def _error(runs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], key: str) -> float:
    live, simulated = (statistics.median([run[side][key] for run in runs]) for side in (0, 1))
    return round(abs(simulated / live - 1), 4)


def _spread(runs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], key: str) -> float:
    found = [live[key] for live, _ in runs]
    return round(max(abs(each / statistics.median(found) - 1) for each in found), 4)


def _largest(cells: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {name: max((each[name] for each in cells.values()), default=0.0) for name in MEASURES}


def _ordering(rows: Sequence[Row]) -> dict[str, Any]:
    """Through the step: the tail of per-stage reaction over that of cascade estimation, seed by seed."""
    ratios: dict[str, list[float]] = {}
    for side in ("live", "simulated"):
        tails = {(row["piece"], row["seed"]): row[side][0]["p99_s"] for row in rows if row["piece"] not in LABELS}
        seeds = [seed for piece, seed in tails if piece == "cascade" and ("stage", seed) in tails]
        ratios[side] = [round(tails["stage", seed] / tails["cascade", seed], 3) for seed in seeds]
    if not ratios["live"]:
        return {}
    medians = {side: statistics.median(found) for side, found in ratios.items()}
    is_same = (medians["live"] > 1) == (medians["simulated"] > 1)
    return {"p99_by_stage_over_cascade": ratios, "median": medians, "is_same": is_same}

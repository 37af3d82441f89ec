"""What a replay came to: the figures, the table, the summary file and the picture."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from covey.model import Outcome, StageTime
from examples.collisions.reference import Alert, Comparison

PARTS = ("queue_s", "fetch_s", "wait_s", "compute_s", "store_s")
PART_NAMES = {
    "queue_s": "queued",
    "fetch_s": "reading",
    "wait_s": "waiting for a lane",
    "compute_s": "computing",
    "store_s": "storing",
}
OBJECTIVE_S = 0.200


@dataclass
class Tally:
    """Outcomes as they come in. `latencies_s` are the client's, from sending to the outcome."""

    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    alerts: set[Alert] = field(default_factory=set)
    incomplete: int = 0
    remote_gets: int = 0
    bytes_moved: int = 0
    stages: dict[str, list[StageTime]] = field(default_factory=dict)

    def take(self, outcome: Outcome, latency_s: float) -> None:
        """Count one outcome; its alerts are the objects that it refers to."""
        self.statuses[outcome.status] += 1
        if outcome.reason:
            self.reasons[f"{outcome.status} {outcome.reason}: {outcome.message}"] += 1
        self.latencies_s.append(latency_s)
        self.incomplete += outcome.incomplete
        self.remote_gets += outcome.remote_gets
        self.bytes_moved += outcome.bytes_moved
        for time in outcome.stages:
            self.stages.setdefault(time.stage, []).append(time)
        for value in outcome.results:
            _, _, scene, tick, pair = value.ref.key.split("/")
            self.alerts.add((scene, int(tick), pair))

    @property
    def answered(self) -> int:
        return sum(self.statuses.values())

    def batch_size_mean(self) -> dict[str, float]:
        """Per stage, the size of the batch that the mean task was in."""
        return {
            stage: sum(time.batch_size_sum for time in times) / max(1, sum(time.tasks for time in times))
            for stage, times in self.stages.items()
        }


def summary_of(tally: Tally, seconds: float, comparison: Comparison) -> dict[str, Any]:
    """The figures of a run, under the names that runs/latest/summary.json has."""
    latencies_ms = np.array(tally.latencies_s or [np.nan]) * 1e3
    events = max(1, tally.answered)
    tasks = sum(time.tasks for times in tally.stages.values() for time in times)
    return {
        "events": tally.sent,
        "outcomes": dict(tally.statuses),
        "alerts": len(tally.alerts),
        "alerts_equal_reference": comparison.equal,
        "near_ties_that_differ": len(comparison.ties_that_differ),
        "incomplete": tally.incomplete,
        "events_per_s": round(tally.answered / seconds, 1),
        "tasks_per_s": round(tasks / seconds, 1),
        "within_objective_share": round(float(np.mean(latencies_ms <= OBJECTIVE_S * 1e3)), 4),
        "latency_ms": {
            "mean": round(float(latencies_ms.mean()), 2),
            "std": round(float(latencies_ms.std()), 2),
            **{f"p{q}": round(float(np.percentile(latencies_ms, q)), 2) for q in (50, 95, 99)},
        },
        "remote_gets_per_event": round(tally.remote_gets / events, 3),
        "bytes_moved_per_event": round(tally.bytes_moved / events, 1),
        "batch_size_mean": {stage: round(mean, 2) for stage, mean in tally.batch_size_mean().items()},
    }


def write(summary: dict[str, Any], tally: Tally, folder: Path) -> None:
    """Write summary.json and latency.png into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    if tally.latencies_s:
        draw(tally, folder / "latency.png")


def table(summary: dict[str, Any], comparison: Comparison, console: Console) -> None:
    """Print the figures as a person wants to read them."""
    latency = summary["latency_ms"]
    shown = Table(show_header=False, box=None, pad_edge=False)
    shown.add_column(style="dim")
    shown.add_column()
    outcomes = ", ".join(f"{count:,} {status}" for status, count in summary["outcomes"].items()) or "none"
    shown.add_row("events", f"{summary['events']:,}")
    shown.add_row("outcomes", outcomes)
    shown.add_row("sustained", f"{summary['events_per_s']:,} events/s, {summary['tasks_per_s']:,} tasks/s")
    shown.add_row(
        "latency",
        f"p50 {latency['p50']} ms, p95 {latency['p95']} ms, p99 {latency['p99']} ms, std {latency['std']} ms",
    )
    shown.add_row("within 200 ms", f"{summary['within_objective_share']:.1%}")
    shown.add_row("mean batch", ", ".join(f"{stage} {mean}" for stage, mean in summary["batch_size_mean"].items()))
    shown.add_row("remote gets", f"{summary['remote_gets_per_event']} per event")
    shown.add_row("bytes moved", f"{summary['bytes_moved_per_event']:,} per event")
    shown.add_row("alerts", f"{summary['alerts']:,}; against one plain process, {comparison}")
    console.print(shown)


def draw(tally: Tally, path: Path) -> None:
    """End-to-end latency as a distribution, and where the time of a task goes in each stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    stages = list(tally.stages)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    latencies_ms = np.sort(np.array(tally.latencies_s) * 1e3)
    left.plot(latencies_ms, np.linspace(0, 1, len(latencies_ms)), color="#2b5c8a", linewidth=2, label="end to end")
    colours = ("#7aa6c2", "#c2a878", "#8fae7e")
    for stage, colour in zip(stages, colours, strict=False):
        means = np.sort([1e3 * sum(getattr(t, part) for part in PARTS) / t.tasks for t in tally.stages[stage]])
        left.plot(means, np.linspace(0, 1, len(means)), color=colour, label=f"{stage}, mean task of an event")
    left.axvline(OBJECTIVE_S * 1e3, color="#b04a3a", linestyle=":", label="objective")
    left.set(xlabel="milliseconds", ylabel="share of events", xscale="log", ylim=(0, 1), title="Latency by stage")
    left.legend(frameon=False, fontsize=8)
    bottom = np.zeros(len(stages))
    shades = ("#d9d9d9", "#7aa6c2", "#c2a878", "#2b5c8a", "#8fae7e")
    for part, shade in zip(PARTS, shades, strict=True):
        heights = np.array(
            [
                1e3 * sum(getattr(t, part) for t in tally.stages[s]) / sum(t.tasks for t in tally.stages[s])
                for s in stages
            ]
        )
        right.bar(stages, heights, bottom=bottom, color=shade, label=PART_NAMES[part], width=0.6)
        bottom += heights
    right.set(ylabel="milliseconds per task, mean", title="Where the time goes")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)

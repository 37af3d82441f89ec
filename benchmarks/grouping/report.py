"""Tables for people, one JSON object for programs, JSON lines for the record."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.grouping.experiment import Results
from benchmarks.grouping.figures import Interval, Summary, paired_ratio, reduction
from benchmarks.grouping.plan import GROUPING_LOAD, KEY_HASH, MAIN, MODES, Condition
from benchmarks.grouping.running import PARTS, Run
from benchmarks.processes import CORES
from benchmarks.provenance import commit, machine

COLUMNS = (
    f"{'condition':24} {'mode':16} {'rate':>6} {'mean':>7} {'p50':>7} {'p95':>7} {'p99':>7} {'std':>6} {'lost':>5} "
    f"{'wrong':>5} {'gets':>6} {'KB':>6} {'util':>6} {'busy':>6} {'max/mean':>8} {'cpu':>5} {'proxy':>6} "
    f"{'others':>6}"
)
OTHERS_MAX = 0.10
STAGE_COLUMNS = (
    f"{'condition':24} {'mode':16} {'stage':12} {'queue':>8} {'fetch':>8} {'lane':>8} {'compute':>8} "
    f"{'store':>8} {'batch':>8}"
)
UNITS = (
    "rate events/s; times ms; gets and KB from other nodes, per event; util: useful work of devices, busy: all of it"
)


def row(run: Run) -> str:
    """A run as a line of the table."""
    times = [getattr(run.latency, name) * 1e3 for name in ("mean", "p50", "p95", "p99", "std")]
    util, busy = (statistics.fmean(shares) if shares else math.nan for shares in (run.utilisation, run.busy))
    devices = f"{util:6.1%} {busy:6.1%} {run.imbalance:8.2f}" if run.utilisation else f"{'-':>6} {'-':>6} {'-':>8}"
    return (
        f"{run.condition:24} {run.mode:16} {run.rate:6.1f} {times[0]:7.1f} {times[1]:7.1f} {times[2]:7.1f} "
        f"{times[3]:7.1f} {times[4]:6.1f} {run.lost:5d} {run.wrong:5d} {run.remote_gets:6.1f} "
        f"{run.bytes_moved / 1e3:6.0f} {devices} {run.cpu:5.0%} "
        f"{run.cpu_by_part.get('proxy', 0.0) / CORES:6.1%} {run.others:6.0%}"
    )


def averaged(runs: Sequence[Run]) -> Run:
    """One run that stands for those of all seeds: each figure's mean over them; what is counted is added up."""

    def mean(values: Sequence[float]) -> float:
        return statistics.fmean(values)

    first = runs[0]
    names = ("mean", "p50", "p95", "p99", "std")
    parts = sorted({part for run in runs for part in run.cpu_by_part})
    messages: dict[str, int] = {}
    for run in runs:
        for why, count in run.messages.items():
            messages[why] = messages.get(why, 0) + count
    return Run(
        condition=first.condition,
        mode=first.mode,
        seed=0,
        rate=mean([run.rate for run in runs]),
        events=sum(run.events for run in runs),
        lost=sum(run.lost for run in runs),
        wrong=sum(run.wrong for run in runs),
        latency=Summary(*[mean([getattr(run.latency, name) for run in runs]) for name in names]),
        within=mean([run.within for run in runs]),
        blocks=[block for run in runs for block in run.blocks],
        remote_gets=mean([run.remote_gets for run in runs]),
        bytes_moved=mean([run.bytes_moved for run in runs]),
        busy=[mean(nodes) for nodes in zip(*[run.busy for run in runs], strict=True)],
        utilisation=[mean(nodes) for nodes in zip(*[run.utilisation for run in runs], strict=True)],
        imbalance=mean([run.imbalance for run in runs]),
        cpu=mean([run.cpu for run in runs]),
        others=mean([run.others for run in runs]),
        cpu_by_part={part: mean([run.cpu_by_part.get(part, 0.0) for run in runs]) for part in parts},
        stages={
            stage: {part: mean([run.stages[stage][part] for run in runs if stage in run.stages]) for part in PARTS}
            for stage in first.stages
        },
        messages=messages,
    )


class Findings:
    """What the runs come to."""

    def __init__(self, results: Results, conditions: Sequence[Condition]) -> None:
        self.results = results
        self.conditions = conditions
        self.cells = {
            (condition.name, mode.name): averaged(runs)
            for condition in conditions
            for mode in condition.modes
            if (runs := [run for run in results.runs if (run.condition, run.mode) == (condition.name, mode.name)])
        }

    def versus_best(self) -> dict[str, tuple[str, Interval]]:
        """Condition -> the best other mode, and the mean latency of grouping with load over its."""
        found = {}
        for condition in self.conditions:
            ours = self.cells.get((condition.name, GROUPING_LOAD.name))
            others = {
                mode: run
                for (name, mode), run in self.cells.items()
                if name == condition.name
                and run is not ours
                and not run.lost
                and not run.wrong  # who loses events, or answers wrongly, is no rival
            }
            if ours is None or not others:
                continue
            best = min(others, key=lambda mode: others[mode].latency.mean)  # noqa: B023  called at once
            pairs = zip(ours.blocks, others[best].blocks, strict=True)
            known = [pair for pair in pairs if not any(map(math.isnan, pair))]
            found[condition.name] = (best, paired_ratio(known, Random(1)))
        return found

    def summary(self) -> dict[str, Any]:
        """The object of the last line."""
        ours, theirs = (self.cells.get((MAIN.name, mode.name)) for mode in (GROUPING_LOAD, KEY_HASH))
        main = {mode.name: run for mode in MODES if (run := self.cells.get((MAIN.name, mode.name))) is not None}
        lost = {
            mode.name: sum(run.lost for (_, name), run in self.cells.items() if name == mode.name) for mode in MODES
        }

        def lower(name: str) -> float | None:
            if ours is None or theirs is None:
                return None
            return _rounded(reduction(getattr(ours.latency, name), getattr(theirs.latency, name)))

        best = [self.results.best.get((MAIN.name, mode.name)) for mode in (GROUPING_LOAD, KEY_HASH)]
        rates = [run.rate for run in best if run is not None]
        used = [statistics.fmean(run.utilisation) for run in best if run is not None and run.utilisation]
        return {
            "latency_mean_reduction": lower("mean"),
            "latency_p99_reduction": lower("p99"),
            "latency_std_reduction": lower("std"),
            "rate_at_objective_ratio": _rounded(rates[0] / rates[1]) if len(rates) == 2 else None,
            "utilisation_gain": _rounded(used[0] / used[1] - 1.0) if len(used) == 2 else None,
            "remote_gets_per_event": {mode: _rounded(run.remote_gets) for mode, run in main.items()},
            "lost": lost,
            "imbalance": {mode: _rounded(run.imbalance) for mode, run in main.items()},
            "vs_best": {
                condition: {
                    "ratio": _rounded(interval.ratio),
                    "low": _rounded(interval.low),
                    "high": _rounded(interval.high),
                    "best": best,
                }
                for condition, (best, interval) in self.versus_best().items()
            },
        }

    def tables(self) -> str:
        """Every cell, what each mode sustains, and grouping with load against the best of the others."""
        lines = ["", "Every cell, all seeds together", COLUMNS, *[row(run) for run in self.cells.values()], UNITS]
        lines += ["", "What key hash sustains, events/s (99 % within the objective, none lost)"]
        lines += [f"  {name:24} {rate:7.1f}" for name, rate in self.results.sustained.items()]
        lines += ["", "The highest rate that each mode sustains", COLUMNS]
        lines += [row(run) for run in self.results.best.values()]
        lines += ["", "Mean latency of grouping with load over that of the best other mode (95 % interval)"]
        lines += [
            f"  {name:24} {interval.ratio:6.3f}  [{interval.low:.3f}, {interval.high:.3f}]  {best}"
            for name, (best, interval) in self.versus_best().items()
        ]
        lines += ["", "Where the time of a task goes: ms on average, and the size of its batch", STAGE_COLUMNS]
        for (name, mode), run in self.cells.items():
            if name == MAIN.name or mode in (KEY_HASH.name, GROUPING_LOAD.name):
                lines += [f"{name:24} {mode:16} {stage:12} " + _parts(times) for stage, times in run.stages.items()]
        noisy = [run for run in self.results.runs if run.others > OTHERS_MAX]
        if noisy:
            lines += ["", f"Beside {len(noisy)} of {len(self.results.runs)} runs others used over {OTHERS_MAX:.0%} of "
                      "the machine: measure again when it is quiet."]  # fmt: skip
        for why, count in _reasons(self.results.runs).items():
            lines.append(f"  lost: {count} × {why}")
        return "\n".join(lines)


def _parts(times: dict[str, float]) -> str:
    parts = [f"{times[part] * 1e3:8.2f}" for part in PARTS[:-1]]
    return " ".join([*parts, f"{times[PARTS[-1]]:8.2f}"])


def _reasons(runs: Sequence[Run]) -> dict[str, int]:
    found: dict[str, int] = {}
    for run in runs:
        for why, count in run.messages.items():
            found[why] = found.get(why, 0) + count
    return found


def _rounded(value: float) -> float | None:
    """Four digits are more than we know; NaN is no JSON."""
    return None if value != value else round(value, 4)


class Record:
    """A file of JSON lines: each run with where and from what it came."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._origin = {"commit": commit(), "machine": machine()}
        path.write_text("")

    def write(self, kind: str, run: Run) -> None:
        line = json.dumps({"kind": kind, **asdict(run), **self._origin})
        with self._path.open("a") as file:
            file.write(line.replace("NaN", "null") + "\n")

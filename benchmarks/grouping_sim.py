"""Is grouping with load the best mode everywhere? The full grid, in the simulator.

    python -m benchmarks.grouping_sim [--quick] [--seeds N] [--out FOLDER]

The four production cores in virtual time, on the collision pipeline: modes x delay per hop x load x skew x object sizes
on 5 nodes, and a slice with 16. `covey.simulator.grid` states the devices and sizes, `covey.simulator.transfer`
what messages cost. Load is a share of what the best mode carries in the same condition; a mode goes through the loads
of a condition in one run, from the lowest on, and every mode of a seed sees the same events. Every cell is printed, the
one that flatters least first; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from scipy.stats import t as student

from covey.simulator.baselines.modes import PROPOSED, modes
from covey.simulator.grid import Condition, Figures, Period, play

PROCESSES = 2
MARGIN = 1.03
"""Not worse than the best by more than 3 %."""
LEVEL = 0.95
LOADS = (0.3, 0.6, 0.8, 0.95)
SETTLE_S, AGAIN_S, MEASURED_S = 3.0, 0.5, 3.0
"""Before the first load is measured, before each further one, and what is measured of each."""
DEVELOPMENT_SEED = 10_000
"""Seeds from here on are for tuning and for capacities; none of them is reported."""
CARRIERS = ("least_loaded", PROPOSED)
"""The modes whose throughput is tried for the capacity of a condition: those that split batches least."""
OVERLOAD_PER_NODE = 18.0
"""Events per second that no device can carry."""


class Cell(NamedTuple):
    condition: Condition
    load: float

    @property
    def name(self) -> str:
        return f"{self.condition.name}, load {self.load:g}"


class Job(NamedTuple):
    """One run. `capacity` is 0 in a run that is to find it."""

    condition: Condition
    mode: str
    seed: int
    loads: tuple[float, ...]
    capacity: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Mean latency of the proposed mode over that of the best other one, with its confidence interval over seeds."""

    ratio: float
    low: float
    high: float
    best: str


Results = dict[Cell, dict[str, dict[int, Figures]]]
"""Cell -> mode -> seed -> figures."""


def grid(quick: bool) -> list[tuple[Condition, tuple[float, ...]]]:
    """Every condition with its loads."""
    if quick:
        shapes = [(size, skewed) for size in ("small", "large") for skewed in (False, True)]
        return [(Condition(5, 0.5, size, skewed), (0.6, 0.95)) for size, skewed in shapes]
    base: list[tuple[Condition, tuple[float, ...]]] = [
        (Condition(5, delay, size, skewed), LOADS)
        for size in ("small", "large")
        for delay in (0.0, 0.5, 2.0)
        for skewed in (False, True)
    ]
    larger = [(Condition(16, 0.5, "large", skewed), (0.8,)) for skewed in (False, True)]
    return [*base, *larger]


def seeds_of(condition: Condition, seeds: range) -> range:
    """Of the larger mesh, which is many times the work, at most two."""
    return seeds if condition.nodes == 5 else seeds[:2]


def run(job: Job) -> list[Figures]:
    """One run, in whatever process."""
    mode = next(mode for mode in modes(job.condition.nodes) if mode.name == job.mode)
    scale = 1.0 if job.condition.nodes == 5 else 0.4  # of a larger mesh a shorter time has as many events
    if not job.capacity:
        periods = [Period(OVERLOAD_PER_NODE * job.condition.nodes, 2.0 * scale, 3.0 * scale)]
        return play(job.condition, mode, periods, job.seed, drain=False)
    settles = [SETTLE_S, *[AGAIN_S] * len(job.loads)]
    periods = [
        Period(load * job.capacity, settle * scale, MEASURED_S * scale)
        for load, settle in zip(job.loads, settles, strict=False)
    ]
    return play(job.condition, mode, periods, job.seed)


def all_of(jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Figures]]]:
    """Run them all, the largest first; results as they come."""
    ordered = sorted(jobs, key=lambda job: -job.condition.nodes)
    with ProcessPoolExecutor(PROCESSES, initializer=os.nice, initargs=(5,)) as pool:
        futures = {pool.submit(run, job): job for job in ordered}
        for number, future in enumerate(as_completed(futures), 1):
            if number % 20 == 0 or number == len(futures):
                print(f"{number} of {len(futures)} runs", file=sys.stderr, flush=True)
            yield futures[future], future.result()


def capacities(conditions: Sequence[Condition]) -> dict[Condition, float]:
    """What the best mode carries in each condition, in events per second."""
    jobs = [Job(condition, mode, DEVELOPMENT_SEED, (), 0.0) for condition in conditions for mode in CARRIERS]
    found: dict[Condition, float] = {}
    for job, (figures,) in all_of(jobs):
        found[job.condition] = max(found.get(job.condition, 0.0), figures.finished_per_s)
    return found


def measured(quick: bool, seeds: range, carried: Mapping[Condition, float]) -> Results:
    """The whole grid."""
    jobs = [
        Job(condition, mode.name, seed, loads, carried[condition])
        for condition, loads in grid(quick)
        for seed in seeds_of(condition, seeds)
        for mode in modes(condition.nodes)
    ]
    results: Results = defaultdict(lambda: defaultdict(dict))
    for job, found in all_of(jobs):
        for load, figures in zip(job.loads, found, strict=True):
            results[Cell(job.condition, load)][job.mode][job.seed] = figures
    return results


# --- judging ---------------------------------------------------------------------------------------------------------


def mean_ms(by_seed: Mapping[int, Figures]) -> float:
    return statistics.fmean([figures.mean_ms for figures in by_seed.values()])


def judged(by_mode: Mapping[str, Mapping[int, Figures]]) -> Verdict:
    """The proposed mode against the best other one: the geometric mean over seeds, with Student's interval."""
    best = min((mode for mode in by_mode if mode != PROPOSED), key=lambda mode: mean_ms(by_mode[mode]))
    ours, theirs = by_mode[PROPOSED], by_mode[best]
    logs = [math.log(ours[seed].mean_ms / theirs[seed].mean_ms) for seed in ours]
    middle, half = statistics.fmean(logs), math.inf
    if len(logs) > 1:
        half = float(student.ppf((1 + LEVEL) / 2, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Verdict(math.exp(middle), math.exp(middle - half), math.exp(min(middle + half, 50.0)), best)


# --- telling ---------------------------------------------------------------------------------------------------------


def lines_of(results: Results, verdicts: Mapping[Cell, Verdict]) -> Iterator[str]:
    """The table of every cell, and what modes came to over all of them."""
    names = [mode.name for mode in modes(5)]
    yield f"{'cell':52} {PROPOSED} / best other [95 %]".ljust(106) + " ".join(f"{name[:13]:>13}" for name in names)
    for cell in worst_first(verdicts):
        verdict = verdicts[cell]
        ratio = f"{verdict.ratio:6.3f} [{verdict.low:.3f}, {verdict.high:.3f}] {verdict.best}"
        means = " ".join(f"{mean_ms(results[cell][name]):13.1f}" for name in names)
        yield f"{cell.name:52} {ratio}".ljust(106) + means
    yield ""
    heads = ("remote gets", "KB moved", "KB on lines", "imbalance", "p99/mean", "moves", "lost")
    yield f"{'over all cells':16}" + "".join(f"{head:>13}" for head in heads)
    for name in names:
        figures = [each for by_mode in results.values() for each in by_mode[name].values()]
        row = (
            statistics.fmean([each.remote_gets for each in figures]),
            statistics.fmean([each.bytes_moved for each in figures]) / 1000,
            statistics.fmean([each.line_bytes for each in figures]) / 1000,
            statistics.fmean([each.imbalance for each in figures]),
            statistics.fmean([each.p99_ms / each.mean_ms for each in figures]),
            statistics.fmean([each.moves for each in figures]),
        )
        lost = sum(each.lost for each in figures)
        yield f"{name:16}" + "".join(f"{figure:13.2f}" for figure in row) + f"{lost:13d}"


def worst_first(verdicts: Mapping[Cell, Verdict]) -> list[Cell]:
    return sorted(verdicts, key=lambda cell: -verdicts[cell].ratio)


def draw(results: Results, verdicts: Mapping[Cell, Verdict], path: Path) -> None:
    """Every cell's ratio with its interval, and how latency grows with load in each mode."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cells = worst_first(verdicts)
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(15, max(6, 1 + 0.2 * len(cells))), gridspec_kw={"width_ratios": [3, 2]}, layout="constrained"
    )
    for row, cell in enumerate(cells):
        verdict = verdicts[cell]
        colour = "tab:green" if verdict.high <= MARGIN else "tab:orange" if verdict.ratio <= MARGIN else "tab:red"
        left.plot([max(verdict.low, 0.01), min(verdict.high, 100.0)], [row, row], color=colour)
        left.plot(verdict.ratio, row, "o", color=colour)
    left.axvline(1.0, color="black", linewidth=0.8)
    left.axvline(MARGIN, color="black", linewidth=0.8, linestyle=":")
    left.set_yticks(range(len(cells)), [f"{cell.name} ({verdicts[cell].best})" for cell in cells], fontsize=7)
    left.set(xlabel=f"mean latency of {PROPOSED} / of the best other mode (named); 95 % over seeds", xscale="log")
    ratios = [verdict.ratio for verdict in verdicts.values()]
    ticks = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
    left.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    left.minorticks_off()
    left.set_xlim(min(0.75, *ratios) / 1.1, max(1.25, *ratios) * 1.1)
    left.invert_yaxis()
    loads = sorted({cell.load for cell in cells if cell.condition.nodes == 5})
    for mode in modes(5):
        over_best = [
            statistics.geometric_mean(
                [
                    mean_ms(by_mode[mode.name]) / min(map(mean_ms, by_mode.values()))
                    for cell, by_mode in results.items()
                    if cell.load == load and cell.condition.nodes == 5
                ]
            )
            for load in loads
        ]
        ours = mode.name == PROPOSED
        right.plot(loads, over_best, "o-", label=mode.name, linewidth=3 if ours else 1.2, zorder=3 if ours else 2)
    right.set(xlabel="load, as a share of what the best mode carries", yscale="log")
    right.set_ylabel("mean latency / of the best mode of the cell\n(geometric mean of the cells with 5 nodes)")
    right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, dpi=110)


def rows_of(results: Results) -> Iterator[str]:
    """Every run of every cell as a line of JSON."""
    for cell, by_mode in results.items():
        for mode, by_seed in by_mode.items():
            for seed, figures in sorted(by_seed.items()):
                found = {**asdict(cell.condition), "load": cell.load, "mode": mode, "seed": seed, **asdict(figures)}
                yield json.dumps({key: _rounded(value) for key, value in found.items()})


def _rounded(value: object) -> object:
    match value:
        case float():
            return round(value, 3)
        case tuple():
            return [_rounded(each) for each in value]
        case _:
            return value


def summary_of(verdicts: Mapping[Cell, Verdict]) -> dict[str, object]:
    """What the last line says. A cell counts when all of its interval is within the margin."""
    told = {
        cell.name: {
            "ratio": round(verdict.ratio, 4),
            "low": round(verdict.low, 4),
            "high": round(verdict.high, 4),
            "best": verdict.best,
        }
        for cell, verdict in ((cell, verdicts[cell]) for cell in worst_first(verdicts))
    }
    worst = next(iter(told))
    return {
        "cells": len(told),
        "best_or_within_3_percent": sum(verdict.high <= MARGIN for verdict in verdicts.values()),
        "worst": {"cell": worst, **told[worst]},
        "vs_best": told,
    }


def main() -> None:
    """Find the capacities, run the grid, print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="eight cells, three seeds; 4 minutes")
    parser.add_argument("--seeds", type=int, help="how many, from 1 on (4; quick: 3)")
    parser.add_argument("--develop", action="store_true", help="other seeds, which are not reported: for tuning")
    parser.add_argument("--out", type=Path, help="a folder for the picture and all runs as lines of JSON")
    options = parser.parse_args()
    out = options.out or Path("runs/grouping_sim" if options.quick or options.develop else "benchmarks/results")
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    first = 1 + (DEVELOPMENT_SEED if options.develop else 0)
    seeds = range(first, first + (options.seeds or (3 if options.quick else 4)))
    print(f"# python -m benchmarks.grouping_sim {' '.join(sys.argv[1:])}; commit {commit.strip()}, {seeds}")
    carried = capacities([condition for condition, _ in grid(options.quick)])
    for condition, rate in carried.items():
        print(f"# {condition.name}: the best mode carries {rate:.0f} events/s")
    results = measured(options.quick, seeds, carried)
    verdicts = {cell: judged(by_mode) for cell, by_mode in results.items()}
    for line in lines_of(results, verdicts):
        print(line)
    (out / "grouping_sim.jsonl").write_text("".join(f"{row}\n" for row in rows_of(results)))
    draw(results, verdicts, out / "grouping_sim.png")
    close = sum(verdict.ratio <= MARGIN for verdict in verdicts.values())
    print(f"\n{close} of {len(verdicts)} cells are within 3 % by their mean, in {time.perf_counter() - started:.0f} s")
    print(json.dumps(summary_of(verdicts)))


if __name__ == "__main__":
    main()

"""What each system without preemption is set to: as many trials for each, on seeds that are not reported.

    python -m benchmarks.priority.tuning [--systems NAME...] [--seeds A-B] [--processes N]

Judged as ours is: the fewest HIGH violations in the mean over cells, of the trials in which LOW's requests in time are
at most a tenth fewer than with the first. Prints every trial, and the best of each system: what `systems.TUNED` has.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from benchmarks.priority.plan import Cell
from benchmarks.priority.systems import PREDICTED_BY, Order, strict
from benchmarks.processes import CORES
from covey.simulator.sharing import play

CELLS = (
    Cell(1, 20, 1.1, 2),
    Cell(1, 50, 0.9, 2),
    Cell(1, 80, 1.1, 3),
    Cell(1, 20, 0.9, 3, True),
    Cell(4, 50, 0.9, 2),
    Cell(4, 80, 1.1, 3),
)
LOW_COST_MAX = 0.1
"""Of LOW's requests in time, that a trial may cost against the first."""
TRIALS = (
    Order(),
    Order(low_slots=2),
    Order(slots=3),
    Order(slots=3, low_slots=2),
    Order(margin=0.8),
    Order(margin=0.9),
    Order(margin=1.1),
    Order(margin=1.25),
    Order(low_batch_max=1),
    Order(low_batch_max=2),
    Order(low_batch_max=4),
    Order(margin=0.9, low_batch_max=2),
)


class Trial(NamedTuple):
    """A system with a setting, over all cells and seeds."""

    name: str
    order: Order
    high_violations: float
    low_in_time: float
    """Share of LOW's requests."""


def tried(name: str, order: Order, seeds: Iterable[int]) -> Trial:
    """Run it."""
    system = strict(name, order)
    figures = [
        play(cell.traffic(), cell.devices, system.sharing, system.make, seed) for cell in CELLS for seed in seeds
    ]
    high = statistics.fmean([each.high.violations for each in figures])
    return Trial(name, order, high, statistics.fmean([each.low.attainment for each in figures]))


def best_of(trials: list[Trial]) -> Trial:
    """The fewest HIGH violations, of those that leave LOW enough of what it has in the first."""
    least = (1.0 - LOW_COST_MAX) * trials[0].low_in_time
    return min([trial for trial in trials if trial.low_in_time >= least], key=lambda trial: trial.high_violations)


def named(order: Order) -> str:
    """What differs from the first trial."""
    said = [f"{knob}={value:g}" for knob, value in order._asdict().items() if value != getattr(Order(), knob)]
    return " ".join(said) or "as it was"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=list(PREDICTED_BY), choices=list(PREDICTED_BY))
    parser.add_argument("--seeds", default="101-102", metavar="A-B")
    parser.add_argument("--processes", type=int, default=CORES)
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    print(f"python -m benchmarks.priority.tuning --seeds {options.seeds}, over {', '.join(c.name for c in CELLS)}\n")
    print(f"{'system':18} {'setting':40} HIGH missed %  LOW in time %")
    with ProcessPoolExecutor(options.processes, initializer=os.nice, initargs=(5,)) as pool:
        for name in options.systems:
            trials = list(pool.map(tried, [name] * len(TRIALS), TRIALS, [seeds] * len(TRIALS)))
            for trial in trials:
                figures = f"{100 * trial.high_violations:13.2f} {100 * trial.low_in_time:14.2f}"
                print(f"{name:18} {named(trial.order):40} {figures}")
            print(f"{name:18} best: {named(best_of(trials).order)}", flush=True)


if __name__ == "__main__":
    main()

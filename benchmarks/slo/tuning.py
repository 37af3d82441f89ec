"""What each system is set to: as many trials for everybody, on seeds that are not reported.

    python -m benchmarks.slo.tuning [--systems NAME...] [--seeds A-B]

Provisioners are judged where nothing is dropped, by the mean over cells of log p99 + log device-seconds: so that a tail
that is shorter by a tenth is worth a tenth of the cost. Batchers are judged by the share answered in time, provisioned
by the same reactive scaling. Prints every trial, and the best of each system: what `systems.TUNED` has.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.slo.plan import DEVELOPMENT_SEEDS, Cell
from benchmarks.slo.running import Places, arrivals_of, workload_of
from benchmarks.slo.systems import (
    KEEP,
    REACTIVE,
    Batching,
    Provisioning,
    System,
    clipper,
    clockwork,
    inferline,
    nexus,
    pard,
    reactive,
)
from covey.simulator.serving import Figures, play

Knobs = Mapping[str, float]

PROVISIONING_CELLS = (
    Cell("chain3", "step", devices=8),
    Cell("chain3", "mmpp", devices=8),
    Cell("traffic", "mmpp", devices=8),
)
DROPPING_CELLS = (
    Cell("chain3", "overload", devices=8),
    Cell("traffic", "mmpp", devices=8),
    Cell("collisions", "step", devices=8),
)
HEADROOM = 1.25
"""Of all provisioners while they are tuned; and then swept."""


class Sweep(NamedTuple):
    """A system's trials. The first is its publication's, or our default."""

    made: Callable[..., Provisioning] | Callable[..., Batching]
    is_batcher: bool
    trials: Sequence[Knobs]

    def system(self, knobs: Knobs) -> System:
        if self.is_batcher:
            return System(REACTIVE, self.made(**knobs))  # type: ignore[arg-type]
        return System(self.made(**knobs), KEEP)  # type: ignore[arg-type]


SWEEPS: Mapping[str, Sweep] = {
    "reactive": Sweep(
        reactive,
        False,
        [
            {},
            {"smoothing": 0.8},
            {"smoothing": 1.0},
            {"hold_s": 10.0},
            {"hold_s": 20.0},
            {"smoothing": 0.8, "hold_s": 10.0},
        ],
    ),
    "reactive with drain": Sweep(
        reactive,
        False,
        [
            {"drain_s": 4.0},
            {"drain_s": 8.0},
            {"drain_s": 2.0},
            {"drain_s": 4.0, "hold_s": 10.0},
            {"drain_s": 8.0, "hold_s": 10.0},
            {"drain_s": 2.0, "hold_s": 10.0},
        ],
    ),
    "nexus": Sweep(
        nexus,
        False,
        [
            {},
            {"epoch_s_min": 5.0},
            {"epoch_s_min": 2.0},
            {"epoch_s_min": 2.0, "fall": 0.6},
            {"epoch_s_min": 2.0, "rise": 1.25},
            {"epoch_s": 10.0, "epoch_s_min": 1.0},
        ],
    ),
    "inferline": Sweep(
        inferline,
        False,
        [
            {},
            {"calm_s": 5.0},
            {"calm_s": 5.0, "recent_s": 10.0},
            {"used_least": 0.4},
            {"used_least": 0.6},
            {"used_least": 0.6, "calm_s": 5.0, "recent_s": 10.0},
        ],
    ),
    "clipper": Sweep(
        clipper,
        True,
        [
            {},
            {"increase": 2.0},
            {"increase": 4.0},
            {"decrease": 0.7},
            {"budget_used": 0.7},
            {"increase": 4.0, "budget_used": 0.7},
        ],
    ),
    "clockwork": Sweep(
        clockwork,
        True,
        [
            {},
            {"run_s_max": 0.1},
            {"run_s_max": 0.25},
            {"run_s_max": 0.25, "batch_max": 32},
            {"run_s_max": 0.5, "batch_max": 64},
            {"run_s_max": 0.25, "buffer_s": 0.0},
        ],
    ),
    "pard": Sweep(
        pard,
        True,
        [
            {},
            {"quantile": 0.5},
            {"recent_s": 1.0},
            {"recent_s": 2.0},
            {"quantile": 0.01},
            {"smoothing": 0.5},
        ],
    ),
}


def score(sweep: Sweep, runs: Sequence[Figures]) -> float:
    """Least is best."""
    if sweep.is_batcher:
        return -statistics.fmean([figures.goodput for figures in runs])
    return statistics.fmean([math.log(figures.p99_all_s) + math.log(figures.device_s) for figures in runs])


def trials(name: str, seeds: Sequence[int], places: Places) -> Iterator[tuple[Knobs, float, list[Figures]]]:
    """Every trial of a system with its score and its runs."""
    sweep = SWEEPS[name]
    for knobs in sweep.trials:
        system = sweep.system(knobs)
        runs = []
        for cell in DROPPING_CELLS if sweep.is_batcher else PROVISIONING_CELLS:
            workload = workload_of(cell, places)
            load = arrivals_of(cell, workload, places)
            for seed in seeds:
                made = lambda pipeline, devices, system=system: system.made(pipeline, devices, HEADROOM)  # noqa: E731
                runs.append(play(workload, cell.devices, load, made, seed, sweep.is_batcher))
        yield knobs, score(sweep, runs), runs


def main() -> None:
    """Sweep and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=list(SWEEPS), default=list(SWEEPS))
    parser.add_argument("--seeds", nargs=2, type=int, default=DEVELOPMENT_SEEDS[:2], metavar=("A", "B"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where profiles and arrivals are")
    options = parser.parse_args()
    first, last = options.seeds
    for name in options.systems:
        found = []
        for knobs, judged, runs in trials(name, range(first, last + 1), Places(options.data)):
            found.append((judged, knobs))
            print(f"{name:20} {_told(knobs):36} {judged:8.4f} {_figures(runs)}", flush=True)
        print(f"{name:20} best: {_told(min(found, key=lambda each: each[0])[1])}", flush=True)


def _told(knobs: Knobs) -> str:
    return " ".join(f"{knob}={value:g}" for knob, value in knobs.items()) or "as published"


def _figures(runs: Sequence[Figures]) -> str:
    in_time = statistics.fmean([each.goodput for each in runs])
    p99_s = statistics.fmean([each.p99_s for each in runs])
    return (
        f"in time {in_time:.3f}, p99 {p99_s:6.2f} s, {statistics.fmean([each.device_s for each in runs]):6.0f} device s"
    )


if __name__ == "__main__":
    main()

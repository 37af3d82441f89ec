"""What does the mesh add to a model's own time?

    python -m benchmarks.wire [--quick] [--only CELL...] [--seconds S] [--repeats N] [--list]

Raw gRPC chains, Covey and what a user would pick instead, each as processes of its own on this machine, under closed
and open loops. Prints every run, then medians; the last line is one JSON object. A cell is named
SUBJECT/WORKLOAD/LOAD, such as covey-send/64B/closed-64, and `core` is the scheduler's core alone. See
benchmarks/README.md for how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.provenance import commit, machine
from benchmarks.wire.core import NAME as CORE
from benchmarks.wire.core import CoreFigures, measured_apart
from benchmarks.wire.experiment import Cell, Experiment
from benchmarks.wire.kept import NAME as KEPT
from benchmarks.wire.kept import Kept
from benchmarks.wire.kept import tell as kept_loops
from benchmarks.wire.plan import FULL, QUICK, chosen, missing, subjects
from benchmarks.wire.report import COLUMNS, Findings, row
from covey.clock import MonotonicClock
from covey.runtime import EXIT_FAILED, run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same questions within 10 minutes")
    parser.add_argument("--only", nargs="+", default=[], metavar="CELL", help="only these cells; * stands for anything")
    parser.add_argument("--seconds", type=float, help="of each run, after its warm-up")
    parser.add_argument("--repeats", type=int, help="rounds")
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals and of the order within a round")
    parser.add_argument("--list", action="store_true", help="name the cells, and run none")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    if options.seconds is not None:
        effort = effort._replace(closed_s=options.seconds, open_s=options.seconds)
    if options.repeats is not None:
        effort = effort._replace(repeats=options.repeats)
    cells = [(subject, loads) for subject in subjects() if (loads := chosen(options.only or effort.cells, subject))]
    if not cells and not {CORE, KEPT} & {*options.only}:
        raise SystemExit(f"no cell is named {' or '.join(options.only)}; --list names all")
    if options.list:
        print("\n".join([*(f"{subject.id}/{load}" for subject, loads in cells for load in loads), CORE, KEPT]))
        return
    clock = MonotonicClock()
    started = clock.now()
    played: list[Cell] = []

    def tell(done: Cell | str) -> None:
        if isinstance(done, Cell):
            played.append(done)
        print(f"{clock.now() - started:6.0f} s {row(done) if isinstance(done, Cell) else done}", flush=True)

    print(f"{machine()}; commit {commit()}")
    for peer, why in missing().items():
        print(f"missing: {peer}: {why}")
    if cells:
        print(f"{'':10} {COLUMNS}", flush=True)
        with tempfile.TemporaryDirectory(prefix="covey-wire-") as folder:
            experiment = Experiment(cells, effort, options.seed, Path(folder), tell)
            if run(experiment.run, log_level="WARNING"):
                sys.exit(EXIT_FAILED)
    core: CoreFigures | None = None
    if not options.only or CORE in options.only:
        core = measured_apart(effort.groups_max)
    loops: dict[str, Kept] = {}
    if not options.only or KEPT in options.only:
        loops = asyncio.run(kept_loops(effort.kept_s))
    findings = Findings(played)
    print(findings.tables())
    print(f"{clock.now() - started:.0f} s in all")
    print(json.dumps(findings.summary(core, loops)))


if __name__ == "__main__":
    main()

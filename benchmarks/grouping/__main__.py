"""What are correlation groups worth?

    python -m benchmarks.grouping [--quick] [--tracks FILE...] [--only CONDITION...]

Runs the same program on five nodes, real processes behind a delaying proxy, with group rules and in seven other ways,
in at most 40 cells that are named before the first run. Prints every run, then tables; the last line is one JSON
object. See benchmarks/README.md for how to read it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.grouping.experiment import Experiment
from benchmarks.grouping.pictures import draw
from benchmarks.grouping.plan import CONDITIONS, FULL, QUICK, described
from benchmarks.grouping.report import COLUMNS, UNITS, Findings, Record, row
from benchmarks.grouping.running import Run
from benchmarks.grouping.tracks import sdd_tracks
from benchmarks.provenance import machine
from covey.clock import MonotonicClock
from covey.runtime import EXIT_FAILED, run


def main() -> None:
    """Measure, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed and short runs: the same questions")
    parser.add_argument("--tracks", nargs="+", default=[], metavar="FILE", help="more tracks, beside the three scenes")
    parser.add_argument("--only", nargs="+", metavar="CONDITION", help="only conditions whose names begin so")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where lines and pictures go")
    options = parser.parse_args()
    chosen = tuple(options.only or [""])
    conditions = [condition for condition in CONDITIONS if condition.name.startswith(chosen)]
    name = "grouping-quick" if options.quick else "grouping"
    record = Record(options.out / f"{name}.jsonl")
    clock = MonotonicClock()
    started = clock.now()

    def tell(kind: str, done: Run) -> None:
        record.write(kind, done)
        print(f"{clock.now() - started:6.0f} s {kind:5} {row(done)}", flush=True)

    print(described(conditions))
    print(machine())
    print(f"{'':15}{COLUMNS}\n{UNITS}")
    tracks = [*sdd_tracks(), *options.tracks]
    with tempfile.TemporaryDirectory(prefix="covey-grouping-") as folder:
        experiment = Experiment(conditions, QUICK if options.quick else FULL, tracks, Path(folder), tell)
        status = run(experiment.run, log_level="WARNING")
    if status:
        sys.exit(EXIT_FAILED)
    findings = Findings(experiment.results, conditions)
    print(findings.tables())
    for picture in draw(findings, options.out, name):
        print(f"drew {picture}")
    print(f"{clock.now() - started:.0f} s in all")
    print(json.dumps(findings.summary()))


if __name__ == "__main__":
    main()

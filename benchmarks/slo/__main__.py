"""What are cascade estimation, tuning ahead of time and adaptive dropping worth?

    python -m benchmarks.slo [--quick] [--cells PATTERN...] [--seeds A-B] [--list]
    python -m benchmarks.slo --arrivals FILE --pipeline FILE [--devices N] [--seeds A-B]

The production cores in virtual time, in every cell of `plan.py`, against what others do. Three questions: the tail at
equal cost and the cost at an equal tail, with nothing dropped; what is answered in time at equal cost, with everything
on; and the least cost at which 99 % are. Prints every cell; the last line is one JSON object. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.grouping.report import machine
from benchmarks.slo.plan import CELLS, HEADROOMS, QUICK, QUICK_HEADROOMS, Cell, chosen
from benchmarks.slo.report import lines_of, rows_of, summary_of
from benchmarks.slo.running import Done, Job, Places, all_done
from benchmarks.slo.systems import DROPPING, UNDROPPED
from benchmarks.slo.verdicts import OUR_HEADROOM
from covey.simulator.pipelines import Objective

OUT = Path("runs/slo")


def jobs_of(cells: Sequence[Cell], seeds: Sequence[int], headrooms: Sequence[float], places: Places) -> list[Job]:
    """Every run. Nothing is asked of the tail under steady overload: nobody has one."""
    return [
        Job(cell, system, headroom, seed, drops, places)
        for cell in cells
        for drops, systems in ((False, UNDROPPED), (True, DROPPING))
        if drops or cell.load != "overload"
        for system in systems
        for headroom in headrooms
        for seed in seeds
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five small cells and one seed, within 10 minutes")
    parser.add_argument("--cells", nargs="+", default=[], metavar="PATTERN", help="only these; * stands for anything")
    parser.add_argument("--seeds", default="", metavar="A-B", help="which (1-10; quick: 1-1)")
    parser.add_argument("--headrooms", nargs="+", type=float, help="capacity by rate, what systems are swept through")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where profiles and arrivals are")
    parser.add_argument("--arrivals", type=Path, help="a CSV with a column TIMESTAMP, instead of the cells' loads")
    parser.add_argument("--pipeline", type=Path, help="a pipeline as JSON (see own.py), instead of the cells'")
    parser.add_argument("--devices", type=int, default=8, help="with --arrivals and --pipeline")
    parser.add_argument("--out", type=Path, default=OUT, help="a folder for all runs as lines of JSON")
    parser.add_argument("--list", action="store_true", help="name the cells, and run none")
    options = parser.parse_args()
    if (options.arrivals is None) != (options.pipeline is None):
        parser.error("--arrivals and --pipeline go together")
    cells = chosen(options.cells, QUICK if options.quick and not options.cells else CELLS)
    if options.pipeline is not None:
        cells = [Cell(options.pipeline.stem, options.arrivals.stem, Objective.MEDIUM, options.devices)]
    if not cells:
        raise SystemExit(f"no cell is named {' or '.join(options.cells)}; --list names all")
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return
    first, _, last = (options.seeds or ("1-1" if options.quick else "1-10")).partition("-")
    headrooms = sorted({OUR_HEADROOM, *(options.headrooms or (QUICK_HEADROOMS if options.quick else HEADROOMS))})
    places = Places(options.data, options.arrivals, options.pipeline)
    jobs = jobs_of(cells, range(int(first), int(last or first) + 1), headrooms, places)
    print(machine())
    print(f"{len(cells)} cells, {len(jobs)} runs; seeds {first} to {last or first}; headrooms {headrooms}", flush=True)
    found = measured(cells, jobs)
    for line in lines_of(found):
        print(line)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "runs.jsonl").write_text("".join(f"{row}\n" for row in rows_of(found)))
    print(json.dumps(summary_of(found)))


def measured(cells: Sequence[Cell], jobs: Sequence[Job]) -> Mapping[Cell, list[Done]]:
    """Run all, telling how far it is."""
    found: dict[Cell, list[Done]] = {cell: [] for cell in cells}
    started = told = time.monotonic()
    for count, done in enumerate(all_done(jobs), 1):
        found[done.job.cell].append(done)
        if time.monotonic() - told > 30 or count == len(jobs):
            told = time.monotonic()
            print(f"# {told - started:6.0f} s: {count} of {len(jobs)} runs", flush=True)
    return found


if __name__ == "__main__":
    main()

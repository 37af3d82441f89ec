"""What are cascade estimation, tuning ahead of time and adaptive dropping worth?

    python -m benchmarks.slo [--quick] [--cells PATTERN...] [--seeds A-B] [--minutes M] [--list]
    python -m benchmarks.slo --arrivals FILE --pipeline FILE [--devices N] [--seeds A-B]
    python -m benchmarks.slo --hypercube N
    python -m benchmarks.slo --read RUNS...

The production cores in virtual time, in every cell of `plan.py`, against what others do. Three questions: the tail at
equal cost and the cost at an equal tail, with nothing dropped; what is answered in time at equal cost, with everything
on; and the least cost, and the highest rate, at which 99 % are. Prints every cell; the last line is one JSON object.
See benchmarks/README.md.

Each run is written to OUT/runs.jsonl as it ends, and is not run again: what takes long may be interrupted, or split by
cells and seeds and read together. With --minutes nothing new begins after so many. What is printed is also in
OUT/report.txt, and OUT/summary.json has the last line with seeds, commit and machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.processes import CORES
from benchmarks.provenance import commit, machine
from benchmarks.slo import hypercube
from benchmarks.slo.lines import key_of, line_of, runs_in
from benchmarks.slo.plan import (
    ABLATED,
    BEYOND,
    CELLS,
    FEW_DEVICES,
    FEW_ONLY,
    OUR_SETTINGS,
    OURS,
    QUICK,
    Cell,
    asks_for_the_cost,
    asks_for_the_tail,
    chosen,
    headrooms_of,
    turn_of,
)
from benchmarks.slo.report import lines_of, summary_of
from benchmarks.slo.running import Done, Job, Places, all_done
from benchmarks.slo.systems import DROPPING, UNDROPPED, System
from covey.simulator.pipelines import Objective

OUT = Path("runs/slo")
RUNS = "runs.jsonl"


def main() -> None:
    """Run and print."""
    options = parsed()
    places = Places(options.data, options.arrivals, options.pipeline)
    if options.hypercube:
        for line in hypercube.lines(options.hypercube, places):
            print(line, flush=True)
        return
    if options.read:
        tell(runs_in(options.read, places), None)
        return
    cells = chosen(options.cells, (*CELLS, *BEYOND) if options.cells else QUICK if options.quick else CELLS)
    if options.pipeline is not None:
        cells = [Cell(options.pipeline.stem, options.arrivals.stem, Objective.MEDIUM, options.devices)]
    if not cells:
        raise SystemExit(f"no cell is named {' or '.join(options.cells)}; --list names all")
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return
    first, _, last = (options.seeds or ("1-1" if options.quick else "1-10")).partition("-")
    jobs = jobs_of(cells, range(int(first), int(last or first) + 1), options.headrooms, places)
    if options.undropped:
        jobs = [job for job in jobs if not job.drops]
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / RUNS
    known = {key_of(run.job) for run in runs_in([path], places)} if path.exists() else set()
    missing = [job for job in jobs if key_of(job) not in known]
    print(f"{machine()}; commit {commit()}")
    print(
        f"{len(cells)} cells, {len(jobs)} runs, {len(missing)} of them new; seeds {first} to {last or first}",
        flush=True,
    )
    run_all(missing, path, options.minutes, options.processes)
    if find_spec("scipy") is None:
        print(f"the runs are in {path}; to report them takes scipy, which is not here: --read {path} elsewhere")
        return
    asked = {key_of(job) for job in jobs}
    tell([run for run in runs_in([path], places) if key_of(run.job) in asked], options.out)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five small cells and one seed, within 10 minutes")
    parser.add_argument("--cells", nargs="+", default=[], metavar="PATTERN", help="only these; * stands for anything")
    parser.add_argument("--seeds", default="", metavar="A-B", help="which (1-10; quick: 1-1)")
    parser.add_argument("--headrooms", nargs="+", type=float, help="capacity by rate, instead of the plan's")
    parser.add_argument("--undropped", action="store_true", help="only the first question: nothing is dropped")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    parser.add_argument("--processes", type=int, default=CORES, help="side by side")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where profiles and arrivals are")
    parser.add_argument("--arrivals", type=Path, help="a trace (see own.py), instead of the cells' loads")
    parser.add_argument("--pipeline", type=Path, help="a pipeline as JSON (see own.py), instead of the cells'")
    parser.add_argument("--devices", type=int, default=8, help="with --arrivals and --pipeline")
    parser.add_argument("--hypercube", type=int, default=0, metavar="N", help="so many settings that no cell has")
    parser.add_argument("--out", type=Path, default=OUT, help="a folder for all runs as lines of JSON")
    parser.add_argument(
        "--read", nargs="+", type=Path, metavar="RUNS", help="print what these files have, and run none"
    )
    parser.add_argument("--list", action="store_true", help="name the cells, and run none")
    options = parser.parse_args()
    if (options.arrivals is None) != (options.pipeline is None):
        parser.error("--arrivals and --pipeline go together")
    return options


def jobs_of(
    cells: Sequence[Cell], seeds: Iterable[int], headrooms: Sequence[float] | None, places: Places
) -> list[Job]:
    """Every run, those whose turn it is first before the others. A cell of the user's own has every system."""
    jobs = [
        Job(cell, system, headroom, seed, drops, places)
        for seed in seeds
        for cell in cells
        for drops, systems in ((False, UNDROPPED), (True, DROPPING))
        if drops or asks_for_the_tail(cell)
        for system, each in systems.items()
        if places.pipeline is not None or runs_in_cell(system, each, cell)
        for headroom in headrooms or headrooms_of(cell, system, drops)
    ]
    return sorted(jobs, key=lambda job: turn_of(job.cell, job.drops, job.seed))


def runs_in_cell(name: str, system: System, cell: Cell) -> bool:
    """Ablations run in some cells, settings where it is asked what they cost, and what is far behind on few devices."""
    if name in OUR_SETTINGS:
        return name == OURS or asks_for_the_cost(cell)
    if system.is_ours:
        return cell in ABLATED
    return cell.devices == FEW_DEVICES or name not in FEW_ONLY


def run_all(jobs: Sequence[Job], path: Path, minutes: float, processes: int) -> None:
    """Run what begins in time, adding each to the file as it ends, and tell how far it is."""
    started = told = time.monotonic()
    this = commit()

    def in_time() -> Iterator[Job]:
        for job in jobs:
            if time.monotonic() - started > 60 * minutes:
                return
            yield job

    with path.open("a") as file:
        for count, run in enumerate(all_done(in_time(), processes), 1):
            file.write(line_of(run, this) + "\n")
            file.flush()
            if time.monotonic() - told > 30 or count == len(jobs):
                told = time.monotonic()
                print(f"# {told - started:6.0f} s: {count} of {len(jobs)} runs", flush=True)


def tell(runs: Iterable[Done], out: Path | None) -> None:
    """Every cell, in the plan's order, and the last line; both also into this folder."""
    found: dict[Cell, list[Done]] = {}
    for run in runs:
        found.setdefault(run.job.cell, []).append(run)
    order = {cell: number for number, cell in enumerate(CELLS)}
    found = {cell: found[cell] for cell in sorted(found, key=lambda cell: order.get(cell, len(order)))}
    lines = [f"{machine()}; commit {commit()}", *lines_of(found)]
    seeds = {cell.name: sorted({run.job.seed for run in each}) for cell, each in found.items()}
    summary = summary_of(found)
    if out is not None:
        (out / "report.txt").write_text("\n".join(lines) + "\n")
        told = {**summary, "seeds": seeds, "commit": commit(), "machine": machine()}
        (out / "summary.json").write_text(json.dumps(told, indent=1) + "\n")
    print("\n".join(lines[1:]))
    print(json.dumps(summary))


if __name__ == "__main__":
    main()

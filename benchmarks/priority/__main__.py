"""What are prediction and two priorities worth on a full device?

    python -m benchmarks.priority [--quick] [--simulated] [--cells PATTERN...] [--seeds A-B] [--list]
    python -m benchmarks.priority --merge FILE...
    python -m benchmarks.priority --hypercube N

Shared devices in virtual time, with a hidden ground truth that no predictor has the form of, in every cell of
`plan.py`: our policy against what others do, with and without preemption. Then predictors by one record of what ran
beside what, and ours minus each of its parts; at last `benchmarks.priority.real`, two CPU lanes of this machine, unless
only a part was asked for. Prints every cell; the last line is one JSON object. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.priority.plan import ABLATED, CELLS, PREDICTED, QUICK, Cell, chosen, hypercube
from benchmarks.priority.predicting import PREDICTORS, errors_in
from benchmarks.priority.report import lines_of, summary_of, verdict_lines, verdicts
from benchmarks.priority.running import Done, Job, all_done
from benchmarks.priority.systems import ABLATIONS, SYSTEMS
from benchmarks.processes import CORES
from benchmarks.provenance import machine

OUT = Path("runs/priority")
WORST = 10
"""Cells of the hypercube that are shown."""


def jobs_of(cells: Sequence[Cell], seeds: Sequence[int]) -> list[Job]:
    """Every run; seed by seed, so that what was cut short has all cells."""
    return [
        Job(cell, system, seed)
        for seed in seeds
        for cell in cells
        for system in (*SYSTEMS, *(ABLATIONS if cell in ABLATED else ()))
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="four cells and two seeds, and three short real runs, within ten minutes"
    )
    parser.add_argument("--simulated", action="store_true", help="leave the lanes of this machine out")
    parser.add_argument("--cells", nargs="+", default=[], metavar="PATTERN", help="only these; * is anything")
    parser.add_argument("--seeds", default="", metavar="A-B", help="which (1-10; quick: 1-2)")
    parser.add_argument("--hypercube", type=int, default=0, metavar="N", help="N drawn cells instead; shows the worst")
    parser.add_argument(
        "--merge", nargs="+", type=Path, default=[], help="runs.jsonl of earlier calls, instead of runs"
    )
    parser.add_argument("--processes", type=int, default=CORES)
    parser.add_argument("--out", type=Path, default=OUT, help="a folder for all runs as lines of JSON")
    parser.add_argument("--list", action="store_true", help="name the cells, and run none")
    options = parser.parse_args()
    cells = chosen(options.cells, QUICK if options.quick else CELLS)
    first, _, last = (options.seeds or ("1-2" if options.quick else "1-10")).partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if options.hypercube:
        cells = hypercube(options.hypercube, int(first))
    if not cells:
        raise SystemExit(f"no cell is named {' or '.join(options.cells)}; --list names all")
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return
    print(machine())
    if options.merge:
        runs = [_read(line) for path in options.merge for line in path.read_text().splitlines()]
    else:
        runs = ran(jobs_of(cells, seeds), options.processes, options.out)
    found: dict[tuple[Cell, str], list[Done]] = {}
    for cell in cells:
        for name in (*SYSTEMS, *ABLATIONS):
            some = sorted([run for run in runs if (run.cell, run.system) == (cell, name)], key=lambda run: run.seed)
            if some:
                found[cell, name] = some
    cells = [cell for cell in cells if all((cell, name) in found for name in SYSTEMS)]
    if options.hypercube:
        cells = sorted(cells, key=lambda cell: verdicts(found, [cell])[0]["drop_pp"])[:WORST]
    print("\n".join([*lines_of(found, cells), *verdict_lines(found, cells)]))
    predicted = predictors_of([cell for cell in PREDICTED if not options.hypercube], seeds)
    is_part = options.simulated or options.cells or options.merge or options.hypercube
    real = {} if is_part else measured_on_lanes(options.quick, options.out)
    print(json.dumps({**summary_of(found, cells, predicted), **real}))


def measured_on_lanes(quick: bool, out: Path) -> dict[str, Any]:
    """The last line of `benchmarks.priority.real`, in a process of its own: torch is nothing to a simulation."""
    command = [sys.executable, "-m", "benchmarks.priority.real", "--out", str(out), *(["--quick"] if quick else [])]
    last = "{}"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout or ():
            print(line, end="", flush=True)
            last = line
    if child.returncode:
        raise SystemExit(child.returncode)
    measured: dict[str, Any] = json.loads(last)
    return measured


def ran(jobs: Sequence[Job], processes: int, out: Path) -> list[Done]:
    """Run all, keeping each as soon as it is done, and telling how far it is."""
    out.mkdir(parents=True, exist_ok=True)
    runs: list[Done] = []
    started = told = time.monotonic()
    with (out / "runs.jsonl").open("w") as file:
        for done in all_done(jobs, processes):
            runs.append(done)
            print(json.dumps(done), file=file, flush=True)
            if time.monotonic() - told > 30 or len(runs) == len(jobs):
                told = time.monotonic()
                print(f"# {told - started:6.0f} s: {len(runs)} of {len(jobs)} runs", flush=True)
    return runs


def _read(line: str) -> Done:
    cell, *rest = json.loads(line)
    return Done(Cell(*cell), *rest)


def predictors_of(cells: Sequence[Cell], seeds: Sequence[int]) -> dict[str, Any]:
    """Their errors, as lines, and for the summary."""
    if not cells:
        return {}
    every = [errors_in(cell, seed) for cell in cells for seed in seeds]
    print("predictor      MAPE %   p95 %   under-predicted")
    mapes = {}
    for name in (*PREDICTORS, "floor"):
        mape, p95, under = (statistics.fmean(column) for column in zip(*[each[name] for each in every], strict=True))
        mapes[name] = round(mape, 4)
        print(f"{name:12} {100 * mape:8.2f} {100 * p95:7.2f} {under:17.2f}")
    excess = (mapes["ours"] - mapes["floor"]) / (mapes["none"] - mapes["floor"])
    return {"predictor_mape": mapes, "predictor_excess_share": round(excess, 4)}


if __name__ == "__main__":
    main()

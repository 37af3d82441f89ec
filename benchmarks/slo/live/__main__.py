"""Does the live mesh do what the simulator says?

    python -m benchmarks.slo.live [--quick] [--only PIECE...] [--seeds A-B] [--out FOLDER]

Two things run live, each at three steady loads, beside their simulation from the profiles that `covey profile` takes
and from what the mesh itself is measured to take: a three-stage chain on emulated devices (`chain`), whose scheduler
provisions, and the collision pipeline on the CPU (`collisions`). And the chain goes through a step of its load, under
cascade estimation and under per-stage reaction in turn (`cascade`, `stage`): is the better one the better one live?
All of it by the same instants of arrival as simulated. Some 7 minutes a seed, on a machine that does nothing else.

Every piece of a seed is a line of `live.jsonl`, and what is there is not run again, so that a run may be parted. The
last line printed is one JSON object, of all that is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.provenance import machine
from benchmarks.slo.live import chain, collisions
from benchmarks.slo.live.overhead import measured_overhead
from benchmarks.slo.live.report import lines_of, summary_of
from benchmarks.slo.live.running import Live, Taken
from covey.simulator.measured import Overhead

OUT = Path("runs/slo-live")
PIECES = ("chain", "collisions", "cascade", "stage")
MEASURED_S = 25.0
QUICK_S = 10.0
TRIES = 3
"""Times that a piece is run when the machine has stalled meanwhile."""

Row = dict[str, Any]


class Pieces:
    """Runs one after the other into a folder."""

    def __init__(self, folder: Path, measured_s: float) -> None:
        self.folder = folder
        self._measured_s = measured_s
        self._overheads: dict[tuple[str, int], Overhead] = {}

    async def run(self, piece: str, seed: int) -> Row:
        """A piece, live and simulated, with what the mesh takes at that time."""
        profile = await self._profile(piece)
        overhead = await self._overhead(piece, profile, seed)
        live = await self._live(piece, profile, seed)
        for _ in range(TRIES - 1):
            if live.is_spoilt:
                live = await self._live(piece, profile, seed)
        simulated = await asyncio.to_thread(self._simulated, piece, profile, seed, overhead)
        return {
            "piece": piece,
            "seed": seed,
            "live": [each._asdict() for each in live.parts],
            "simulated": [each._asdict() for each in simulated],
            "cpu": live.cpu,
            "others": live.others,
            "stall_s": live.stall_s,
            "failures": live.failures,
            "overhead": asdict(overhead),
        }

    async def _overhead(self, piece: str, profile: Path, seed: int) -> Overhead:
        """Measured once a seed, for the chain's pieces together."""
        kind = "collisions" if piece == "collisions" else "chain"
        if (kind, seed) not in self._overheads:
            folder = self.folder / f"overhead-{kind}-{seed}"
            is_chain = kind == "chain"
            measuring = measured_overhead(folder) if is_chain else collisions.measured_overhead(folder, profile)
            self._overheads[kind, seed] = await measuring
            print(f"# {kind}, seed {seed}: {self._overheads[kind, seed]}", flush=True)
        return self._overheads[kind, seed]

    async def _live(self, piece: str, profile: Path, seed: int) -> Live:
        logs = self.folder / f"{piece}-{seed}"
        if piece == "collisions":
            return await collisions.live(logs, collisions.course(self._measured_s), seed)
        course, kind = chain.course(piece, profile, self._measured_s)
        return await chain.live(logs, profile, course, seed, kind)

    def _simulated(self, piece: str, profile: Path, seed: int, overhead: Overhead) -> list[Taken]:
        if piece == "collisions":
            return collisions.simulated(profile, collisions.course(self._measured_s), seed, overhead)
        course, kind = chain.course(piece, profile, self._measured_s)
        return chain.simulated(profile, course, seed, kind, overhead)

    async def _profile(self, piece: str) -> Path:
        """What `covey profile` says, taken once for each kind of device."""
        name, profiled = ("collisions", collisions.profiled) if piece == "collisions" else ("chain", chain.profiled)
        path = self.folder / f"{name}.json"
        if not path.exists():
            print(f"# measuring the stages of {name}", flush=True)
            await profiled(path)
        return path


async def run_all(pieces: Pieces, wanted: list[tuple[str, int]], path: Path) -> None:
    """Run what is not there yet, seed by seed."""
    known = {(row["piece"], row["seed"]) for row in rows_in(path)}
    for piece, seed in wanted:
        if (piece, seed) in known:
            continue
        row = await pieces.run(piece, seed)
        append(path, row)
        print("\n".join(lines_of([row])), flush=True)


def rows_in(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, row: Row) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, and 10 s of each load")
    parser.add_argument("--only", nargs="+", choices=PIECES, default=list(PIECES))
    parser.add_argument("--seeds", default="", metavar="A-B", help="which (1-3; quick: 1-1)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"a folder for logs and live.jsonl ({OUT})")
    options = parser.parse_args()
    first, _, last = (options.seeds or ("1-1" if options.quick else "1-3")).partition("-")
    wanted = [(piece, seed) for seed in range(int(first), int(last or first) + 1) for piece in options.only]
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "live.jsonl"
    print(machine(), flush=True)
    pieces = Pieces(options.out.absolute(), QUICK_S if options.quick else MEASURED_S)
    asyncio.run(run_all(pieces, wanted, path))
    rows = rows_in(path)
    print("\n".join(["", "all that is there:", *lines_of(rows)]))
    print(json.dumps(summary_of(rows)))


if __name__ == "__main__":
    main()

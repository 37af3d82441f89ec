"""What does shared memory spare a worker that reads from the datastore of its host, and puts into it?

    python -m benchmarks.shared_memory [--objects 60] [--repeats 3]

A datastore as a process of its own, and a worker's client in this one. Every object is put twice, one put after the
other: over gRPC, and through this process's file; then it is read three times: over gRPC, through a file that is
written for this read, and through the file that is there. Prints for each size the latency of one put or get (median)
and the CPU time that both processes spent on it (mean); the last line is one JSON object, in which `ratio` is gRPC over
the first time through a file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from covey.beside import beside
from covey.clock import MonotonicClock
from covey.declaration import Declaration, PoolDeclaration
from covey.messages import Beat, LeaderJoined, View
from covey.model import KeyRead, Node, ObjectRef, Placement, Scope
from covey.services.datastore.app import make_datastore
from covey.services.datastore.servicer import services
from covey.services.datastore.settings import DatastoreSettings
from covey.services.datastore.sharing import SharedObjects
from covey.services.datastore.storage.memory import MemoryStorage
from covey.services.worker.settings import WorkerSettings
from covey.wire.datastore_client import DatastoreClient, NewPut
from covey.wire.endpoints import dial_datastore, dial_datastore_lead
from covey.wire.server import serve
from covey.wire.sharing import SharedFiles, SharedRing

KIB = 1024
SIZES = (16 * KIB, 64 * KIB, 150_000, 256 * KIB, KIB * KIB, 4 * KIB * KIB, 8 * KIB * KIB)
OBJECT_BYTES = 64 * KIB * KIB
"""The objects of one size, at most: what has been written for the first read is then still there for the second."""
WAYS = ("put_grpc", "put_file", "get_grpc", "get_file", "get_again")
NODE = "node"
SCOPE = Scope("default", "frames")
FRAMES = Declaration("frames", 1.0, (PoolDeclaration("frames", "/frames/{n:int}", keep_last=1),), ()).versioned()
CLOCK = MonotonicClock()


@dataclass(slots=True)
class Cost:
    """Seconds of single puts or gets, and of both processes' CPU."""

    latencies: list[float] = field(default_factory=list)
    cpu: float = 0.0


async def run_datastore(folder: Path) -> None:
    """Serve until stdin ends; says the address on stdout."""
    with SharedObjects(folder, DatastoreSettings("", NODE).shared_bytes_max) as sharing:
        shell = make_datastore(NODE, "", MemoryStorage(CLOCK), CLOCK, sharing=sharing)
        async with beside(shell.run()), serve(services(shell, CLOCK), grace_s=0.1) as address:
            print(address, flush=True)
            await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def led(address: str) -> AsyncIterator[Placement]:
    """The datastore has a view in which it is the only node."""
    placement = Placement(1, (Node(NODE, address),))
    async with dial_datastore_lead(address) as lead:
        lead.send(LeaderJoined(1, "benchmark"))
        lead.send(View(1, 1, placement, (("default", FRAMES),)))
        while not any(isinstance(message, Beat) and message.view == 1 for message in await lead.receive()):
            pass
        yield placement


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, to 10 ms: fields 14 and 15 of /proc/<pid>/stat, in ticks."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / 100


async def put(client: DatastoreClient, key: str, payload: bytes, local: str) -> None:
    new = NewPut(NODE, ObjectRef("frames", key, key, size=len(payload)), payload, b"")
    (stored,) = await client.put_all(SCOPE, (new,), CLOCK.now() + 10, local)
    assert isinstance(stored, ObjectRef), stored


async def get(client: DatastoreClient, key: str, payload: bytes, local: str) -> None:
    fetched = await client.get(SCOPE, (KeyRead("frames", key, key, 0, NODE, False),), CLOCK.now() + 10, local)
    assert len(fetched.answers[0].objects[0].payload or b"") == len(payload)


async def measure(address: str, pid: int, folder: Path, objects: int, repeats: int) -> dict[int, dict[str, Cost]]:
    """Every size in every repeat; the ways of one size follow each other, on the same objects."""
    costs = {size: {way: Cost() for way in WAYS} for size in SIZES}
    with SharedFiles(folder) as shared, SharedRing(folder, WorkerSettings("", "").shared_bytes_max) as ring:
        async with (
            led(address) as placement,
            DatastoreClient(dial_datastore, CLOCK, shared=shared, ring=ring) as client,
        ):
            client.set_nodes(placement)
            for repeat in range(-1, repeats):  # the first one warms up, and takes the memory
                for size in SIZES:
                    payload = bytes([repeat + 1]) * size
                    for way in WAYS:
                        cost = costs[size][way] if repeat >= 0 else Cost()
                        began = time.process_time() + cpu_of(pid)
                        for number in range(max(4, min(objects, OBJECT_BYTES // size))):
                            at = CLOCK.now()
                            act = put if way.startswith("put") else get
                            await act(client, f"/frames/{number}", payload, "" if way.endswith("grpc") else NODE)
                            cost.latencies.append(CLOCK.now() - at)
                        cost.cpu += time.process_time() + cpu_of(pid) - began
    return costs


def report(costs: dict[int, dict[str, Cost]]) -> None:
    latency: dict[int, dict[str, float]] = {}
    cpu: dict[int, dict[str, float]] = {}
    ratio = {}
    print("    bytes" + "".join([f" {way:>9}" for way in ("ms:", *WAYS, "CPU ms:", *WAYS)]))
    for size, ways in costs.items():
        mine = latency[size] = {way: statistics.median(cost.latencies) * 1e3 for way, cost in ways.items()}
        used = cpu[size] = {way: cost.cpu / len(cost.latencies) * 1e3 for way, cost in ways.items()}
        ratio[size] = {
            what: {name: of[f"{what}_grpc"] / of[f"{what}_file"] for name, of in (("latency", mine), ("cpu", used))}
            for what in ("put", "get")
        }
        columns = [[" " * 10, *[f" {value[way]:9.3f}" for way in WAYS]] for value in (mine, used)]
        print(f"{size:9d}" + "".join(columns[0] + columns[1]))
    print(json.dumps({"latency_ms": latency, "cpu_ms": cpu, "ratio": ratio}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=60, help="objects of a size, at most")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(run_datastore(options.serve))
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        command = [sys.executable, "-m", "benchmarks.shared_memory", "--serve", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as served:
            assert served.stdout is not None
            address = served.stdout.readline().strip()
            report(asyncio.run(measure(address, served.pid, Path(folder), options.objects, options.repeats)))


if __name__ == "__main__":
    main()

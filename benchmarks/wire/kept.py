"""Is a service's event loop ever kept from its work?

    python -m benchmarks.wire.kept [--seconds 10]

Every service watches its own loop (COVEY_DEBUG=1, see `covey.watchdog`) and logs what kept it for more than 10 ms, the
time in which the kernel ran others taken off; here those lines are counted, under requests of 150 KB through `Send`,
64 at a time. What remains may still be the machine's doing: a hypervisor tells nobody when it runs another guest.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.wire.client import client_process
from benchmarks.wire.load import Load
from benchmarks.wire.mesh import APART, SETTINGS, mesh, subjects
from benchmarks.wire.subject import LARGE
from covey.runtime import run

IN_FLIGHT = 64
KEPT = re.compile(r"the event loop was kept for (\d+) ms")
NAME = "kept"


class Kept(NamedTuple):
    """How often a loop was kept for more than 10 ms, and the longest of it in ms."""

    times: int
    longest_ms: int


async def measure(seconds: float, folder: Path) -> dict[str, Kept]:
    """By service; what its start keeps it from is not counted."""
    (subject,) = [each for each in subjects() if each.id == f"{APART}-send/{LARGE.name}"]
    app = subject.servers.name.partition(" ")[2]
    async with mesh(app, folder, together=False, settings={**SETTINGS, "COVEY_DEBUG": "1"}) as running:
        before = {log: len(log.read_text()) for log in sorted(folder.glob("*.log"))}
        async with client_process(subject, running.address) as client:
            figures = await client.play(Load(IN_FLIGHT, 0.0, seconds), running.pids)
        logs = {log.stem.removesuffix("-1"): log.read_text()[size:] for log, size in before.items()}
    print(f"{figures.answered} requests of {LARGE.request_bytes:,} B in {seconds:g} s, {figures.rate:.0f}/s")
    return {service: kept_in(text) for service, text in logs.items() if service != "valkey"}


def kept_in(log: str) -> Kept:
    """What a service's log says of its loop."""
    found = [int(ms) for ms in KEPT.findall(log)]
    return Kept(len(found), max(found, default=0))


async def tell(seconds: float) -> dict[str, Kept]:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="covey-kept-") as folder:
        found = await measure(seconds, Path(folder))
    for service, kept in found.items():
        print(f"{service:10} kept for more than 10 ms {kept.times} times, at most {kept.longest_ms} ms", flush=True)
    return found


def main() -> None:
    """Measure by itself; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()

    async def measured() -> None:
        found = await tell(options.seconds)
        print(json.dumps({service: kept._asdict() for service, kept in found.items()}))

    sys.exit(run(measured, log_level="WARNING"))


if __name__ == "__main__":
    main()

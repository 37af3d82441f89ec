"""The client's process.

    python -m benchmarks.wire.client SUBJECT ADDRESS

Reads loads as lines of JSON, runs each, and answers with its figures as a line of JSON. `ClientProcess` is the other
end.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from benchmarks.processes import usage, with_descendants
from benchmarks.wire.load import Figures, Load, play
from benchmarks.wire.plan import subjects
from benchmarks.wire.subject import WORKLOADS, Subject
from covey.errors import Unavailable
from covey.runtime import run
from covey.tether import tethered

CLIENT = "client"


class ClientProcess:
    """A client, as whoever runs the benchmark sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def play(self, load: Load, pids: Mapping[str, int]) -> Figures:
        """One run; the processes are those of the servers, by role."""
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        self._process.stdin.write(json.dumps({"load": load._asdict(), "pids": dict(pids)}).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise Unavailable(f"the client has ended with {await self._process.wait()}")
        return Figures(**json.loads(line))


@asynccontextmanager
async def client_process(subject: Subject, address: str) -> AsyncIterator[ClientProcess]:
    """A client of its own for as long as the body runs."""
    command = tethered([sys.executable, "-m", "benchmarks.wire.client", subject.id, address])
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield ClientProcess(process)
    finally:
        assert process.stdin is not None, "it is a pipe"
        process.stdin.close()
        await process.wait()


async def serve(subject: Subject, address: str) -> None:
    """Run what is asked for until the input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    payload = WORKLOADS[subject.workload].payload()
    async with subject.connect(address) as call:
        while line := await lines.readline():
            asked: dict[str, Any] = json.loads(line)
            used = functools.partial(usage, with_descendants({**asked["pids"], CLIENT: os.getpid()}))
            print(json.dumps(asdict(await play(call, payload, Load(**asked["load"]), used))), flush=True)


def main() -> None:
    """Run a client of the subject that the command line names."""
    name, address = sys.argv[1:]
    subject = next(subject for subject in subjects() if subject.id == name)
    sys.exit(run(lambda: serve(subject, address), log_level="WARNING"))


if __name__ == "__main__":
    main()

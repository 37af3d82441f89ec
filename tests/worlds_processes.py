"""Small worlds of processes: start them as a user would, and find whatever they left behind."""

import asyncio
import contextlib
import re
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from covey.settings import environment_with
from covey.tether import tethered

ROOT = Path(__file__).parents[1]
PYTHON = Path(sys.executable)
COVEY = PYTHON.parent / "covey"
MARK = "COVEY_TEST_MARK"
START_S_MAX = 45.0


def processes_with(mark: str) -> dict[int, str]:
    """The command lines, by process id, of whatever inherited `mark`. What has ended and waits to be reaped is not."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return found


def children_of(parent: int) -> dict[int, str]:
    """The command lines, by process id, of a process's children: a Valkey server writes over its environment."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


async def all_gone(mark: str, within_s: float) -> bool:
    """Whether no process has the mark any more, within that many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while True:
                if not processes_with(mark):
                    return True
                await asyncio.sleep(0.02)
    return False


@dataclass(frozen=True, slots=True)
class Up:
    """A running `covey up`."""

    process: asyncio.subprocess.Process
    address: str
    mark: str


@asynccontextmanager
async def covey_up(
    app: str, folder: Path, *options: str, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Up]:
    """`covey up` from a shell in `folder`, once it says that the gateway listens. The test ends it; this sees to it."""
    mark = secrets.token_hex(8)
    settings = {MARK: mark, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment = environment_with({**settings, **(variables or {})})
    process = await asyncio.create_subprocess_exec(
        *tethered([str(COVEY), "up", app, "--port", "0", *options]),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(START_S_MAX):
            address = await _address(process)
        yield Up(process, address, mark)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    said = []
    async for line in process.stdout:
        said.append(line.decode())
        found = re.search(r"gateway listens at (\S+);", said[-1])
        if found is not None:
            return found[1]
    raise AssertionError(f"covey up ended: {''.join(said)}")

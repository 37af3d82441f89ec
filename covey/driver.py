"""Runs a core under asyncio: the live half of "one world, two clocks".

The simulator runs the same cores under a heap of timed events. A driver feeds a core everything that has happened,
once, then performs what it commands. A command that awaits something returns the one stimulus that it caused, which
comes back through the inbox; there are no callbacks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from covey.clock import Clock

INBOX_MAX = 20_000

Stimulus = TypeVar("Stimulus", contravariant=True)
Command = TypeVar("Command", covariant=True)
S = TypeVar("S")
C = TypeVar("C")


class Core(Protocol[Stimulus, Command]):
    """Decisions without IO; the contract stands in ARCHITECTURE.md."""

    @property
    def wake_at(self) -> float | None:
        """When to be called if nothing happens."""

    def handle(self, stimuli: Sequence[Stimulus], now: float) -> Sequence[Command]:
        """Take all that has happened since, decide once."""


class Driver(Generic[S, C]):
    """Owns a core, its bounded inbox and the tasks that its commands start."""

    def __init__(
        self,
        core: Core[S, C],
        perform: Callable[[C], Awaitable[S | None] | None],
        clock: Clock,
        inbox_max: int = INBOX_MAX,
    ) -> None:
        """`perform` carries out a command: at once (returning None), or as an awaitable whose result is a stimulus."""
        self._core = core
        self._perform = perform
        self._clock = clock
        self._inbox: deque[S] = deque()
        self._inbox_max = inbox_max
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def post(self, *stimuli: S) -> None:
        """Hand in what happened, from inside the process: results of commands, closed links."""
        self._inbox.extend(stimuli)
        self._arrived.set()
        if len(self._inbox) >= self._inbox_max:
            self._room.clear()

    async def accept(self, *stimuli: S) -> None:
        """Hand in what came from outside; waits while the inbox is full, so that its link is read no further."""
        await self._room.wait()
        self.post(*stimuli)

    async def run(self) -> None:
        """Drive the core until cancelled. An exception of the core is our bug and ends the run."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wait()
                stimuli = list(self._inbox)
                self._inbox.clear()
                self._arrived.clear()
                self._room.set()
                for command in self._core.handle(stimuli, self._clock.now()):
                    awaited = self._perform(command)
                    if awaited is not None:
                        group.create_task(self._feed_back(awaited))

    async def _wait(self) -> None:
        if self._inbox:
            await asyncio.sleep(0)  # let links deliver what is there, so that the core decides once for all of it
            return
        wake_at = self._core.wake_at
        if wake_at is None:
            await self._arrived.wait()
            return
        delay = wake_at - self._clock.now()
        if delay <= 0:
            return
        alarm = asyncio.get_running_loop().call_later(delay, self._arrived.set)
        try:
            await self._arrived.wait()
        finally:
            alarm.cancel()

    async def _feed_back(self, awaited: Awaitable[S | None]) -> None:
        stimulus = await awaited
        if stimulus is not None:
            self.post(stimulus)

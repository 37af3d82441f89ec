"""Runs a core under asyncio: the live half of "one world, two clocks".

The simulator runs the same cores under a heap of timed events. A driver feeds a core everything that has happened,
once, then performs what it commands. A command that awaits something returns the one stimulus that it caused, which
comes back through the inbox; there are no callbacks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
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
    """Owns a core, its bounded inbox and the tasks that its commands start.

    A step is a callback of the loop and no task: most of what a core is told takes less time than to wake one.
    """

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
        self._room = asyncio.Event()
        self._room.set()
        self._running: _Running | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0

    def post(self, *stimuli: S) -> None:
        """Hand in what happened, from inside the process: results of commands, closed links."""
        self._inbox.extend(stimuli)
        self._step_soon()
        if len(self._inbox) >= self._inbox_max:
            self._room.clear()

    async def accept(self, *stimuli: S) -> None:
        """Hand in what came from outside; waits while the inbox is full, so that its link is read no further."""
        await self._room.wait()
        self.post(*stimuli)

    async def run(self) -> None:
        """Drive the core until cancelled. An exception of the core is our bug and ends the run."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            self._running = _Running(loop, group, loop.create_future())
            if self._inbox:
                self._step_soon()
            else:
                self._set_alarm()
            try:
                await self._running.failed
            finally:
                self._running = None
                if self._alarm is not None:
                    self._alarm.cancel()

    def _step_soon(self) -> None:
        """Step when links have delivered what is there, so that the core decides once for all of it."""
        running = self._running
        if running is not None and not running.step_is_due:
            running.step_is_due = True
            running.loop.call_soon(self._step)

    def _step(self) -> None:
        running = self._running
        if running is None:
            return
        running.step_is_due = False
        stimuli = list(self._inbox)
        self._inbox.clear()
        self._room.set()
        try:
            for command in self._core.handle(stimuli, self._clock.now()):
                awaited = self._perform(command)
                if awaited is not None:
                    running.group.create_task(self._feed_back(awaited))
            self._set_alarm()
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            if not running.failed.done():
                running.failed.set_exception(error)

    def _set_alarm(self) -> None:
        """Wake up when the core wants to; an alarm that rings too early sets the next."""
        running, wake_at = self._running, self._core.wake_at
        if running is None or wake_at is None:
            return
        if self._alarm is not None:
            if self._alarm_at <= wake_at:
                return
            self._alarm.cancel()
        self._alarm = running.loop.call_later(max(0.0, wake_at - self._clock.now()), self._ring)
        self._alarm_at = wake_at

    def _ring(self) -> None:
        self._alarm = None
        wake_at = self._core.wake_at
        if wake_at is not None and wake_at <= self._clock.now():
            self._step_soon()
        else:
            self._set_alarm()

    async def _feed_back(self, awaited: Awaitable[S | None]) -> None:
        stimulus = await awaited
        if stimulus is not None:
            self.post(stimulus)


@dataclass(slots=True)
class _Running:
    """What a driver has while it runs."""

    loop: asyncio.AbstractEventLoop
    group: asyncio.TaskGroup
    failed: asyncio.Future[None]
    step_is_due: bool = False

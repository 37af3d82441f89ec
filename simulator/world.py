"""Virtual time: a heap of timed events, and processes that live by it.

The other half of "one world, two clocks": `covey.driver` runs a core under asyncio, a `Process` runs the same core
here. Ties are broken by a counter and chance comes from the seed alone, so a seed and a commit repeat a run.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from covey.driver import Core
from covey.simulator.network import End

STEP_S = 20e-6
"""What one call of `handle` takes its process: what arrives meanwhile is handled together, as in production."""

S = TypeVar("S")
C = TypeVar("C")
Stimulus = TypeVar("Stimulus", contravariant=True)
Command = TypeVar("Command", contravariant=True)


class World:
    """The time, and what is to happen. `is_traced`: it keeps a hash of all that has happened."""

    def __init__(self, seed: int, is_traced: bool = True) -> None:
        self.seed = seed
        self.is_traced = is_traced
        self.now = 0.0
        self.happened = 0
        self.births = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._at_once: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        """What is to happen at this very instant, after what the heap has for it: that was planned before."""
        self._count = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def random(self, name: str) -> random.Random:
        """A stream of chance of one's own, so that a new use of chance does not change the others."""
        return random.Random(f"{self.seed}/{name}")

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Have `act(*args)` happen at the instant `when`, after what was planned for the same instant before."""
        if when > self.now:
            self._count += 1
            heapq.heappush(self._heap, (when, self._count, act, args))
        else:
            self._at_once.append((act, args))

    def after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        self.at(self.now + delay_s, act, *args)

    def run(self, until: float, is_done: Callable[[], bool] | None = None) -> bool:
        """Let time pass up to `until`, or until `is_done`; whether it came to be done."""
        heap, at_once = self._heap, self._at_once
        while True:
            if at_once and not (heap and heap[0][0] <= self.now):
                act, args = at_once.popleft()
            elif heap and heap[0][0] <= until:
                self.now, _, act, args = heapq.heappop(heap)
            else:
                break
            self.happened += 1
            act(*args)
            if is_done is not None and is_done():
                return True
        self.now = max(self.now, until)
        return is_done is not None and is_done()

    def note(self, text: str) -> None:
        """Add to the trace, which is kept as a hash."""
        self._digest.update(f"{self.now!r} {text}\n".encode())

    @property
    def trace(self) -> str:
        return self._digest.hexdigest()


class Observer(Protocol[Stimulus, Command]):
    """Who watches a process from outside."""

    def stepped(self, process: Any, stimuli: Sequence[Stimulus], commands: Sequence[Command]) -> None: ...


class Process(Generic[S, C]):
    """One life of a service: a core, its inbox and its links. A restart is another process of the same name."""

    def __init__(self, world: World, name: str, host: str, core: Core[S, C], observer: Observer[S, C]) -> None:
        self.world = world
        self.name = name
        self.host = host
        self.core = core
        world.births += 1
        self.birth = world.births
        self.alive = True
        self.paused_until = 0.0
        self.paused_s = 0.0
        self.links: dict[int, End] = {}
        self.unsent: list[End] = []
        self._observer = observer
        self._inbox: list[S] = []
        self._step_is_due = False
        self._free_at = 0.0
        self._wake_at: float | None = None
        self._last_link = 0

    # --- what a service adds -----------------------------------------------------------------------------------------

    def perform(self, command: C) -> None:
        """Carry out a command."""
        raise NotImplementedError

    def accepted(self, end: End) -> None:
        """Somebody has dialled."""

    def heard(self, end: End, messages: Sequence[Any]) -> None:
        """Messages have come over a link."""
        raise NotImplementedError

    def ended(self, end: End) -> None:
        """A link is gone."""
        raise NotImplementedError

    # --- life --------------------------------------------------------------------------------------------------------

    def post(self, *stimuli: S) -> None:
        """Hand in what happened; the core is stepped as soon as it is free."""
        if not self.alive:
            return
        self._inbox.extend(stimuli)
        if not self._step_is_due:
            self._step_is_due = True
            self.world.at(max(self._free_at, self.paused_until), self._step)

    def pause(self, seconds: float) -> None:
        """Stop the process (SIGSTOP, a long collection of garbage); what is sent to it waits."""
        until = self.world.now + seconds
        if until > self.paused_until:
            self.paused_s += until - max(self.paused_until, self.world.now)
            self.paused_until = until

    def add_link(self, end: End) -> int:
        self._last_link += 1
        self.links[self._last_link] = end
        return self._last_link

    def _step(self) -> None:
        if not self.alive:
            return
        world, core = self.world, self.core
        now = world.now
        if now < self.paused_until:
            world.at(self.paused_until, self._step)
            return
        self._step_is_due = False
        stimuli, self._inbox = self._inbox, []
        commands = core.handle(stimuli, now)
        if commands and world.is_traced:
            world.note(f"{self.name} {' '.join([_words(command) for command in commands])}")
        self._observer.stepped(self, stimuli, commands)
        for command in commands:
            self.perform(command)
        if self.unsent:
            self.flush()
        self._free_at = now + STEP_S
        wake_at = core.wake_at
        if wake_at is not None and (self._wake_at is None or wake_at < self._wake_at):
            self._wake_at = max(wake_at, self._free_at)
            world.at(self._wake_at, self._wake, self._wake_at)

    def _wake(self, wake_at: float) -> None:
        if self._wake_at != wake_at:
            return
        self._wake_at = None
        if not self._step_is_due and self.alive:
            self._step_is_due = True
            self._step()

    def flush(self) -> None:
        """Put on the network what was said since: one packet a link."""
        unsent, self.unsent = self.unsent, []
        for end in unsent:
            end.flush()


def _words(command: object) -> str:
    """A command in the trace: its type, what it sends, and the number that names it."""
    message = getattr(command, "message", command)
    number = getattr(message, "number", getattr(message, "request", ""))
    return f"{type(command).__name__}:{type(message).__name__}:{number}"

"""When does Python's cyclic collector run? Often, and on what is young.

Reference counting frees nearly all that our services make. What it can't free are cycles, and hardly any of these grow
old: gRPC leaves one behind with every unary call it serves, an exception may be in one with its traceback. Left alone,
the collector looks at everything that is alive sooner or later, and stops the process for as long as that takes: 0.1 s
and more with a million groups. Its thresholds don't help, for they count allocations less deallocations: what is new
grows without bound while as much that is old goes.

So it is switched off, and a task looks at what is new several times a second, every other second at what was new since
the last such look, and once a minute at what was then; each comes sooner where it would take long. What survives all
three is frozen if there is much of it, and not looked at again: cycles that come undone after that stay, where a
process holds a great deal, and nowhere else.
"""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass

from covey.clock import Clock

PAUSE_S_MAX = 0.010
"""What a pass may take."""
EVERY_S_MIN = 0.005
"""No pass is planned for sooner; one that would take long comes when it would."""


@dataclass(slots=True)
class Pass:
    """A look at one generation and those below it."""

    generation: int
    every_s_max: float
    """How often it comes at least."""
    every_s: float = 0.0
    """How often it comes now: the more often, the longer it took."""
    due_at: float = 0.0
    ahead_s: float = 0.0
    """How long it will take at most: as long as those have taken that left it what it looks at."""

    def is_due(self, now: float) -> bool:
        return now >= self.due_at or self.ahead_s > PAUSE_S_MAX / 4

    def took(self, seconds: float, now: float) -> None:
        """Plan the next one."""
        if seconds > PAUSE_S_MAX / 4:
            self.every_s = max(self.every_s / 2, EVERY_S_MIN)
        elif seconds < PAUSE_S_MAX / 8:
            self.every_s = min(max(2 * self.every_s, EVERY_S_MIN), self.every_s_max)
        self.due_at = now + self.every_s
        self.ahead_s = 0.0


class Collector:
    """Runs the cyclic collector of this process; `run` it in a task."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._young = Pass(0, 0.1)
        self._recent = Pass(1, 2.0)
        self._old = Pass(2, 60.0)

    def begin(self) -> None:
        """Take over: from now on nothing is collected but by `turn`. What was imported is never looked at again."""
        gc.disable()
        gc.collect()
        gc.freeze()
        for each in (self._young, self._recent, self._old):
            each.took(0.0, self._clock.now())

    async def run(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._young.due_at - self._clock.now()))
            self.turn()

    def turn(self) -> None:
        """Make the pass that is due, if any is."""
        now = self._clock.now()
        if self._old.is_due(now):
            if self._look(now, self._old) > PAUSE_S_MAX / 4:
                gc.freeze()
            self._recent.ahead_s = 0.0
        elif self._recent.is_due(now):
            self._old.ahead_s += self._look(now, self._recent)
        elif self._young.is_due(now):
            self._recent.ahead_s += self._look(now, self._young)

    def _look(self, now: float, each: Pass) -> float:
        """Collect; the seconds that it took."""
        gc.collect(each.generation)
        seconds = self._clock.now() - now
        each.took(seconds, now)
        return seconds

"""Who keeps the event loop from its work? For debugging: a thread that looks over its shoulder.

While a callback runs nothing else of the process does: no heartbeat, no other client. With COVEY_DEBUG=1 every process
reports what kept its loop for more than 10 ms, with the stack that it was found in. Time in which the kernel ran others
is not the process's own doing, and is taken off where the kernel tells.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

from covey.clock import Clock

log = logging.getLogger(__name__)

KEPT_S_MAX = 0.010
TICK_S = 0.005
FRAMES = 12
"""Of the stack, the innermost."""


@asynccontextmanager
async def watched(clock: Clock, report: Callable[[float, str], None] | None = None) -> AsyncIterator[None]:
    """Watch this loop while the body runs. `report` takes the seconds and the stack; without it, the log does."""
    watchdog = _Watchdog(clock, report or _log)
    thread = threading.Thread(target=watchdog.look, name="watchdog", daemon=True)
    watchdog.tick()
    thread.start()
    try:
        yield
    finally:
        watchdog.end()
        await asyncio.to_thread(thread.join)


class _Watchdog:
    """The loop ticks; the thread looks at it when a tick is late."""

    def __init__(self, clock: Clock, report: Callable[[float, str], None]) -> None:
        self._clock = clock
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._waits = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._over = threading.Event()
        self._due_at = clock.now()
        self._waited_s = self._others_s()
        self._seen = ""
        self._handle: asyncio.TimerHandle | None = None

    def tick(self) -> None:
        """In the loop: judge how late this is, and set the next."""
        now, waited_s = self._clock.now(), self._others_s()
        kept_s = now - self._due_at - (waited_s - self._waited_s)
        if kept_s > KEPT_S_MAX:
            self._report(kept_s, self._seen or "  (its stack was not seen: it did not let go of the interpreter)\n")
        self._seen = ""
        self._waited_s = waited_s
        self._due_at = now + TICK_S
        self._handle = self._loop.call_later(TICK_S, self.tick)

    def look(self) -> None:
        """In the thread: note what the loop is at when it should have ticked."""
        while not self._over.wait(TICK_S):
            if not self._seen and self._clock.now() - self._due_at > KEPT_S_MAX / 2:
                frame: FrameType | None = sys._current_frames().get(self._watched)
                self._seen = "".join(traceback.format_stack(frame)[-FRAMES:])

    def end(self) -> None:
        self._over.set()
        if self._handle is not None:
            self._handle.cancel()

    def _others_s(self) -> float:
        """How long the loop's thread was ready to run, and others ran; 0 where the kernel does not tell."""
        return int(self._waits.read_text().split()[1]) / 1e9 if self._waits.exists() else 0.0


def _log(kept_s: float, stack: str) -> None:
    log.warning("the event loop was kept for %.0f ms:\n%s", 1e3 * kept_s, stack)

"""When to wait for company before a message is written. Pure.

"Send what is pending" coalesces badly, since independent arrivals hardly ever coincide; holding always costs latency
when idle. So: hold for 1 ms while more than 3,500 items a second arrived in the last window of 10 ms and fewer than
16 are queued. A rate that is estimated from single gaps holds when idle too; counting over windows does not.
"""

from __future__ import annotations

WINDOW_S = 0.010
RATE_MIN = 3_500.0
QUEUED_MAX = 16
HOLD_S = 0.001


class Linger:
    """Counts arrivals over windows and says how long to hold."""

    def __init__(self, window_s: float = WINDOW_S, rate_min: float = RATE_MIN, queued_max: int = QUEUED_MAX) -> None:
        self._window_s = window_s
        self._busy = rate_min * window_s
        self._queued_max = queued_max
        self._window_ends = 0.0
        self._count = 0
        self._last_count = 0

    def arrived(self, now: float) -> None:
        """One item was queued."""
        self._turn(now)
        self._count += 1

    def hold_s(self, queued: int, now: float) -> float:
        """How long to wait before writing what is queued; 0 when it should go at once."""
        if queued >= self._queued_max:
            return 0.0
        self._turn(now)
        return HOLD_S if self._last_count > self._busy else 0.0

    def _turn(self, now: float) -> None:
        """Begin a new window if the last one is over."""
        if now < self._window_ends:
            return
        # After a whole window without arrivals the last window is an empty one.
        self._last_count = self._count if now < self._window_ends + self._window_s else 0
        self._count = 0
        self._window_ends = now + self._window_s

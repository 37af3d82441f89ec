"""When to wait for company before a message is written. Pure.

"Send what is pending" coalesces badly, since independent arrivals hardly ever coincide; holding always costs latency
when idle. So: hold for 1 ms while more than 3,500 items a second arrived in the last window of 10 ms and fewer than
16 are queued. A rate that is estimated from single gaps holds when idle too; counting over windows does not.

That rate is never reached where each message costs too much: it is not its bytes, but waking one process after the
other, each of which finds its code and data gone from the caches. How busy a link is shows in how many items are under
way without an answer, if somebody counts them. With three or more, messages keep a distance of 4 ms to each other: what
comes after a pause goes at once, and what comes in a stream shares a message with those that come within the distance.
Only the first link on an event's way does so: further on it stays in the company that it came with.
"""

from __future__ import annotations

WINDOW_S = 0.010
RATE_MIN = 3_500.0
QUEUED_MAX = 16
HOLD_S = 0.001
CROWD = 3
"""Items under way from which messages keep their distance."""
DISTANCE_S = 0.004


class Linger:
    """Counts arrivals over windows and says how long to hold."""

    def __init__(self) -> None:
        self._window_ends = 0.0
        self._count = 0
        self._last_count = 0
        self._under_way = 0
        self._wrote_at = 0.0

    def arrived(self, now: float, under_way: int = 0) -> None:
        """One item was queued; of its kind so many have no answer yet, if anybody counts them."""
        self._turn(now)
        self._count += 1
        self._under_way = under_way

    def hold_s(self, queued: int, now: float) -> float:
        """How long to wait before writing what is queued; 0 when it should go at once."""
        if queued >= QUEUED_MAX:
            return 0.0
        self._turn(now)
        hold_s = HOLD_S if self._last_count > RATE_MIN * WINDOW_S else 0.0
        return max(hold_s, self._wrote_at + DISTANCE_S - now) if self._under_way >= CROWD else hold_s

    def wrote(self, now: float) -> None:
        """A message goes."""
        self._wrote_at = now

    def _turn(self, now: float) -> None:
        """Begin a new window if the last one is over."""
        if now < self._window_ends:
            return
        # After a whole window without arrivals the last window is an empty one.
        self._last_count = self._count if now < self._window_ends + WINDOW_S else 0
        self._count = 0
        self._window_ends = now + WINDOW_S

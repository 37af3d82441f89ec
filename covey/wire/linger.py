"""When to wait for company before a message is written. Pure.

"Send what is pending" coalesces badly, since independent arrivals hardly ever coincide; holding always costs latency
when idle. So: hold for 1 ms while more than 3,500 items a second arrived in the last window of 10 ms and fewer than
16 are queued. A rate that is estimated from single gaps holds when idle too; counting over windows does not.

Where senders wait for their answers, writing each item at once saturates the CPU before that rate is ever reached, and
what comes within 1 ms is no company. It shows in how many are under way. From 24 on, a message waits for up to a tenth
of the time that an item takes, which is how many are under way by their rate (Little's law): so a tenth of them share
one message, and what that costs is bounded by what there is to gain.
"""

from __future__ import annotations

WINDOW_S = 0.010
RATE_MIN = 3_500.0
QUEUED_MAX = 16
CROWD = 24
"""Items under way from which holding pays at any rate."""
SHARE = 0.1
"""Of the time that an item takes, for which a message may then wait."""
HOLD_S_MAX = 0.005
HOLD_S = 0.001


class Linger:
    """Counts arrivals over windows and says how long to hold."""

    def __init__(self, window_s: float = WINDOW_S, rate_min: float = RATE_MIN, queued_max: int = QUEUED_MAX) -> None:
        self._window_s = window_s
        self._busy = rate_min * window_s
        self._under_way = 0
        self._queued_max = queued_max
        self._window_ends = 0.0
        self._count = 0
        self._last_count = 0

    def arrived(self, now: float, under_way: int = 0) -> None:
        """One item was queued; of its kind so many have no answer yet, if anybody counts them."""
        self._turn(now)
        self._count += 1
        self._under_way = under_way

    def hold_s(self, queued: int, now: float) -> float:
        """How long to wait before writing what is queued; 0 when it should go at once."""
        if queued >= self._queued_max:
            return 0.0
        self._turn(now)
        least_s = HOLD_S if self._last_count > self._busy else 0.0
        if self._under_way < CROWD or not self._last_count:
            return least_s
        takes_s = self._under_way * self._window_s / self._last_count
        return max(least_s, min(SHARE * takes_s, HOLD_S_MAX))

    def _turn(self, now: float) -> None:
        """Begin a new window if the last one is over."""
        if now < self._window_ends:
            return
        # After a whole window without arrivals the last window is an empty one.
        self._last_count = self._count if now < self._window_ends + self._window_s else 0
        self._count = 0
        self._window_ends = now + self._window_s

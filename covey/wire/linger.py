"""When to wait for company before a message is written. Pure.

"Send what is pending" coalesces badly, since independent arrivals hardly ever coincide; holding always costs latency
when idle. So: hold for 1 ms while more than 3,500 items a second arrived in the last window of 10 ms and fewer than
32 are queued. A rate that is estimated from single gaps holds when idle too; counting over windows does not.

Where senders wait for their answers, writing each item at once saturates the CPU before that rate is ever reached, and
what comes within 1 ms is no company. It shows in how many are under way. From 4 on, a message waits for up to 40 % of
the time that an item takes, which is how many are under way by their rate (Little's law), and for 5 ms at most: so a
good part of them share one message, and what that costs is bounded by what there is to gain. Crowds come in waves, one
for each message that was answered, so that their rate shows over 100 ms and not over 10.
"""

from __future__ import annotations

WINDOW_S = 0.010
RATE_MIN = 3_500.0
QUEUED_MAX = 32
HOLD_S = 0.001
CROWD = 4
"""Items under way from which holding pays at any rate."""
CROWD_WINDOW_S = 0.100
SHARE = 0.4
"""Of the time that an item takes, for which a message may then wait."""
HOLD_S_MAX = 0.005


class Window:
    """Counts arrivals in one span of time after the other."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._ends = 0.0
        self._count = 0
        self._last_count = 0

    def arrived(self, now: float) -> None:
        self._turn(now)
        self._count += 1

    def rate(self, now: float) -> float:
        """Per second, in the last span that is over."""
        self._turn(now)
        return self._last_count / self._span_s

    def _turn(self, now: float) -> None:
        if now < self._ends:
            return
        # After a whole span without arrivals the last one is an empty one.
        self._last_count = self._count if now < self._ends + self._span_s else 0
        self._count = 0
        self._ends = now + self._span_s


class Linger:
    """Counts arrivals and says how long to hold."""

    def __init__(self) -> None:
        self._recent = Window(WINDOW_S)
        self._crowd = Window(CROWD_WINDOW_S)
        self._under_way = 0

    def arrived(self, now: float, under_way: int = 0) -> None:
        """One item was queued; of its kind so many have no answer yet, if anybody counts them."""
        self._recent.arrived(now)
        self._crowd.arrived(now)
        self._under_way = under_way

    def hold_s(self, queued: int, now: float) -> float:
        """How long to wait before writing what is queued; 0 when it should go at once."""
        if queued >= QUEUED_MAX:
            return 0.0
        least_s = HOLD_S if self._recent.rate(now) > RATE_MIN else 0.0
        if self._under_way < CROWD:
            return least_s
        rate = self._crowd.rate(now)
        takes_s = self._under_way / rate if rate else 0.0
        return max(least_s, min(SHARE * takes_s, HOLD_S_MAX))

"""The clock, and the only file that reads one. Everything that decides takes `now` as an argument."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that never go backwards; their zero means nothing."""

    def now(self) -> float: ...


class MonotonicClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()


def wall_time_ns() -> int:
    """Nanoseconds since 1970, for spans, file names and instants that a user names; never for a decision."""
    return time.time_ns()

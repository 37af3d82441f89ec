"""The highest rate that holds: double until one fails, then halve what lies between. Pure."""

from __future__ import annotations

import math

RATE_MIN = 10.0
TRIES = 2
"""A rate fails when it failed so often: one pause of a shared machine fails nobody."""


class Search:
    """Says which rate to try next, and ends when the highest that holds and the lowest that fails are close."""

    def __init__(self, start: float, resolution: float) -> None:
        """`resolution` 0.05: the two are at most 5 % apart."""
        self.rate: float | None = max(start, RATE_MIN)
        """To be tried next; None at the end."""
        self.best = 0.0
        """The highest that held; 0 as long as none has."""
        self._fails_at = math.inf
        self._resolution = resolution
        self._failures = 0

    def tell(self, held: bool) -> None:
        """What came of the rate that was tried."""
        assert self.rate is not None, "the search is over"
        if held:
            self.best, self._failures = self.rate, 0
        else:
            self._failures += 1
            if self._failures < TRIES:
                return
            self._fails_at, self._failures = self.rate, 0
        self.rate = self._next()

    def _next(self) -> float | None:
        if self._fails_at == math.inf:
            return self.best * 2
        if not self.best:
            return self._fails_at / 2 if self._fails_at / 2 >= RATE_MIN else None
        if self._fails_at <= self.best * (1 + self._resolution):
            return None
        return math.sqrt(self.best * self._fails_at)

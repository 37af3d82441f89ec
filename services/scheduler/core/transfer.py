"""When is a copy to or from a device done?

Copies of one direction never overlap, so each direction of each device is one server with a queue: a copy takes its
set-up and its bytes over the bandwidth, once those before it are done. Both are learned from copies that did not wait,
by least squares with forgetting, in seconds for a copy and seconds for a byte. Where LOW copies are cut in chunks, a
HIGH copy waits for one chunk at most, and what is queued of LOW waits for it instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FORGETTING = 0.98
SETUP_S = 20e-6
BYTE_S = 1 / 8e9
"""Before any copy was seen."""
TRUST = 5.0
"""Copies that this is worth."""


@dataclass(slots=True)
class CopyCost:
    """What a copy costs by its bytes: one for each kind of device, and for each direction."""

    setup_s: float = SETUP_S
    byte_s: float = BYTE_S
    _sums: list[float] = field(default_factory=lambda: [0.0] * 5)
    """Of 1, x, y, x², xy: forgotten bit by bit. x in MB, y in ms."""

    def __post_init__(self) -> None:
        for megabytes in (0.0, 4.0):
            self._add(megabytes, 1e3 * self.predict_s(int(megabytes * 1e6)), TRUST / 2)

    def predict_s(self, size: int) -> float:
        """Seconds, once it is its turn."""
        return self.setup_s + size * self.byte_s

    def learn(self, size: int, seconds: float) -> None:
        """A copy of so many bytes that did not wait."""
        self._sums = [FORGETTING * each for each in self._sums]
        self._add(size / 1e6, 1e3 * seconds, 1.0)
        ones, x, y, xx, xy = self._sums
        spread = ones * xx - x * x
        if spread > 1e-3 * xx * ones:
            slope = max((ones * xy - x * y) / spread, 0.0)
            self.byte_s = 1e-9 * slope
            self.setup_s = 1e-3 * max((y - slope * x) / ones, 0.0)
        else:  # all were of one size: which part is set-up can't be told, so both are scaled
            scale = y / (1e3 * self.setup_s * ones + 1e9 * self.byte_s * x)
            self.byte_s *= scale
            self.setup_s *= scale

    def _add(self, x: float, y: float, weight: float) -> None:
        for at, each in enumerate((1.0, x, y, x * x, x * y)):
            self._sums[at] += weight * each


@dataclass(slots=True)
class CopyQueue:
    """One direction of one device: until when it is taken by copies that HIGH ones wait for, and by all."""

    cost: CopyCost
    chunk_bytes: int = 0
    """What LOW copies are cut in; 0: they are not."""
    high_until: float = 0.0
    all_until: float = 0.0

    def starts_at(self, high: bool, ready_at: float) -> float:
        """When a copy that is ready then begins."""
        if not (high and self.chunk_bytes):
            return max(ready_at, self.all_until)
        begins = max(ready_at, self.high_until)
        if self.all_until > begins:
            begins += min(self.cost.predict_s(self.chunk_bytes) / 2, self.all_until - begins)
        return begins

    def ends_at(self, high: bool, size: int, ready_at: float) -> float:
        return self.starts_at(high, ready_at) + self.cost.predict_s(size)

    def add(self, high: bool, size: int, ready_at: float) -> float:
        """Queue a copy; when it will be done."""
        ends = self.ends_at(high, size, ready_at)
        if high:
            self.high_until = ends
            self.all_until = max(self.all_until, ready_at) + self.cost.predict_s(size)
        else:
            self.all_until = ends
        return ends

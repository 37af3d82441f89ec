"""How long will a batch take?

Per stage, the mean time from dispatch to report by batch size, in buckets of powers of two, each an exponentially
weighted mean. A size that was never seen borrows from the nearest bucket that was, scaled up by size when it is larger
(nobody gains from a promise that is too early) and as it is when smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from covey.services.scheduler.core.state import StageId

WEIGHT = 0.2
BUCKETS = 12


@dataclass(slots=True)
class Latency:
    """What was observed, in seconds."""

    means: dict[StageId, list[float | None]] = field(default_factory=dict)

    def observe(self, stage: StageId, size: int, seconds: float) -> None:
        buckets = self.means.setdefault(stage, [None] * BUCKETS)
        bucket = _bucket(size)
        mean = buckets[bucket]
        buckets[bucket] = seconds if mean is None else mean + WEIGHT * (seconds - mean)

    def predict(self, stage: StageId, size: int) -> float:
        """Seconds from dispatch to report; 0 for a stage that has never run: it has to be tried."""
        buckets = self.means.get(stage)
        if buckets is None:
            return 0.0
        wanted = _bucket(size)
        for distance in range(BUCKETS):
            below, above = wanted - distance, wanted + distance
            if below >= 0 and (mean := buckets[below]) is not None:
                return mean * 2.0**distance
            if above < BUCKETS and (mean := buckets[above]) is not None:
                return mean
        return 0.0


def _bucket(size: int) -> int:
    return min((size - 1).bit_length(), BUCKETS - 1) if size > 0 else 0

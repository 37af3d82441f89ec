"""What a worker says of its memory, every second.

There are three ways for a read to be answered from it, the values of `covey.cache`: `resident` are exact versions,
`prefetch` is what was read ahead for an event, and `checked` is what another node confirmed to be still the same (only
its payload was spared; `COVEY_CACHE_READS`).
"""

from __future__ import annotations

import asyncio

from covey.services.worker.core.state import WorkerState
from covey.telemetry import Attribute, Metric, Telemetry

MEASURE_EVERY_S = 1.0


async def measure(state: WorkerState, telemetry: Telemetry, worker: str) -> None:
    """Report hits, misses, bytes and what had to go, until cancelled."""
    said: dict[tuple[Metric, str], int] = {}
    while True:
        for cache, counted in counts(state).items():
            attributes = {Attribute.WORKER.value: worker, Attribute.CACHE.value: cache}
            for metric, total in counted.items():
                telemetry.measure(metric, total - said.get((metric, cache), 0), attributes)
                said[metric, cache] = total
        for cache, held in (("resident", state.residency.bytes), ("prefetch", state.prefetches.bytes)):
            attributes = {Attribute.WORKER.value: worker, Attribute.CACHE.value: cache}
            telemetry.measure(Metric.CACHE_BYTES, held, attributes)
        await asyncio.sleep(MEASURE_EVERY_S)


def counts(state: WorkerState) -> dict[str, dict[Metric, int]]:
    """What has happened in all, by cache. What was checked lies among the residents, and leaves with them."""
    counters = state.counters
    return {
        "resident": {
            Metric.CACHE_HITS: counters.resident_hits,
            Metric.CACHE_MISSES: counters.resident_misses,
            Metric.CACHE_EVICTED: state.residency.evicted,
        },
        "prefetch": {
            Metric.CACHE_HITS: counters.prefetch_hits,
            Metric.CACHE_MISSES: counters.prefetch_misses,
            Metric.CACHE_EVICTED: state.prefetches.unused,
        },
        "checked": {Metric.CACHE_HITS: counters.cache_hits, Metric.CACHE_MISSES: counters.cache_misses},
    }

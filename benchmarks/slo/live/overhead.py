"""What the mesh itself takes, from identities that have it to themselves."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from benchmarks.slo.live.pipelines import PAYLOAD
from benchmarks.slo.live.running import Event, cluster_of, one_at_a_time
from covey.simulator.measured import Overhead

WARM, EVENTS = 40, 200
PAUSE_S = 0.03
"""Between an answer and the next event: as at some 25 events a second, when processes have gone to sleep."""
HOPS_MORE = 4
"""Two more stages: to the worker and back, twice."""
HOPS_ONE = 4
"""Gateway, scheduler, worker, scheduler, gateway."""
NORMAL_QUARTILES = 1.349
"""Between the quartiles of a normal distribution, in standard deviations."""


async def measured_overhead(folder: Path, workers: int) -> Overhead:
    """Of a mesh of so many workers, on this machine."""
    one, three = [await _latencies(folder, name, workers) for name in ("one", "three")]
    ones, threes = statistics.median(one), statistics.median(three)
    hop_s = (threes - ones) / HOPS_MORE
    low, _, high = statistics.quantiles(three, n=4)
    # The variances of independent hops add up; those of the client's count as two.
    each_s = (high - low) / NORMAL_QUARTILES / math.sqrt(HOPS_ONE + HOPS_MORE + 2)
    return Overhead(hop_s, math.sqrt(math.log1p((each_s / hop_s) ** 2)), max(0.0, ones - HOPS_ONE * hop_s))


async def _latencies(folder: Path, name: str, workers: int) -> list[float]:
    app = f"benchmarks.slo.live.pipelines:{name}"
    async with cluster_of(app, folder / name, {"COVEY_DEVICE": "cpu"}, workers) as cluster:
        found = await one_at_a_time(cluster, _event, WARM + EVENTS, PAUSE_S)
    return found[WARM:]


def _event(number: int) -> Event:
    return f"/events/{number}", PAYLOAD

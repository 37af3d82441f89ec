"""What does a flood of LOW requests do to HIGH, and does LOW get its floor meanwhile?

    python -m benchmarks.priority.flood [--seconds S] [--seed N]

LOW comes at ten times what the device carries, for a minute. Judged by HIGH's 99th percentile, against that without any
LOW request plus one LOW batch, and by LOW's share of the work in each window. Simulated; `flood_live` is the real one.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.priority.systems import SYSTEMS
from covey.services.scheduler.core.prioritising import Rules
from covey.simulator.contention import MODELS
from covey.simulator.sharing import Figures, Traffic, play

HIGH = 0.15
"""Utilisation by HIGH."""
TIMES = 10.0
"""What the device carries, that comes of LOW."""
DEADLINE = 8.0
"""Of HIGH: so long that hardly any is dropped, or there were no percentile to speak of."""
TOLERANCE = 1.1


class Flood(NamedTuple):
    """What came of it. Seconds."""

    high_p99_s: float
    unloaded_p99_s: float
    low_batch_s: float
    """The longest that ran."""
    low_least: float
    """LOW's least share of the work that ended in a window of the flood."""

    @property
    def bound_s(self) -> float:
        return (self.unloaded_p99_s + self.low_batch_s) * TOLERANCE


def flooded(seconds: float, seed: int) -> Flood:
    """Ours on one device, flooded for so long after as long without a flood."""
    calm = Traffic(MODELS, 1.0, HIGH, DEADLINE, 5.0, 0, lasts_s=3 * seconds)
    low = 0.1
    share = HIGH / (HIGH + low)
    flood = Traffic(MODELS, share, HIGH + low, DEADLINE, 5.0, 0, flood=TIMES / low, lasts_s=3 * seconds)
    alone, beside = (_played(traffic, seed) for traffic in (calm, flood))
    return Flood(
        _p99(beside),
        _p99(alone),
        max([took_s for _, _, took_s in beside.low_ends]),
        least_share(beside.high_ends, beside.low_ends, seconds, 2 * seconds, Rules().window_s),
    )


def _played(traffic: Traffic, seed: int) -> Figures:
    system = SYSTEMS["ours"]
    return play(traffic, 1, system.sharing, system.make, seed)


def _p99(figures: Figures) -> float:
    """Of all that were offered: what was dropped has none."""
    latencies = sorted(figures.high.latencies) + [math.inf] * figures.high.dropped
    return latencies[int(0.99 * len(latencies))]


Ends = Sequence[tuple[float, float, float]]


def least_share(high: Ends, low: Ends, since: float, until: float, window_s: float) -> float:
    """LOW's least share of the work that ended, over windows side by side."""
    least = 1.0
    at = since + window_s  # the first has LOW batches that began before
    while at + window_s <= until:
        work = [sum([work_s for end, work_s, _ in ends if at <= end < at + window_s]) for ends in (high, low)]
        if sum(work) > 0.0:
            least = min(least, work[1] / sum(work))
        at += window_s
    return least


def main() -> None:
    """Run and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="that the flood lasts, and what comes before it")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    flood = flooded(options.seconds, options.seed)
    held = flood.high_p99_s <= flood.bound_s and flood.low_least >= Rules().floor
    print(json.dumps({**flood._asdict(), "bound_s": flood.bound_s, "floor": Rules().floor, "held": held}))


if __name__ == "__main__":
    main()

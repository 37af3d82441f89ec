"""What arrives: the loads of the cells, by the rate that a cell's devices carry.

Shares are of `bounds.capacity_of_replicas`: what the devices carry when they never wait. At its height a load is below
what they carry, save for `overload`, and for moments of the Azure trace.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from covey.simulator.arrivals import diurnal, mmpp, poisson, steps, trace
from covey.simulator.serving import Load

AZURE = "azure_llm_2023_code.csv"
LOW, HIGH = 0.1, 0.45
"""Below half, so that whoever provisions for twice what comes pays for it and is not spared that by a lack of devices.
"""
SETTLE_S = 4.0
STEP_S = ((10.0, LOW), (14.0, HIGH), (12.0, LOW))
"""Seconds and shares, after it has settled at the first share. A cold start is 5 s: at its height a step lasts long
enough for two stages to grow one after the other, and for what they find waiting to be worked off."""
SURGE_S = ((10.0, 0.0125), (30.0, 0.125), (12.0, 0.0125))
"""The same of `surge`, which jumps tenfold where there are devices for eight times as much."""
BURSTS = ((12.0, LOW), (8.0, HIGH))
"""Mean seconds and shares of the phases of `mmpp`."""
RANDOM_S = 40.0
AZURE_MEAN = 0.1
"""The trace has 26 times its mean in its worst second, 13 times in its worst ten, and nothing in three of four."""
LEAD_S = 8
"""Of the trace, before the arrival around which a part of it is taken."""
OVERLOAD = 1.3
OVERLOAD_S = 8.0
STEADY = "steady"
"""And per cent of what the devices carry."""
STEADY_S = 20.0


def load_of(name: str, capacity: float, data: Path) -> Load:
    """A load by its name, for devices that carry `capacity` events a second. Raises OSError where its trace is not."""
    match name:
        case "step" | "surge":
            phases = STEP_S if name == "step" else SURGE_S
            rates = [(seconds, share * capacity) for seconds, share in ((SETTLE_S, phases[0][1]), *phases)]
            measured_s = sum(seconds for seconds, _ in phases)
            return Load(rates[0][1], lambda rng, start: steps(rates, rng, start), SETTLE_S, measured_s)
        case "mmpp":
            bursts = [(seconds, share * capacity) for seconds, share in BURSTS]
            return Load(bursts[0][1], lambda rng, start: mmpp(bursts, rng, start), SETTLE_S, RANDOM_S)
        case "diurnal":
            mean, amplitude = capacity * (LOW + HIGH) / 2, (HIGH - LOW) / (HIGH + LOW)
            return Load(mean, lambda rng, start: diurnal(mean, amplitude, RANDOM_S, rng, start), SETTLE_S, RANDOM_S)
        case "azure":
            counts = Counter(int(instant) for instant in trace(data / "arrivals" / AZURE))
            mean = AZURE_MEAN * capacity
            return Load(mean, lambda rng, start: _part_of(counts, mean, rng, start), SETTLE_S, RANDOM_S)
        case "overload":
            rate = OVERLOAD * capacity
            return Load(rate, lambda rng, start: poisson(rate, rng, start), SETTLE_S, OVERLOAD_S)
        case _ if name.startswith(STEADY):
            steady = capacity * int(name.removeprefix(STEADY)) / 100
            return Load(steady, lambda rng, start: poisson(steady, rng, start), SETTLE_S, STEADY_S)
    raise ValueError(f"no load is named {name!r}")


def _part_of(counts: Counter[int], mean: float, rng: random.Random, start: float) -> Iterator[float]:
    """A part of a trace, and its beginning again when it ends: by its count in each second.

    It is taken around an arrival, not around an instant: most instants are of hours in which nothing happens, and few
    arrivals are. So it has more than twice the trace's mean.
    """
    seconds = max(counts) + 1
    (drawn,) = rng.choices(list(counts), list(counts.values()))
    first, each = drawn - LEAD_S, mean * seconds / counts.total()
    return steps(((1.0, counts[(first + second) % seconds] * each) for second in range(seconds)), rng, start)

"""When events arrive: instants in seconds, in order."""

from __future__ import annotations

import csv
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count, pairwise
from pathlib import Path


def poisson(rate: float, rng: random.Random, start: float = 0.0) -> Iterator[float]:
    """Independent arrivals, `rate` a second, without end."""
    instant = start
    while True:
        instant += rng.expovariate(rate)
        yield instant


def gamma(rate: float, cv: float, rng: random.Random, start: float = 0.0) -> Iterator[float]:
    """Independent gaps of a gamma distribution, `rate` a second on average, without end.

    `cv` is the gaps' standard deviation by their mean: 1 is Poisson, more comes in clumps, less is nearly regular.
    """
    shape = 1 / (cv * cv)
    instant = start
    while True:
        instant += rng.gammavariate(shape, 1 / (rate * shape))
        yield instant


def steps(rates: Iterable[tuple[float, float]], rng: random.Random, start: float = 0.0) -> Iterator[float]:
    """Poisson arrivals whose rate changes: (seconds, rate) one after the other; at rate 0 nothing arrives."""
    for seconds, rate in rates:
        end = start + seconds
        for instant in poisson(rate, rng, start) if rate > 0 else ():
            if instant >= end:
                break
            yield instant
        start = end


def mmpp(phases: Sequence[tuple[float, float]], rng: random.Random, start: float = 0.0) -> Iterator[float]:
    """A Markov-modulated Poisson process, without end: phases of (mean seconds, rate), entered in turn.

    Each lasts an exponential time, so the mean rate is that of the phases, weighted by their mean seconds.
    """
    return steps(_dwells(phases, rng), rng, start)


def _dwells(phases: Sequence[tuple[float, float]], rng: random.Random) -> Iterator[tuple[float, float]]:
    while True:
        for mean_s, rate in phases:
            yield rng.expovariate(1 / mean_s), rate


def diurnal(mean: float, amplitude: float, period_s: float, rng: random.Random, start: float = 0.0) -> Iterator[float]:
    """Poisson arrivals whose rate goes up and down as a sine: `mean * (1 ± amplitude)` a second, without end.

    Drawn at the highest rate and thinned to the present one (Lewis and Shedler, 1979). 0 <= amplitude <= 1.
    """
    for instant in poisson(mean * (1 + amplitude), rng, start):
        wave = math.sin(2 * math.pi * (instant - start) / period_s)
        if rng.random() * (1 + amplitude) < 1 + amplitude * wave:
            yield instant


def trace(path: Path, speedup: float = 1.0) -> Iterator[float]:
    """The arrivals of a recorded trace: a CSV with a column TIMESTAMP; the first is at 0."""
    with path.open(newline="") as file:
        stamps = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in csv.DictReader(file)]
    instant = 0.0
    yield instant
    for earlier, later in pairwise(stamps):
        instant += (later - earlier).total_seconds() / speedup
        yield instant


def trace_at(path: Path, rate: float, rng: random.Random, window_s: float = 1.0) -> Iterator[float]:
    """A recorded trace's ups and downs at another mean rate: Poisson arrivals, by the trace's count in each window.

    Other than a speedup it keeps how long a burst lasts, which is what a cold start is measured against.
    """
    counts = Counter(int(instant / window_s) for instant in trace(path))
    windows = max(counts) + 1
    each = rate * windows / counts.total()
    return steps(((window_s, counts[window] * each) for window in range(windows)), rng)


def paced(rate: float, rng: random.Random, start: float = 0.0) -> Iterator[float]:
    """One arrival in each 1/rate seconds, at a drawn moment, without end: many cameras that know nothing of another."""
    for number in count():
        yield start + (number + rng.random()) / rate


def turns(sources: int, skewed: bool, rng: random.Random) -> Iterator[int]:
    """Which source sends next: each once a round, in a drawn order; skewed, every other turn is source 0's."""
    others = list(range(1 if skewed else 0, sources))
    while True:
        for source in rng.sample(others, len(others)):
            if skewed:
                yield 0
            yield source

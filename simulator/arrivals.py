"""When events arrive: instants in seconds, in order."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count, pairwise
from pathlib import Path


def poisson(rate: float, rng: random.Random, start: float = 0.0) -> Iterator[float]:
    """Independent arrivals, `rate` a second, without end."""
    instant = start
    while True:
        instant += rng.expovariate(rate)
        yield instant


def steps(rates: Sequence[tuple[float, float]], rng: random.Random, start: float = 0.0) -> Iterator[float]:
    """Poisson arrivals whose rate changes: (seconds, rate) one after the other."""
    for seconds, rate in rates:
        end = start + seconds
        for instant in poisson(rate, rng, start):
            if instant >= end:
                break
            yield instant
        start = end


def trace(path: Path, speedup: float = 1.0) -> Iterator[float]:
    """The arrivals of a recorded trace: a CSV with a column TIMESTAMP; the first is at 0."""
    with path.open(newline="") as file:
        stamps = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in csv.DictReader(file)]
    instant = 0.0
    yield instant
    for earlier, later in pairwise(stamps):
        instant += (later - earlier).total_seconds() / speedup
        yield instant


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

"""When events arrive: instants in seconds, in order."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
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

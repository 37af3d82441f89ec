"""At what does a simulation take as long as the mesh did? From events that have the mesh to themselves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FIRST_S = 0.0005, 0.00005
"""The hop and the part at which the fit begins."""
STEPS = 2
NORMAL_QUARTILES = 1.349
"""Between the quartiles of a normal distribution, in standard deviations."""


class Fit(NamedTuple):
    """What a hop takes, and each part that it carries, in seconds; and the spread of one end's logarithm."""

    hop_s: float
    part_s: float
    spread: float


def fitted(measured: Sequence[float], sizes: Sequence[int], simulate: Callable[[float, float], Sequence[float]]) -> Fit:
    """What `simulate`, which takes a hop and a part, has to be given to say latencies like these.

    Like these are those whose middles are the measured ones among smaller events and among larger ones: two equations,
    after Wald (1940), who draws a line through the means of halves. Newton's method finds them, and as latencies are
    all but linear in both, its second step is the last. What the events still differ by is the spread. Raises
    numpy.linalg.LinAlgError when smaller and larger events carry the same.
    """
    ordered = sorted(range(len(sizes)), key=sizes.__getitem__)
    halves = ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]

    def middles(latencies: Sequence[float]) -> npt.NDArray[np.float64]:
        return np.array([middle_mean([latencies[at] for at in half]) for half in halves])

    found, slopes = np.array(FIRST_S), np.eye(2)
    for _ in range(STEPS):
        now = middles(simulate(*found.tolist()))
        more = np.diag(found / 4)
        slopes = np.stack([(middles(simulate(*(found + each).tolist())) - now) / each.sum() for each in more], axis=1)
        found = np.maximum(found / 10, found + np.linalg.solve(slopes, middles(measured) - now))
    hop_s, part_s = found.tolist()
    left = [latency - said for latency, said in zip(measured, simulate(hop_s, part_s), strict=True)]
    hops, parts = slopes.mean(axis=0).tolist()
    return Fit(hop_s, part_s, spread_of(left, hop_s + part_s * parts / hops, hops))


def middle_mean(latencies: Sequence[float]) -> float:
    """The mean of the middle half: a stall of the machine is none of the mesh's."""
    ordered = sorted(latencies)
    quarter = len(ordered) // 4
    return statistics.fmean(ordered[quarter:-quarter])


def spread_of(latencies: Sequence[float], hop_s: float, hops: float) -> float:
    """The standard deviation of half a hop's logarithm, where so many hops make these latencies independently."""
    low, _, high = statistics.quantiles(latencies, n=4)
    half_std_s = (high - low) / NORMAL_QUARTILES / math.sqrt(2 * hops)
    return math.sqrt(math.log1p((half_std_s / (hop_s / 2)) ** 2))

"""Find pairs of actors that come too close: below both minima of their domain at the same step of their paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from examples.collisions.domain import Domain, domain_of

Floats = npt.NDArray[np.float64]

# Batching changes the last bits of a prediction. A pair this near to a minimum may be close in one run and not in the
# next, and neither run is wrong.
NEAR_TIE = 0.001

# Airliners fly levels that are 1,000 ft apart, exactly the minimum, and are then not too close. Heights are compared
# to half a decimetre, or the last bit of a float would tell which of them are.
_HEIGHT_M = 0.05


class ClosePair(NamedTuple):
    """Two actors that come too close, and the first step (the row of their paths) at which they do."""

    pair: str
    step: int
    horizontal_m: float
    vertical_m: float


def close_pairs(actors: Sequence[str], paths: npt.ArrayLike, domain: Domain) -> list[ClosePair]:
    """Return the pairs among n actors whose paths [n, steps, 3] (metres) come too close, ordered by actor."""
    names, first, second, horizontal_m, vertical_m = _distances(actors, paths)
    close = (horizontal_m < domain.horizontal_m) & (vertical_m < domain.vertical_m - _HEIGHT_M)
    steps = close.argmax(axis=1)
    return [
        ClosePair(f"{names[first[p]]}-{names[second[p]]}", int(s), float(horizontal_m[p, s]), float(vertical_m[p, s]))
        for p, s in ((p, steps[p]) for p in np.flatnonzero(close.any(axis=1)))
    ]


def alerts_of(scene: str, members: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield pair and alert of those that come too close, of the predictions of one tick."""
    paths = [member.value for member in members]
    for close in close_pairs([member.actor for member in members], paths, domain_of(scene)):
        yield close.pair, {"step": close.step, "horizontal_m": close.horizontal_m, "vertical_m": close.vertical_m}


def near_ties(actors: Sequence[str], paths: npt.ArrayLike, domain: Domain) -> list[str]:
    """Return the pairs whose verdict hangs on `NEAR_TIE` of a minimum: a little less, or a little more, would turn it.

    A pair that is close at one step and only nearly so at another is no tie, since the alert stands either way.
    """
    names, first, second, horizontal_m, vertical_m = _distances(actors, paths)
    apart = np.maximum(horizontal_m / domain.horizontal_m, vertical_m / domain.vertical_m)  # close when below 1
    nearest = apart.min(axis=1, initial=np.inf)
    return [f"{names[first[p]]}-{names[second[p]]}" for p in np.flatnonzero(np.abs(nearest - 1) <= NEAR_TIE)]


def _distances(
    actors: Sequence[str], paths: npt.ArrayLike
) -> tuple[list[str], npt.NDArray[np.intp], npt.NDArray[np.intp], Floats, Floats]:
    """Return the actors in order, who is in each of the pairs, and their distances at each step [pairs, steps]."""
    places = np.asarray(paths, np.float64).reshape(len(actors), -1 if len(actors) else 1, 3)
    order = sorted(range(len(actors)), key=lambda row: _by_number(actors[row]))
    places = places[order]
    first, second = np.triu_indices(len(order), 1)
    between = places[first] - places[second]
    horizontal_m, vertical_m = np.hypot(between[..., 0], between[..., 1]), np.abs(between[..., 2])
    return [actors[row] for row in order], first, second, horizontal_m, vertical_m


def _by_number(actor: str) -> tuple[int, str]:
    """Sort a2 before a10."""
    return (len(actor), actor)

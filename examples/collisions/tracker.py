"""Give anonymous positions an identity that lasts: a constant-velocity Kalman filter and an optimal assignment.

`step` is a pure function of the scene's state and the positions of one tick, and deterministic. The state is a dict of
arrays and numbers, since it travels between machines. With m tracks it holds

    tick        int             the tick that it describes
    next_id     int             the number of the next new track; numbers are never given twice
    ids         int64[m]        the tracks' numbers, ascending: track 17 is actor "a17"
    seen        int64[m]        the last tick at which something was associated with the track
    mean        float64[m,3,2]  position and velocity along x, y and altitude
    covariance  float64[m,2,2,2]  of (position, velocity), horizontally and vertically

x and y share a covariance because noise and gates know no direction, and altitude has its own; so three independent
filters of two numbers each do the work of one of six.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from examples.collisions.domain import Domain, Motion

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
State: TypeAlias = dict[str, Any]

_AXES = np.array([0, 0, 1])  # the covariance that x, y and altitude use
# What it costs to leave a track and a position unassociated, in the units of a squared Mahalanobis distance plus the
# log determinant of its covariance, relative to that of a track which was just measured.
_UNASSOCIATED = 60.0
# A transponder's altitude is sometimes wrong by kilometres for one report. Past this many deviations it counts as no
# further off, so that the track still finds its aircraft, and it isn't believed.
_VERTICAL_DEVIATIONS_MAX = 4.0


def step(
    state: State | None, positions: npt.ArrayLike, tick: int, domain: Domain
) -> tuple[State, list[tuple[str, Floats]]]:
    """Move a scene on to `tick`: take positions [n, 3] (metres, any order), return the next state and the n actors.

    An actor is its id and its filtered position, float64[3]; the i-th actor is what was seen at the i-th position. A
    state of None starts the scene; ticks may be skipped, since the filter looks ahead by the time that has passed.
    """
    tick, measured = int(tick), np.asarray(positions, np.float64).reshape(-1, 3)
    state = _start(tick) if state is None else state
    if tick < state["tick"]:
        raise ValueError(f"tick {tick} comes before tick {state['tick']}, which the scene has already seen")
    motion = domain.motion
    kept = (tick - state["seen"]) * domain.tick_s <= motion.missed_s_max
    ids, seen, mean, covariance = (state[name][kept] for name in ("ids", "seen", "mean", "covariance"))
    mean, covariance = _look_ahead(mean, covariance, (tick - state["tick"]) * domain.tick_s, motion)
    tracks, rows = _associate(mean, covariance, measured, motion)
    mean[tracks], covariance[tracks] = _correct(mean[tracks], covariance[tracks], measured[rows], motion)
    seen[tracks] = tick

    births = np.setdiff1d(np.arange(len(measured)), rows)
    born_ids = state["next_id"] + np.arange(len(births))
    born_mean, born_covariance = _born(measured[births], motion)
    actor_ids, actor_mean = np.zeros(len(measured), np.int64), np.zeros((len(measured), 3, 2))
    actor_ids[rows], actor_mean[rows] = ids[tracks], mean[tracks]
    actor_ids[births], actor_mean[births] = born_ids, born_mean

    next_state = {
        "tick": tick,
        "next_id": state["next_id"] + len(births),
        "ids": np.concatenate([ids, born_ids]),
        "seen": np.concatenate([seen, np.full(len(births), tick)]),
        "mean": np.concatenate([mean, born_mean]),
        "covariance": np.concatenate([covariance, born_covariance]),
    }
    return next_state, [(f"a{number}", place) for number, place in zip(actor_ids, actor_mean[:, :, 0], strict=True)]


def _start(tick: int) -> State:
    nothing = np.zeros(0, np.int64)
    return {
        "tick": tick,
        "next_id": 0,
        "ids": nothing,
        "seen": nothing,
        "mean": np.zeros((0, 3, 2)),
        "covariance": np.zeros((0, 2, 2, 2)),
    }


def _born(positions: Floats, motion: Motion) -> tuple[Floats, Floats]:
    """Start tracks at positions [n, 3]: standing, and as unsure of it as actors of this domain are fast."""
    mean = np.stack([positions, np.zeros_like(positions)], axis=-1)
    variances = np.square([motion.noise_m, motion.speed_mps])  # [position or velocity, horizontal or vertical]
    covariance = np.einsum("vh,vw->hvw", variances, np.eye(2))
    return mean, np.tile(covariance, (len(positions), 1, 1, 1))


def _look_ahead(mean: Floats, covariance: Floats, seconds: float, motion: Motion) -> tuple[Floats, Floats]:
    """Predict by constant velocity, with white noise in the acceleration."""
    transition = np.array([[1.0, seconds], [0.0, 1.0]])
    effect = np.array([seconds**2 / 2, seconds])
    disturbance = np.einsum("h,v,w->hvw", np.square(motion.acceleration_mps2), effect, effect)
    return mean @ transition.T, transition @ covariance @ transition.T + disturbance


def _correct(mean: Floats, covariance: Floats, measured: Floats, motion: Motion) -> tuple[Floats, Floats]:
    """Update k tracks with the k positions associated with them; an unbelievable altitude is left out."""
    spread = covariance[:, :, 0, 0] + np.square(motion.noise_m)  # [k, 2] variance of the innovation
    gain = covariance[:, :, :, 0] / spread[:, :, None]  # [k, 2, position or velocity]
    innovation = measured - mean[:, :, 0]
    believed = np.ones((len(mean), 2), bool)
    believed[:, 1] = np.abs(innovation[:, 2]) <= _VERTICAL_DEVIATIONS_MAX * np.sqrt(spread[:, 1])
    gain = gain * believed[:, :, None]
    corrected = covariance - gain[:, :, :, None] * covariance[:, :, None, 0, :]
    return mean + gain[:, _AXES] * innovation[:, :, None], corrected


def _associate(mean: Floats, covariance: Floats, measured: Floats, motion: Motion) -> tuple[Integers, Integers]:
    """Pair tracks with positions at the least total cost; return the indices of both, a pair at each place.

    The cost is that of a likelihood: distance in standard deviations, plus the log of their size, which makes a track
    that knows where it is going win a position from one that could be anywhere. Every track also has a column of its
    own for staying without a position.
    """
    noise = np.square(motion.noise_m)
    spread = (covariance[:, :, 0, 0] + noise)[:, None, :]  # [m, 1, 2]
    off = np.square(measured[None, :, :] - mean[:, None, :, 0])  # [m, n, 3]
    vertical = np.minimum(off[:, :, 2] / spread[:, :, 1], _VERTICAL_DEVIATIONS_MAX**2)
    size = 2 * np.log(spread[:, :, 0] / noise[0]) + np.log(spread[:, :, 1] / noise[1])
    cost = (off[:, :, 0] + off[:, :, 1]) / spread[:, :, 0] + vertical + size
    unassociated = np.full((len(mean), len(mean)), 1e9)
    np.fill_diagonal(unassociated, _UNASSOCIATED)
    tracks, columns = linear_sum_assignment(np.hstack([cost, unassociated]))
    matched = columns < len(measured)
    return tracks[matched], columns[matched]

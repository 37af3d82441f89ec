"""What kind of thing moves: the separation it keeps, how fast time ticks, and how far it can get in a tick.

A scene's name begins with its domain (``aircraft-10s-quickstart-0``), so a stage that is handed nothing but a key and
a value knows the domain, and no process needs to be configured with it. Only constants and their names live here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

HISTORY_STEPS = 8  # positions of an actor that a prediction looks back on
HORIZON_STEPS = 12  # positions that it looks ahead: 120 s of aircraft, 4.8 s of pedestrians

_FOOT_M = 0.3048
_NAUTICAL_MILE_M = 1852.0


@dataclass(frozen=True)
class Motion:
    """How the tracker expects an actor to move: each pair is (horizontally, vertically)."""

    noise_m: tuple[float, float]  # standard deviation of a measured position
    acceleration_mps2: tuple[float, float]  # standard deviation of what constant velocity leaves out
    speed_mps: tuple[float, float]  # standard deviation of the velocity of an actor seen for the first time
    missed_s_max: float  # a track that nothing was associated with for longer is deleted


@dataclass(frozen=True)
class Domain:
    """A kind of actor. Two of them are too close when both distances are below the minima at the same step."""

    name: str
    tick_s: float
    horizontal_m: float
    vertical_m: float
    motion: Motion

    def every(self, tick_s: float) -> Domain:
        """Return the same domain at another tick length."""
        return replace(self, tick_s=tick_s)

    def scene(self, place: str) -> str:
        """Name the scene of this domain at a place; `domain_of` is the way back."""
        return f"{self.name}-{self.tick_s:g}s-{place}"


AIRCRAFT = Domain(
    name="aircraft",
    tick_s=10.0,
    horizontal_m=5 * _NAUTICAL_MILE_M,
    vertical_m=1000 * _FOOT_M,
    motion=Motion(noise_m=(150.0, 15.0), acceleration_mps2=(2.0, 0.3), speed_mps=(200.0, 10.0), missed_s_max=30.0),
)

PEDESTRIANS = Domain(
    name="pedestrians",
    tick_s=0.4,
    horizontal_m=0.5,
    vertical_m=math.inf,  # they share the ground: the height never keeps them apart
    motion=Motion(noise_m=(0.05, 0.05), acceleration_mps2=(0.8, 0.8), speed_mps=(1.5, 0.1), missed_s_max=1.4),
)

_DOMAINS = {domain.name: domain for domain in (AIRCRAFT, PEDESTRIANS)}


def domain_of(scene: str) -> Domain:
    """Return the domain that a scene's name begins with."""
    name, _, rest = scene.partition("-")
    tick, _, place = rest.partition("s-")
    if name not in _DOMAINS or not place:
        raise ValueError(f"scene {scene!r} does not read <domain>-<seconds>s-<place> with a domain of {list(_DOMAINS)}")
    return _DOMAINS[name].every(float(tick))

"""What is measured, in how long: the subjects, their loads, and which of them a name chooses."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from benchmarks.wire import floor, mesh
from benchmarks.wire.subject import Subject

PEERS = "benchmarks.wire.peers"
IN_FLIGHT = (1, 16, 64)
OPEN, HALF = "open", "half"
"""The highest rate of independent arrivals that holds; and half of it."""
LOADS = (*(f"closed-{count}" for count in IN_FLIGHT), OPEN, HALF)
P99_MS_MAX = 20.0


class Effort(NamedTuple):
    """How much is done. Seconds are what is measured of a run."""

    cells: tuple[str, ...]
    """Which, unless someone chooses others."""
    repeats: int
    closed_s: float
    open_s: float
    resolution: float
    """A search for the highest rate ends when what holds and what doesn't are this close."""
    groups_max: int
    kept_s: float
    """How long the loops are watched."""


ASKED = (
    *("floor-hop/*/closed-64", "floor-unary/64B/closed-64", "floor-edge/64B/closed-1"),
    *("*-stream*/64B/closed-64", "*-stream*/64B/open"),
    *("*-send/64B/closed-1", "*-send/64B/closed-64", "*-send/150KB/closed-64"),
    *("*/three/closed-64", "*/mlp/closed-64", "*/mlp/open", "*/mlp/half"),
)
"""What the last line is made of, and the closed loops from half of whose rate the searches start."""

FULL = Effort(
    (*ASKED, "*/closed-*", "*/64B/open", "floor-hop/150KB/open", "*-send/150KB/open", "*-stream/150KB/open"),
    repeats=3,
    closed_s=3.0,
    open_s=3.0,
    resolution=0.08,
    groups_max=1_000_000,
    kept_s=30.0,
)
QUICK = Effort(ASKED, repeats=1, closed_s=1.0, open_s=1.0, resolution=0.15, groups_max=100_000, kept_s=10.0)


def subjects() -> list[Subject]:
    """Everything that can be measured here: floors, Covey, and the peers that are installed."""
    peers: list[Subject] = _peers("subjects", [])
    return [*floor.subjects(), *mesh.subjects(), *peers]


def missing() -> dict[str, str]:
    """Peers that are not installed, and why."""
    found: dict[str, str] = _peers("missing", {"peers": f"there is no {PEERS}"})
    return found


def _peers(what: str, without: Any) -> Any:
    """What the peers' module says, if it is there."""
    if importlib.util.find_spec(PEERS) is None:
        return without
    return getattr(importlib.import_module(PEERS), what)()


def chosen(cells: Sequence[str], subject: Subject) -> list[str]:
    """The loads of a subject that one of these patterns names, such as `covey-*/64B/closed-64` or `floor-hop`."""
    patterns = [pattern for cell in cells for pattern in (cell, f"{cell}/*")]
    return [load for load in LOADS if any(fnmatchcase(f"{subject.id}/{load}", pattern) for pattern in patterns)]

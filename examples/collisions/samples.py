"""Sample events for `covey profile`, from the tracks that the example replays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from examples.collisions.tracks import load


def events() -> Iterator[tuple[str, Any]]:
    """Key and value of each frame, in their order."""
    for frame in load().frames:
        yield f"/observations/{frame.scene}/{frame.tick}", frame.positions

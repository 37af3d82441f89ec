"""How many actors there were, from real tracks instead of chance."""

from __future__ import annotations

import importlib
from collections.abc import Callable


def recorded_actors(tracks: str) -> Callable[[str, int], int]:
    """The actors of each scene at each tick, read by `examples/collisions`, which has to be at hand.

    The scenes of the simulation take the recorded ones in turn; a recording that ends begins again.
    """
    replay = importlib.import_module("examples.collisions.tracks").load([tracks])
    counts: dict[str, list[int]] = {}
    for frame in replay.frames:
        counts.setdefault(frame.scene, []).append(len(frame.positions))
    recordings = [counts[scene] for scene in sorted(counts)]

    def actors(scene: str, tick: int) -> int:
        recording = recordings[int(scene.rpartition("-")[2]) % len(recordings)]
        return recording[tick % len(recording)]

    return actors

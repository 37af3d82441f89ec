"""Somebody who moves groups all the time: an operator whose pins change, while traffic runs."""

from __future__ import annotations

import random
from collections.abc import Sequence

from covey.model import GroupId
from covey.services.scheduler.core.stimuli import GroupsPinned
from covey.simulator.mesh import Mesh
from covey.simulator.workload import SCOPE, actors_of

ACTORS = 3
TICKS = 20
TELL_EVERY_S = 0.2


class Mover:
    """Pins scenes, actors and single ticks to nodes drawn at random. Every leader is told of the pins of now."""

    def __init__(self, mesh: Mesh, rng: random.Random, scenes: Sequence[str]) -> None:
        self.moves = 0
        self._mesh = mesh
        self._rng = rng
        self._pins: dict[GroupId, str] = {}
        names = [
            name
            for scene in scenes
            for name in (
                *[scene] * 5,
                *[f"{scene}/{actor}" for actor in actors_of(ACTORS)],
                *[f"{scene}/{tick}" for tick in range(0, TICKS, 5)],
                f"/tracks/{scene}",
            )
        ]
        self._groups = [GroupId(SCOPE, name) for name in names]

    def start(self, begin: float, end: float, mean_s: float) -> None:
        """Move a group every `mean_s` on average, between two instants."""
        instant = begin
        while (instant := instant + self._rng.expovariate(1 / mean_s)) < end:
            self._mesh.world.at(instant, self._move)
        self._mesh.world.at(begin, self._remind)

    def _move(self) -> None:
        group = self._rng.choice(self._groups)
        if group in self._pins and self._rng.random() < 0.2:
            del self._pins[group]
        else:
            self._pins[group] = self._rng.choice(self._mesh.nodes)
        self.moves += 1
        self._tell()

    def _remind(self) -> None:
        """A leader that is new has yet to read the pins."""
        self._tell()
        self._mesh.world.after(TELL_EVERY_S, self._remind)

    def _tell(self) -> None:
        leader = self._mesh.processes.get(self._mesh.leader)
        if leader is not None:
            leader.post(GroupsPinned(tuple(self._pins.items())))

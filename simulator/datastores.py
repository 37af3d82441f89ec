"""A datastore in the simulation: performs what its core commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from covey.services.datastore.core.commands import Command, FindKeys, LoadGroup, Persist, Remove, Report, Send
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.state import Limits
from covey.services.datastore.core.stimuli import Asked, LeaderSaid, LinkEnded, Stimulus
from covey.simulator.network import End
from covey.simulator.storage import Storage
from covey.simulator.world import Observer, Process, World


class DatastoreProcess(Process[Stimulus, Command]):
    """One node: memory of its own, storage shared with every node."""

    core: DatastoreCore

    def __init__(self, world: World, name: str, storage: Storage, observer: Observer[Stimulus, Command]) -> None:
        # Versions of an earlier life lie below, as they do in production, where the floor is taken from the clock.
        core = DatastoreCore(name, name, Limits(), number_floor=1 + int(world.now * 1e6))
        super().__init__(world, name, f"host-{name}", core, observer)
        self._storage = storage

    def perform(self, command: Command) -> None:
        match command:
            case Send(link, message) | Report(link, message):
                if link in self.links:
                    self.links[link].send(message)
            case Persist() | Remove() | LoadGroup() | FindKeys():
                self.world.after(self._storage.delay_s(), self._reach_storage, command)
            case _:
                assert_never(command)

    def heard(self, end: End, messages: Sequence[Any]) -> None:
        stimulus = LeaderSaid if end.kind == "lead" else Asked
        self.post(*[stimulus(end.number, message) for message in messages])

    def ended(self, end: End) -> None:
        self.post(LinkEnded(end.number))

    def _reach_storage(self, command: Persist | Remove | LoadGroup | FindKeys) -> None:
        """What was sent to storage is done there, whether or not the node lives to hear of it."""
        done = self._storage.apply(command, self.world.now)
        self.world.after(self._storage.delay_s(), self.post, done)

"""A datastore in the simulation: performs what its core commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from covey.services.datastore.core.commands import (
    Command,
    FindKeys,
    LeaveNode,
    LoadGroup,
    Persist,
    ReachNode,
    Remove,
    Report,
    Send,
    Tell,
)
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.state import Limits
from covey.services.datastore.core.stimuli import (
    Asked,
    LeaderSaid,
    LinkEnded,
    NodeLost,
    NodeReached,
    NodeSaid,
    Stimulus,
)
from covey.simulator.network import End, Network
from covey.simulator.storage import Storage
from covey.simulator.world import Observer, Process, World


class DatastoreProcess(Process[Stimulus, Command]):
    """One node: memory of its own, storage shared with every node."""

    core: DatastoreCore

    def __init__(
        self, world: World, name: str, network: Network, storage: Storage, observer: Observer[Stimulus, Command]
    ) -> None:
        # Versions of an earlier life lie below, as they do in production, where the floor is taken from the clock.
        core = DatastoreCore(name, name, Limits(), number_floor=1 + int(world.now * 1e6))
        super().__init__(world, name, f"host-{name}", core, observer)
        self._network = network
        self._storage = storage
        self._others: dict[int, End] = {}
        """Links to other datastores, by the core's numbers."""

    def perform(self, command: Command) -> None:
        match command:
            case Send(link, message) | Report(link, message):
                if link in self.links:
                    self.links[link].send(message)
            case Persist() | Remove() | LoadGroup() | FindKeys():
                self.world.after(self._storage.delay_s(), self._reach_storage, command)
            case ReachNode(link, node):
                self._network.dial(self, node.id, "exchange", lambda end: self._reached(link, end))
            case Tell(link, message):
                if link in self._others:
                    self._others[link].send(message)
            case LeaveNode(link):
                if link in self._others:
                    self._others.pop(link).close()
            case _:
                assert_never(command)

    def heard(self, end: End, messages: Sequence[Any]) -> None:
        to = next((link for link, other in self._others.items() if other is end), None)
        if to is not None:
            self.post(*[NodeSaid(to, message) for message in messages])
            return
        stimulus = LeaderSaid if end.kind == "lead" else Asked
        self.post(*[stimulus(end.number, message) for message in messages])

    def ended(self, end: End) -> None:
        to = next((link for link, other in self._others.items() if other is end), None)
        if to is not None:
            del self._others[to]
            self.post(NodeLost(to))
        else:
            self.post(LinkEnded(end.number))

    def _reached(self, link: int, end: End | None) -> None:
        if end is None:
            self.post(NodeLost(link))
        else:
            self._others[link] = end
            self.post(NodeReached(link))

    def _reach_storage(self, command: Persist | Remove | LoadGroup | FindKeys) -> None:
        """What was sent to storage is done there, whether or not the node lives to hear of it."""
        done = self._storage.apply(command, self.world.now)
        self.world.after(self._storage.delay_s(), self.post, done)

"""A scheduler in the simulation: leads in one epoch, and dials every worker and datastore that the registry knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, assert_never

from covey.declaration import Declaration
from covey.grouping import Scope
from covey.messages import GatewayJoined, LeaderJoined, NodeJoined, OutcomeReady, WorkerJoined
from covey.services.scheduler.core.commands import (
    Command,
    Conclude,
    HangUp,
    RecordReads,
    RecordTraces,
    Send,
    WriteMetadata,
)
from covey.services.scheduler.core.machine import Scheduler
from covey.services.scheduler.core.policy import Policy
from covey.services.scheduler.core.served import Serving
from covey.services.scheduler.core.sharing import shared_devices
from covey.services.scheduler.core.state import Limits
from covey.services.scheduler.core.stimuli import (
    Declared,
    Elected,
    GatewayConnected,
    MetadataWritten,
    NodeConnected,
    PeerLost,
    PeerSaid,
    Stimulus,
    WorkerConnected,
)
from covey.simulator.network import End, Network
from covey.simulator.world import Observer, Process, World

REDIAL_S = 0.1
METADATA_S = 0.001


class SchedulerProcess(Process[Stimulus, Command]):
    """One leadership, from election to the end of the process."""

    core: Scheduler

    def __init__(
        self,
        world: World,
        network: Network,
        epoch: int,
        declared: tuple[Scope, Declaration],
        roster: Sequence[tuple[str, str]],
        superseded: Callable[[SchedulerProcess, int], None],
        observer: Observer[Stimulus, Command],
        policy: Policy | None = None,
        serving: Serving | None = None,
        limits: Limits | None = None,
        priorities: bool = False,
    ) -> None:
        """`roster` has (kind of link, name); `superseded` is told of this process and a later epoch. `priorities`: the
        policy of priorities says what runs, as `COVEY_PRIORITIES` has it."""
        name = f"scheduler-{epoch}"
        shared = shared_devices({}) if priorities else None
        core = Scheduler(limits or Limits(), name, policy, world.random(name), serving, shared)
        super().__init__(world, name, f"host-{name}", core, observer)
        self.epoch = epoch
        self._network = network
        self._superseded = superseded
        self._introduced: dict[int, None] = {}
        self._dialled: dict[int, tuple[str, str]] = {}
        self.post(Elected(epoch), Declared(declared[0].tenant, declared[1]))
        for kind, peer in roster:
            self._dial(kind, peer)

    def perform(self, command: Command) -> None:
        match command:
            case Send(peer, message):
                self._send(peer, message)
            case Conclude(peers, outcome):
                for peer in peers:
                    self._send(peer, OutcomeReady(outcome))
            case HangUp(peer):
                if peer in self.links:
                    end = self.links[peer]
                    end.close()
                    self.ended(end)
            case RecordTraces() | RecordReads():
                pass
            case WriteMetadata():
                self.world.after(METADATA_S, self.post, MetadataWritten())
            case _:
                assert_never(command)

    def heard(self, end: End, messages: Sequence[Any]) -> None:
        peer = end.number
        if peer not in self._introduced:
            joined, *messages = messages
            if joined.epoch > self.epoch:
                self._superseded(self, joined.epoch)
                return
            self._introduced[peer] = None
            match joined:
                case GatewayJoined():
                    self.post(GatewayConnected(peer, joined))
                case WorkerJoined():
                    self.post(WorkerConnected(peer, joined))
                case NodeJoined():
                    self.post(NodeConnected(peer, joined))
        self.post(*[PeerSaid(peer, message) for message in messages])

    def ended(self, end: End) -> None:
        self._introduced.pop(end.number, None)
        self.post(PeerLost(end.number))
        dialled = self._dialled.pop(end.number, None)
        if dialled is not None:
            self.world.after(REDIAL_S, self._dial, *dialled)

    def _send(self, peer: int, message: object) -> None:
        if peer in self.links:
            self.links[peer].send(message)

    def _dial(self, kind: str, name: str) -> None:
        def take(end: End | None) -> None:
            if end is None:
                self.world.after(REDIAL_S, self._dial, kind, name)
                return
            self._dialled[end.number] = (kind, name)
            end.send(LeaderJoined(self.epoch, self.name))

        if self.alive:
            self._network.dial(self, name, kind, take)

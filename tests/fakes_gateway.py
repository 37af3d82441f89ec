"""A leader and a home that a gateway can speak with, within the test's process; they do as the test says."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from covey.beside import beside
from covey.clock import MonotonicClock
from covey.errors import Status
from covey.link import Link, LinkClosed, MemoryNetwork
from covey.messages import (
    CancelEvent,
    EndWatch,
    FromDatastore,
    GatewayJoined,
    GatewayToScheduler,
    Get,
    GetDone,
    OutcomeReady,
    Put,
    PutDone,
    SchedulerToGateway,
    SubmitEvent,
    ToDatastore,
    View,
    Watch,
    Watched,
)
from covey.model import Answer, Event, KeyRead, Node, ObjectValue, Outcome, Read
from covey.reads import nodes_of
from covey.registry import MemoryRegistry
from covey.services.gateway.app import make_gateway
from covey.services.gateway.core.state import Limits
from covey.services.gateway.servicer import service
from covey.services.gateway.shell import Gateway
from covey.telemetry import Telemetry, Tracer
from covey.wire.datastore_client import DatastoreClient
from covey.wire.server import serve
from tests.worlds_gateway import view

Decide = Callable[[Event], Outcome | None]
"""An event's outcome at once, or None to leave it open."""


def done(event: Event) -> Outcome:
    """The event's own object comes back as its result."""
    return Outcome(event.scope, event.id, Status.OK, results=(ObjectValue(event.ref, event.payload),))


@dataclass
class ScriptedLeader:
    """Answers events by `decide`; remembers what it was told."""

    decide: Decide = done
    view: View = field(default_factory=lambda: view(nodes=(Node("node-a", "home"),)))
    submitted: list[Event] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    link: Link[SchedulerToGateway, GatewayToScheduler] | None = None

    async def serve(self, link: Link[SchedulerToGateway, GatewayToScheduler]) -> None:
        self.link = link
        try:
            while True:
                for message in await link.receive():
                    self._take(link, message)
        except LinkClosed:
            self.link = None

    def _take(self, link: Link[SchedulerToGateway, GatewayToScheduler], message: GatewayToScheduler) -> None:
        match message:
            case GatewayJoined():
                link.send(self.view)
            case SubmitEvent(event):
                self.submitted.append(event)
                outcome = self.decide(event)
                if outcome is not None:
                    link.send(OutcomeReady(outcome))
            case CancelEvent(_, event_id):
                self.cancelled.append(event_id)
            case _:
                link.send(message)  # a beat for a beat


@dataclass
class ScriptedHome:
    """Keeps the newest version of each object."""

    objects: dict[str, ObjectValue] = field(default_factory=dict)

    async def serve(self, link: Link[FromDatastore, ToDatastore]) -> None:
        watches: dict[int, str] = {}
        try:
            while True:
                for message in await link.receive():
                    self._take(link, message, watches)
        except LinkClosed:
            return

    def _take(self, link: Link[FromDatastore, ToDatastore], message: ToDatastore, watches: dict[int, str]) -> None:
        match message:
            case Put(request, _, ref, payload):
                known = self.objects.get(ref.key)
                ref = replace(ref, version=1 if known is None else known.ref.version + 1)
                self.objects[ref.key] = ObjectValue(ref, payload)
                link.send(PutDone(request, ref))
                for watch, pool in watches.items():
                    if pool == ref.pool:
                        link.send(Watched(watch, self.objects[ref.key]))
            case Get(request, _, reads):
                link.send(GetDone(request, tuple(self._answer(read) for read in reads)))
            case Watch(request, _, pool):
                watches[request] = pool
            case EndWatch(request):
                watches.pop(request, None)

    def _answer(self, read: Read) -> Answer:
        assert nodes_of(read) == ("node-a",)
        if isinstance(read, KeyRead):
            found = self.objects.get(read.key)
            return Answer() if found is None else Answer((found,))
        return Answer(tuple(value for value in self.objects.values() if value.ref.pool == read.pool))


@dataclass
class Mesh:
    """A gateway that serves at `address`, with its leader and its only home."""

    gateway: Gateway
    address: str
    leader: ScriptedLeader
    home: ScriptedHome
    registry: MemoryRegistry


@asynccontextmanager
async def running_mesh(
    leader: ScriptedLeader | None = None,
    *,
    has_leader: bool = True,
    limits: Limits | None = None,
    telemetry: Telemetry | None = None,
    grace_s: float = 1.0,
) -> AsyncIterator[Mesh]:
    """A real gateway, its edge on loopback; inner links are memory."""
    leader, home = leader or ScriptedLeader(), ScriptedHome()
    network, registry, clock = MemoryNetwork(), MemoryRegistry(), MonotonicClock()
    network.listen("leader", leader.serve)
    network.listen("home", home.serve)
    if has_leader:
        await registry.lead("scheduler-1", "leader", 1.0, 0)
    tracer = None if telemetry is None else Tracer(telemetry, random.Random(1))
    async with DatastoreClient(network.dial, clock) as datastores:
        gateway = make_gateway("gateway-1", network.dial, datastores, registry, clock, limits=limits, tracer=tracer)
        async with (
            beside(gateway.run()),
            serve([service(gateway, clock)], grace_s=grace_s) as address,
        ):
            yield Mesh(gateway, address, leader, home, registry)

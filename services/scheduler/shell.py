"""The scheduler under asyncio: feeds the core what links and the registry say, and performs what it commands."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, assert_never

from covey.clock import Clock
from covey.driver import Driver
from covey.errors import Unavailable
from covey.link import Dial, Link, LinkClosed
from covey.messages import (
    DatastoreToScheduler,
    GatewayJoined,
    GatewayToScheduler,
    LeaderJoined,
    NodeJoined,
    OutcomeReady,
    SchedulerToDatastore,
    SchedulerToGateway,
    SchedulerToWorker,
    WorkerJoined,
    WorkerToScheduler,
)
from covey.registry import Member, Registry
from covey.services.scheduler.core.commands import Command, Conclude, HangUp, Send, WriteMetadata
from covey.services.scheduler.core.machine import Scheduler
from covey.services.scheduler.core.stimuli import (
    Declared,
    Elected,
    GatewayConnected,
    GroupsPinned,
    MetadataWritten,
    NodeConnected,
    PeerLost,
    PeerSaid,
    Stimulus,
    StopRequested,
    WorkerConnected,
)
from covey.services.scheduler.metadata import Metadata
from covey.telemetry import NO_TELEMETRY, Telemetry

log = logging.getLogger(__name__)

FIRST_WORD_S = 2.0
"""How long a peer may take to say who it is."""


class SchedulerShell:
    """`run` until cancelled; `serve_gateway` speaks with one gateway over an accepted link."""

    def __init__(
        self,
        member: Member,
        core: Scheduler,
        dial_worker: Dial[SchedulerToWorker, WorkerToScheduler],
        dial_datastore: Dial[SchedulerToDatastore, DatastoreToScheduler],
        registry: Registry,
        metadata: Metadata,
        clock: Clock,
        *,
        lease_s: float = 2.0,
        watch_s: float = 0.2,
        telemetry: Telemetry = NO_TELEMETRY,
    ) -> None:
        self._member = member
        self._core = core
        self._dials: dict[str, Dial[Any, Any]] = {"worker": dial_worker, "datastore": dial_datastore}
        self._registry = registry
        self._metadata = metadata
        self._lease_s = lease_s
        self._watch_s = watch_s
        self._telemetry = telemetry
        self._driver: Driver[Stimulus, Command] = Driver(core, self._perform, clock)
        self._numbers = itertools.count(1)
        self._links: dict[int, Link[Any, Any]] = {}
        self._dialled: dict[tuple[str, str], str] = {}
        self._epoch = 0
        self._known_epoch = 0
        self._elected = asyncio.Event()

    async def run(self) -> None:
        """Lead as soon as the lease is ours. Ends with an exception group only for bugs of ours."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._driver.run())
            group.create_task(self._hold_the_lease())
            await self._elected.wait()
            while True:
                try:
                    await self._watch(group)
                except Unavailable as error:
                    log.warning("going on from memory: %s", error.message)
                await asyncio.sleep(self._watch_s)

    def drain(self) -> None:
        """Admit nothing more."""
        self._driver.post(StopRequested())

    @property
    def open_events(self) -> int:
        return len(self._core.state.cascades)

    # --- leadership and the registry ---------------------------------------------------------------------------------

    async def _hold_the_lease(self) -> None:
        while True:
            try:
                if self._known_epoch > self._epoch > 0:
                    await self._registry.step_down(self._member.id)  # a peer has followed a later leader than we are
                leader = await self._registry.lead(
                    self._member.id, self._member.address, self._lease_s, self._known_epoch
                )
                if leader.scheduler == self._member.id and leader.epoch != self._epoch:
                    self._epoch = self._known_epoch = leader.epoch
                    log.info("leading in epoch %d", leader.epoch)
                    self._driver.post(Elected(leader.epoch))
                    self._elected.set()
                elif leader.scheduler != self._member.id and self._epoch:
                    raise SystemExit(f"{leader.scheduler} leads in epoch {leader.epoch}; a fresh start follows it")
            except Unavailable as error:
                log.warning("the lease is not renewed: %s", error.message)
            await asyncio.sleep(self._lease_s / 4)

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        """Dial whoever is new, and tell the core what is declared and pinned."""
        for tenant, declaration in await self._registry.declarations():
            self._driver.post(Declared(tenant, declaration))
        self._driver.post(GroupsPinned(await self._metadata.pins()))
        for kind in self._dials:
            for member in await self._registry.members(kind):
                if (kind, member.id) not in self._dialled:
                    self._dialled[kind, member.id] = member.address
                    group.create_task(self._speak_with(member))

    # --- links -------------------------------------------------------------------------------------------------------

    async def serve_gateway(self, link: Link[SchedulerToGateway, GatewayToScheduler]) -> None:
        """Hear a gateway for as long as its link lasts."""
        await self._hear(link)

    async def _speak_with(self, member: Member) -> None:
        try:
            async with self._dials[member.kind](member.address) as link:
                link.send(LeaderJoined(self._epoch, self._member.id))
                await self._hear(link)
        except Unavailable as error:
            log.info("%s %s: %s", member.kind, member.id, error.message)
        finally:
            del self._dialled[member.kind, member.id]

    async def _hear(self, link: Link[Any, Any]) -> None:
        peer = next(self._numbers)
        self._links[peer] = link
        try:
            async with asyncio.timeout(FIRST_WORD_S):
                first, *rest = await link.receive()
            if not await self._introduce(peer, first):
                return
            await self._take(peer, rest)
            while True:
                await self._take(peer, await link.receive())
        except LinkClosed:
            pass
        except TimeoutError:
            log.warning("%s did not say who it is", link.peer)
        finally:
            del self._links[peer]
            link.close()
            self._driver.post(PeerLost(peer))

    async def _introduce(self, peer: int, joined: object) -> bool:
        match joined:
            case GatewayJoined() | WorkerJoined() | NodeJoined() if joined.epoch > self._epoch:
                log.warning("a peer knows epoch %d, later than our %d", joined.epoch, self._epoch)
                self._known_epoch = max(self._known_epoch, joined.epoch)
                return False
            case GatewayJoined():
                await self._driver.accept(GatewayConnected(peer, joined))
            case WorkerJoined():
                await self._driver.accept(WorkerConnected(peer, joined))
            case NodeJoined():
                await self._driver.accept(NodeConnected(peer, joined))
            case _:
                log.warning("a peer began with %s instead of saying who it is", type(joined).__name__)
                return False
        return True

    async def _take(self, peer: int, messages: Sequence[Any]) -> None:
        if messages:
            await self._driver.accept(*(PeerSaid(peer, message) for message in messages))

    # --- commands ----------------------------------------------------------------------------------------------------

    def _perform(self, command: Command) -> Awaitable[Stimulus | None] | None:
        match command:
            case Send(peer, message):
                self._send(peer, message)
            case Conclude(peer, outcome, traceparent):
                self._telemetry.cascade_ended(outcome, traceparent)
                if peer is not None:
                    self._send(peer, OutcomeReady(outcome))
            case HangUp(peer):
                link = self._links.get(peer)
                if link is not None:
                    link.close()
            case WriteMetadata(records):
                return self._write(records)
            case _:
                assert_never(command)
        return None

    def _send(self, peer: int, message: object) -> None:
        link = self._links.get(peer)
        if link is not None:  # a link may end between the core's decision and now; the core will be told
            link.send(message)

    async def _write(self, records: Sequence[Any]) -> Stimulus:
        try:
            await self._metadata.write(records)
        except Unavailable as error:
            log.warning("%s", error.message)
            return MetadataWritten(failed=True)
        return MetadataWritten()

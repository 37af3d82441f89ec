"""The scheduler under asyncio: feeds the core what links and the registry say, and performs what it commands."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, assert_never

from covey.clock import Clock, wall_time_ns
from covey.driver import Driver
from covey.errors import Reason, Unavailable
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
from covey.model import Outcome, Scope, TaskReads
from covey.registry import Member, Registry
from covey.services.scheduler.core.commands import (
    Command,
    Conclude,
    HangUp,
    RecordReads,
    RecordTraces,
    Send,
    TaskTrace,
    WriteMetadata,
)
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
from covey.services.scheduler.spans import attributes_of
from covey.telemetry import Attribute, Attributes, Metric, SpanName, Tracer

log = logging.getLogger(__name__)

FIRST_WORD_S = 2.0
"""How long a peer may take to say who it is."""
READS_HELD_MAX = 10_000
"""Tasks whose reads wait to be written; the oldest give way."""


class SchedulerShell:
    """`run` until cancelled; `serve_gateway` speaks with one gateway over an accepted link."""

    def __init__(
        self,
        name: str,
        core: Scheduler,
        dial_worker: Dial[SchedulerToWorker, WorkerToScheduler],
        dial_datastore: Dial[SchedulerToDatastore, DatastoreToScheduler],
        registry: Registry,
        metadata: Metadata,
        clock: Clock,
        tracer: Tracer,
        *,
        lease_s: float = 2.0,
        watch_s: float = 0.2,
    ) -> None:
        self._name = name
        self._core = core
        self._dials: dict[str, Dial[Any, Any]] = {"worker": dial_worker, "datastore": dial_datastore}
        self._registry = registry
        self._metadata = metadata
        self._lease_s = lease_s
        self._watch_s = watch_s
        self._clock = clock
        self._tracer = tracer
        self._driver: Driver[Stimulus, Command] = Driver(core, self._perform, clock)
        self._numbers = itertools.count(1)
        self._links: dict[int, Link[Any, Any]] = {}
        self._dialled: dict[tuple[str, str], str] = {}
        self._epoch = 0
        self._known_epoch = 0
        self._elected = asyncio.Event()
        self._settled = asyncio.Event()
        """No event is open."""
        self._reads: deque[tuple[Scope, TaskReads]] = deque(maxlen=READS_HELD_MAX)

    async def run(self, member: Member) -> None:
        """Lead as soon as the lease is ours, reachable at the member's address. Raises for bugs of ours only."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._driver.run())
            group.create_task(self._hold_the_lease(member))
            await self._elected.wait()
            blind = False
            while True:
                try:
                    await self._watch(group)
                    blind = False
                except Unavailable as error:
                    if not blind:
                        log.warning("going on from memory: %s", error.message)
                    blind = True
                await asyncio.sleep(self._watch_s)

    async def drain(self, grace_s: float) -> None:
        """Admit nothing more, let what is open finish for `grace_s` seconds, and leave the lease to others."""
        self._driver.post(StopRequested())
        self._settled.clear()
        try:
            async with asyncio.timeout(grace_s):
                if self._core.state.cascades:
                    await self._settled.wait()
                await self._registry.step_down(self._name)
        except TimeoutError:
            log.warning("events were still open after %g s", grace_s)
        except Unavailable as error:
            log.warning("the lease is left to expire: %s", error.message)

    # --- leadership and the registry ---------------------------------------------------------------------------------

    async def _hold_the_lease(self, member: Member) -> None:
        fresh = True
        while True:
            try:
                if fresh:
                    await self._registry.step_down(member.id)  # an earlier process of our name: its epoch is not ours
                    fresh = False
                leader = await self._registry.lead(member.id, member.address, self._lease_s, self._known_epoch)
                if leader.scheduler == member.id and leader.epoch != self._epoch:
                    self._epoch = self._known_epoch = leader.epoch
                    log.info("leading in epoch %d", leader.epoch)
                    self._driver.post(Elected(leader.epoch))
                    self._elected.set()
                elif leader.scheduler != member.id and self._epoch:
                    raise Unavailable(f"{leader.scheduler} leads in epoch {leader.epoch} now", Reason.STALE_EPOCH)
            except Unavailable as error:
                if error.reason is Reason.STALE_EPOCH:
                    raise  # this process ends; whoever supervises it starts another, which stands by
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
        await self.write_reads()

    async def write_reads(self) -> None:
        """Write behind what tasks have read together. Raises Unavailable; what was held is then lost."""
        held: dict[Scope, list[TaskReads]] = {}
        for scope, task in self._reads:
            held.setdefault(scope, []).append(task)
        self._reads.clear()
        for scope, tasks in held.items():
            await self._metadata.record_reads(scope, tasks)

    # --- links -------------------------------------------------------------------------------------------------------

    async def serve_gateway(self, link: Link[SchedulerToGateway, GatewayToScheduler]) -> None:
        """Hear a gateway for as long as its link lasts."""
        await self._hear(link)

    async def _speak_with(self, member: Member) -> None:
        try:
            async with self._dials[member.kind](member.address) as link:
                link.send(LeaderJoined(self._epoch, self._name))
                await self._hear(link, member.address)
        except Unavailable as error:
            log.info("%s %s: %s", member.kind, member.id, error.message)
        finally:
            del self._dialled[member.kind, member.id]

    async def _hear(self, link: Link[Any, Any], address: str = "") -> None:
        peer = next(self._numbers)
        self._links[peer] = link
        try:
            async with asyncio.timeout(FIRST_WORD_S):
                first, *rest = await link.receive()
            if not await self._introduce(peer, first, address):
                return
            await self._take(peer, rest)
            await link.hear(partial(self._take, peer))
        except LinkClosed:
            pass
        except TimeoutError:
            log.warning("%s did not say who it is", link.peer)
        finally:
            del self._links[peer]
            link.close()
            self._driver.post(PeerLost(peer))

    async def _introduce(self, peer: int, joined: object, address: str) -> bool:
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
                # Where we reached it, others do; it may not know by what address it is seen.
                await self._driver.accept(NodeConnected(peer, dataclasses.replace(joined, address=address)))
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
            case Conclude(peers, outcome):
                self._count(outcome)
                if not self._core.state.cascades:
                    self._settled.set()
                for peer in peers:
                    self._send(peer, OutcomeReady(outcome))
            case RecordTraces(tasks):
                for task in tasks:
                    self._record(task)
            case RecordReads(scope, tasks):
                self._reads.extend([(scope, task) for task in tasks])
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

    # --- telemetry ---------------------------------------------------------------------------------------------------

    def _count(self, outcome: Outcome) -> None:
        attributes: Attributes = {Attribute.PIPELINE: outcome.scope.pipeline, Attribute.STATUS: outcome.status}
        self._tracer.telemetry.measure(Metric.OUTCOMES, 1, {**attributes, Attribute.REASON: outcome.reason})
        self._tracer.telemetry.measure(Metric.EVENT_TIME, outcome.elapsed_s, attributes)
        for stage in outcome.stages:
            named: Attributes = {Attribute.STAGE: stage.stage}
            self._tracer.telemetry.measure(Metric.TASKS_DONE, stage.tasks, named)
            self._tracer.telemetry.measure(Metric.QUEUE_TIME, stage.queue_s / stage.tasks, named)

    def _record(self, task: TaskTrace) -> None:
        """A span of the wall clock from instants of the monotonic one."""
        wall_ns, now = wall_time_ns(), self._clock.now()
        start_ns, end_ns = (wall_ns - int((now - at) * 1e9) for at in (task.ready_at, task.ended_at))
        self._tracer.finish(
            SpanName.SCHEDULE,
            task.traceparent,
            start_ns,
            end_ns,
            parent=task.parent,
            attributes=attributes_of(task),
            error=task.error,
        )

"""The gateway's asyncio half: owns the core and the link to the leader, performs commands, answers calls.

It is what a `covey.client.Edge` asks for, so that the servicer and the test client call the same methods. A call is
answered through a future (an event, put, get or cancel) or its link (a stream); the core knows calls by number only.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, assert_never

from covey.beside import beside
from covey.clock import Clock, wall_time_ns
from covey.driver import Driver
from covey.edge import Description, EventName, NewEvent, NewObject, ToEdge, Wanted
from covey.errors import CoveyError, NotFound, Reason, Unavailable
from covey.link import Dial, Link, LinkClosed, memory_link
from covey.messages import Beat, CancelEvent, GatewayJoined, SchedulerToGateway, SubmitEvent, View
from covey.model import Answer, ObjectRef, ObjectValue, Outcome, Scope
from covey.registry import Registry
from covey.services.gateway.core.commands import (
    AdoptView,
    AnswerCancel,
    AnswerGet,
    AnswerPut,
    Command,
    Deliver,
    HangUp,
    ReadObjects,
    RecordEvent,
    Refuse,
    StorePayload,
    ToLeader,
)
from covey.services.gateway.core.machine import GatewayCore
from covey.services.gateway.core.stimuli import (
    CancelRequested,
    ClientGone,
    DrainStarted,
    EventReceived,
    GetRequested,
    LeaderConnected,
    LeaderLost,
    PutRequested,
    ReadDone,
    Stimulus,
    Stored,
    StoreFailed,
)
from covey.services.gateway.metrics import KeyCounts
from covey.services.gateway.watching import Watches
from covey.telemetry import Attribute, Attributes, Metric, SpanName, Tracer
from covey.wire.datastore_client import DatastoreClient
from covey.wire.status import error_of

BACKOFF_S = 0.1
BACKOFF_S_MAX = 1.0
PATIENCE_S = 1.0
"""How long a description waits for the first view."""

Answered = asyncio.Future[Any]
DialLeader = Dial[ToLeader, SchedulerToGateway]


class Gateway:
    """One gateway. Run `run` in a task for as long as it should live."""

    def __init__(
        self,
        core: GatewayCore,
        dial_leader: DialLeader,
        datastores: DatastoreClient,
        registry: Registry,
        clock: Clock,
        tracer: Tracer,
        rng: random.Random,
    ) -> None:
        self._core = core
        self._dial_leader = dial_leader
        self._datastores = datastores
        self._registry = registry
        self._clock = clock
        self._tracer = tracer
        self._rng = rng
        self._driver: Driver[Stimulus, Command] = Driver(core, self._perform, clock)
        self._numbers = itertools.count(1)
        self._futures: dict[int, Answered] = {}
        self._streams: dict[int, Callable[[Outcome], None]] = {}
        self._dialed: Link[ToLeader, SchedulerToGateway] | None = None
        self._leader: Link[ToLeader, SchedulerToGateway] | None = None
        """The dialed link, once the core has joined over it."""
        self._view: View | None = None
        self._viewed = asyncio.Event()
        self._watches = Watches(datastores)

    async def run(self) -> None:
        counts = KeyCounts(self._core.state, self._tracer.telemetry)
        async with asyncio.TaskGroup() as group:
            group.create_task(counts.run())
            group.create_task(self._driver.run())
            group.create_task(self._follow_leaders())

    def drain(self) -> None:
        """Take nothing new; what is open may finish."""
        self._driver.post(DrainStarted())

    # --- the edge ---

    async def send(self, event: NewEvent) -> Outcome:
        outcome: Outcome = await self._ask(lambda call: self._received(call, event))
        error = error_of(outcome.status, outcome.reason, outcome.message, outcome.retry_after_s)
        if error is not None:
            raise error
        return outcome

    async def put(self, new: NewObject) -> ObjectRef:
        ref: ObjectRef = await self._ask(lambda call: PutRequested(call, new))
        return ref

    async def get(self, scope: Scope, wanted: Wanted, budget_s: float | None = None) -> Answer:
        answer: Answer = await self._ask(lambda call: GetRequested(call, scope, wanted, budget_s))
        error = error_of(answer.status, answer.reason, answer.message)
        if error is not None:
            raise error
        return answer

    async def cancel(self, name: EventName) -> bool:
        found: bool = await self._ask(lambda call: CancelRequested(call, name))
        return found

    async def describe(self, tenant: str, pipeline: str = "") -> Description:
        await self._wait_for_view()
        declared = self._core.state.declarations
        found = tuple(
            declaration
            for scope, declaration in declared.items()
            if scope.tenant == tenant and pipeline in ("", scope.pipeline)
        )
        if pipeline and not found:
            known = ", ".join(scope.pipeline for scope in declared if scope.tenant == tenant) or "none"
            raise NotFound(f"no pipeline {pipeline!r} is declared; known: {known}", Reason.UNKNOWN_PIPELINE)
        if self._view is None:
            return Description(found, ())
        names = {declaration.pipeline: None for declaration in found}
        unserved = tuple([each for each in self._view.unserved if each[0] in names])
        return Description(found, self._view.placement.nodes, unserved)

    @asynccontextmanager
    async def watch(self, scope: Scope, pool: str) -> AsyncIterator[AsyncIterator[ObjectValue]]:
        description = await self.describe(scope.tenant, scope.pipeline)
        description.declarations[0].pool(pool)
        async with self._watches.watch(scope, pool) as objects:
            yield objects

    @asynccontextmanager
    async def stream(self, tenant: str) -> AsyncIterator[Link[ToEdge, Outcome]]:
        """A stream within this process; events name their tenants themselves."""
        mine: Link[ToEdge, Outcome]
        theirs: Link[Outcome, ToEdge]
        mine, theirs = memory_link(f"client of {tenant}", "gateway")
        async with beside(self._serve_stream(theirs)):
            yield mine

    async def _serve_stream(self, link: Link[Outcome, ToEdge]) -> None:
        with self.opened_stream(link.send) as call:
            try:
                while True:
                    for message in await link.receive():
                        await self.take(call, message)
            except LinkClosed:
                return

    @contextmanager
    def opened_stream(self, deliver: Callable[[Outcome], None]) -> Iterator[int]:
        """A call that many events belong to; what is open at its end is withdrawn."""
        call = next(self._numbers)
        self._streams[call] = deliver
        try:
            yield call
        finally:
            del self._streams[call]
            self._driver.post(ClientGone(call))

    async def take(self, call: int, message: ToEdge) -> None:
        """Hand in what came on a stream."""
        match message:
            case NewEvent():
                await self._driver.accept(self._received(call, message))
            case EventName():
                await self._driver.accept(CancelRequested(0, message))
            case _:
                assert_never(message)

    def _received(self, call: int, event: NewEvent) -> EventReceived:
        """The event with its own span, under the client's."""
        return EventReceived(call, event, self._tracer.start(event.traceparent))

    async def _ask(self, request: Callable[[int], Stimulus]) -> Any:
        """Hand a call's request to the core and wait for its answer; a caller that leaves withdraws it."""
        call = next(self._numbers)
        answered: Answered = asyncio.get_running_loop().create_future()
        self._futures[call] = answered
        try:
            await self._driver.accept(request(call))
            return await answered
        finally:
            del self._futures[call]
            if not answered.done() or answered.cancelled():
                self._driver.post(ClientGone(call))

    async def _wait_for_view(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._viewed.wait()
        except TimeoutError:
            raise Unavailable("no scheduler leads the mesh", Reason.NO_LEADER) from None

    # --- commands ---

    def _perform(self, command: Command) -> Awaitable[Stimulus] | None:
        match command:
            case GatewayJoined():
                self._leader = self._dialed
                self._tell_leader(command)
            case SubmitEvent() | CancelEvent() | Beat():
                self._tell_leader(command)
            case Deliver(call, outcome):
                self._deliver(call, outcome)
            case AnswerPut(call, answer) | AnswerGet(call, answer) | AnswerCancel(call, answer):
                self._answer(call, answer)
            case Refuse(call, error):
                self._answer(call, error)
            case StorePayload():
                return self._store(command)
            case ReadObjects():
                return self._read(command)
            case RecordEvent():
                self._record(command)
            case AdoptView(view):
                self._adopt(view)
            case HangUp():
                if self._leader is not None:
                    self._leader.close()  # `_follow` hears the end, and looks for the leader again
            case _:
                assert_never(command)
        return None

    def _tell_leader(self, message: ToLeader) -> None:
        if self._leader is not None:
            self._leader.send(message, len(self._core.state.open))

    def _deliver(self, call: int, outcome: Outcome) -> None:
        stream = self._streams.get(call)
        if stream is not None:
            stream(outcome)
        else:
            self._answer(call, outcome)

    def _answer(self, call: int, answer: Any) -> None:
        """Answer a call; one whose caller has left meanwhile is answered by nobody."""
        answered = self._futures.get(call)
        if answered is None or answered.done():
            return
        if isinstance(answer, CoveyError):
            answered.set_exception(answer)
        else:
            answered.set_result(answer)

    async def _store(self, command: StorePayload) -> Stimulus:
        put = command.put
        try:
            ref = await self._datastores.put(
                command.node.id,
                put.scope,
                put.ref,
                put.payload,
                command.deadline,
                emission=put.emission,
                previous_version=put.previous_version,
                traceparent=put.traceparent,
            )
        except CoveyError as error:
            return StoreFailed(put.request, error)
        return Stored(put.request, ref)

    async def _read(self, command: ReadObjects) -> Stimulus:
        fetched = await self._datastores.get(command.scope, command.reads, command.deadline)
        return ReadDone(command.number, fetched.answers)

    def _record(self, ended: RecordEvent) -> None:
        if not self._tracer.listened_to:
            return
        outcome = ended.outcome
        pipeline: Attributes = {Attribute.PIPELINE: outcome.scope.pipeline}
        if not ended.admitted:
            self._tracer.telemetry.measure(Metric.EVENTS_REFUSED, 1, {Attribute.REASON: outcome.reason})
            return
        self._tracer.telemetry.measure(Metric.EVENTS_ADMITTED, 1, pipeline)
        end_ns = wall_time_ns()
        self._tracer.finish(
            SpanName.EVENT,
            ended.traceparent,
            end_ns - round(outcome.elapsed_s * 1e9),
            end_ns,
            parent=ended.parent,
            attributes={
                **pipeline,
                Attribute.TENANT: outcome.scope.tenant,
                Attribute.EVENT: outcome.event_id,
                Attribute.PRIORITY: ended.priority.name,
                Attribute.STATUS: outcome.status,
                Attribute.REASON: outcome.reason,
            },
            error=outcome.message,
        )

    def _adopt(self, view: View) -> None:
        self._view = view
        self._datastores.set_nodes(view.placement)
        self._watches.adopt(view.placement)
        self._viewed.set()

    # --- the leader ---

    async def _follow_leaders(self) -> None:
        """Stay linked to whoever leads, by what the registry says; look again with growing patience."""
        backoff_s = BACKOFF_S
        while True:
            try:
                leader = await self._registry.leader()
                if leader is not None:
                    async with self._dial_leader(leader.address) as link:
                        backoff_s = BACKOFF_S
                        await self._follow(link)
            except Unavailable:
                pass  # no registry, or nobody at the address: the next look may find another
            await asyncio.sleep(backoff_s * self._rng.uniform(0.5, 1.0))
            backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)

    async def _take_from_leader(self, messages: Sequence[SchedulerToGateway]) -> None:
        await self._driver.accept(*messages)

    async def _follow(self, link: Link[ToLeader, SchedulerToGateway]) -> None:
        self._dialed = link
        self._driver.post(LeaderConnected())
        try:
            await link.hear(self._take_from_leader)
        finally:
            self._dialed = self._leader = None
            self._driver.post(LeaderLost())

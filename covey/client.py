"""The async client of the mesh.

    async with covey.connect("127.0.0.1:7700", "collisions") as client:
        outcome = await client.send("/observations/s1/3", boxes, deadline_s=0.5)
        for alert in await client.results(outcome):
            print(alert.key, alert.value)

        async with client.stream() as stream:                 # many events over one stream
            pending = [await stream.send(f"/observations/s1/{tick}", boxes) for tick in range(1000)]
            outcomes = [await one for one in pending]

Values are written and read by the codecs of their pools. Every method raises CoveyError; only the outcomes of a stream
say in their status what became of their events.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

from covey.batch import Object
from covey.beside import beside
from covey.clock import wall_time_ns
from covey.codec import encode
from covey.declaration import Codec, Declaration, PoolDeclaration
from covey.edge import (
    Description,
    EventName,
    GroupWanted,
    KeysWanted,
    KeyWanted,
    NewEvent,
    NewObject,
    PrefixWanted,
    SeriesWanted,
    ToEdge,
    Wanted,
)
from covey.errors import AlreadyExists, InvalidArgument, NotFound, Reason, Status
from covey.link import Link, LinkClosed
from covey.model import Answer, ObjectRef, ObjectValue, Outcome, Priority, Scope
from covey.wire.gateway_client import SLACK_S, gateway_at

ADDRESS = "127.0.0.1:7700"
TENANT = "default"
IN_FLIGHT_MAX = 1024
"""Events of one stream that may be under way before `send` waits."""


class Edge(Protocol):
    """A gateway: over gRPC, or within this process. Every method raises CoveyError for what could not be done."""

    async def send(self, event: NewEvent) -> Outcome:
        """Run an event; its outcome is OK, since any other is raised."""

    def stream(self, tenant: str) -> AbstractAsyncContextManager[Link[ToEdge, Outcome]]:
        """Send events and receive their outcomes as they are ready; one that is not OK is an answer here."""

    async def cancel(self, name: EventName) -> bool: ...

    async def put(self, new: NewObject) -> ObjectRef: ...

    async def get(self, scope: Scope, wanted: Wanted, budget_s: float | None = None) -> Answer: ...

    def watch(self, scope: Scope, pool: str) -> AbstractAsyncContextManager[AsyncIterator[ObjectValue]]:
        """The objects put into a pool from now on, at least once. A reader that is too slow is cut off and told so."""

    async def describe(self, tenant: str, pipeline: str = "") -> Description: ...


@asynccontextmanager
async def connect(address: str = ADDRESS, pipeline: str = "", tenant: str = TENANT) -> AsyncIterator[Client]:
    """A client of the gateway at `address`, for one pipeline; without a name, for the only one that there is."""
    async with gateway_at(address) as gateway:
        yield Client(gateway, pipeline, tenant)


@dataclass(frozen=True, slots=True)
class Found:
    """What a read found. `complete` is False when something that was there has been lost or evicted."""

    objects: tuple[Object, ...]
    complete: bool

    def __iter__(self) -> Iterator[Object]:
        return iter(self.objects)

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, position: int) -> Object:
        return self.objects[position]


class Client:
    """Speaks with one pipeline through an edge."""

    def __init__(self, edge: Edge, pipeline: str = "", tenant: str = TENANT) -> None:
        self._edge = edge
        self._tenant = tenant
        self._pipeline = pipeline
        self._declaration: Declaration | None = None

    async def send(
        self,
        key: str,
        value: Any,
        *,
        id: str = "",
        deadline_s: float | None = None,
        priority: Priority = Priority.HIGH,
        group: str = "",
        traceparent: str = "",
    ) -> Outcome:
        """Send an event and wait for its outcome, which is OK: any other is raised.

        The `id` makes it safe to send the event again; without a deadline it has the pipeline's objective.
        """
        return await self._edge.send(await self._event(key, value, id, deadline_s, priority, group, traceparent))

    @asynccontextmanager
    async def stream(self, in_flight_max: int = IN_FLIGHT_MAX) -> AsyncIterator[EventStream]:
        """A stream for many events. Its end waits for the outcomes of all of them."""
        async with self._edge.stream(self._tenant) as link:
            stream = EventStream(self, link, in_flight_max)
            async with beside(stream._receive()):
                yield stream
                await stream.answered()

    async def cancel(self, id: str) -> bool:
        """Take an event back; whether it was open."""
        return await self._edge.cancel(EventName(await self._scope(), id))

    async def results(self, outcome: Outcome) -> tuple[Object, ...]:
        """The objects that an event led to, those fetched that were too large to come along."""
        return tuple([await self._result(value) for value in outcome.results])

    async def put(
        self, key: str, value: Any, *, group: str = "", previous_version: int | None = None, id: str = ""
    ) -> ObjectRef:
        """Store an object, and trigger nothing; its version is in the answer.

        A `previous_version` that is not the current one raises VersionConflict; 0 says that there is none yet.
        """
        payload = encode((await self._pool(key)).codec, value)
        return await self._edge.put(NewObject(await self._scope(), key, payload, group, previous_version, id))

    async def get(self, key: str, *, version: int = 0, at: float | None = None, group: str = "") -> Object | None:
        """One object: the version, or the latest; None if there is none. `group`: the one that it was put with.

        With `at`, in seconds since 1970 by this machine's clock, the version that was current then, as exactly as the
        way to its home is short. Versions that were superseded are kept as long as their pool says, or an open event
        may need them; `get_many` says whether one that is asked for may be gone.
        """
        found = await self._found(KeyWanted(key, version, group, _age_s(at)))
        return found[0] if found else None

    async def get_many(self, keys: Sequence[str], *, at: float | None = None, group: str = "") -> Found:
        """Objects by their keys, in the keys' order without those that there are none of; `at` as `get` has it.

        One round trip to each home. A pool that is strict refuses to be read together with another group.
        """
        return await self._found(KeysWanted(tuple(keys), group, _age_s(at)))

    async def last(self, series: str, count: int = 1, *, as_of: int | None = None) -> Found:
        """The last `count` objects of a series, a key with `*` for its index, at or before the index `as_of`."""
        return await self._found(SeriesWanted(series, count, as_of))

    async def scan(self, prefix: str, limit: int = 1000) -> Found:
        """The current objects under a key prefix, in key order."""
        return await self._found(PrefixWanted(prefix, limit))

    async def members(self, pool: str, group: str, limit: int = 1000) -> Found:
        """The current objects of a group in one pool, in key order."""
        return await self._found(GroupWanted(pool, group, limit))

    async def whole_group(self, group: str, limit: int = 1000) -> Found:
        """The current objects of a group in every pool, in key order, in one round trip."""
        return await self._found(GroupWanted("", group, limit))

    @asynccontextmanager
    async def subscribe(self, pool: str) -> AsyncIterator[AsyncIterator[Object]]:
        """The objects put into a pool from now on, at least once."""
        declared = (await self._declared()).pool(pool)
        async with self._edge.watch(await self._scope(), pool) as values:
            yield _objects(declared, values)

    async def codec_of(self, key: str) -> Codec:
        """How the pool of a key writes its values."""
        return (await self._pool(key)).codec

    async def describe(self) -> Description:
        """The pipeline, or all of the tenant's where the client names none; and the nodes of the mesh."""
        return await self._edge.describe(self._tenant, self._pipeline)

    # --- declarations and codecs ---

    async def _declared(self, again: bool = False) -> Declaration:
        """The pipeline as it was declared when it was last needed."""
        if self._declaration is None or again:
            declarations = (await self.describe()).declarations
            if len(declarations) != 1:
                known = ", ".join(declaration.pipeline for declaration in declarations) or "none"
                raise InvalidArgument(f"say which pipeline; there are {known}", Reason.UNKNOWN_PIPELINE)
            self._declaration = declarations[0]
        return self._declaration

    async def _scope(self) -> Scope:
        return Scope(self._tenant, (await self._declared()).pipeline)

    async def _pool(self, key: str) -> PoolDeclaration:
        """The pool of a key; one that is not known may have been declared since."""
        try:
            return (await self._declared()).pool_of_key(key)[0]
        except NotFound:
            return (await self._declared(again=True)).pool_of_key(key)[0]

    async def _event(
        self,
        key: str,
        value: Any,
        id: str,
        deadline_s: float | None,
        priority: Priority,
        group: str,
        traceparent: str,
    ) -> NewEvent:
        payload = encode((await self._pool(key)).codec, value)
        declared = await self._declared()
        budget_s = declared.objective_s if deadline_s is None else deadline_s
        scope = Scope(self._tenant, declared.pipeline)
        return NewEvent(scope, key, payload, id, priority, budget_s, group, traceparent)

    async def _found(self, wanted: Wanted) -> Found:
        answer = await self._edge.get(await self._scope(), wanted)
        declared = await self._declared()
        objects = [Object(declared.pool(value.ref.pool), value) for value in answer.objects]
        return Found(tuple(objects), answer.complete)

    async def _result(self, value: ObjectValue) -> Object:
        if value.payload is None:
            answer = await self._edge.get(
                await self._scope(), KeyWanted(value.ref.key, value.ref.version, value.ref.group)
            )
            if not answer.objects:
                raise NotFound(f"{value.ref.key!r} is there no more")
            value = answer.objects[0]
        return Object((await self._declared()).pool(value.ref.pool), value)


class EventStream:
    """Many events over one stream; made by `Client.stream`."""

    def __init__(self, client: Client, link: Link[ToEdge, Outcome], in_flight_max: int) -> None:
        self._client = client
        self._link = link
        self._room = asyncio.Semaphore(in_flight_max)
        self._open: dict[str, asyncio.Future[Outcome]] = {}
        self._broken = ""
        self._prefix = uuid4().hex
        self._numbers = itertools.count(1)

    async def send(
        self,
        key: str,
        value: Any,
        *,
        id: str = "",
        deadline_s: float | None = None,
        priority: Priority = Priority.HIGH,
        group: str = "",
        traceparent: str = "",
    ) -> asyncio.Future[Outcome]:
        """Send an event, once there is room; await what this returns for its outcome, of whatever status.

        When the stream breaks, the outcomes of what is under way are UNAVAILABLE.
        """
        name = id or f"{self._prefix}-{next(self._numbers)}"
        event = await self._client._event(key, value, name, deadline_s, priority, group, traceparent)
        await self._room.acquire()
        if name in self._open:
            self._room.release()
            raise AlreadyExists(f"the event {name!r} is under way on this stream")
        loop = asyncio.get_running_loop()
        pending: asyncio.Future[Outcome] = loop.create_future()
        self._open[name] = pending
        if self._broken:
            self._settle(_lost(event.scope, name, self._broken))
            return pending
        self._link.send(event, len(self._open))
        # The gateway keeps the deadline; this is for a gateway that hangs.
        timer = loop.call_later((event.budget_s or 0.0) + SLACK_S, self._settle, _silent(event.scope, name))
        pending.add_done_callback(lambda _: timer.cancel())
        return pending

    async def cancel(self, id: str) -> None:
        """Take an event back; its outcome is then CANCELLED, unless it was decided already."""
        self._link.send(EventName(await self._client._scope(), id))

    @property
    def broken(self) -> str:
        """Why nothing more will come, in a sentence; empty while the stream is well."""
        return self._broken

    async def answered(self) -> None:
        """Wait until every event has its outcome."""
        while self._open:
            await asyncio.wait(list(self._open.values()))

    async def _receive(self) -> None:
        try:
            await self._link.hear(self._settle_all)
        except LinkClosed as closed:
            self._broken = closed.message
            scope = await self._client._scope()
            for name in list(self._open):
                self._settle(_lost(scope, name, closed.message))

    async def _settle_all(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._settle(outcome)

    def _settle(self, outcome: Outcome) -> None:
        pending = self._open.pop(outcome.event_id, None)
        if pending is None:
            return
        self._room.release()
        if not pending.done():
            pending.set_result(outcome)


def _age_s(at: float | None) -> float | None:
    """How long ago an instant was. Raises InvalidArgument for one that has yet to come."""
    if at is None:
        return None
    age_s = wall_time_ns() / 1e9 - at
    if age_s < 0:
        raise InvalidArgument(f"at={at} is {-age_s:.3f} s in the future")
    return age_s


def _lost(scope: Scope, name: str, message: str) -> Outcome:
    return Outcome(scope, name, Status.UNAVAILABLE, Reason.UNREACHABLE, message)


def _silent(scope: Scope, name: str) -> Outcome:
    message = "the gateway said nothing until after the deadline"
    return Outcome(scope, name, Status.DEADLINE_EXCEEDED, Reason.LATE, message)


async def _objects(pool: PoolDeclaration, values: AsyncIterator[ObjectValue]) -> AsyncIterator[Object]:
    async for value in values:
        yield Object(pool, value)

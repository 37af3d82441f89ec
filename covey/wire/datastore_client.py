"""The client of the datastores, for the shells of gateways and workers.

One link a node, opened when it is first used and again after it was lost. Puts raise; a get never does: a node that
can't be reached, or does not answer in time, makes its reads' answers UNAVAILABLE or DEADLINE_EXCEEDED, so that a batch
loses the tasks that read there and no others.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import NamedTuple, assert_never

from covey.clock import Clock
from covey.errors import CoveyError, DeadlineExceeded, Reason, Status, Unavailable
from covey.grouping import Scope
from covey.link import Dial, Link, LinkClosed
from covey.messages import (
    EndWatch,
    FromDatastore,
    Get,
    GetDone,
    HandOverDone,
    NodeMet,
    Put,
    PutDone,
    SharedPlace,
    ToDatastore,
    Watch,
    Watched,
)
from covey.model import Answer, ObjectRef, ObjectValue, Placement, Read
from covey.reads import Fetched, gather, split_by_node
from covey.wire.listeners import Listener, OneOfReplies, PlacedPut, Replies, Reply, Watcher
from covey.wire.sharing import SharedFiles, SharedRing, is_worth_sharing
from covey.wire.status import error_of

DatastoreLink = Link[ToDatastore, FromDatastore]


class NewPut(NamedTuple):
    """An object for `put_all`; `emission` makes the put repeatable."""

    node: str
    ref: ObjectRef
    payload: bytes
    emission: bytes
    traceparent: str = ""


class DatastoreClient:
    """Puts into, reads from and watches the datastores; an async context, at whose end its links are closed.

    `set_nodes` says where the nodes listen; `near` names those that are reached by another address from here. Large
    payloads of the local node come through `shared`, and go there through `ring`, in files.
    """

    def __init__(
        self,
        dial: Dial[ToDatastore, FromDatastore],
        clock: Clock,
        near: Mapping[str, str] | None = None,
        shared: SharedFiles | None = None,
        ring: SharedRing | None = None,
    ) -> None:
        self._near = dict(near or {})
        self._shared = shared
        self._ring = ring
        self._dial = dial
        self._clock = clock
        self._addresses: dict[str, str] = {}
        self._connections: dict[str, _Connection] = {}  # by address
        self._tasks = asyncio.TaskGroup()
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> DatastoreClient:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections.values():
            connection.close()
        await self._tasks.__aexit__(kind, error, trace)

    def set_nodes(self, placement: Placement) -> None:
        """From now on these are the nodes; links to others are closed."""
        self._addresses = {node.id: self._near.get(node.id, node.address) for node in placement.nodes}
        for address in [address for address in self._connections if address not in self._addresses.values()]:
            self._connections.pop(address).close()

    async def put(
        self,
        node: str,
        scope: Scope,
        ref: ObjectRef,
        payload: bytes,
        deadline: float,
        *,
        emission: bytes = b"",
        previous_version: int | None = None,
        traceparent: str = "",
    ) -> ObjectRef:
        """Store an object; its ref with its version, once the node has acknowledged it.

        Raises Moved where the group lives elsewhere, VersionConflict, Unavailable, DeadlineExceeded, and NotFound or
        InvalidArgument for a put that no node could take.
        """
        if previous_version is None:
            # Whether the node is on this host shows when it does not see the ring; then the payload goes along.
            (done,) = await self.put_all(scope, [NewPut(node, ref, payload, emission, traceparent)], deadline, node)
        else:
            put = Put(next(self._numbers), scope, ref, payload, emission, previous_version, traceparent)
            done = _put_result(await self._ask(node, put, deadline))
        if isinstance(done, CoveyError):
            raise done
        return done

    async def put_all(
        self, scope: Scope, puts: Sequence[NewPut], deadline: float, local_node: str = ""
    ) -> list[ObjectRef | CoveyError]:
        """Store many objects at once, without a task or a future for each; for each its ref, or what went wrong."""
        replies = Replies(len(puts))
        asked: list[tuple[_Connection, int]] = []
        last = {(new.ref.pool, new.ref.key): position for position, new in enumerate(puts)}
        for position, new in enumerate(puts):
            try:
                connection = self._connection(new.node)
                link = await connection.open()
            except CoveyError as error:
                replies.take(position, error)
                continue
            listener = OneOfReplies(replies, position)
            put = Put(next(self._numbers), scope, new.ref, new.payload, new.emission, None, new.traceparent)
            asked.append((connection, put.request))
            # What has to be sent again may come after what follows it: that must be no version of the same object.
            is_last = last[new.ref.pool, new.ref.key] == position
            place = self._place_of(new, connection) if new.node == local_node and is_last else None
            if place is None:
                connection.ask(link, put, listener)
                continue
            placed = replace(put, request=next(self._numbers), payload=b"", place=place)
            asked.append((connection, placed.request))
            connection.ask(link, placed, PlacedPut(listener, partial(connection.send_whole, link, put, listener)))
        try:
            await asyncio.wait((replies.all_there,), timeout=max(0.0, deadline - self._clock.now()))
        finally:
            for connection, request in asked:
                connection.listeners.pop(request, None)
        return [_put_result(answer) for answer in replies.answers]

    def _place_of(self, new: NewPut, connection: _Connection) -> SharedPlace | None:
        """Where the payload stands, written now; None if it has to come along."""
        if self._ring is None or not connection.sees_ring or not is_worth_sharing(new.payload):
            return None
        return self._ring.write(new.payload) if new.ref.size == len(new.payload) else None

    async def get(
        self,
        scope: Scope,
        reads: Sequence[Read],
        deadline: float,
        local_node: str = "",
        traceparents: tuple[str, ...] = (),
        known: Mapping[Read, tuple[ObjectRef, ...]] | None = None,
    ) -> Fetched:
        """Read from all the nodes that the reads name, in parallel, one round trip each.

        What a read may find and is `known` comes without its payload.
        """
        split = split_by_node(reads)
        asks = []
        for node, positions in split.items():
            wanted = tuple([reads[at] for at in positions])
            is_local = node == local_node
            held = tuple([ref for read in wanted for ref in known.get(read, ())]) if known else ()
            shared = is_local and self._shared is not None
            asks.append(
                self._get_from(node, Get(next(self._numbers), scope, wanted, deadline, traceparents, held, shared))
            )
        # A single node, the common case, is asked without a task.
        answers = [await asks[0]] if len(asks) == 1 else await asyncio.gather(*asks)
        return gather(reads, dict(zip(split, answers, strict=True)), local_node)

    async def watch(self, node: str, scope: Scope, pool: str) -> AsyncGenerator[ObjectValue, None]:
        """The objects put into a pool on one node from now on, at least once.

        Raises ResourceExhausted (SLOW_READER), Unavailable when the node is lost, and NotFound for an unknown pool.
        """
        connection = self._connection(node)
        link = await connection.open()
        request = next(self._numbers)
        watcher = connection.listeners[request] = Watcher()
        link.send(Watch(request, scope, pool))
        try:
            while True:
                for value in await watcher.take():
                    yield value
        finally:
            if connection.listeners.pop(request, None) is not None:
                link.send(EndWatch(request))

    async def _get_from(self, node: str, get: Get) -> Sequence[Answer]:
        """One node's answers to its reads; a node that fails answers all of them alike."""
        try:
            if get.shared and not self._connection(node).shares:
                get = replace(get, shared=False)
            done = await self._ask(node, get, get.deadline)
            assert isinstance(done, GetDone), "a get is answered with GetDone"
            if done.files and get.shared and self._shared is not None:
                filled = self._shared.filled(done)
                if filled is not None:
                    return filled
                self._connection(node).shares = self._shared.sees(done.files[0].place.name)
                return await self._get_from(node, replace(get, request=next(self._numbers), shared=False))
        except CoveyError as error:
            return (Answer((), False, error.status, error.reason, error.message),) * len(get.reads)
        return done.answers

    async def _ask(self, node: str, message: Put | Get, deadline: float) -> PutDone | GetDone:
        connection = self._connection(node)
        delay = deadline - self._clock.now()
        try:
            async with asyncio.timeout(delay if delay < math.inf else None):
                link = await connection.open()
                reply = connection.listeners[message.request] = Reply()
                link.send(message)
                return await reply.answer
        except TimeoutError:
            raise DeadlineExceeded(f"the datastore of node {node} did not answer in time") from None
        finally:
            connection.listeners.pop(message.request, None)

    def _connection(self, node: str) -> _Connection:
        address = self._addresses.get(node)
        if address is None:
            raise Unavailable(f"no datastore of node {node!r} is known", Reason.NO_HOME)
        connection = self._connections.get(address)
        if connection is None:
            connection = self._connections[address] = _Connection(self._dial, address, self._tasks)
        return connection


class _Connection:
    """The link to one address, as long as it lasts, and who waits for answers on it."""

    def __init__(self, dial: Dial[ToDatastore, FromDatastore], address: str, tasks: asyncio.TaskGroup) -> None:
        self.listeners: dict[int, Listener] = {}
        self.shares = True
        """Whether the node's files can be seen from here; taken for granted until one can't."""
        self.sees_ring = True
        """Whether the node can see what is written here; likewise."""
        self._dial = dial
        self._address = address
        self._tasks = tasks
        self._link: DatastoreLink | None = None
        self._opening: asyncio.Future[DatastoreLink] | None = None
        self._speaking: asyncio.Task[None] | None = None

    async def open(self) -> DatastoreLink:
        """The link; opened if there is none. Raises Unavailable when nobody answers."""
        if self._link is not None:
            return self._link
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_future()
            self._speaking = self._tasks.create_task(self._speak(self._opening))
        return await asyncio.shield(self._opening)  # others wait for it too

    def ask(self, link: DatastoreLink, put: Put, listener: Listener) -> None:
        self.listeners[put.request] = listener
        link.send(put)

    def send_whole(self, link: DatastoreLink, put: Put, listener: Listener, reason: Reason) -> None:
        """Its payload could not be read where it was said to stand."""
        self.sees_ring = self.sees_ring and reason is not Reason.FILE_UNSEEN
        self.ask(link, put, listener)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
        elif self._speaking is not None:
            self._speaking.cancel()

    async def _speak(self, opening: asyncio.Future[DatastoreLink]) -> None:
        """Open the link and hear what it says for as long as it lasts."""
        lost: CoveyError = Unavailable(f"the link to the datastore at {self._address} was closed", Reason.HOME_LOST)
        try:
            async with self._dial(self._address) as link:
                self._link, self._opening = link, None
                self.shares = self.sees_ring = not link.near  # a neighbour is handed the payload itself
                opening.set_result(link)
                try:
                    await link.hear(partial(self._take, link))
                except LinkClosed as error:
                    lost = _home_lost(self._address, error)
                finally:
                    self._link = None  # before the farewell, during which the next link may open
                    self._lose_all(lost)
        except CoveyError as error:
            lost = _home_lost(self._address, error)
        finally:
            if not opening.done():
                self._opening = None
                opening.set_exception(lost)

    def _lose_all(self, error: CoveyError) -> None:
        listeners, self.listeners = self.listeners, {}
        for listener in listeners.values():
            listener.lose(error)

    async def _take(self, link: DatastoreLink, messages: Sequence[FromDatastore]) -> None:
        for message in messages:
            self._hear(link, message)

    def _hear(self, link: DatastoreLink, message: FromDatastore) -> None:
        listener = self.listeners.get(message.request)
        if listener is None or listener.hear(message):
            return
        self.listeners.pop(message.request, None)
        match message:
            case Watched(status=Status.OK):
                link.send(EndWatch(message.request))
            case Watched() | PutDone() | GetDone() | NodeMet() | HandOverDone():
                pass
            case _:
                assert_never(message)


def _put_result(done: FromDatastore | CoveyError) -> ObjectRef | CoveyError:
    """What a home made of a put."""
    if isinstance(done, CoveyError):
        return done
    assert isinstance(done, PutDone), "a put is answered with PutDone"
    error = error_of(done.status, done.reason, done.message)
    if error is not None:
        return error
    assert done.ref is not None, "a put that went well has a version"
    return done.ref


def _home_lost(address: str, error: CoveyError) -> Unavailable:
    return Unavailable(f"the datastore at {address} is gone: {error.message}", Reason.HOME_LOST)

"""A link: one long-lived stream between two services, seen from one end.

Shells know links and nothing of gRPC: `covey.wire.streams` makes links over bidirectional gRPC streams, and
`memory_link` makes a pair of them inside one process, which the test client uses. What a link carries are the closed
unions of `covey.messages`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from covey.beside import beside
from covey.errors import Unavailable

QUEUE_MAX = 100_000
"""Messages that may wait to be written. Admission keeps queues far below; a link that reaches it is broken."""

Out = TypeVar("Out", contravariant=True)
In = TypeVar("In", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class LinkClosed(Unavailable):
    """The other end is gone, or was cut off because it did not read."""


class Link(Protocol[Out, In]):
    """One end of a stream."""

    @property
    def peer(self) -> str:
        """Who is at the other end, for people."""

    @property
    def near(self) -> bool:
        """Whether the other end is in this process: what is sent is then handed over as it is, however large."""

    @property
    def queued(self) -> int:
        """How many messages wait to be written: grows when the other end reads slowly."""

    def send(self, message: Out, under_way: int = 0) -> None:
        """Queue a message; never blocks. A link that may wait for company is told how many like it have no answer yet.

        On a closed link it does nothing: the receiver learns it first. A full queue closes the link, for a peer that
        does not read must not fill our memory.
        """

    async def receive(self) -> Sequence[In]:
        """Everything that has come, at least one message. Raises LinkClosed when nothing more will come."""

    async def hear(self, take: Callable[[Sequence[In]], Awaitable[None]]) -> NoReturn:
        """Hand over all that comes, as it comes: sooner than `receive` by waking one task less.

        Reads no further while `take` waits. Raises LinkClosed when nothing more will come, and what `take` raises.
        """

    def close(self) -> None:
        """End the stream; what is queued may be lost."""


Dial = Callable[[str], AbstractAsyncContextManager[Link[A, B]]]
"""Opens a link to an address and closes it at the end; raises Unavailable when nobody answers."""

Serve = Callable[[Link[A, B]], Awaitable[None]]
"""Speaks over a link for as long as it lasts: what a shell offers to whoever accepts links."""


class _Pipe(Generic[T]):
    """One direction of a memory link."""

    def __init__(self, queue_max: int) -> None:
        self._items: deque[T] = deque()
        self._queue_max = queue_max
        self._arrived = asyncio.Event()
        self.closed = False

    def put(self, item: T) -> None:
        if self.closed:
            return
        if len(self._items) >= self._queue_max:
            self.close()
            return
        self._items.append(item)
        self._arrived.set()

    def close(self) -> None:
        self.closed = True
        self._arrived.set()

    def __len__(self) -> int:
        return len(self._items)

    async def take(self) -> list[T]:
        while not self._items:
            if self.closed:
                raise LinkClosed("the other end closed the link")
            self._arrived.clear()
            await self._arrived.wait()
        taken = list(self._items)
        self._items.clear()
        return taken


class _MemoryEnd(Generic[A, B]):
    """One end of a memory link."""

    near = True

    def __init__(self, peer: str, outward: _Pipe[A], inward: _Pipe[B]) -> None:
        self.peer = peer
        self._outward = outward
        self._inward = inward

    @property
    def queued(self) -> int:
        return len(self._outward)

    def send(self, message: A, under_way: int = 0) -> None:
        self._outward.put(message)

    async def receive(self) -> Sequence[B]:
        return await self._inward.take()

    async def hear(self, take: Callable[[Sequence[B]], Awaitable[None]]) -> NoReturn:
        while True:
            await take(await self._inward.take())

    def close(self) -> None:
        self._outward.close()
        self._inward.close()


def memory_link(dialer: str, acceptor: str, queue_max: int = QUEUE_MAX) -> tuple[Link[A, B], Link[B, A]]:
    """A link within one process: the dialer's end and the acceptor's."""
    forth: _Pipe[A] = _Pipe(queue_max)
    back: _Pipe[B] = _Pipe(queue_max)
    return _MemoryEnd(acceptor, forth, back), _MemoryEnd(dialer, back, forth)


class MemoryNetwork:
    """Addresses within one process: who serves where. Stands in for sockets in the test client."""

    def __init__(self) -> None:
        self._serving: dict[str, Callable[..., Awaitable[None]]] = {}

    def listen(self, address: str, serve: Serve[Any, Any]) -> None:
        self._serving[address] = serve

    def hang_up(self, address: str) -> None:
        self._serving.pop(address, None)

    @asynccontextmanager
    async def dial(self, address: str) -> AsyncIterator[Link[Any, Any]]:
        """Open a link to whoever listens at `address`, served by a task that ends with the link."""
        serve = self._serving.get(address)
        if serve is None:
            raise Unavailable(f"nobody listens at {address}")
        mine: Link[Any, Any]
        theirs: Link[Any, Any]
        mine, theirs = memory_link("dialer", address)
        async with beside(serve(theirs)):
            try:
                yield mine
            finally:
                mine.close()

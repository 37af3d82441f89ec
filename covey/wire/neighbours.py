"""Services of one process reach each other through memory: what a dialer finds there it need not go to a socket for.

Who serves what is told explicitly, by address, and nothing else changes: a link is a link. What it saves is waking one
process after the other, which is most of what a small event costs (`wire` in benchmarks/README.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from covey.clock import Clock
from covey.link import Link
from covey.wire.linger import Linger

Out = TypeVar("Out")
In = TypeVar("In")


class Accepts(Protocol):
    """Whoever serves the streams of one method."""

    def linked(self) -> AbstractAsyncContextManager[Link[Any, Any]]:
        """The dialer's end of a link within this process."""


class Neighbours:
    """The methods that are served within this process, each by its path and the address that others dial."""

    def __init__(self) -> None:
        self._accepting: dict[tuple[str, str], Accepts] = {}

    @contextmanager
    def listening(self, accepting: Mapping[tuple[str, str], Accepts]) -> Iterator[None]:
        """These are served here for as long as the context lasts."""
        self._accepting.update(accepting)
        try:
            yield
        finally:
            for served in accepting:
                del self._accepting[served]

    def find(self, path: str, address: str) -> Accepts | None:
        return self._accepting.get((path, address))


@asynccontextmanager
async def dialed_near(accepts: Accepts, clock: Clock) -> AsyncIterator[Link[Any, Any]]:
    """A link to a neighbour. What is sent may wait for company as it would on a stream, so that batches form alike."""
    async with accepts.linked() as link:
        lingering: Lingering[Any, Any] = Lingering(link, clock)
        try:
            yield lingering
        finally:
            lingering.close()


class Lingering(Generic[Out, In]):
    """A link whose messages wait for company by the rule of `covey.wire.linger`."""

    near = True

    def __init__(self, link: Link[Out, In], clock: Clock) -> None:
        self.peer = link.peer
        self._link = link
        self._clock = clock
        self._linger = Linger()
        self._held: deque[Out] = deque()
        self._due: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        return len(self._held) + self._link.queued

    def send(self, message: Out, under_way: int = 0) -> None:
        now = self._clock.now()
        self._held.append(message)
        self._linger.arrived(now, under_way)
        hold_s = self._linger.hold_s(len(self._held), now)
        if hold_s <= 0:
            self._let_go()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(hold_s, self._let_go)

    async def receive(self) -> Sequence[In]:
        return await self._link.receive()

    async def hear(self, take: Callable[[Sequence[In]], Awaitable[None]]) -> NoReturn:
        await self._link.hear(take)

    def close(self) -> None:
        self._let_go()
        self._link.close()

    def _let_go(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._held:
            self._linger.wrote(self._clock.now())
        while self._held:
            self._link.send(self._held.popleft())

"""One client's stream over gRPC: events in, outcomes out, in any order, many to a message.

The client may finish its side and still gets the outcomes of all that it sent. A client that sends and does not read
is read no further once `UNANSWERED_MAX` of its events have no outcome on the wire.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc

from covey.clock import Clock
from covey.edge import EventName, Misread
from covey.errors import Reason, Unavailable
from covey.link import LinkClosed
from covey.model import Outcome
from covey.services.gateway.core.outcomes import refusal
from covey.services.gateway.shell import Gateway
from covey.wire.convert.edge import edge_decoder, encode_outcome
from covey.wire.linger import Linger

UNANSWERED_MAX = 4_096
MESSAGE_BYTES_MAX = 1 << 20


class EventStream:
    """Serves one `Stream` call, `serve`, until the client finishes and has every outcome, or `hang_up`."""

    def __init__(self, gateway: Gateway, tenant: str, clock: Clock) -> None:
        self._gateway = gateway
        self._decode = edge_decoder(tenant)
        self._clock = clock
        self._linger = Linger()
        self._outcomes: deque[Outcome] = deque()
        self._queued = asyncio.Event()
        self._unanswered = 0
        self._answered = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._hung_up = False

    def hang_up(self) -> None:
        """Read no further: what was read is answered, then the call ends with UNAVAILABLE."""
        self._hung_up = True
        if self._reading is not None:
            self._reading.cancel()

    async def serve(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """Raises InvalidArgument for bytes that are no message, and Unavailable after `hang_up`."""
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write(context))
                with self._gateway.opened_stream(self._deliver) as call:
                    self._reading = group.create_task(self._read(requests, call))
                    await asyncio.wait({self._reading})
                    while self._unanswered:
                        self._answered.clear()
                        await self._answered.wait()
                writing.cancel()
        except BaseExceptionGroup as failed:
            error = failed.exceptions[0]
            raise error from error.__cause__
        if self._hung_up:
            raise Unavailable("this gateway is stopping; another one will take your events", Reason.DRAINING)

    async def _read(self, requests: AsyncIterator[bytes], call: int) -> None:
        async for data in requests:
            for message in self._decode(data, self._clock.now()):
                match message:
                    case EventName():
                        await self._gateway.take(call, message)
                    case Misread(name, error):
                        self._unanswered += 1
                        self._deliver(refusal(name, error))
                    case _:
                        await self._gateway.take(call, message)
                        self._unanswered += 1  # no await since it was handed in: its outcome can't be there yet
            while self._unanswered >= UNANSWERED_MAX:
                self._answered.clear()
                await self._answered.wait()

    def _deliver(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._linger.arrived(self._clock.now())
        self._queued.set()

    async def _write(self, context: Any) -> None:
        while True:
            self._queued.clear()
            if not self._outcomes:
                await self._queued.wait()
            hold_s = self._linger.hold_s(len(self._outcomes), self._clock.now())
            if hold_s:
                await asyncio.sleep(hold_s)
            self._linger.wrote(self._clock.now())
            for data, count in self._joined():
                try:
                    await context.write(data)
                except (grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError) as error:
                    raise LinkClosed(f"the client is gone: {error}") from None
                self._unanswered -= count
                self._answered.set()

    def _joined(self) -> Iterator[tuple[bytes, int]]:
        """What is queued, as messages of bounded size, with how many outcomes each holds."""
        pending: list[bytes] = []
        size = 0
        while self._outcomes:
            (data,) = encode_outcome(self._outcomes.popleft(), self._clock.now())
            if pending and size + len(data) > MESSAGE_BYTES_MAX:
                yield b"".join(pending), len(pending)
                pending, size = [], 0
            pending.append(data)
            size += len(data)
        if pending:
            yield b"".join(pending), len(pending)

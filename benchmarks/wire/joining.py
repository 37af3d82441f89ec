"""The raw stream of the floor: what is pending goes in one gRPC message, by one task and Covey's linger rule."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from covey.clock import MonotonicClock
from covey.v1 import gateway_pb2 as pb
from covey.wire.linger import Linger

JOINED_BYTES_MAX = 1024 * 1024


class Joining:
    """Queues events for one end of a stream; `write_all` runs until cancelled."""

    def __init__(self, write: Callable[[pb.StreamRequest], Awaitable[None]]) -> None:
        self._write = write
        self._queue: deque[pb.Event] = deque()
        self._queued = asyncio.Event()
        self._linger = Linger()
        self._clock = MonotonicClock()

    def send(self, event: pb.Event, under_way: int = 0) -> None:
        """Write an event soon. Of its kind so many have no answer yet, if anybody counts them."""
        self._queue.append(event)
        self._linger.arrived(self._clock.now(), under_way)
        self._queued.set()

    async def write_all(self) -> None:
        while True:
            await self._queued.wait()
            hold_s = self._linger.hold_s(len(self._queue), self._clock.now())
            if hold_s:
                await asyncio.sleep(hold_s)
            self._linger.wrote(self._clock.now())
            while self._queue:
                await self._write(self._joined())
            self._queued.clear()

    def _joined(self) -> pb.StreamRequest:
        joined, size = pb.StreamRequest(), 0
        while self._queue and size < JOINED_BYTES_MAX:
            event = self._queue.popleft()
            joined.events.append(event)
            size += len(event.payload)
        return joined

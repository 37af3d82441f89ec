"""A TCP proxy that holds bytes back, each way, for a time that can be changed while it runs: our stand-in for netem.

    python -m benchmarks.grouping.proxy          # prints the address where it takes requests, a line each

    front 127.0.0.1:5000   ->   127.0.0.1:41234  connections to the latter reach the former, delayed
    delay 0.0005           ->   ok               one way, in seconds, for every byte that comes in from now on
    cpu                    ->   12.5             seconds of CPU time that this process has used

One process for all the servers that it fronts, since it shares two cores with them. What is in flight stands in one
queue, whatever its connection: everyone has the same delay, so that what came first leaves first and no connection can
overtake itself. One timer of the kernel (a timerfd, since the loop's own count in milliseconds) wakes the head of it.
A delay of 0 takes the same way through the proxy, without the queue. Who does not read is not read from: a direction
that has more than `IN_FLIGHT_BYTES_MAX` under way, or whose receiver is full, pauses its sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from covey.clock import MonotonicClock
from covey.runtime import run

IN_FLIGHT_BYTES_MAX = 8 * 1024 * 1024
"""Of one direction of one connection: 4 ms at 16 Gbit/s."""
EARLY_S = 20e-6
"""What is due so soon leaves with what is due now: a wake-up costs about as much."""
CONNECT_S_MAX = 2.0

_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_CLOCK_MONOTONIC = 1


class Timer:
    """A timerfd: readable once, at an instant of `time.monotonic`, to the microsecond."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()  # interval s, ns; first s, ns

    def fileno(self) -> int:
        return self._descriptor

    def set(self, instant: float) -> None:
        """Be readable at `instant`, at once if that has passed."""
        seconds = int(instant)
        self._spec[2], self._spec[3] = seconds, int((instant - seconds) * 1e9)
        if self._libc.timerfd_settime(self._descriptor, 1, self._spec, None):  # 1: TFD_TIMER_ABSTIME
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        """Take note that it was readable."""
        os.read(self._descriptor, 8)

    def close(self) -> None:
        os.close(self._descriptor)


class Wire:
    """What is in flight, on all connections, first come first out."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.ends: dict[End, None] = {}
        """The ends that are connected."""
        self._loop = asyncio.get_running_loop()
        self._now = MonotonicClock().now
        self._flying: deque[tuple[float, End, bytes | None]] = deque()
        self._timer = Timer()
        self._loop.add_reader(self._timer.fileno(), self._land)

    def carry(self, end: End, data: bytes | None) -> None:
        """Hand `data` (None: the end of the stream) to `end` after the delay."""
        if self.delay_s <= 0.0 and not self._flying:
            end.deliver(data)
            return
        due = self._now() + self.delay_s
        if self._flying:
            due = max(due, self._flying[-1][0])  # the delay was shortened, and what is under way stays ahead
        self._flying.append((due, end, data))
        if len(self._flying) == 1:
            self._timer.set(due)

    def close(self) -> None:
        """Let go of what is held back, and end every connection."""
        self.delay_s = 0.0
        while self._flying:
            _, end, data = self._flying.popleft()
            end.deliver(data)
        for end in list(self.ends):
            end.abort()
        self._loop.remove_reader(self._timer.fileno())
        self._timer.close()

    def _land(self) -> None:
        self._timer.clear()
        until = self._now() + EARLY_S
        while self._flying and self._flying[0][0] <= until:
            _, end, data = self._flying.popleft()
            end.deliver(data)
        if self._flying:
            self._timer.set(self._flying[0][0])


class End(asyncio.Protocol):
    """One end of a fronted connection. `peer` is the other one: what this end reads, that one writes."""

    def __init__(self, wire: Wire) -> None:
        self.peer: End | None = None
        self._wire = wire
        self._transport: asyncio.Transport | None = None
        self._flying = 0
        """Bytes on their way to this end."""
        self._full = False
        self._early: list[bytes] = []
        """What came before there was a peer: uvloop reads on when it is paused in `connection_made`."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._wire.ends[self] = None

    def join(self, peer: End) -> None:
        """From now on the two are one connection."""
        self.peer, peer.peer = peer, self
        for end in (self, peer):
            early, end._early = end._early, []
            for data in early:
                end.data_received(data)
            if end._transport is None:
                end.connection_lost(None)  # while the other was still connecting

    def data_received(self, data: bytes) -> None:
        peer = self.peer
        if peer is None:
            self._early.append(data)
            return
        peer._flying += len(data)
        self._wire.carry(peer, data)
        if peer._congested and self._transport is not None:
            self._transport.pause_reading()

    def deliver(self, data: bytes | None) -> None:
        """What the peer sent has arrived here."""
        transport = self._transport
        if data is None:
            if transport is not None and not transport.is_closing():
                transport.close()  # writes what it holds first
            return
        self._flying -= len(data)
        if transport is not None and not transport.is_closing():
            transport.write(data)
        if not self._congested and self.peer is not None:
            self.peer._resume()

    def eof_received(self) -> bool:
        """A half-closed connection is closed whole, in its turn: HTTP/2 never half-closes one."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._wire.ends.pop(self, None)
        if self.peer is not None:
            self.peer._resume()
            self._wire.carry(self.peer, None)

    def pause_writing(self) -> None:
        self._full = True
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        if not self._congested and self.peer is not None:
            self.peer._resume()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def _congested(self) -> bool:
        return self._transport is not None and (self._full or self._flying > IN_FLIGHT_BYTES_MAX)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()


class Proxy:
    """Fronts servers; made by `running_proxy`."""

    def __init__(self, wire: Wire, tasks: asyncio.TaskGroup) -> None:
        self.wire = wire
        self._tasks = tasks
        self._servers: list[asyncio.Server] = []

    async def front(self, host: str, port: int) -> str:
        """Listen for connections to a server that may not be there yet; the address to reach it at."""

        def accepted() -> End:
            end = End(self.wire)
            self._tasks.create_task(self._connect(end, host, port))
            return end

        server = await asyncio.get_running_loop().create_server(accepted, "127.0.0.1", 0)
        self._servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        for server in self._servers:
            server.close()

    async def answer(self, request: str) -> str:
        """What a line of the control connection asks for."""
        match request.split():
            case ["front", address]:
                host, _, port = address.rpartition(":")
                return await self.front(host, int(port))
            case ["delay", seconds]:
                self.wire.delay_s = float(seconds)
                return "ok"
            case ["cpu"]:
                return f"{time.process_time():.6f}"
            case _:
                return f"what is {request.strip()!r}?"

    async def _connect(self, accepted: End, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                _, reached = await loop.create_connection(lambda: End(self.wire), host, port)
        except OSError:  # TimeoutError among them
            accepted.abort()
            return
        accepted.join(reached)


@asynccontextmanager
async def running_proxy() -> AsyncIterator[Proxy]:
    """A proxy in this process, for as long as the body runs."""
    wire = Wire()
    try:
        async with asyncio.TaskGroup() as tasks:
            proxy = Proxy(wire, tasks)
            try:
                yield proxy
            finally:
                proxy.close()
    finally:
        wire.close()


async def serve_requests() -> None:
    """Serve until cancelled; the first line of output is where requests are taken."""
    async with running_proxy() as proxy:

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # ours is the last connection that ends
                while line := await reader.readline():
                    writer.write((await proxy.answer(line.decode()) + "\n").encode())
            writer.close()

        async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
            print(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
            await server.serve_forever()


if __name__ == "__main__":
    sys.exit(run(serve_requests, log_level="WARNING"))

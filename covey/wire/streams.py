"""Links over long-lived bidirectional gRPC streams.

One task writes: it drains the queue and joins what is pending into one gRPC message of about 1 MiB at most, for the
cost is per message and hardly per item; `covey.wire.linger` says when to wait for more. One task reads: it parses raw
bytes itself, so that a malformed message is the peer's INVALID_ARGUMENT, and stops reading while nobody takes what has
come, so that HTTP/2 flow control slows the writer at the other end.

A stream is ended by half-closing it. `call.cancel()` is left for streams that are broken: each leaks in the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import grpc

from covey.beside import beside
from covey.clock import Clock
from covey.errors import Bug, CoveyError, Reason
from covey.link import QUEUE_MAX, Link, LinkClosed, Serve, memory_link
from covey.wire.envelopes import Decode, Encode
from covey.wire.linger import Linger
from covey.wire.status import error_of_rpc

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 1024 * 1024
"""What is joined into one gRPC message; a single larger envelope goes alone."""

UNREAD_BYTES_MAX = 4 * 1024 * 1024
"""What may wait for `receive` before the stream is read no further."""

FAREWELL_S = 1.0
"""How long a closed link may take to write what is queued and to hear the other end finish."""

Out = TypeVar("Out")
In = TypeVar("In")


class Stream(Protocol):
    """One end of a gRPC stream of raw bytes. Raises CoveyError when it is broken."""

    async def read(self) -> bytes | None:
        """The next message; None at the end."""

    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> None:
        """Nothing more will be written."""


class GrpcLink(Generic[Out, In]):
    """A `covey.link.Link` over a stream. `write_all` and `read_all` run as tasks of whoever made it."""

    near = False

    def __init__(
        self,
        peer: str,
        stream: Stream,
        encode: Encode[Out],
        decode: Decode[In],
        clock: Clock,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self.peer = peer
        self.failure: CoveyError | None = None
        """Why the link broke; None as long as it lasts, and when it was ended in good order."""
        self._stream = stream
        self._encode = encode
        self._decode = decode
        self._clock = clock
        self._linger = Linger()
        self._queue: deque[Out] = deque()
        self._queue_max = queue_max
        self._queued = asyncio.Event()
        self._writing_over = False
        self._unread: list[In] = []
        self._unread_bytes = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._reading_over = False
        self._take: Callable[[Sequence[In]], Awaitable[None]] | None = None
        self._refused_by_taker: Exception | None = None

    @property
    def queued(self) -> int:
        return len(self._queue)

    def send(self, message: Out, under_way: int = 0) -> None:
        if self._writing_over:
            return
        if len(self._queue) >= self._queue_max:
            self.fail(LinkClosed(f"{self.peer} left {self._queue_max} messages unread", Reason.SLOW_READER))
            return
        self._queue.append(message)
        self._linger.arrived(self._clock.now(), under_way)
        self._queued.set()

    async def receive(self) -> Sequence[In]:
        while not self._unread:
            if self._reading_over:
                raise self._closed()
            self._arrived.clear()
            await self._arrived.wait()
        unread, self._unread, self._unread_bytes = self._unread, [], 0
        self._taken.set()
        return unread

    async def hear(self, take: Callable[[Sequence[In]], Awaitable[None]]) -> NoReturn:
        while self._unread:
            await take(await self.receive())
        self._take = take
        try:
            while not self._reading_over:
                self._arrived.clear()
                await self._arrived.wait()
        finally:
            self._take = None
        raise self._refused_by_taker or self._closed()

    def close(self) -> None:
        self._end_writing()
        self._end_reading()

    def fail(self, failure: CoveyError) -> None:
        """The link is broken: nothing more goes out, and only what came before can be received."""
        if self.failure is None and not (self._writing_over and self._reading_over):
            self.failure = failure
        self._queue.clear()
        self.close()

    def _closed(self) -> LinkClosed:
        if self.failure is None:
            return LinkClosed(f"the link to {self.peer} is closed")
        return LinkClosed(f"the link to {self.peer} broke: {self.failure.message}", self.failure.reason)

    def _end_writing(self) -> None:
        self._writing_over = True
        self._queued.set()

    def _end_reading(self) -> None:
        self._reading_over = True
        self._arrived.set()
        self._taken.set()

    # --- the two tasks ---

    async def write_all(self) -> None:
        """Write what is queued until the link is closed, then half-close the stream."""
        try:
            while await self._something_to_write():
                for data in self._joined():
                    await self._stream.write(data)
            if self.failure is None:
                await self._stream.finish()
        except (ValueError, TypeError) as error:  # what no field of the message can hold
            log.exception("a message to %s can't be written", self.peer)
            self.fail(Bug(f"a message can't be written: {type(error).__name__}"))
        except CoveyError as error:
            self.failure = self.failure or error
            self._queue.clear()
            self._end_writing()  # the reader finds the end by itself, behind what had still arrived

    async def read_all(self) -> None:
        """Read until the other end finishes or breaks; after `close`, to no avail but to hear it finish."""
        try:
            while (data := await self._stream.read()) is not None:
                if self._reading_over:
                    continue
                messages = self._decode(data, self._clock.now())
                if not messages:
                    continue  # a part of something larger, which its decoder bounds
                if self._take is not None:
                    await self._hand_over(self._take, messages)
                    continue
                self._unread.extend(messages)
                self._unread_bytes += len(data)
                self._arrived.set()
                while self._unread_bytes >= UNREAD_BYTES_MAX and not self._reading_over:
                    self._taken.clear()
                    await self._taken.wait()
            self.close()
        except CoveyError as error:
            self.fail(error)

    async def _hand_over(self, take: Callable[[Sequence[In]], Awaitable[None]], messages: Sequence[In]) -> None:
        try:
            await take(messages)
        except Exception as error:  # noqa: BLE001 - `hear` raises it
            self._refused_by_taker = error
            self._end_reading()

    async def _something_to_write(self) -> bool:
        """Wait until something should be written; False at the end."""
        while not self._queue:
            if self._writing_over:
                return False
            self._queued.clear()
            await self._queued.wait()
        hold_s = self._linger.hold_s(len(self._queue), self._clock.now())
        if hold_s and not self._writing_over:
            await asyncio.sleep(hold_s)
        self._linger.wrote(self._clock.now())
        return True

    def _joined(self) -> Iterator[bytes]:
        """What is queued, as gRPC messages of bounded size."""
        pending: list[bytes] = []
        size = 0
        while self._queue:
            for data in self._encode(self._queue.popleft(), self._clock.now()):
                if pending and size + len(data) > MESSAGE_BYTES_MAX:
                    yield b"".join(pending)
                    pending, size = [], 0
                pending.append(data)
                size += len(data)
        if pending:
            yield b"".join(pending)


# --- the dialing end -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def dialed(
    channel: grpc.aio.Channel,
    method: str,
    peer: str,
    encode: Encode[Out],
    decode: Decode[In],
    clock: Clock,
    metadata: tuple[tuple[str, str], ...] = (),
) -> AsyncIterator[GrpcLink[Out, In]]:
    """A link that we opened. What the body raises leaves as it is, not in a group."""
    call: Any = channel.stream_stream(method)(metadata=metadata)
    link = GrpcLink(peer, _DialedStream(call), encode, decode, clock)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(link.write_all()), group.create_task(link.read_all())]
            try:
                yield link
            finally:
                await _say_farewell(link, tasks, until=tasks)
    except BaseExceptionGroup as failed:
        error = failed.exceptions[0]
        raise error from error.__cause__


class _DialedStream:
    def __init__(self, call: Any) -> None:
        self._call = call

    async def read(self) -> bytes | None:
        try:
            data = await self._call.read()
        except grpc.aio.AioRpcError as failure:
            raise error_of_rpc(failure) from None
        except asyncio.CancelledError:
            raise self._cancelled() from None
        if data is not grpc.aio.EOF:
            return bytes(data)
        if await self._call.code() is not grpc.StatusCode.OK:
            raise await self._failure()
        return None

    async def write(self, data: bytes) -> None:
        try:
            await self._call.write(data)
        except asyncio.CancelledError:
            raise self._cancelled() from None
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            raise await self._failure() from None

    async def finish(self) -> None:
        with contextlib.suppress(grpc.aio.InternalError):  # the other end was faster
            if not self._call.done():
                await self._call.done_writing()

    def _cancelled(self) -> BaseException:
        """gRPC raises CancelledError for a call that was cancelled, also where our task was not."""
        task = asyncio.current_task()
        cancelling = task is not None and task.cancelling()
        return asyncio.CancelledError() if cancelling else LinkClosed("the call was cancelled")

    async def _failure(self) -> CoveyError:
        """What the finished call ended with."""
        code, details = await self._call.code(), await self._call.details()
        if code is grpc.StatusCode.OK:
            return LinkClosed("the other end finished")
        trailing = await self._call.trailing_metadata()
        return error_of_rpc(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details))


# --- the accepting end -----------------------------------------------------------------------------------------------


class AcceptedLinks(Generic[Out, In]):
    """Serves every stream of one method as a link, until its caller is gone or `hang_up` is called."""

    def __init__(self, serve: Serve[Out, In], clock: Clock) -> None:
        self._serve = serve
        self._clock = clock
        self._live: dict[int, Link[Out, In]] = {}

    def hang_up(self) -> None:
        """Close every link, so that those who serve them return."""
        for link in self._live.values():
            link.close()

    @asynccontextmanager
    async def linked(self) -> AsyncIterator[Link[In, Out]]:
        """Serve a link within this process; gives the dialer's end."""
        mine: Link[In, Out]
        theirs: Link[Out, In]
        mine, theirs = memory_link("a neighbour", "a neighbour")
        self._live[id(theirs)] = theirs
        try:
            async with beside(self._serve_to_the_end(theirs)):
                try:
                    yield mine
                finally:
                    mine.close()
        finally:
            del self._live[id(theirs)]

    async def accept(self, context: Any, encode: Encode[Out], decode: Decode[In]) -> None:
        """Serve one stream. Raises what broke the link or what `serve` raised; a link that was closed is neither."""
        link = GrpcLink(context.peer(), _AcceptedStream(context), encode, decode, self._clock)
        self._live[id(link)] = link
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(link.write_all()), group.create_task(link.read_all())]
                served = group.create_task(self._serve_to_the_end(link))
                try:
                    await asyncio.wait({served})
                except asyncio.CancelledError:
                    # The caller is gone or the server stops. Whoever serves learns it from the link, and in time.
                    link.fail(LinkClosed(f"{link.peer} is gone"))
                    await asyncio.wait({served}, timeout=FAREWELL_S)
                    raise
                finally:
                    # The other end finishes when it hears our status, which goes when this returns.
                    await _say_farewell(link, tasks, until=tasks[:1])
        except BaseExceptionGroup as failed:
            error = failed.exceptions[0]
            raise error from error.__cause__
        finally:
            del self._live[id(link)]
        if link.failure is not None:
            raise link.failure

    async def _serve_to_the_end(self, link: Link[Out, In]) -> None:
        try:
            await self._serve(link)
        except LinkClosed:
            return


class _AcceptedStream:
    def __init__(self, context: Any) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        data = await self._context.read()
        return None if data is grpc.aio.EOF else bytes(data)

    async def write(self, data: bytes) -> None:
        try:
            await self._context.write(data)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError) as error:
            raise LinkClosed(f"the caller is gone: {error}") from None

    async def finish(self) -> None:
        """The stream ends when its handler returns."""


async def _say_farewell(
    link: GrpcLink[Any, Any], tasks: list[asyncio.Task[None]], until: list[asyncio.Task[None]]
) -> None:
    """Close, give the writer time to write what is queued (and the reader, to hear the other end), stop both."""
    link.close()
    if link.failure is None:
        await asyncio.wait(until, timeout=FAREWELL_S)
    for task in tasks:
        task.cancel()

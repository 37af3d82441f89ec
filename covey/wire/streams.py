"""Links over long-lived bidirectional gRPC streams.

One task writes: it drains the queue and joins what is pending into one gRPC message of about 1 MiB at most, for the
cost is per message and hardly per item; `covey.wire.linger` says when to wait for more. One task reads: it parses raw
bytes itself, so that a malformed message is the peer's INVALID_ARGUMENT, and stops reading while nobody takes what has
come, so that HTTP/2 flow control slows the writer at the other end.

A stream is ended by half-closing it; `call.cancel()` is left for streams that are broken, since each leaks in the
client.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import grpc

from covey.clock import Clock
from covey.errors import CoveyError, Reason
from covey.link import QUEUE_MAX, LinkClosed
from covey.wire.linger import Linger
from covey.wire.status import error_of_rpc

MESSAGE_BYTES_MAX = 1024 * 1024
"""What is joined into one gRPC message; a single larger envelope goes alone."""

UNREAD_MAX = 10_000
"""Items that may wait for `receive` before the stream is read no further."""

Out = TypeVar("Out")
In = TypeVar("In")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


class Encode(Protocol[T_contra]):
    """A message as serialised envelopes, made one by one; joined bytes of envelopes are an envelope again."""

    def __call__(self, message: T_contra, now: float) -> Iterable[bytes]: ...


class Decode(Protocol[T_co]):
    """The messages of one envelope; raises InvalidArgument."""

    def __call__(self, data: bytes, now: float) -> Sequence[T_co]: ...


class Stream(Protocol):
    """One end of a gRPC stream of raw bytes."""

    async def read(self) -> bytes | None:
        """The next message, None at the end. Raises AioRpcError."""

    async def write(self, data: bytes) -> None:
        """Raises AioRpcError."""

    async def finish(self) -> None:
        """Nothing more will be written."""


class GrpcLink(Generic[Out, In]):
    """A `covey.link.Link` over a gRPC stream. Whoever made it runs `write_all` and `read_all` in a TaskGroup."""

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
        self._stream = stream
        self._encode = encode
        self._decode = decode
        self._clock = clock
        self._queue_max = queue_max
        self._queue: deque[Out] = deque()
        self._queued = asyncio.Event()
        self._unread: list[In] = []
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._linger = Linger()
        self._closing = False
        self.failure: CoveyError | None = None
        """Why the link broke; None as long as it lasts, and when it was ended in good order."""

    # --- what shells see ---

    def send(self, message: Out) -> None:
        if self._closing:
            return
        if len(self._queue) >= self._queue_max:
            self.fail(LinkClosed(f"{self.peer} did not read {self._queue_max} messages", Reason.SLOW_READER))
            return
        self._queue.append(message)
        self._linger.arrived(self._clock.now())
        self._queued.set()

    async def receive(self) -> Sequence[In]:
        while not self._unread:
            if self._closing:
                raise LinkClosed(self._why(), None if self.failure is None else self.failure.reason)
            self._changed.clear()
            await self._changed.wait()
        unread, self._unread = self._unread, []
        self._taken.set()
        return unread

    def close(self) -> None:
        self._closing = True
        self._queued.set()
        self._changed.set()
        self._taken.set()

    def _why(self) -> str:
        return f"the link to {self.peer} is closed" + (f": {self.failure.message}" if self.failure else "")

    # --- what runs it ---

    def fail(self, failure: CoveyError) -> None:
        """The stream is broken: nothing more goes out, and what came in can still be received."""
        if self.failure is None and not self._closing:
            self.failure = failure
        self._queue.clear()
        self.close()

    async def write_all(self) -> None:
        """Write what is queued until the link is closed, then half-close the stream."""
        try:
            while await self._something_to_write():
                for data in self._joined():
                    await self._stream.write(data)
            await self._stream.finish()
        except grpc.aio.AioRpcError as error:
            self.fail(error_of_rpc(error))
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            self.fail(LinkClosed(f"{self.peer} is gone: {error}"))

    async def read_all(self) -> None:
        """Read until the other end finishes or breaks."""
        try:
            while (data := await self._stream.read()) is not None:
                self._unread.extend(self._decode(data, self._clock.now()))
                self._changed.set()
                while len(self._unread) >= UNREAD_MAX and not self._closing:
                    self._taken.clear()
                    await self._taken.wait()
            self.close()
        except grpc.aio.AioRpcError as error:
            self.fail(error_of_rpc(error))
        except CoveyError as error:
            self.fail(error)

    async def _something_to_write(self) -> bool:
        """Wait until something should be written; False at the end."""
        while not self._queue:
            if self._closing:
                return False
            self._queued.clear()
            await self._queued.wait()
        hold_s = self._linger.hold_s(len(self._queue), self._clock.now())
        if hold_s and not self._closing:
            await asyncio.sleep(hold_s)
        return True

    def _joined(self) -> Iterable[bytes]:
        """What is queued, as gRPC messages of bounded size. What arrives meanwhile joins the last of them."""
        pending: list[bytes] = []
        size = 0
        while self._queue:
            for data in self._encode(self._queue.popleft(), self._clock.now()):
                if pending and size + len(data) > MESSAGE_BYTES_MAX:
                    yield b"".join(pending)
                    pending.clear()
                    size = 0
                pending.append(data)
                size += len(data)
        if pending:
            yield b"".join(pending) if len(pending) > 1 else pending[0]


class EnvelopeEncoder(Generic[T]):
    """One message per envelope: for streams without parts."""

    def __init__(self, envelope: Callable[[], object], to_wire: Callable[[T, object, float], None]) -> None: ...

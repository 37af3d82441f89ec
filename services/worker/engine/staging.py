"""Copies between host and device that overlap with computation, and the order that makes them safe.

1. A computation waits for the copy of its inputs: its stream waits for the copy's event.
2. A copy back waits for the computation, on the host: were it queued before, copies of other lanes would stand behind
   that computation as well.
3. A pinned buffer is written or handed out again only after the event of its last copy: the device reads and writes
   host memory behind our back.
4. A tensor that crosses from one stream to another is recorded on the one that uses it, or the allocator could hand
   its memory out while that stream has yet to use it.
5. A copy of HIGH waits for one chunk of anyone else's at most. Host-to-device copies serialise on the bus whatever
   their streams, so there is one stream a direction, and the order of queueing is the order of copying. HIGH queues its
   chunks one after the other. Everyone else queues one, waits until the device has copied it, and queues the next when
   no HIGH copy is being queued.

Only pinned memory copies without making the host wait. It is dear, so the ring is small and fixed, and everything goes
through it in chunks of a buffer's size.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Buffer(NamedTuple):
    """Pinned bytes, as torch and as numpy see them, and the event of the last copy that used them, if any."""

    data: Any
    view: npt.NDArray[np.uint8]
    busy_until: Any


class StagingRing:
    """A fixed number of pinned buffers, shared by all lanes. `torch` is the module, or a stand-in for it."""

    def __init__(self, torch: Any, buffers: int, buffer_bytes: int) -> None:
        self.buffer_bytes = buffer_bytes
        self._free: queue.Queue[Buffer] = queue.Queue()
        for _ in range(buffers):
            data = torch.empty(buffer_bytes, dtype=torch.uint8, pin_memory=True)
            self._free.put(Buffer(data, data.numpy(), None))

    def take(self) -> Buffer:
        """A buffer that no copy uses any more. Waits for the oldest one's, and while other lanes hold them all."""
        buffer = self._free.get()
        if buffer.busy_until is not None:
            buffer.busy_until.synchronize()
        return buffer

    def give_back(self, buffer: Buffer, busy_until: Any) -> None:
        """Hand the buffer back; it is taken again after this event (None: at once)."""
        self._free.put(buffer._replace(busy_until=busy_until))


class Direction:
    """One way over the bus: its stream, and whose turn it is to queue a chunk there."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._changed = threading.Condition()
        self._urgent = False
        self._patient = False

    @contextmanager
    def copying(self, urgent: bool) -> Iterator[None]:
        """Around a whole copy: while an urgent one is being queued, no other chunk is. One lane copies urgently."""
        if not urgent:
            yield
            return
        self._urgent = True
        try:
            yield
        finally:
            with self._changed:
                self._urgent = False
                self._changed.notify_all()

    @contextmanager
    def turn(self, urgent: bool) -> Iterator[None]:
        """Around a chunk: the urgent never wait; of the others one at a time has a chunk on its way."""
        if urgent:
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._urgent and not self._patient)
            self._patient = True
        try:
            yield
        finally:
            with self._changed:
                self._patient = False
                self._changed.notify_all()


class OnDevice(NamedTuple):
    """A tensor on the device, and the event after which it holds what was copied."""

    tensor: Any
    copied: Any

    def used_by(self, stream: Any) -> Any:
        """The tensor, for what `stream` does next."""
        stream.wait_event(self.copied)
        self.tensor.record_stream(stream)
        return self.tensor


class Copies:
    """One stream a direction between the host and one device. Called from any thread."""

    def __init__(self, torch: Any, device: str, ring: StagingRing) -> None:
        self._torch = torch
        self._device = device
        self._ring = ring
        self._inward = Direction(torch.cuda.Stream(device=device))
        self._outward = Direction(torch.cuda.Stream(device=device))

    def to_device(self, array: npt.NDArray[Any], urgent: bool) -> OnDevice:
        """Queue a copy of the array to the device; the array is free again when this returns."""
        torch = self._torch
        source = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        with torch.cuda.stream(self._inward.stream):
            tensor = torch.empty(array.shape, dtype=_dtype(torch, array.dtype), device=self._device)
        target = tensor.view(-1).view(torch.uint8)
        copied = self._event()
        copied.record(self._inward.stream)
        with self._inward.copying(urgent):
            for start in range(0, len(source), self._ring.buffer_bytes):
                stop = start + self._ring.buffer_bytes
                copied = self._send(source[start:stop], target[start:stop], urgent)
        return OnDevice(tensor, copied)

    def to_host(self, tensor: Any, compute: Any, urgent: bool) -> Any:
        """What `compute` is about to have written to the tensor, on the host. The thread waits; the device does not."""
        torch = self._torch
        result = torch.empty(tensor.shape, dtype=tensor.dtype)
        source = tensor.contiguous().view(-1).view(torch.uint8)
        target = result.view(-1).view(torch.uint8)
        written = self._event()
        written.record(compute)
        written.synchronize()
        with self._outward.copying(urgent):
            for start in range(0, len(source), self._ring.buffer_bytes):
                stop = start + self._ring.buffer_bytes
                self._fetch(source[start:stop], target[start:stop], urgent)
        return result

    def _send(self, chunk: npt.NDArray[np.uint8], target: Any, urgent: bool) -> Any:
        """Queue the copy of a chunk. The event after which it is there."""
        buffer = self._ring.take()
        copied = None
        try:
            buffer.view[: len(chunk)] = chunk
            with self._inward.turn(urgent):
                with self._torch.cuda.stream(self._inward.stream):
                    target.copy_(buffer.data[: len(chunk)], non_blocking=True)
                copied = self._event()
                copied.record(self._inward.stream)
                if not urgent:
                    copied.synchronize()
        finally:
            self._ring.give_back(buffer, copied)
        return copied

    def _fetch(self, chunk: Any, target: Any, urgent: bool) -> None:
        """Copy a chunk to the host, and wait for it."""
        buffer = self._ring.take()
        try:
            staged = buffer.data[: len(chunk)]
            with self._outward.turn(urgent):
                with self._torch.cuda.stream(self._outward.stream):
                    staged.copy_(chunk, non_blocking=True)
                copied = self._event()
                copied.record(self._outward.stream)
                copied.synchronize()
            target.copy_(staged)
        finally:
            self._ring.give_back(buffer, None)

    def _event(self) -> Any:
        """One that a thread sleeps on: a lane waits for whole computations, and the cores have other work."""
        return self._torch.cuda.Event(blocking=True)


def _dtype(torch: Any, dtype: np.dtype[Any]) -> Any:
    return torch.from_numpy(np.empty(0, dtype)).dtype

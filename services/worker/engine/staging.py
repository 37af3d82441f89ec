"""Copies between host and device that overlap with computation, and the order that makes them safe.

1. A computation waits for the copy of its inputs: its stream waits for the copy's event.
2. A copy back waits for the computation: the copy's stream waits for the computation's event.
3. A pinned buffer is written or handed out again only after the event of its last copy: the device reads and writes
   host memory behind our back.
4. A tensor that crosses from one stream to another is recorded on the one that uses it, or the allocator could hand
   its memory out while that stream has yet to use it.

Host-to-device copies serialise on the bus, so one stream a direction is enough. Only pinned memory copies without
making the host wait; it is dear, so the ring is small and fixed, and what is larger than a buffer is copied plainly.
"""

from __future__ import annotations

import queue
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Buffer(NamedTuple):
    """Pinned bytes, and the event of the last copy that used them, if any."""

    data: Any
    busy_until: Any


class StagingRing:
    """A fixed number of pinned buffers, shared by all lanes. `torch` is the module, or a stand-in for it."""

    def __init__(self, torch: Any, buffers: int, buffer_bytes: int) -> None:
        self.buffer_bytes = buffer_bytes
        self._free: queue.Queue[Buffer] = queue.Queue()
        for _ in range(buffers):
            self._free.put(Buffer(torch.empty(buffer_bytes, dtype=torch.uint8, pin_memory=True), None))

    def take(self) -> Any:
        """A buffer that no copy uses any more. Waits for the oldest one's, and while other lanes hold them all."""
        buffer = self._free.get()
        if buffer.busy_until is not None:
            buffer.busy_until.synchronize()
        return buffer.data

    def give_back(self, data: Any, busy_until: Any) -> None:
        """Hand the buffer back; it is taken again after this event (None: at once)."""
        self._free.put(Buffer(data, busy_until))


class Copies:
    """One stream a direction between the host and one device."""

    def __init__(self, torch: Any, device: str, ring: StagingRing) -> None:
        self._torch = torch
        self._device = device
        self._ring = ring
        self._inward = torch.cuda.Stream(device=device)
        self._outward = torch.cuda.Stream(device=device)

    def to_device(self, array: npt.NDArray[Any], compute: Any) -> Any:
        """The array as a tensor on the device, which what `compute` does next may use."""
        torch = self._torch
        source = torch.from_numpy(np.ascontiguousarray(array))
        if not 0 < array.nbytes <= self._ring.buffer_bytes:
            return source.to(self._device)
        data = self._ring.take()
        copied = None
        try:
            staged = _as(data, source, array.nbytes)
            staged.copy_(source)
            with torch.cuda.stream(self._inward):
                tensor = staged.to(self._device, non_blocking=True)
                copied = torch.cuda.Event()
                copied.record(self._inward)
        finally:
            self._ring.give_back(data, copied)
        compute.wait_event(copied)
        tensor.record_stream(compute)
        return tensor

    def to_host(self, tensor: Any, compute: Any) -> Any:
        """What `compute` is about to have written to the tensor, on the host. The thread waits; the device does not."""
        torch = self._torch
        size = tensor.numel() * tensor.element_size()
        if not 0 < size <= self._ring.buffer_bytes:
            return tensor.cpu()
        written = torch.cuda.Event()
        written.record(compute)
        self._outward.wait_event(written)
        data = self._ring.take()
        copied = None
        try:
            staged = _as(data, tensor, size)
            with torch.cuda.stream(self._outward):
                staged.copy_(tensor, non_blocking=True)
                tensor.record_stream(self._outward)
                copied = torch.cuda.Event()
                copied.record(self._outward)
            copied.synchronize()
            return staged.clone()
        finally:
            self._ring.give_back(data, copied)


def _as(data: Any, like: Any, size: int) -> Any:
    """The first `size` bytes of a buffer, seen with the dtype and shape of `like`."""
    return data[:size].view(like.dtype).view(like.shape)

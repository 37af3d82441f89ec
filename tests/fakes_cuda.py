"""A stand-in for torch on a device that is as lazy as it is allowed to be, and remembers nothing it need not.

What is queued on a stream happens only when someone waits for it, and then no more than that. So a copy that nobody
waited for has not happened yet (the device's memory reads NaN), and a pinned buffer that is written too early spoils
the copy before it. Memory of the device that is let go of while another stream than its own has yet to use it is
spoilt, unless it was recorded there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_DEVICE = threading.RLock()
"""One thing happens on the device at a time."""


class Stream:
    def __init__(self, device: str = "cuda:0", priority: int = 0) -> None:
        self.priority = priority
        self.queued: list[Callable[[], None]] = []
        self.done = 0

    @staticmethod
    def priority_range() -> tuple[int, int]:
        return 0, -5

    def wait_event(self, event: Event) -> None:
        self.queued.append(event.happen)

    def synchronize(self) -> None:
        self.run_to(len(self.queued))

    def run_to(self, place: int) -> None:
        with _DEVICE:
            while self.done < place:
                self.done += 1
                self.queued[self.done - 1]()


class Event:
    on_wait: Callable[[], None] | None = None
    """Called whenever a thread waits for an event that has not happened."""

    def __init__(self, blocking: bool = False) -> None:
        self.stream: Stream | None = None
        self.place = 0

    def record(self, stream: Stream) -> None:
        self.stream, self.place = stream, len(stream.queued)

    def synchronize(self) -> None:
        if Event.on_wait is not None and self.stream is not None and self.stream.done < self.place:
            Event.on_wait()
        self.happen()

    def happen(self) -> None:
        assert self.stream is not None, "waits for an event that was never recorded"
        self.stream.run_to(self.place)


class OutOfMemoryError(RuntimeError):
    pass


class AcceleratorError(RuntimeError):
    pass


class Memory:
    """Bytes that tensors are views of. `stream` is whose they are, on the device."""

    def __init__(self, array: Array, stream: Stream | None, pinned: bool) -> None:
        self.array, self.stream, self.pinned = array, stream, pinned
        self.recorded: list[Stream] = []
        self.uses: list[tuple[Stream, int]] = []

    def use(self, stream: Stream) -> None:
        """Something that is queued on the stream next reads or writes it."""
        if self.stream is not None and stream is not self.stream:
            self.uses.append((stream, len(stream.queued) + 1))

    def __del__(self) -> None:
        for stream, place in self.uses:
            if stream.done < place and stream not in self.recorded and self.stream is not None:
                self.stream.synchronize()  # its own stream runs ahead, and has another use for the memory
                self.array.reshape(-1).view(np.uint8).fill(0xFF)


class Tensor:
    """An array on the host (pinned or not) or on the device."""

    def __init__(self, torch: FakeTorch, array: Array, memory: Memory) -> None:
        self.torch, self.array, self.memory = torch, array, memory

    dtype = property(lambda self: self.array.dtype)
    shape = property(lambda self: self.array.shape)
    is_cuda = property(lambda self: self.memory.stream is not None)
    recorded = property(lambda self: self.memory.recorded)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, where: Any) -> Tensor:
        return Tensor(self.torch, self.array[where], self.memory)

    def view(self, *like: Any) -> Tensor:
        array = self.array.view(like[0]) if isinstance(like[0], np.dtype) else self.array.reshape(*like)
        assert array.size == 0 or np.shares_memory(array, self.array)
        return Tensor(self.torch, array, self.memory)

    def contiguous(self) -> Tensor:
        return self

    def numpy(self) -> Array:
        assert not self.is_cuda, "a tensor on the device was read on the host"
        return self.array

    def copy_(self, source: Tensor, non_blocking: bool = False) -> None:
        if not (self.is_cuda or source.is_cuda):
            np.copyto(self.array, source.array)
            return
        if not (self.is_cuda and source.is_cuda):
            assert non_blocking, "the host waits for the device, and the device for the host"
            assert self.memory.pinned or source.memory.pinned, "only pinned memory copies behind the host's back"
            self.torch.bus.append(self.torch.actor)
        target, origin = self.array, source.array
        self.torch.queue(lambda: np.copyto(target, origin), self, source)

    def clone(self) -> Tensor:
        return self.torch.kernel(np.copy, self)

    def to(self, dtype: Any) -> Tensor:
        return self.torch.kernel(lambda array: array.astype(dtype), self)

    def record_stream(self, stream: Stream) -> None:
        self.memory.recorded.append(stream)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.numpy()

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self.array)))


class CudaGraph:
    """What was queued while it was recorded, in order."""

    def __init__(self, torch: FakeTorch) -> None:
        self.torch = torch
        self.steps: list[Callable[[], None]] = []
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        self.torch.current.queued.extend(self.steps)


class FakeTorch:
    """What the engine uses of torch."""

    uint8 = np.dtype(np.uint8)
    float32 = np.dtype(np.float32)

    def __init__(self) -> None:
        self.Tensor = Tensor
        self.AcceleratorError = AcceleratorError
        self._local = threading.local()
        self.default = Stream()
        self.streams: list[Stream] = []
        self.graphs: list[CudaGraph] = []
        self.bus: list[str] = []
        """Who queued copies over the bus, in order."""
        self.room: int | None = None
        """How many elements a kernel may write, if that is limited; `room_to_record`, while it is recorded."""
        self.room_to_record: int | None = None
        self.memory = SimpleNamespace(free=2 << 30, total=8 << 30, ours=5 << 30)
        self.caches_emptied = 0
        self.on_empty_cache: Callable[[], None] = lambda: None
        self._set_up: list[Stream] = []
        self.cuda = SimpleNamespace(
            Stream=self._streams_of(),
            Event=Event,
            CUDAGraph=self._a_graph,
            OutOfMemoryError=OutOfMemoryError,
            stream=self._entered,
            graph=self._recording,
            graph_pool_handle=object,
            empty_cache=self._empty_cache,
            synchronize=self._synchronize,
            mem_get_info=lambda device: (self.memory.free, self.memory.total),
            memory_reserved=lambda device: self.memory.ours,
            get_device_name=lambda device: "stand-in",
        )

    @property
    def current(self) -> Stream:
        return getattr(self._local, "stream", None) or self.default

    @property
    def actor(self) -> str:
        return getattr(self._local, "actor", "")

    @contextmanager
    def acting(self, name: str) -> Iterator[None]:
        """Who does what happens within, in this thread."""
        before, self._local.actor = self.actor, name
        try:
            yield
        finally:
            self._local.actor = before

    def empty(self, shape: Any, dtype: Any, device: str | None = None, pin_memory: bool = False) -> Tensor:
        array = np.zeros(shape, dtype)
        if device is not None and np.issubdtype(dtype, np.floating):
            array.fill(np.nan)
        return Tensor(self, array, Memory(array, self.current if device is not None else None, pin_memory))

    def from_numpy(self, array: Array) -> Tensor:
        return Tensor(self, array, Memory(array, None, False))

    def zeros_like(self, tensor: Tensor) -> Tensor:
        return self.kernel(np.zeros_like, tensor)

    def stack(self, tensors: Sequence[Tensor]) -> Tensor:
        return self.kernel(lambda *arrays: np.stack(arrays), *tensors)

    def kernel(self, function: Callable[..., Array], *tensors: Tensor) -> Tensor:
        """Queue a computation on the current stream."""
        like = function(*[np.zeros(each.shape, each.dtype) for each in tensors])
        room = self.room if self._captured is None else self.room_to_record
        if room is not None and like.size > room:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate more than there is")
        stream = self.current
        if self._captured is not None and stream not in self._set_up:
            raise AcceleratorError("CUDA error: operation not permitted when stream is capturing")
        self._set_up.append(stream)
        result = self.empty(like.shape, like.dtype, "cuda:0")
        target, arrays = result.array, [each.array for each in tensors]
        self.queue(lambda: np.copyto(target, function(*arrays)), result, *tensors)
        return result

    def queue(self, step: Callable[[], None], *used: Tensor) -> None:
        """Have something done on the current stream, or recorded, that uses these tensors."""
        for each in used:
            each.memory.use(self.current)
        (self.current.queued if self._captured is None else self._captured.steps).append(step)

    @property
    def _captured(self) -> CudaGraph | None:
        return getattr(self._local, "captured", None)

    def _streams_of(self) -> type[Stream]:
        """A class whose streams this torch knows, in the order in which they were made."""
        made = self.streams

        class Known(Stream):
            def __init__(self, device: str, priority: int = 0) -> None:
                super().__init__(device, priority)
                made.append(self)

        return Known

    def _a_graph(self) -> CudaGraph:
        self.graphs.append(CudaGraph(self))
        return self.graphs[-1]

    def _synchronize(self, device: str) -> None:
        for stream in (self.default, *self.streams):
            stream.synchronize()

    def _empty_cache(self) -> None:
        self.caches_emptied += 1
        self.on_empty_cache()

    @contextmanager
    def _recording(self, graph: CudaGraph, pool: object, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local", "what other lanes do would spoil the recording"
        self._local.captured = graph
        try:
            with self._entered(stream):
                yield
        finally:
            self._local.captured = None

    @contextmanager
    def _entered(self, stream: Stream) -> Iterator[None]:
        before = getattr(self._local, "stream", None)
        self._local.stream = stream
        try:
            yield
        finally:
            self._local.stream = before

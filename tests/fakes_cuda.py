"""A stand-in for torch on a device that is as lazy as it is allowed to be.

What is queued on a stream happens only when someone waits for it, and then no more than that. So a copy that nobody
waited for has not happened yet (the device's memory reads NaN), and a pinned buffer that is written too early spoils
the copy before it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt


class Stream:
    def __init__(self, device: str = "cuda:0", priority: int = 0) -> None:
        self.priority = priority
        self.queued: list[Callable[[], None]] = []
        self.done = 0

    @staticmethod
    def priority_range() -> tuple[int, int]:
        return 0, -5

    def wait_event(self, event: "Event") -> None:
        self.queued.append(event.synchronize)

    def run_to(self, place: int) -> None:
        while self.done < place:
            self.done += 1
            self.queued[self.done - 1]()


class Event:
    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.place = 0

    def record(self, stream: Stream) -> None:
        self.stream, self.place = stream, len(stream.queued)

    def synchronize(self) -> None:
        assert self.stream is not None, "waits for an event that was never recorded"
        self.stream.run_to(self.place)


class OutOfMemoryError(RuntimeError):
    pass


class AcceleratorError(RuntimeError):
    pass


class Tensor:
    """An array on the host (pinned or not) or on the device."""

    def __init__(
        self, torch: "FakeTorch", array: npt.NDArray[Any], is_cuda: bool = False, pinned: bool = False
    ) -> None:
        self.torch, self.array, self.is_cuda, self.pinned = torch, array, is_cuda, pinned
        self.recorded: list[Stream] = []

    dtype = property(lambda self: self.array.dtype)
    shape = property(lambda self: self.array.shape)

    def numel(self) -> int:
        return int(self.array.size)

    def element_size(self) -> int:
        return int(self.array.itemsize)

    def __getitem__(self, where: Any) -> "Tensor":
        return Tensor(self.torch, self.array[where], self.is_cuda, self.pinned)

    def view(self, like: Any) -> "Tensor":
        array = self.array.view(like) if isinstance(like, np.dtype) else self.array.reshape(like)
        assert np.shares_memory(array, self.array)
        return Tensor(self.torch, array, self.is_cuda, self.pinned)

    def copy_(self, source: "Tensor", non_blocking: bool = False) -> None:
        def copy() -> None:
            np.copyto(self.array, source.array)

        if source.is_cuda:
            self.torch.cross(source, self, copy, non_blocking)
        else:
            copy()

    def to(self, device: str, non_blocking: bool = False) -> "Tensor":
        self.torch.copies_in += 1
        there = self.torch.on_device(self.array.shape, self.array.dtype)
        self.torch.cross(self, there, lambda: np.copyto(there.array, self.array), non_blocking)
        return there

    def cpu(self) -> "Tensor":
        stream = self.torch.current
        stream.run_to(len(stream.queued))
        return Tensor(self.torch, self.array.copy())

    def clone(self) -> "Tensor":
        return Tensor(self.torch, self.array.copy())

    def record_stream(self, stream: Stream) -> None:
        self.recorded.append(stream)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        assert not self.is_cuda, "a tensor on the device was read on the host"
        return self.array

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self.array)))


class FakeTorch:
    """What the engine uses of torch."""

    uint8 = np.dtype(np.uint8)

    def __init__(self) -> None:
        self.Tensor = Tensor
        self.AcceleratorError = AcceleratorError
        self._local = threading.local()
        self.streams: list[Stream] = []
        self.buffers: list[Tensor] = []
        self.copies_in = 0
        self.caches_emptied = 0
        self.cuda = SimpleNamespace(
            Stream=self._streams_of(),
            Event=Event,
            OutOfMemoryError=OutOfMemoryError,
            stream=self._entered,
            empty_cache=self._empty_cache,
            synchronize=lambda device: None,
            get_device_name=lambda device: "stand-in",
        )

    @property
    def current(self) -> Stream:
        return self._local.stream  # type: ignore[no-any-return]

    def empty(self, size: int, dtype: Any, pin_memory: bool) -> Tensor:
        assert pin_memory
        self.buffers.append(Tensor(self, np.zeros(size, dtype), pinned=True))
        return self.buffers[-1]

    def from_numpy(self, array: npt.NDArray[Any]) -> Tensor:
        return Tensor(self, array)

    def on_device(self, shape: Sequence[int], dtype: Any) -> Tensor:
        blank = np.full(shape, np.nan if np.issubdtype(dtype, np.floating) else 0, dtype)
        return Tensor(self, blank, is_cuda=True)

    def cross(self, source: Tensor, target: Tensor, copy: Callable[[], None], non_blocking: bool) -> None:
        """A copy over the bus: later, on the current stream, if it may be and the host's end is pinned."""
        if not non_blocking:
            copy()
            return
        assert source.pinned or target.pinned, "only pinned memory copies behind the host's back"
        self.current.queued.append(copy)

    def compute(self, function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], tensor: Tensor) -> Tensor:
        """A kernel on the current stream."""
        assert self.current in tensor.recorded, "a tensor of another stream could be freed before it is used"
        result = self.on_device(tensor.shape, tensor.dtype)
        self.current.queued.append(lambda: np.copyto(result.array, function(tensor.array)))
        return result

    def _streams_of(self) -> type[Stream]:
        """A class whose streams this torch knows, in the order in which they were made."""
        made = self.streams

        class Known(Stream):
            def __init__(self, device: str, priority: int = 0) -> None:
                super().__init__(device, priority)
                made.append(self)

        return Known

    def _empty_cache(self) -> None:
        self.caches_emptied += 1

    @contextmanager
    def _entered(self, stream: Stream) -> Iterator[None]:
        before = getattr(self._local, "stream", None)
        self._local.stream = stream
        try:
            yield
        finally:
            self._local.stream = before

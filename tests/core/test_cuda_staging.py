"""The order of copies, on a stand-in whose device is as lazy as it may be."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from covey.services.worker.engine.staging import Copies, StagingRing
from tests.fakes_cuda import Event, FakeTorch, Stream

T = TypeVar("T")

CHUNK = 64


@pytest.fixture
def torch() -> Iterator[FakeTorch]:
    yield FakeTorch()
    Event.on_wait = None


def copies_with(torch: FakeTorch, buffers: int) -> tuple[Copies, Stream]:
    copies = Copies(torch, "cuda:0", StagingRing(torch, buffers, CHUNK))
    return copies, torch.cuda.Stream(device="cuda:0")


def an_array(chunks: float, value: float = 1.0) -> npt.NDArray[np.float32]:
    return np.full(int(chunks * CHUNK) // 4, value, np.float32)


@pytest.mark.parametrize("urgent", [True, False])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (7, 11), (4, 3, 5)])
def test_arrays_of_any_shape_go_there_and_back(torch: FakeTorch, shape: tuple[int, ...], urgent: bool) -> None:
    """In one chunk or many, and through buffers that are used again."""
    copies, compute = copies_with(torch, buffers=2)
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    there = copies.to_device(array, urgent).used_by(compute)
    with torch.cuda.stream(compute):
        back = copies.to_host(torch.kernel(lambda each: each + 1, there), compute, urgent)

    assert np.asarray(back).shape == shape
    assert np.array_equal(np.asarray(back), array + 1)


@pytest.mark.parametrize("urgent", [True, False])
@pytest.mark.parametrize("chunks", [0, 1, 3.5])
def test_a_computation_waits_for_the_copy_of_its_inputs(torch: FakeTorch, chunks: float, urgent: bool) -> None:
    """All of it: what the computing stream does next finds the whole array."""
    copies, compute = copies_with(torch, buffers=8)
    tensor = copies.to_device(an_array(chunks), urgent).used_by(compute)

    compute.synchronize()
    assert tensor.array.tolist() == an_array(chunks).tolist()


def test_an_urgent_copy_does_not_make_its_thread_wait(torch: FakeTorch) -> None:
    """The copy has not happened when the call returns."""
    copies, _ = copies_with(torch, buffers=8)

    assert np.isnan(copies.to_device(an_array(3), urgent=True).tensor.array).all()


def test_a_buffer_is_not_written_before_its_copy_is_over(torch: FakeTorch) -> None:
    """With one buffer, the second chunk waits for the first, which arrives unspoilt."""
    copies, compute = copies_with(torch, buffers=1)
    first = copies.to_device(an_array(1, 1.0), urgent=True)
    second = copies.to_device(an_array(1, 2.0), urgent=True)
    assert first.tensor.array.tolist() == an_array(1, 1.0).tolist()

    second.used_by(compute)
    compute.synchronize()
    assert second.tensor.array.tolist() == an_array(1, 2.0).tolist()


def test_a_buffer_that_failed_to_go_is_given_back(torch: FakeTorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error costs no buffer: with one, the next copy would wait for ever."""
    copies, _ = copies_with(torch, buffers=1)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "stream", None)
        with pytest.raises(TypeError):
            copies._send(np.zeros(4, np.uint8), None, urgent=False)

    copies.to_device(an_array(1), urgent=False)


def test_a_tensor_is_kept_alive_for_the_stream_that_uses_it(torch: FakeTorch) -> None:
    """Letting go of it while the computation is still queued spoils nothing."""
    copies, compute = copies_with(torch, buffers=2)
    tensor = copies.to_device(an_array(1), urgent=True).used_by(compute)
    with torch.cuda.stream(compute):
        result = torch.kernel(lambda array: array * 2, tensor)
    del tensor
    gc.collect()

    compute.synchronize()
    assert result.array.tolist() == an_array(1, 2.0).tolist()


def test_a_tensor_is_the_copying_streams_own(torch: FakeTorch) -> None:
    """Memory that a computing stream has yet to finish with is not what a copy is written to."""
    copies, compute = copies_with(torch, buffers=2)
    with torch.cuda.stream(compute):
        tensor = copies.to_device(an_array(1), urgent=True).tensor

    assert tensor.memory.stream is torch.streams[0]


def test_a_copy_back_waits_for_the_computation(torch: FakeTorch) -> None:
    """What comes back is what the kernel wrote, and is not in the buffer, which is used again."""
    copies, compute = copies_with(torch, buffers=1)
    tensor = copies.to_device(an_array(1), urgent=True).used_by(compute)
    with torch.cuda.stream(compute):
        back = copies.to_host(torch.kernel(lambda array: array + 1, tensor), compute, urgent=True)
    copies.to_device(an_array(1, 7.0), urgent=True)

    assert np.asarray(back).tolist() == an_array(1, 2.0).tolist()


def test_no_copy_stands_behind_a_computation(torch: FakeTorch) -> None:
    """When a copy back is queued, what it copies has been computed: other lanes' copies wait for copies alone."""
    copies, compute = copies_with(torch, buffers=2)
    tensor = copies.to_device(an_array(1), urgent=True).used_by(compute)
    with torch.cuda.stream(compute):
        result = torch.kernel(lambda array: array + 1, tensor)
        seen: list[int] = []
        Event.on_wait = lambda: seen.append(len(torch.bus))
        copies.to_host(result, compute, urgent=False)

    assert seen[0] == 1  # the copy inward; nothing outward has been queued


def patiently(torch: FakeTorch, copies: Copies, inward: bool, name: str, chunks: int) -> None:
    """A copy that is not urgent, by `name`."""
    compute = torch.cuda.Stream(device="cuda:0")
    with torch.acting(name), torch.cuda.stream(compute):
        if inward:
            copies.to_device(an_array(chunks), urgent=False)
        else:
            copies.to_host(torch.empty(chunks * CHUNK // 4, np.dtype(np.float32), "cuda:0"), compute, urgent=False)


@pytest.mark.parametrize("inward", [True, False])
def test_an_urgent_copy_waits_for_one_chunk_at_most(torch: FakeTorch, inward: bool) -> None:
    """Whenever it comes, what is queued before it is what was on its way; all that is not urgent comes after it."""
    copies, compute = copies_with(torch, buffers=8)

    def urgent() -> None:
        if torch.bus.count("low") == 2:
            Event.on_wait = None
            with torch.acting("high"), torch.cuda.stream(compute):
                if inward:
                    copies.to_device(an_array(3), urgent=True)
                else:
                    copies.to_host(torch.empty(3 * CHUNK // 4, np.dtype(np.float32), "cuda:0"), compute, urgent=True)

    Event.on_wait = urgent
    patiently(torch, copies, inward, "low", chunks=4)

    assert torch.bus == ["low"] * 2 + ["high"] * 3 + ["low"] * 2


class Watched(threading.Condition):
    """Says when a thread is about to wait for its turn; `waits` is shared by all."""

    waits: threading.Semaphore

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        if not predicate():
            Watched.waits.release()
        return super().wait_for(predicate, timeout)


@pytest.mark.parametrize("inward", [True, False])
@pytest.mark.parametrize("first", ["high", "low"])
def test_a_chunk_waits_its_turn(torch: FakeTorch, monkeypatch: pytest.MonkeyPatch, first: str, inward: bool) -> None:
    """None that is not urgent is queued between the chunks of an urgent copy, nor beside another that is on its way."""
    Watched.waits = threading.Semaphore(0)
    monkeypatch.setattr(threading, "Condition", Watched)
    copies, compute = copies_with(torch, buffers=3)
    second = threading.Thread(target=patiently, args=(torch, copies, inward, "second", 2), daemon=True)
    before: list[str] = []

    def meanwhile() -> None:
        """In the middle of the first copy, the second begins, and comes to a halt."""
        if "first" in torch.bus and not second.ident:
            second.start()
            Event.on_wait = lambda: Watched.waits.release() if threading.current_thread() is second else None
            Watched.waits.acquire(timeout=5)
            before.extend(torch.bus)

    Event.on_wait = meanwhile
    with torch.acting("first"), torch.cuda.stream(compute):
        if inward:
            copies.to_device(an_array(5), urgent=first == "high")
        else:
            copies.to_host(torch.empty(5 * CHUNK // 4, np.dtype(np.float32), "cuda:0"), compute, urgent=first == "high")
    second.join(timeout=5)

    assert not second.is_alive()
    assert "second" not in before
    assert torch.bus.count("second") == 2
    assert first == "low" or torch.bus == ["first"] * 5 + ["second"] * 2


def test_the_ring_hands_out_the_buffer_that_is_free_the_longest(torch: FakeTorch) -> None:
    """So that its event is the likeliest to be over already."""
    ring = StagingRing(torch, 2, 8)
    first, second = ring.take(), ring.take()
    event = Event()
    event.record(torch.cuda.Stream(device="cuda:0"))
    ring.give_back(second, None)
    ring.give_back(first, event)

    assert ring.take().data is second.data
    assert ring.take().data is first.data

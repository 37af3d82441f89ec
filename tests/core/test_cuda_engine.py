"""The CUDA engine's rules, on a stand-in whose device is as lazy as it may be. No GPU has run this code."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TypeVar

import numpy as np
import pytest

from covey.clock import MonotonicClock
from covey.model import Priority
from covey.services.worker.engine.base import Coming, DeviceLost, StageRaised
from covey.services.worker.engine.cuda import CudaEngine
from covey.services.worker.engine.device_errors import Kind, kind_of
from covey.services.worker.engine.device_objects import DeviceObjects
from covey.services.worker.engine.memory import DeviceMemory, why_too_little
from covey.services.worker.engine.staging import Copies, OnDevice, StagingRing
from tests.builders_cuda import (
    APP,
    DOUBLE,
    LARGE,
    SCOPE,
    Doubling,
    a_history,
    a_job,
    a_sum,
    run,
    values_of,
    with_engine,
)
from tests.fakes_cuda import AcceleratorError, Event, FakeTorch, OutOfMemoryError

T = TypeVar("T")

GIB = 2**30


@pytest.fixture
def torch() -> Iterator[FakeTorch]:
    Doubling.torch = FakeTorch()
    yield Doubling.torch
    Doubling.error, Doubling.cuda_graph, Event.on_wait = None, False, None


def test_what_goes_to_the_device_and_back_is_what_was_computed(torch: FakeTorch) -> None:
    """Every copy is waited for by who uses it, both ways; buffers that are used again spoil nothing."""
    jobs = [a_job(*[10.0 * round_ + n for n in range(3)]) for round_ in range(20)]

    assert run(torch, *jobs) == [[2 * (10.0 * round_ + n) for n in range(3)] for round_ in range(20)]


def test_lanes_have_streams_of_their_priority(torch: FakeTorch) -> None:
    """One lane is HIGH's, on the device's greatest priority, and the others are LOW's; copies have streams apart."""
    engine = CudaEngine(torch, MonotonicClock(), low_lanes=2)
    engine.close()

    assert engine.lanes == (Priority.HIGH, Priority.LOW, Priority.LOW)
    assert [stream.priority for stream in torch.streams[:3]] == [-5, 0, 0]
    assert len(torch.streams) == 5
    with pytest.raises(ValueError, match="1 to 4 lanes"):
        CudaEngine(torch, MonotonicClock(), low_lanes=9)


@pytest.mark.parametrize("lane", [0, 1])
def test_only_the_lane_of_high_copies_at_once(torch: FakeTorch, lane: int) -> None:
    """In a lane of LOW each chunk is waited for before anything else of the job is queued."""
    waits: list[int] = []
    Event.on_wait = lambda: waits.append(len(torch.streams[lane].queued))
    run(torch, a_job(1.0), lane=lane)

    assert (waits[0] == 0) == (lane == 1)


def test_a_lane_computes_on_its_own_stream(torch: FakeTorch) -> None:
    """What HIGH queues never stands behind LOW's kernels."""
    run(torch, a_job(1.0), lane=1, low_lanes=2)

    assert [bool(stream.queued) for stream in torch.streams[:3]] == [False, True, False]


def test_the_instant_is_that_at_which_the_lane_began(torch: FakeTorch) -> None:
    """So that what else ran meanwhile can be told."""
    clock = MonotonicClock()

    async def go(engine: CudaEngine) -> None:
        before = clock.now()
        ran = await engine.run(a_job(1.0), 0)
        assert before <= ran.started <= ran.started + ran.seconds <= clock.now()

    with_engine(torch, go)


# --- objects that stay on the device ---------------------------------------------------------------------------------


def sums(*values: float) -> list[float]:
    return [2 * LARGE * value for value in values]


def test_large_objects_are_copied_once(torch: FakeTorch) -> None:
    """The second job finds what the first one needed, and copies only its mask and what is new."""
    first, second, third = [a_history(n, float(n + 1)) for n in range(3)]
    assert run(torch, a_sum(first, second), a_sum(second, third), lane=1) == [sums(3.0), sums(5.0)]
    assert len(torch.bus) == 2 * 2 + 3  # two masks inward, two results outward, three objects


def test_small_objects_come_in_one_copy(torch: FakeTorch) -> None:
    """A stack that is made on the host is cheaper than many copies."""
    small = [a_history(n, 0.0, array=np.full(8, n + 1.0, np.float32)) for n in range(2)]
    assert run(torch, a_sum(*small), a_sum(*small)) == [[2 * 8 * 3.0]] * 2
    assert len(torch.bus) == 2 * 3


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.bool_])
def test_objects_are_copied_as_they_are_and_stacked_as_float32(torch: FakeTorch, dtype: type) -> None:
    """A frame of bytes goes over the bus as bytes."""
    assert run(torch, a_sum(a_history(1, 0.0, array=np.ones((4, LARGE), dtype)))) == [sums(4.0)]


def test_a_short_history_is_padded(torch: FakeTorch) -> None:
    """With zeros, on the device as on the host."""
    assert run(torch, a_sum(a_history(1, 3.0))) == [sums(3.0)]


def test_arrays_that_do_not_fit_together_are_the_stages_mistake(torch: FakeTorch) -> None:
    """The same error as on a CPU."""
    with pytest.raises(StageRaised) as raised:
        run(torch, a_sum(a_history(1, 1.0), a_history(2, 0.0, array=np.ones(2 * LARGE, np.float32))))

    assert "shapes" in str(raised.value.__cause__)


def test_without_a_scope_nothing_is_held(torch: FakeTorch) -> None:
    """Two pipelines may use one name for two things."""
    job = a_sum(a_history(1, 1.0), scope=None)
    assert run(torch, job, job) == [sums(1.0)] * 2
    assert len(torch.bus) == 2 * 3


def test_the_group_that_was_used_the_longest_ago_makes_room(torch: FakeTorch) -> None:
    """Whole, as in the worker's own memory; `held_bytes_max` bounds what is held."""
    a, b, other = a_history(1, 1.0, "g"), a_history(2, 2.0, "g"), a_history(3, 3.0, "h")
    jobs = [a_sum(a, b), a_sum(other), a_sum(a, b)]
    run(torch, *jobs, held_bytes_max=3 * 4 * LARGE)
    assert len(torch.bus) == 3 * 2 + 3

    torch.bus.clear()
    run(torch, *jobs, held_bytes_max=2 * 4 * LARGE)
    assert len(torch.bus) == 3 * 2 + 5


async def settled(engine: CudaEngine) -> None:
    """What was to be brought ahead has been."""
    done = threading.Event()
    engine._fetching.post(done.set)
    assert await asyncio.to_thread(done.wait, 5)


def coming(*objects: object) -> Coming:
    """For a lane of HIGH."""
    return Coming(APP.declaration(), a_sum().stage, SCOPE, Priority.HIGH, objects)  # type: ignore[arg-type]


def test_what_is_coming_is_brought_while_the_lane_computes(torch: FakeTorch) -> None:
    """The job that follows finds it there; for a lane that is free, there is nothing to overlap with."""
    first, second = a_history(1, 1.0), a_history(2, 2.0)

    async def go(engine: CudaEngine) -> None:
        await engine.run(a_sum(first), 0)
        copied = len(torch.bus)
        engine.prefetch(coming(second))
        await settled(engine)
        assert len(torch.bus) == copied
        running = asyncio.get_running_loop().create_task(engine.run(a_job(1.0), 0))
        await asyncio.sleep(0)
        engine.prefetch(coming(second, a_job(1.0).inputs[0].trigger))
        await running
        await settled(engine)
        copied = len(torch.bus)
        assert values_of((await engine.run(a_sum(second), 0)).outputs) == sums(2.0)
        assert len(torch.bus) == copied + 2

    with_engine(torch, go)


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [(OutOfMemoryError("CUDA out of memory."), False), (AcceleratorError("CUDA error: unknown error"), True)],
)
def test_errors_of_what_is_brought_ahead_are_treated_like_any(
    torch: FakeTorch, monkeypatch: pytest.MonkeyPatch, error: Exception, is_lost: bool
) -> None:
    """Memory that is short is made room in; a device that is lost is lost to the next job. The thread goes on."""

    def failing(*given: object) -> None:
        raise error

    async def go(engine: CudaEngine) -> None:
        await engine.run(a_sum(a_history(1, 1.0)), 0)
        engine._busy[0] = True
        with monkeypatch.context() as patch:
            patch.setattr(engine._copies, "to_device", failing)
            engine.prefetch(coming(a_history(2, 2.0)))
            await settled(engine)
        assert (not engine._objects._held) is (torch.caches_emptied == 1) is not is_lost
        if is_lost:
            with pytest.raises(DeviceLost, match="unknown error"):
                await engine.run(a_job(1.0), 0)
        else:
            assert values_of((await engine.run(a_job(1.0), 0)).outputs) == [2.0]

    with_engine(torch, go)


def test_a_group_that_is_used_again_stays(torch: FakeTorch) -> None:
    """It is the other one that has been idle for longest."""
    a, b, c = a_history(1, 1.0, "a"), a_history(2, 2.0, "b"), a_history(3, 3.0, "c")
    run(torch, a_sum(a), a_sum(b), a_sum(a), a_sum(c), a_sum(a), held_bytes_max=2 * 4 * LARGE)

    assert len(torch.bus) == 5 * 2 + 3


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts threads that come to a halt at a condition: at its lock, or for what it says."""
    count = threading.Semaphore(0)

    class Watched(threading.Condition):
        def __enter__(self) -> bool:
            if not self.acquire(blocking=False):
                count.release()
                self.acquire()
            return True

        def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
            if not predicate():
                count.release()
            return super().wait_for(predicate, timeout)

    monkeypatch.setattr(threading, "Condition", Watched)
    return count


def some_objects(torch: FakeTorch) -> DeviceObjects:
    return DeviceObjects(Copies(torch, "cuda:0", StagingRing(torch, 4, 1024)), 1 << 20)


def test_an_object_that_is_on_its_way_is_not_copied_again(torch: FakeTorch, waits: threading.Semaphore) -> None:
    """Who needs it as well waits for it, and has the same tensor."""
    objects, array, ref = some_objects(torch), np.ones(1024, np.float32), a_history(1, 1.0).ref
    found: list[OnDevice] = []
    second = threading.Thread(target=lambda: found.append(objects.bring(SCOPE, ref, array, False)), daemon=True)

    def meanwhile() -> None:
        Event.on_wait = None
        second.start()
        assert waits.acquire(timeout=5)

    Event.on_wait = meanwhile
    first = objects.bring(SCOPE, ref, array, urgent=False)
    second.join(timeout=5)

    assert found == [first]
    assert len(torch.bus) == 4


def test_nothing_is_let_go_of_half_way(torch: FakeTorch, waits: threading.Semaphore) -> None:
    """Whoever clears waits until what is being noted has been."""
    objects = some_objects(torch)
    objects.bring(SCOPE, a_history(1, 1.0).ref, np.ones(8, np.float32), urgent=True)
    clearing = threading.Thread(target=objects.clear, daemon=True)
    with objects._changed:
        clearing.start()
        waits.acquire(timeout=1)
        assert objects._held
    clearing.join(timeout=5)

    assert not objects._held


# --- errors ----------------------------------------------------------------------------------------------------------


def test_out_of_memory_fails_the_batch_which_the_core_then_halves(torch: FakeTorch) -> None:
    """What the batch had is let go of first, then what is held, then what the allocator keeps: the halves find room."""
    kept: list[weakref.ref[object]] = []
    seen: list[tuple[bool, int]] = []
    original = Doubling.__call__

    def remembering(self: Doubling, values: object) -> object:
        kept.append(weakref.ref(values))
        return original(self, values)  # type: ignore[arg-type]

    async def go(engine: CudaEngine) -> None:
        await engine.run(a_sum(a_history(1, 1.0)), 0)
        torch.room = 1
        torch.on_empty_cache = lambda: seen.append((kept[-1]() is None, len(engine._objects._held)))
        with pytest.raises(StageRaised) as raised:
            await engine.run(a_job(1.0, 2.0), 0)
        assert raised.value.why.startswith("out of memory: 2 tasks take more than there is")
        assert values_of((await engine.run(a_job(1.0), 0)).outputs) == [2.0]

    Doubling.__call__ = remembering  # type: ignore[method-assign,assignment]
    gc.disable()
    try:
        with_engine(torch, go)
    finally:
        gc.enable()
        Doubling.__call__ = original  # type: ignore[method-assign]

    assert seen == [(True, 0)]


@pytest.mark.parametrize(
    ("memory", "tasks", "fault"),
    [
        (DeviceMemory(8 * GIB, GIB, 6 * GIB), 1, "one task takes more than there is"),
        (DeviceMemory(8 * GIB, GIB, 6 * GIB), 0, "its model takes more than there is"),
        (DeviceMemory(8 * GIB, GIB, GIB), 1, "other processes hold 6.0"),
    ],
)
def test_out_of_memory_says_whose_fault_it_is(memory: DeviceMemory, tasks: int, fault: str) -> None:
    """The stage's, its model's, or another process's."""
    assert fault in why_too_little(memory, tasks)


def wrapped(error: Exception) -> Exception:
    """The user's stage wrapped the device's error in one of its own."""
    try:
        try:
            raise error
        except Exception as inner:
            raise ValueError("no answer") from inner
    except ValueError as outer:
        return outer


@pytest.mark.parametrize(
    "error",
    [
        lambda: AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"),
        lambda: RuntimeError("CUDA error: unspecified launch failure"),
        lambda: wrapped(RuntimeError("CUDA error: device-side assert triggered")),
    ],
)
def test_any_other_error_of_the_device_is_the_end_of_it(torch: FakeTorch, error: Callable[[], Exception]) -> None:
    """It sticks: whatever this process asks of the device next fails as well, and is not even asked."""

    async def go(engine: CudaEngine) -> None:
        Doubling.error = error()
        with pytest.raises(DeviceLost):
            await engine.run(a_job(1.0), 0)
        Doubling.error = None
        with pytest.raises(DeviceLost):
            await engine.run(a_job(1.0), 1)

    with_engine(torch, go)


@pytest.mark.parametrize(
    ("error", "why"),
    [(ValueError("no"), ""), (OutOfMemoryError("CUDA out of memory."), "out of memory: its model takes more")],
)
def test_a_model_that_does_not_load_says_why(
    torch: FakeTorch, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    """It may be its own mistake, or want more memory than there is."""

    def failing(self: Doubling, device: str) -> None:
        raise error

    monkeypatch.setattr(Doubling, "load", failing)
    with pytest.raises(StageRaised) as raised:
        run(torch, a_job(1.0))

    assert raised.value.why.startswith(why)
    assert bool(raised.value.why) is bool(why)


def test_a_device_that_is_lost_while_a_model_loads_is_lost(torch: FakeTorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading is the device's work, too."""

    def failing(self: Doubling, device: str) -> None:
        raise AcceleratorError("CUDA error: uncorrectable ECC error encountered")

    monkeypatch.setattr(Doubling, "load", failing)
    with pytest.raises(DeviceLost, match="uncorrectable ECC"):
        run(torch, a_job(1.0))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemoryError("CUDA out of memory."), Kind.OUT_OF_MEMORY),
        (AcceleratorError("CUDA error: out of memory"), Kind.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), Kind.OUT_OF_MEMORY),
        (wrapped(OutOfMemoryError("CUDA out of memory.")), Kind.OUT_OF_MEMORY),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), Kind.LOST),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Kind.RAISED),
        (ValueError("CUDA error: says the user"), Kind.RAISED),
    ],
)
def test_errors_are_told_apart(torch: FakeTorch, error: Exception, kind: Kind) -> None:
    """By type, or by how torch spells them, wherever in the chain they are."""
    assert kind_of(torch, error)[0] is kind


def test_an_error_of_the_stage_is_the_stages_alone(torch: FakeTorch) -> None:
    """A mistake of the user's does not cost the device."""
    Doubling.error = ValueError("no")
    with pytest.raises(StageRaised) as raised:
        run(torch, a_job(1.0), lane=1)

    assert raised.value.__cause__ is Doubling.error
    assert raised.value.why == ""


def test_a_model_that_is_unloaded_is_gone(torch: FakeTorch) -> None:
    """And what the allocator kept of it goes back to the device."""

    async def go(engine: CudaEngine) -> None:
        await engine.unload(DOUBLE)
        assert torch.caches_emptied == 1
        with pytest.raises(StageRaised):
            await engine.run(a_job(1.0), 0)

    with_engine(torch, go)


def test_weights_are_there_before_a_lane_reads_them(torch: FakeTorch) -> None:
    """They came by another stream than the lanes'."""
    torch.default.queued.clear()
    assert run(torch, a_job(4.0), lane=1) == [[8.0]]


def test_nvml_finds_the_device_by_its_address(torch: FakeTorch) -> None:
    """NVML and torch may count devices differently."""
    torch.cuda.get_device_properties = lambda name: SimpleNamespace(pci_domain_id=0, pci_bus_id=0x65, pci_device_id=0)
    engine = CudaEngine(torch, MonotonicClock())
    engine.close()

    assert engine.pci_address == "00000000:65:00.0"

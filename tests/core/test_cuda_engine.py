"""The CUDA engine's rules, on a stand-in whose device is as lazy as it may be. No GPU has run this code."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TypeVar

import pytest

from covey.clock import MonotonicClock
from covey.model import Priority
from covey.services.worker.engine.base import DeviceLost, StageRaised
from covey.services.worker.engine.cuda import CudaEngine
from covey.services.worker.engine.device_errors import Kind, kind_of
from covey.services.worker.engine.memory import DeviceMemory, why_too_little
from tests.builders_cuda import (
    DOUBLE,
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

"""The CUDA engine's ordering rules, on a stand-in whose device is as lazy as it may be. No GPU has run this code."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from covey.batch import TaskInputs, TaskOutput
from covey.clock import MonotonicClock
from covey.codec import decode_array, encode_array
from covey.declaration import Codec
from covey.declare import Pipeline
from covey.messages import Task
from covey.model import ObjectRef, ObjectValue, Priority
from covey.services.worker.engine.base import DeviceLost, Job, StageRaised
from covey.services.worker.engine.cuda import CudaEngine
from covey.services.worker.engine.staging import Copies, StagingRing
from tests.fakes_cuda import AcceleratorError, Event, FakeTorch, OutOfMemoryError, Stream


class Doubling:
    """A model: one kernel that doubles its input; or it raises `error`."""

    torch: FakeTorch
    error: BaseException | None = None

    def load(self, device: str) -> None:
        assert device == "cuda:0"

    def __call__(self, values: Any) -> Any:
        if Doubling.error is not None:
            raise Doubling.error
        return Doubling.torch.compute(lambda array: array * 2, values)


def a_pipeline() -> Pipeline:
    app = Pipeline("demo", objective_s=1.0)
    points = app.pool("/points/{n:int}", codec=Codec.ARRAY)
    doubles = app.pool("/doubles/{n:int}", codec=Codec.ARRAY)

    @app.stage(on=points, emits=doubles, model=Doubling, batch_max=8)
    def double(batch: Any, model: Any) -> None:
        values, _ = batch.stack(points)
        for task, value in zip(batch, model(values), strict=True):
            task.emit(doubles, value)

    return app


APP = a_pipeline()
STAGE = APP.stages["double"]


def a_job(*values: float) -> Job:
    inputs = []
    for n, value in enumerate(values):
        task = Task(n, n.to_bytes(16, "big"), "e", None, (), (), (("n", n),), 1.0)
        payload = encode_array(np.array([value], np.float32))
        trigger = ObjectValue(ObjectRef("points", f"/points/{n}", "", 1), payload)
        inputs.append(TaskInputs(task, trigger, (), {}, True))
    return Job(APP.declaration(), STAGE, tuple(inputs))


def values_of(outputs: list[TaskOutput]) -> list[float]:
    return [float(decode_array(each.payload)[0]) for output in outputs for each in output.emissions]


@pytest.fixture
def torch() -> Iterator[FakeTorch]:
    Doubling.torch, Doubling.error = FakeTorch(), None
    yield Doubling.torch
    Doubling.error = None


def run(torch: FakeTorch, *jobs: Job, lane: int = 0, low_lanes: int = 1) -> list[list[float]]:
    """Run jobs one after the other in a lane of a fresh engine."""

    async def go() -> list[list[float]]:
        engine = CudaEngine(torch, MonotonicClock(), low_lanes)
        try:
            await engine.load(STAGE)
            return [values_of((await engine.run(job, lane)).outputs) for job in jobs]
        finally:
            engine.close()

    return asyncio.run(go())


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


def copies_with(torch: FakeTorch, buffers: int, size: int = 64) -> tuple[Copies, Stream]:
    copies = Copies(torch, "cuda:0", StagingRing(torch, buffers, size))
    return copies, torch.cuda.Stream(device="cuda:0")


def test_a_computation_waits_for_the_copy_of_its_inputs(torch: FakeTorch) -> None:
    """The copy has not happened when the call returns; it has when the computing stream gets to its next work."""
    copies, compute = copies_with(torch, buffers=2)
    tensor = copies.to_device(np.ones(4, np.float32), compute)
    assert np.isnan(tensor.array).all()

    compute.run_to(len(compute.queued))
    assert tensor.array.tolist() == [1.0] * 4


def test_a_buffer_is_not_written_before_its_copy_is_over(torch: FakeTorch) -> None:
    """With one buffer, the second copy waits for the first, which arrives unspoilt."""
    copies, compute = copies_with(torch, buffers=1)
    first = copies.to_device(np.ones(4, np.float32), compute)
    second = copies.to_device(np.zeros(4, np.float32), compute)

    assert first.array.tolist() == [1.0] * 4
    assert np.isnan(second.array).all()


def test_a_tensor_is_kept_alive_for_the_stream_that_uses_it(torch: FakeTorch) -> None:
    """It is recorded on the computing stream on its way in, and on the copying one on its way out."""
    copies, compute = copies_with(torch, buffers=2)
    tensor = copies.to_device(np.ones(4, np.float32), compute)
    assert tensor.recorded == [compute]

    copies.to_host(tensor, compute)
    assert tensor.recorded == [compute, torch.streams[1]]


def test_a_copy_back_waits_for_the_computation(torch: FakeTorch) -> None:
    """What comes back is what the kernel wrote, and is not in the buffer, which is used again."""
    copies, compute = copies_with(torch, buffers=1)
    tensor = copies.to_device(np.ones(4, np.float32), compute)
    with torch.cuda.stream(compute):
        result = torch.compute(lambda array: array + 1, tensor)
    back = copies.to_host(result, compute)
    copies.to_device(np.zeros(4, np.float32), compute)

    assert np.asarray(back).tolist() == [2.0] * 4


def test_what_is_larger_than_a_buffer_is_copied_plainly(torch: FakeTorch) -> None:
    """Pinned memory is bounded; a larger copy makes the host wait instead, and an empty one needs no buffer."""
    copies, compute = copies_with(torch, buffers=1, size=8)

    assert copies.to_device(np.ones(4, np.float32), compute).array.tolist() == [1.0] * 4
    assert copies.to_device(np.ones((0, 3), np.float32), compute).shape == (0, 3)


def test_the_ring_hands_out_the_buffer_that_is_free_the_longest(torch: FakeTorch) -> None:
    """So that its event is the likeliest to be over already."""
    ring = StagingRing(torch, 2, 8)
    first, second = ring.take(), ring.take()
    event = Event()
    event.record(torch.cuda.Stream(device="cuda:0"))
    ring.give_back(second, None)
    ring.give_back(first, event)

    assert ring.take() is second
    assert ring.take() is first


def test_out_of_memory_fails_the_batch_which_the_core_then_halves(torch: FakeTorch) -> None:
    """The allocator's cache is given back first, so that the halves find room."""
    Doubling.error = OutOfMemoryError("CUDA out of memory")
    with pytest.raises(StageRaised):
        run(torch, a_job(1.0, 2.0))

    assert torch.caches_emptied == 1


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
    """It sticks: whatever this process asked of the device next would fail as well."""
    Doubling.error = error()
    with pytest.raises(DeviceLost):
        run(torch, a_job(1.0))


def test_an_error_of_the_stage_is_the_stages_alone(torch: FakeTorch) -> None:
    """A mistake of the user's does not cost the device."""
    Doubling.error = ValueError("no")
    with pytest.raises(StageRaised) as raised:
        run(torch, a_job(1.0), lane=1)

    assert raised.value.__cause__ is Doubling.error

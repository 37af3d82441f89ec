"""The CUDA engine's rules on a real device (`make gpu-check`); what each line is for, `tests/mutations.py` shows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest

from covey.batch import TaskInputs
from covey.clock import MonotonicClock
from covey.codec import decode_array, encode_array
from covey.declaration import Codec
from covey.declare import Pipeline
from covey.grouping import Scope
from covey.messages import Task
from covey.model import ObjectRef, ObjectValue, Priority
from covey.services.worker.engine.base import Coming, DeviceLost, Job, StageRaised
from covey.services.worker.engine.cuda import CudaEngine
from covey.services.worker.engine.nvml import read
from covey.services.worker.engine.staging import Copies, StagingRing

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
    pytest.mark.timeout(300),
]

T = TypeVar("T")

SCOPE = Scope("default", "device")
WIDTH = 512
CHUNK = 1 << 20


class Matrix:
    """Multiplies by twice the identity, many times over on request: the answer is known, and the device is busy."""

    rounds = 1
    wasted = 0
    broken = False
    cuda_graph = False

    def load(self, device: str) -> None:
        self.weight = 2 * torch.eye(WIDTH, device=device)
        self.half = 0.5 * torch.eye(WIDTH, device=device)

    def __call__(self, values: Any, mask: Any) -> Any:
        if Matrix.wasted:
            torch.empty(Matrix.wasted * len(values), dtype=torch.uint8, device=values.device)
        if Matrix.broken:
            values = values[torch.full((1,), 1 << 30, device=values.device)]
        for _ in range(Matrix.rounds - 1):
            values = values @ self.weight @ self.half
        return values @ self.weight


def a_pipeline() -> Pipeline:
    app = Pipeline("device", objective_s=1.0)
    inputs = app.pool("/inputs/{n:int}", codec=Codec.ARRAY)
    answers = app.pool("/answers/{n:int}", codec=Codec.ARRAY)

    @app.stage(on=inputs, emits=answers, model=Matrix, batch_max=64)
    def multiply(batch: Any, model: Any) -> None:
        for task, answer in zip(batch, model(*batch.stack(inputs)), strict=True):
            task.emit(answers, answer)

    return app


APP = a_pipeline()
STAGE = APP.stages["multiply"]


@pytest.fixture(autouse=True)
def _plain_model() -> None:
    Matrix.rounds, Matrix.wasted, Matrix.broken, Matrix.cuda_graph = 1, 0, False, False


def a_job(numbers: range, rows: int = 16) -> tuple[Job, list[np.ndarray[Any, Any]]]:
    """A job, and what it must answer."""
    arrays = [np.random.default_rng(n).standard_normal((rows, WIDTH)).astype(np.float32) for n in numbers]
    inputs = [
        TaskInputs(Task(n, n.to_bytes(16, "big"), "e", None, (), (), (("n", n),), 1.0), a_value(n, array), (), {}, True)
        for n, array in zip(numbers, arrays, strict=True)
    ]
    return Job(APP.declaration(), STAGE, tuple(inputs), scope=SCOPE), [2 * array for array in arrays]


def a_value(n: int, array: np.ndarray[Any, Any]) -> ObjectValue:
    payload = encode_array(array)
    return ObjectValue(ObjectRef("inputs", f"/inputs/{n}", f"g{n % 7}", 1, len(payload)), payload)


def with_engine(go: Callable[[CudaEngine], Awaitable[T]], **given: Any) -> T:
    async def run() -> T:
        engine = CudaEngine(torch, MonotonicClock(), **given)
        try:
            await engine.load(STAGE)
            return await go(engine)
        finally:
            engine.close()

    return asyncio.run(run())


async def is_right(engine: CudaEngine, lane: int, numbers: range, rows: int = 16) -> bool:
    job, wanted = a_job(numbers, rows)
    ran = await engine.run(job, lane)
    found = [decode_array(each.payload) for output in ran.outputs for each in output.emissions]
    return all(np.allclose(one, other, rtol=1e-3, atol=1e-3) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("urgent", [True, False])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (700, 1100), (3, 1 << 20)])
def test_arrays_of_any_shape_go_there_and_back(shape: tuple[int, ...], urgent: bool) -> None:
    """In one chunk or many, through two buffers."""
    copies = Copies(torch, "cuda:0", StagingRing(torch, 2, CHUNK))
    compute = torch.cuda.Stream(device="cuda:0")
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for _ in range(5):
        there = copies.to_device(array, urgent).used_by(compute)
        with torch.cuda.stream(compute):
            back = copies.to_host(there * 1 + 1, compute, urgent)
        assert np.array_equal(back.numpy(), array + 1)


def test_lanes_do_not_disturb_one_another() -> None:
    """Copies, kernels and buffers of three lanes at once, for many jobs, with every answer right."""
    Matrix.rounds = 20

    async def go(engine: CudaEngine) -> None:
        async def lane(number: int) -> None:
            for turn in range(40):
                assert await is_right(engine, number, range(turn * 8, turn * 8 + 8), rows=16 * (1 + turn % 4))

        await asyncio.gather(*[lane(number) for number in range(3)])

    with_engine(go, low_lanes=2, held_bytes_max=8 << 20)


def test_recorded_models_answer_the_same() -> None:
    """In two lanes at once, with shapes that change."""
    Matrix.rounds, Matrix.cuda_graph = 20, True

    async def go(engine: CudaEngine) -> None:
        async def lane(number: int) -> None:
            for turn in range(40):
                assert await is_right(engine, number, range(turn, turn + 1 + turn % 3))

        await asyncio.gather(lane(0), lane(1))
        assert all(any(each is not None for each in graphs._known.values()) for graphs in engine._graphs)

    with_engine(go)


def test_what_is_brought_ahead_is_right() -> None:
    """While the lane computes something else."""

    async def go(engine: CudaEngine) -> None:
        assert await is_right(engine, 0, range(1))
        for turn in range(20):
            job, _ = a_job(range(8 * turn, 8 * turn + 8), rows=256)
            objects = [each.trigger for each in job.inputs if each.trigger is not None]
            async with asyncio.TaskGroup() as group:
                group.create_task(engine.run(a_job(range(100, 104))[0], 0))
                await asyncio.sleep(0)
                engine.prefetch(Coming(APP.declaration(), STAGE, SCOPE, Priority.HIGH, objects))
            assert await is_right(engine, 0, range(8 * turn, 8 * turn + 8), rows=256)

    with_engine(go)


def test_out_of_memory_is_survived() -> None:
    """Eight tasks do not fit, one does; and the message says whose fault it was."""
    free, _ = torch.cuda.mem_get_info("cuda:0")
    Matrix.wasted = free // 3

    async def go(engine: CudaEngine) -> None:
        with pytest.raises(StageRaised) as raised:
            await engine.run(a_job(range(8))[0], 0)
        assert raised.value.why.startswith("out of memory: 8 tasks")
        assert await is_right(engine, 0, range(1))

    with_engine(go)


def test_an_error_that_sticks_is_the_end_of_the_device() -> None:
    """A kernel that reads where there is nothing: in a process of its own, which can't use the device any more."""
    script = "from tests.services import test_cuda_device as here; here.break_the_device()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)

    assert done.returncode == 0, done.stderr


def break_the_device() -> None:
    """Raises unless the engine says that the device is lost, and goes on saying so."""
    Matrix.broken = True

    async def go(engine: CudaEngine) -> None:
        for _ in range(2):
            with pytest.raises(DeviceLost):
                await engine.run(a_job(range(1))[0], 0)
            Matrix.broken = False

    with_engine(go)


def test_nvml_finds_the_device_that_torch_uses() -> None:
    """By its PCI address; the readings are those of a device that something runs on."""
    pynvml = pytest.importorskip("pynvml")
    pynvml.nvmlInit()
    try:
        engine = CudaEngine(torch, MonotonicClock())
        engine.close()
        reading = read(pynvml, pynvml.nvmlDeviceGetHandleByPciBusId(engine.pci_address))
    finally:
        pynvml.nvmlShutdown()

    assert 0 < reading.memory_used <= reading.memory_total

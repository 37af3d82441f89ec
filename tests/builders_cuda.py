"""A pipeline, its jobs and an engine on the stand-in for torch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from covey.batch import TaskInputs, TaskOutput
from covey.clock import MonotonicClock
from covey.codec import decode_array, encode_array
from covey.declaration import Codec
from covey.declare import Pipeline
from covey.grouping import Scope
from covey.messages import Task
from covey.model import ObjectRef, ObjectValue
from covey.services.worker.engine.base import Job
from covey.services.worker.engine.cuda import CudaEngine
from tests.fakes_cuda import FakeTorch, Tensor

T = TypeVar("T")

SCOPE = Scope("default", "demo")
LARGE = 16 * 1024
"""Elements of a history that is large enough to stay on the device."""


class Weighted:
    """A weight of 2 on the device, which came there by another stream than the lanes'."""

    def load(self, device: str) -> None:
        assert device == "cuda:0"
        torch = Doubling.torch
        self.weight = torch.kernel(lambda array: array + 2, torch.from_numpy(np.zeros(1, np.float32)))
        self.weight.recorded.extend(torch.streams)

    def times_two(self, values: Tensor) -> Tensor:
        return Doubling.torch.kernel(lambda array, weight: array * weight, values, self.weight)


class Doubling(Weighted):
    """A model: one kernel that doubles its input by a weight; or it raises `error`."""

    torch: FakeTorch
    error: BaseException | None = None
    cuda_graph = False

    def __call__(self, values: Tensor) -> Tensor:
        if Doubling.error is not None:
            raise Doubling.error
        return self.times_two(values)


class Summing(Weighted):
    """The sum of each task's histories, times two."""

    def __call__(self, histories: Tensor, mask: Tensor) -> Tensor:
        torch, tasks = Doubling.torch, len(histories)
        torch.kernel(np.any, mask)
        return self.times_two(torch.kernel(lambda array: array.reshape(tasks, -1).sum(1, keepdims=True), histories))


def a_pipeline() -> Pipeline:
    app = Pipeline("demo", objective_s=1.0)
    points = app.pool("/points/{n:int}", codec=Codec.ARRAY)
    doubles = app.pool("/doubles/{n:int}", codec=Codec.ARRAY)
    histories = app.pool("/histories/{n:int}", codec=Codec.ARRAY)

    @app.stage(on=points, emits=doubles, model=Doubling, batch_max=8)
    def double(batch: Any, model: Any) -> None:
        values, _ = batch.stack(points)
        for task, value in zip(batch, model(values), strict=True):
            task.emit(doubles, value)

    @app.stage(on=points, needs=histories.last(2), emits=doubles, model=Summing, batch_max=8)
    def add(batch: Any, model: Any) -> None:
        for task, value in zip(batch, model(*batch.stack(histories)), strict=True):
            task.emit(doubles, value)

    return app


APP = a_pipeline()
DOUBLE, ADD = APP.stages["double"], APP.stages["add"]


def a_task(n: int, value: float = 0.0, needs: tuple[ObjectValue, ...] = ()) -> TaskInputs:
    task = Task(n, n.to_bytes(16, "big"), "e", None, (), (), (("n", n),), 1.0)
    trigger = ObjectValue(ObjectRef("points", f"/points/{n}", "", 1), encode_array(np.array([value], np.float32)))
    return TaskInputs(task, trigger, (), {"histories": needs}, True)


def a_job(*values: float) -> Job:
    """Doubles the values."""
    inputs = tuple([a_task(n, value) for n, value in enumerate(values)])
    return Job(APP.declaration(), DOUBLE, inputs, scope=SCOPE)


def a_history(n: int, value: float, group: str = "g", array: npt.NDArray[Any] | None = None) -> ObjectValue:
    payload = encode_array(np.full(LARGE, value, np.float32) if array is None else array)
    return ObjectValue(ObjectRef("histories", f"/histories/{n}", group, 1, len(payload)), payload)


def a_sum(*histories: ObjectValue, scope: Scope | None = SCOPE) -> Job:
    """Adds the elements of a task's histories."""
    return Job(APP.declaration(), ADD, (a_task(0, needs=histories),), scope=scope)


def values_of(outputs: list[TaskOutput]) -> list[float]:
    return [float(decode_array(each.payload)[0]) for output in outputs for each in output.emissions]


def with_engine(torch: FakeTorch, go: Callable[[CudaEngine], Awaitable[T]], **given: Any) -> T:
    """What `go` comes to with a fresh engine that has both stages loaded."""

    async def run() -> T:
        engine = CudaEngine(torch, MonotonicClock(), **given)
        try:
            await engine.load(DOUBLE)
            await engine.load(ADD)
            return await go(engine)
        finally:
            engine.close()

    return asyncio.run(run())


def run(torch: FakeTorch, *jobs: Job, lane: int = 0, **given: Any) -> list[list[float]]:
    """Run jobs one after the other in a lane of a fresh engine."""

    async def go(engine: CudaEngine) -> list[list[float]]:
        return [values_of((await engine.run(job, lane)).outputs) for job in jobs]

    return with_engine(torch, go, **given)

"""Stages on the CPU: a thread a lane."""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import Any

from covey.clock import Clock
from covey.declare import Stage
from covey.model import Priority
from covey.services.worker.engine.base import Coming, Job, Ran, StageRaised
from covey.services.worker.engine.threads import LaneThread, call_stage

SWITCH_S = 0.0005
"""How long a lane may keep the interpreter from another that wants it. An operator of torch wants it back at its end:
beside a stage that is plain Python, a convolution of 1.7 ms took 32 ms at Python's own 5 ms, and takes 7 ms at this."""


class CpuEngine:
    """Runs stages in `lanes` threads of one core each, any priority in any of them.

    Threads, since torch and numpy let go of the interpreter while they compute, and inputs need not be copied. What
    lanes share is the interpreter, the machine's memory and its caches: a lane beside a busy one is slower than alone.
    """

    device = "cpu"

    def __init__(self, clock: Clock, lanes: int = 1) -> None:
        self.lanes: tuple[Priority | None, ...] = (None,) * lanes
        self._clock = clock
        self._threads = [LaneThread(f"lane-{number}") for number in range(lanes)]
        self._loader = LaneThread("loader")
        self._models: dict[Stage, Any] = {}
        if lanes > 1:
            sys.setswitchinterval(SWITCH_S)

    async def load(self, stage: Stage) -> None:
        if stage.model is not None:
            self._models[stage] = await self._loader.run(lambda: load_model(stage, "cpu", self._clock))

    def prefetch(self, coming: Coming) -> None:
        """Nothing is nearer than the host's memory."""

    async def run(self, job: Job, lane: int) -> Ran:
        loop = asyncio.get_running_loop()
        return await self._threads[lane].run(lambda: self._run(job, loop))

    async def unload(self, stage: Stage) -> None:
        self._models.pop(stage, None)

    def close(self) -> None:
        for thread in (*self._threads, self._loader):
            thread.close()

    def _run(self, job: Job, loop: asyncio.AbstractEventLoop) -> Ran:
        started = self._clock.now()
        try:
            batch = call_stage(job, self._models.get(job.stage), "cpu", loop)
            outputs = batch.outputs()
        except BaseException as error:
            raise StageRaised(job.stage.declaration.name, self._clock.now() - started) from error
        return Ran(outputs, self._clock.now() - started, started)


def load_model(stage: Stage, device: str, clock: Clock) -> Any:
    """A model of the stage's class, loaded onto the device. Raises StageRaised."""
    assert stage.model is not None
    started = clock.now()
    try:
        model = stage.model()
        loading = model.load(device)
        if inspect.isawaitable(loading):
            raise TypeError(f"`load` of {stage.model.__name__} must be a plain function")
    except BaseException as error:
        raise StageRaised(stage.declaration.name, clock.now() - started) from error
    return model

"""Stages on a CUDA device: a thread and a stream a lane, one lane kept for HIGH on a stream of high priority.

No GPU has run this file yet: its ordering rules are tested with a recording stand-in for torch. Two kinds of error
are told apart. Out of memory is met by giving back what the allocator holds and failing the batch, which is then tried
in halves. Every other error of the device sticks to the process (each later call fails as well), so it ends it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from covey.clock import Clock
from covey.declare import Stage
from covey.model import Priority
from covey.services.worker.engine.base import DeviceLost, Job, Ran, StageRaised
from covey.services.worker.engine.cpu import load_model
from covey.services.worker.engine.staging import Copies, StagingRing
from covey.services.worker.engine.threads import LaneThread, call_stage

BUFFERS = 8
BUFFER_BYTES = 8 * 1024 * 1024
LOW_LANES_MAX = 4
"""Kernels of more streams than this only take turns on the device, and each stream holds memory of its own."""


class CudaEngine:
    """Runs stages on one device. `torch` is the module, or a stand-in for it in tests."""

    def __init__(self, torch: Any, clock: Clock, low_lanes: int = 1, index: int = 0) -> None:
        if not 1 <= low_lanes <= LOW_LANES_MAX:
            raise ValueError(f"a device has 1 to {LOW_LANES_MAX} lanes for LOW, not {low_lanes}")
        self.lanes: tuple[Priority | None, ...] = (Priority.HIGH, *[Priority.LOW] * low_lanes)
        self._torch = torch
        self._clock = clock
        self._name = f"cuda:{index}"
        low, high = torch.cuda.Stream.priority_range()
        priorities = [high if lane is Priority.HIGH else low for lane in self.lanes]
        self._streams = [torch.cuda.Stream(device=self._name, priority=priority) for priority in priorities]
        self._copies = Copies(torch, self._name, StagingRing(torch, BUFFERS, BUFFER_BYTES))
        self._threads = [LaneThread(f"lane-{number}") for number in range(len(self.lanes))]
        self._models: dict[Stage, Any] = {}

    @property
    def device(self) -> str:
        return f"cuda {self._torch.cuda.get_device_name(self._name)}"

    @property
    def pci_address(self) -> str:
        """What NVML knows the device by."""
        found = self._torch.cuda.get_device_properties(self._name)
        return f"{found.pci_domain_id:08x}:{found.pci_bus_id:02x}:{found.pci_device_id:02x}.0"

    async def load(self, stage: Stage) -> None:
        if stage.model is not None:
            self._models[stage] = await self._threads[0].run(lambda: self._loaded(stage))

    async def run(self, job: Job, lane: int) -> Ran:
        loop = asyncio.get_running_loop()
        return await self._threads[lane].run(lambda: self._run(job, self._streams[lane], loop))

    async def unload(self, stage: Stage) -> None:
        if self._models.pop(stage, None) is not None:
            self._torch.cuda.empty_cache()

    def close(self) -> None:
        for thread in self._threads:
            thread.close()

    def _run(self, job: Job, stream: Any, loop: asyncio.AbstractEventLoop) -> Ran:
        started = self._clock.now()
        try:
            with self._torch.cuda.stream(stream):
                model = self._models.get(job.stage)
                returning = None if model is None else ReturningModel(self._torch, model, self._copies, stream)
                batch = call_stage(job, returning, lambda array: self._copies.to_device(array, stream), loop)
                outputs = batch.outputs()
        except self._torch.cuda.OutOfMemoryError as error:
            self._torch.cuda.empty_cache()
            raise StageRaised(job.stage.declaration.name, self._clock.now() - started) from error
        except BaseException as error:
            if self._is_device_error(error):
                raise DeviceLost(str(error).partition("\n")[0]) from error
            raise StageRaised(job.stage.declaration.name, self._clock.now() - started) from error
        return Ran(outputs, self._clock.now() - started)

    def _loaded(self, stage: Stage) -> Any:
        model = load_model(stage, self._name, self._clock)
        self._torch.cuda.synchronize(self._name)  # lanes use other streams than the one that the weights came by
        return model

    def _is_device_error(self, error: BaseException | None) -> bool:
        """Whether the device itself failed, here or beneath: torch.AcceleratorError, or as older versions spell it."""
        accelerator = getattr(self._torch, "AcceleratorError", ())
        while error is not None:
            spelled = isinstance(error, RuntimeError) and str(error).startswith(
                ("CUDA error", "CUDNN_STATUS", "cuBLAS")
            )
            if spelled or isinstance(error, accelerator):
                return True
            error = error.__cause__ or error.__context__
        return False


class ReturningModel:
    """A model whose tensors come back to the host, each in one copy, so that emitting their rows costs none."""

    def __init__(self, torch: Any, model: Any, copies: Copies, stream: Any) -> None:
        self._torch = torch
        self._model = model
        self._copies = copies
        self._stream = stream

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._returned(self._model(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def _returned(self, value: Any) -> Any:
        if isinstance(value, self._torch.Tensor) and value.is_cuda:
            return self._copies.to_host(value, self._stream)
        if type(value) in (tuple, list):
            return type(value)(self._returned(each) for each in value)
        if type(value) is dict:
            return {key: self._returned(each) for key, each in value.items()}
        return value

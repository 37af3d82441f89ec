"""Stages on a CUDA device: a thread and a stream a lane, one lane kept for HIGH on a stream of high priority.

What copies, and in which order, is in `staging.py`; what stays on the device in `device_objects.py`; what is recorded
in `graphs.py`. No GPU has run them yet: their rules are tested with a recording stand-in for torch, and
`make gpu-check` asks a real device.

Two kinds of error are told apart. Out of memory is met by giving back all that nobody needs and failing the batch,
which is then tried in halves; a single task that does not fit fails, and the message says who holds the memory. Every
other error of the device sticks to the process (each later call fails as well), so it ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from typing import Any

from covey.clock import Clock
from covey.declare import Stage
from covey.model import Priority
from covey.services.worker.engine.base import Coming, DeviceLost, Job, Ran, StageRaised
from covey.services.worker.engine.cpu import load_model
from covey.services.worker.engine.device_errors import Kind, chain, kind_of
from covey.services.worker.engine.device_objects import DeviceObjects, Fetcher, LanePlace
from covey.services.worker.engine.graphs import Graphs
from covey.services.worker.engine.lane_model import LaneModel
from covey.services.worker.engine.memory import device_memory, why_too_little
from covey.services.worker.engine.staging import Copies, StagingRing
from covey.services.worker.engine.threads import LaneThread, call_stage

log = logging.getLogger(__name__)

BUFFERS = 16
BUFFER_BYTES = 2 * 1024 * 1024
"""The largest chunk, and so how long HIGH's copies wait for others': 0.1 to 0.2 ms on PCIe 4."""
LOW_LANES_MAX = 4
"""Kernels of more streams than this only take turns on the device, and each stream holds memory of its own."""
HELD_BYTES_MAX = 512 * 1024 * 1024
"""Objects that stay on the device."""


class CudaEngine:
    """Runs stages on one device. `torch` is the module, or a stand-in for it in tests."""

    def __init__(
        self, torch: Any, clock: Clock, low_lanes: int = 1, index: int = 0, held_bytes_max: int = HELD_BYTES_MAX
    ) -> None:
        if not 1 <= low_lanes <= LOW_LANES_MAX:
            raise ValueError(f"a device has 1 to {LOW_LANES_MAX} lanes for LOW, not {low_lanes}")
        self.lanes: tuple[Priority | None, ...] = (Priority.HIGH, *[Priority.LOW] * low_lanes)
        self._torch = torch
        self._clock = clock
        self._name = f"cuda:{index}"
        low, high = torch.cuda.Stream.priority_range()
        priorities = [high if lane is Priority.HIGH else low for lane in self.lanes]
        self._streams = [torch.cuda.Stream(device=self._name, priority=priority) for priority in priorities]
        self._graphs = [Graphs(torch, stream) for stream in self._streams]
        self._copies = Copies(torch, self._name, StagingRing(torch, BUFFERS, BUFFER_BYTES))
        self._objects = DeviceObjects(self._copies, held_bytes_max)
        self._busy = [False] * len(self.lanes)
        self._gathered: dict[tuple[Stage, str], None] = {}
        self._fetcher = Fetcher(self._objects)
        self._threads = [LaneThread(f"lane-{number}") for number in range(len(self.lanes))]
        self._loader = LaneThread("loader")
        self._fetching = LaneThread("prefetch")
        self._models: dict[Stage, Any] = {}
        self._lost = ""

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
            self._models[stage] = await self._loader.run(lambda: self._loaded(stage))

    def prefetch(self, coming: Coming) -> None:
        """While no lane is free for the job, and only of pools that its stage was seen to stack on the device."""
        if any(lane == coming.priority and not busy for lane, busy in zip(self.lanes, self._busy, strict=True)):
            return
        pools = [pool for stage, pool in list(self._gathered) if stage is coming.stage]
        for _ in range(self._fetcher.add(coming, pools)):
            self._fetching.post(self._bring_next)

    async def run(self, job: Job, lane: int) -> Ran:
        loop = asyncio.get_running_loop()
        self._busy[lane] = True
        try:
            return await self._threads[lane].run(lambda: self._run(job, lane, loop))
        finally:
            self._busy[lane] = False

    async def unload(self, stage: Stage) -> None:
        if self._models.pop(stage, None) is not None:
            await self._loader.run(lambda: self._forget(stage))

    def close(self) -> None:
        for thread in (*self._threads, self._loader, self._fetching):
            thread.close()

    def _run(self, job: Job, lane: int, loop: asyncio.AbstractEventLoop) -> Ran:
        if self._lost:
            raise DeviceLost(self._lost)
        started, stream, urgent = self._clock.now(), self._streams[lane], self.lanes[lane] is Priority.HIGH
        place = LanePlace(self._torch, self._copies, self._objects, stream, urgent, job.scope)
        try:
            with self._torch.cuda.stream(stream):
                model = self._models.get(job.stage)
                if model is not None:
                    graphs = self._graphs[lane]
                    model = LaneModel(self._torch, model, job.stage, graphs, self._copies, stream, urgent)
                outputs = call_stage(job, model, place, loop).outputs()
        except BaseException as error:
            why = self._treat(error, len(job.inputs), self._graphs[lane])
            raise StageRaised(job.stage.declaration.name, self._clock.now() - started, why) from error
        self._gathered.update({(job.stage, pool): None for pool in place.gathered})
        return Ran(outputs, self._clock.now() - started, started)

    def _loaded(self, stage: Stage) -> Any:
        started = self._clock.now()
        try:
            model = load_model(stage, self._name, self._clock)
            self._torch.cuda.synchronize(self._name)  # lanes use other streams than the one that the weights came by
        except BaseException as error:
            why = self._treat(error, 0)
            raise StageRaised(stage.declaration.name, self._clock.now() - started, why) from error
        return model

    def _bring_next(self) -> None:
        try:
            self._fetcher.bring_next()
        except Exception as error:
            log.warning("an object was not brought ahead", exc_info=error)
            with contextlib.suppress(DeviceLost):  # the next job will say so
                self._treat(error, 0)

    def _forget(self, stage: Stage) -> None:
        for graphs in self._graphs:
            graphs.forget(stage)
        self._torch.cuda.empty_cache()

    def _treat(self, error: BaseException, tasks: int, graphs: Graphs | None = None) -> str:
        """Do what there is to do about an error; what to tell people of it. Raises DeviceLost.

        Short of memory: give back what the failed batch has on the device (its tensors live in the frames that the
        error names), the recordings of its lane (`graphs`) and the objects held, and then what the allocator keeps.
        """
        kind, says = kind_of(self._torch, error)
        if kind is Kind.LOST:
            self._lost = says
            raise DeviceLost(self._lost) from error
        if kind is Kind.RAISED:
            return ""
        for each in chain(error):
            traceback.clear_frames(each.__traceback__)
        if graphs is not None:
            graphs.forget()
        self._objects.clear()
        self._torch.cuda.empty_cache()
        return why_too_little(device_memory(self._torch, self._name), tasks)

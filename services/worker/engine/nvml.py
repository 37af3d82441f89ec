"""What NVML says of a GPU: how busy it is, and its memory.

`pynvml` (of nvidia-ml-py) is imported only where there is a GPU. NVML counts devices as the driver does, torch as
`CUDA_VISIBLE_DEVICES` lets it; a PCI address names the same one to both.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from covey.telemetry import Attribute, Attributes, Metric, Telemetry

log = logging.getLogger(__name__)

READ_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """`busy` is the share of the last moments in which a kernel ran; memory in bytes."""

    busy: float
    memory_used: int
    memory_total: int


def read(pynvml: Any, handle: Any) -> Reading:
    """One reading. `pynvml` is the module, or a stand-in for it in tests."""
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Reading(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100, memory.used, memory.total)


async def measure_device(pynvml: Any, pci_address: str, telemetry: Telemetry, worker: str) -> None:
    """Report the device's readings each second until cancelled; without a driver, say so once and end."""
    named: Attributes = {Attribute.WORKER: worker}
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_address)
        try:
            while True:
                reading = await asyncio.to_thread(read, pynvml, handle)
                telemetry.measure(Metric.GPU_BUSY, reading.busy, named)
                telemetry.measure(Metric.GPU_MEMORY, reading.memory_used, named)
                await asyncio.sleep(READ_EVERY_S)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        log.warning("no readings of the GPU: %s", error)

"""The GPU's readings, with a stand-in for NVML: no GPU is needed, and none has been asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from covey.services.worker.engine.nvml import measure_device, read
from covey.telemetry import Attributes, Metric, NoTelemetry


class NVMLError(Exception):
    """What pynvml raises."""


@dataclass
class Nvml:
    """Answers as pynvml does; fails to start if `driver` is missing."""

    driver: bool = True
    calls: list[str] = field(default_factory=list)
    NVMLError = NVMLError

    def nvmlInit(self) -> None:
        self.calls.append("init")
        if not self.driver:
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByPciBusId(self, address: str) -> str:
        return f"handle of {address}"

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return SimpleNamespace(gpu=75)

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return SimpleNamespace(used=3 << 30, total=80 << 30)

    def nvmlShutdown(self) -> None:
        self.calls.append("shutdown")


class Heard(NoTelemetry):
    """Notes what was measured, and says when."""

    def __init__(self) -> None:
        self.values: dict[Metric, float] = {}
        self.both = asyncio.Event()

    def measure(self, metric: Metric, value: float, attributes: Attributes = {}) -> None:  # noqa: B006
        self.values[metric] = value
        if len(self.values) == 2:
            self.both.set()


def test_a_reading_is_a_share_and_bytes() -> None:
    """NVML's percentage becomes a share."""
    reading = read(Nvml(), "handle")
    assert (reading.busy, reading.memory_used, reading.memory_total) == (0.75, 3 << 30, 80 << 30)


@pytest.mark.asyncio
async def test_readings_are_measured_until_cancelled() -> None:
    """The gauges are set at once, and NVML is shut down at the end."""
    nvml, heard = Nvml(), Heard()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(measure_device(nvml, "00000000:01:00.0", heard, "worker-1"))
        async with asyncio.timeout(5):
            await heard.both.wait()
        task.cancel()
    assert heard.values == {Metric.GPU_BUSY: 0.75, Metric.GPU_MEMORY: 3 << 30}
    assert nvml.calls == ["init", "shutdown"]


@pytest.mark.asyncio
async def test_without_a_driver_the_worker_goes_on() -> None:
    """A GPU that NVML can't read costs the readings and nothing else."""
    heard = Heard()
    await measure_device(Nvml(driver=False), "00000000:01:00.0", heard, "worker-1")
    assert not heard.values

"""What the leader says of the pipeline that it provisions, every second: by it others add and remove workers."""

from __future__ import annotations

import asyncio

from covey.services.scheduler.core.state import State
from covey.telemetry import Attribute, Metric, Telemetry

MEASURE_EVERY_S = 1.0


async def measure(state: State, telemetry: Telemetry) -> None:
    """Report how many workers are wanted, and what each stage has, until cancelled; nothing of one that stands by."""
    while True:
        served = state.served
        if served is not None and state.epoch:
            scope = served.serving.scope
            named = {Attribute.TENANT.value: scope.tenant, Attribute.PIPELINE.value: scope.pipeline}
            telemetry.measure(Metric.WANTED_WORKERS, state.wanted_workers, named)
            for name, stage in served.stages.items():
                telemetry.measure(Metric.REPLICAS_UP, len(stage.up), {**named, Attribute.STAGE.value: name})
                telemetry.measure(Metric.TASKS_QUEUED, len(stage.waiting), {**named, Attribute.STAGE.value: name})
        await asyncio.sleep(MEASURE_EVERY_S)

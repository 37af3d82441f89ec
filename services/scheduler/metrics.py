"""What the leader says of the pipeline that it provisions, every second: by it others add and remove workers."""

from __future__ import annotations

import asyncio
import logging

from covey.services.scheduler.core.state import State
from covey.telemetry import Attribute, Metric, Telemetry

log = logging.getLogger(__name__)

MEASURE_EVERY_S = 1.0
PATIENCE_S = 5.0
"""For workers to come, before too few of them are worth a word."""


async def measure(state: State, telemetry: Telemetry) -> None:
    """Report how many workers are wanted, and what each stage has, until cancelled; nothing of one that stands by."""
    short_s = 0.0
    while True:
        served = state.served
        if served is not None and state.epoch:
            short_s = short_s + MEASURE_EVERY_S if len(served.replicas) < len(served.stages) else 0.0
            if PATIENCE_S <= short_s < PATIENCE_S + MEASURE_EVERY_S:
                log.warning(
                    "%d lanes are too few for the %d stages of %r, of which each needs one: raise COVEY_LANES or add "
                    "workers", len(served.replicas), len(served.stages), served.serving.scope.pipeline,
                )  # fmt: skip
            scope = served.serving.scope
            named = {Attribute.TENANT.value: scope.tenant, Attribute.PIPELINE.value: scope.pipeline}
            telemetry.measure(Metric.WANTED_WORKERS, state.wanted_workers, named)
            for name, stage in served.stages.items():
                telemetry.measure(Metric.REPLICAS_UP, len(stage.up), {**named, Attribute.STAGE.value: name})
                telemetry.measure(Metric.TASKS_QUEUED, len(stage.waiting), {**named, Attribute.STAGE.value: name})
        await asyncio.sleep(MEASURE_EVERY_S)

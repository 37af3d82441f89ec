"""What a datastore says of itself, every second."""

from __future__ import annotations

import asyncio

from covey.services.datastore.core.state import State
from covey.telemetry import Attribute, Metric, Telemetry

MEASURE_EVERY_S = 1.0


async def measure(state: State, telemetry: Telemetry) -> None:
    """Report what the node holds and what it has lost, until cancelled."""
    node = {Attribute.NODE.value: state.node}
    incomplete = evicted = 0
    while True:
        telemetry.measure(Metric.OBJECTS, state.objects, node)
        telemetry.measure(Metric.OBJECT_BYTES, state.cost, node)
        telemetry.measure(Metric.EPOCH, state.epoch, node)
        telemetry.measure(Metric.INCOMPLETE_READS, state.counts.incomplete - incomplete, node)
        telemetry.measure(Metric.OBJECTS_EVICTED, state.counts.evicted - evicted, node)
        incomplete, evicted = state.counts.incomplete, state.counts.evicted
        await asyncio.sleep(MEASURE_EVERY_S)

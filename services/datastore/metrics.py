"""What a datastore says of itself, every second."""

from __future__ import annotations

import asyncio

from covey.services.datastore.core.state import State
from covey.telemetry import Attribute, Metric, Telemetry

MEASURE_EVERY_S = 1.0

COUNTED = {
    Metric.INCOMPLETE_READS: "incomplete",
    Metric.OBJECTS_EVICTED: "evicted",
    Metric.GROUPS_HANDED_OVER: "groups_handed_over",
    Metric.BYTES_HANDED_OVER: "bytes_handed_over",
    Metric.PARKED_FOR_ARRIVAL: "parked_for_arrival",
}
"""Counters, and which of the core's counts each one tells."""


async def measure(state: State, telemetry: Telemetry) -> None:
    """Report what the node holds and what it has lost, until cancelled."""
    node = {Attribute.NODE.value: state.node}
    counts = state.counts
    told = dict.fromkeys(COUNTED.values(), 0)
    while True:
        telemetry.measure(Metric.OBJECTS, state.objects, node)
        telemetry.measure(Metric.OBJECT_BYTES, state.cost, node)
        telemetry.measure(Metric.EPOCH, state.epoch, node)
        for metric, name in COUNTED.items():
            count = getattr(counts, name)
            telemetry.measure(metric, count - told[name], node)
            told[name] = count
        await asyncio.sleep(MEASURE_EVERY_S)

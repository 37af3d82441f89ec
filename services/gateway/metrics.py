"""What a gateway has counted of its clients' keys, every second."""

from __future__ import annotations

import asyncio

from covey.model import Scope
from covey.services.gateway.core.state import PoolOf, State
from covey.telemetry import Attribute, Metric, Telemetry

MEASURE_EVERY_S = 1.0


class KeyCounts:
    """Reports what the counts of a state have grown by."""

    def __init__(self, state: State, telemetry: Telemetry) -> None:
        self._state = state
        self._telemetry = telemetry
        self._ungrouped: dict[PoolOf, int] = {}
        self._spanning: dict[Scope, int] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_EVERY_S)
            self.report()

    def report(self) -> None:
        for of, count in self._state.ungrouped.items():
            attributes = {Attribute.PIPELINE.value: of.scope.pipeline, Attribute.POOL.value: of.pool}
            self._telemetry.measure(Metric.KEYS_UNGROUPED, count - self._ungrouped.get(of, 0), attributes)
        for scope, count in self._state.spanning.items():
            attributes = {Attribute.PIPELINE.value: scope.pipeline}
            self._telemetry.measure(Metric.GETS_SPANNING, count - self._spanning.get(scope, 0), attributes)
        self._ungrouped = dict(self._state.ungrouped)
        self._spanning = dict(self._state.spanning)

"""A device that is busy for a profiled time without using the CPU, so that many fit on two cores.

For experiments only: its name begins with "emulated", and so does every figure that comes of it. What tasks emit is
real, computed on the CPU, which must be quicker at it than the device that is emulated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from covey.clock import Clock
from covey.declare import Stage
from covey.model import Priority
from covey.services.worker.engine.base import Coming, Engine, Job, Ran
from covey.services.worker.engine.profile import Ledger

Profile = Callable[[str, int], float]
"""(stage, batch size) -> seconds in the lane."""


class EmulatedEngine:
    """An engine whose lanes stay busy for as long as `profile` says; the `ledger` is told what they were busy with."""

    def __init__(
        self,
        inner: Engine,
        profile: Profile,
        clock: Clock,
        ledger: Ledger | None = None,
        cold_s: Mapping[str, float] | None = None,
    ) -> None:
        """`cold_s`: stage -> seconds that loading its model takes, where that is to be emulated."""
        self._inner = inner
        self._cold_s = cold_s or {}
        self._profile = profile
        self._clock = clock
        self._ledger = ledger

    @property
    def device(self) -> str:
        return f"emulated on {self._inner.device}"

    @property
    def lanes(self) -> tuple[Priority | None, ...]:
        return self._inner.lanes

    async def load(self, stage: Stage) -> None:
        await self._inner.load(stage)
        await asyncio.sleep(self._cold_s.get(stage.declaration.name, 0.0))

    def prefetch(self, coming: Coming) -> None:
        self._inner.prefetch(coming)

    async def run(self, job: Job, lane: int) -> Ran:
        started = self._clock.now()
        ran = await self._inner.run(job, lane)
        busy_s = self._profile(job.stage.declaration.name, len(job.inputs))
        await asyncio.sleep(max(0.0, started + busy_s - self._clock.now()))
        if self._ledger is not None:
            self._ledger.add(job.stage.declaration.name, len(job.inputs))
        return replace(ran, seconds=self._clock.now() - started)

    async def unload(self, stage: Stage) -> None:
        await self._inner.unload(stage)

    def close(self) -> None:
        self._inner.close()

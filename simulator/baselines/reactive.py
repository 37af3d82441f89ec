"""Scaling each stage by what is seen at that stage: what most mesh autoscalers do, and what we are to be better than.

A stage knows the tasks that have reached it, not those that are about to: with a rise in load stages scale one after
the other, each a cold start after the one before it.
"""

from __future__ import annotations

from collections import deque

from covey.services.scheduler.core.provision import Pipeline, Provision, Seen, Share, Window
from covey.services.scheduler.core.replicas import within
from covey.simulator.baselines.sizing import alone, largest_batch, proportional_split, replicas_for, throughput


class Reactive:
    """Replicas by a stage's own arrivals, smoothed; budgets by share of the longest path, half of each for waiting."""

    def __init__(
        self,
        pipeline: Pipeline,
        devices: int,
        *,
        smoothing: float = 0.5,
        headroom: float = 1.15,
        drain_s: float | None = None,
        hold_s: float = 30.0,
    ) -> None:
        """`smoothing`: weight of the newest window. `headroom`: capacity by rate.

        `drain_s`: within how long a queue should be gone; then the newest window counts in full as well, which reacts
        sooner, and buys too much when a burst drains. None: by smoothed arrivals alone. `hold_s`: a stage never has
        less than it needed at any time in so many seconds.
        """
        budgets = proportional_split(pipeline, alone(pipeline))
        self._batches = {
            stage: largest_batch(pipeline.profiles[stage], budgets[stage] / 2) for stage in pipeline.stages
        }
        self._budgets = budgets
        self._capacity = {
            stage: throughput(pipeline.profiles[stage], batch) / headroom for stage, batch in self._batches.items()
        }
        self._devices = devices
        self._smoothing = smoothing
        self._drain_s = drain_s
        self._hold_s = hold_s
        self._smoothed: dict[str, float] = {}
        self._needed: dict[str, deque[tuple[float, int]]] = {stage: deque() for stage in pipeline.stages}

    def decide(self, window: Window) -> Provision:
        shares = {}
        for stage, seen in window.stages.items():
            needed = replicas_for(self._rate(stage, seen, window.seconds), self._capacity[stage])
            shares[stage] = Share(self._held(stage, needed, window.ends_at), self._batches[stage], self._budgets[stage])
        return within(shares, self._devices)

    def _rate(self, stage: str, seen: Seen, seconds: float) -> float:
        """Tasks a second that the stage should be able to take."""
        last = seen.arrived / seconds
        smoothed = last + (1 - self._smoothing) * (self._smoothed.get(stage, last) - last)
        self._smoothed[stage] = smoothed
        return smoothed if self._drain_s is None else max(smoothed, last) + seen.queued / self._drain_s

    def _held(self, stage: str, needed: int, now: float) -> int:
        recent = self._needed[stage]
        recent.append((now, needed))
        while recent[0][0] < now - self._hold_s:
            recent.popleft()
        return max(each for _, each in recent)

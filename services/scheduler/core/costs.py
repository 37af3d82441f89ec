"""What have batches cost so far? Lane time by size, and what reading and storing take, near their data and away."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from covey.messages import BatchReport
from covey.services.scheduler.core.latency import WEIGHT
from covey.services.scheduler.core.state import Batch, StageId

KEEP = 0.98
"""How much an observation still counts at the next one."""
SPREAD_MIN = 0.1
"""Of the mean size: sizes that spread less say nothing about what one more task costs."""
AWAY_S = 0.002
"""What running away from home is taken to add, in seconds, until it has been tried: a round trip in a datacentre."""
MEMORY_S = 1.0
"""How far back a rate remembers."""


@dataclass(slots=True)
class Line:
    """A fixed cost and one for each task, by least squares over what was observed, the newer the weightier.

    As long as all batches were of about one size nothing tells the two apart; then all of it is taken to be per task,
    which makes parts of a batch look worth trying, and trying them tells.
    """

    weight: float = 0.0
    size: float = 0.0
    seconds: float = 0.0
    square: float = 0.0
    product: float = 0.0

    def observe(self, size: int, seconds: float) -> None:
        self.weight = KEEP * self.weight + 1
        self.size = KEEP * self.size + size
        self.seconds = KEEP * self.seconds + seconds
        self.square = KEEP * self.square + size * size
        self.product = KEEP * self.product + size * seconds

    def at(self, size: int) -> float:
        """Seconds for so many tasks."""
        mean_size, mean_s = self.size / self.weight, self.seconds / self.weight
        variance = self.square / self.weight - mean_size**2
        if variance < (SPREAD_MIN * mean_size) ** 2:
            return mean_s * size / mean_size
        each_s = (self.product / self.weight - mean_size * mean_s) / variance
        each_s = min(max(each_s, 0.0), mean_s / mean_size)
        return mean_s + each_s * (size - mean_size)


@dataclass(slots=True)
class Rate:
    """An exponentially weighted rate."""

    rate: float = 0.0
    observed_at: float = 0.0

    def observe(self, count: float, now: float) -> None:
        self.rate = self.per_s(now) + count / MEMORY_S
        self.observed_at = now

    def per_s(self, now: float) -> float:
        return self.rate * math.exp((self.observed_at - now) / MEMORY_S)


@dataclass(slots=True)
class Costs:
    """What batches have cost so far: seconds in a lane by size, and seconds of reading and storing near and away."""

    compute: dict[StageId, Line] = field(default_factory=dict)
    near: dict[StageId, float] = field(default_factory=dict)
    away: dict[StageId, float] = field(default_factory=dict)
    busy: Rate = field(default_factory=Rate)
    """Lanes that compute, as a mean: seconds of lanes per second."""
    lines: dict[tuple[str, StageId], Rate] = field(default_factory=dict)
    """By home node and stage: how many tasks of state lines come."""

    def observe(self, batch: Batch, report: BatchReport, now: float) -> None:
        self.busy.observe(report.compute_s, now)
        self.compute.setdefault(batch.plan.id, Line()).observe(len(batch.tasks), report.compute_s)
        means = self.away if batch.away else self.near
        moving_s = report.fetch_s + report.store_s
        known = means.get(batch.plan.id)
        means[batch.plan.id] = moving_s if known is None else known + WEIGHT * (moving_s - known)

    def compute_s(self, stage: StageId, size: int) -> float:
        """Seconds in a lane; 0 for a stage that has never run."""
        line = self.compute.get(stage)
        return line.at(size) if line is not None else 0.0

    def lead_s(self, stage: StageId, away: bool) -> float:
        """How long before a lane is free a batch should be dispatched: its way there, and reading its inputs."""
        return AWAY_S + self.near.get(stage, 0.0) + (self.added_away_s(stage) if away else 0.0)

    def added_away_s(self, stage: StageId) -> float:
        """What reading and storing take more when a batch runs away from home, in seconds."""
        near, away = self.near.get(stage, 0.0), self.away.get(stage)
        return AWAY_S if away is None else max(0.0, away - near)

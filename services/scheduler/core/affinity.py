"""Where does a task start earliest?

    start = max(queue wait, data arrival) + model load

At the home of its data a task waits for a lane; away from it a lane may be idle, but inputs come from afar and so does
what it stores go. What that adds is measured, per stage, as the difference between batches that ran away from home and
batches that ran there. The policy's locality weight multiplies it: 0 looks at load alone, infinity keeps every task at
home, 1 is the honest cost. Workers load the models of their stages when they start, so the last term is 0 for a worker
that runs the stage, and infinite for one that does not.

In the spirit of earliest-start list scheduling (HEFT, Topcuoglu et al. 2002, as Navigator applies it to inference); a
join never runs away from its members.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from covey.messages import BatchReport
from covey.services.scheduler.core.latency import WEIGHT, Latency
from covey.services.scheduler.core.state import Batch, StageId, StagePlan, State, Worker

AWAY_S = 0.002
"""What running away from home is taken to add, in seconds, until it has been tried: a round trip in a datacentre."""


@dataclass(slots=True)
class Costs:
    """What batches have cost so far: seconds in a lane by size, and seconds of reading and storing near and away."""

    compute: Latency = field(default_factory=Latency)
    near: dict[StageId, float] = field(default_factory=dict)
    away: dict[StageId, float] = field(default_factory=dict)

    def observe(self, batch: Batch, report: BatchReport) -> None:
        self.compute.observe(batch.plan.id, len(batch.tasks), report.compute_s)
        means = self.away if batch.away else self.near
        moving_s = report.fetch_s + report.store_s
        known = means.get(batch.plan.id)
        means[batch.plan.id] = moving_s if known is None else known + WEIGHT * (moving_s - known)

    def added_away_s(self, stage: StageId) -> float:
        """What reading and storing take more when a batch runs away from home, in seconds."""
        near, away = self.near.get(stage, 0.0), self.away.get(stage)
        return AWAY_S if away is None else max(0.0, away - near)


def pays_away(state: State, costs: Costs, plan: StagePlan, home: str, now: float) -> bool:
    """Whether the next batch at a home would start earlier on an idle worker elsewhere."""
    wait_s = queue_wait_s(state, costs, plan, home, now)
    if math.isinf(wait_s):
        return True  # nobody there runs the stage
    weight = state.policy.locality_weight
    if plan.declaration.join is not None or math.isinf(weight):
        return False
    return weight * costs.added_away_s(plan.id) < wait_s


def queue_wait_s(state: State, costs: Costs, plan: StagePlan, node: str, now: float) -> float:
    """How long a batch waits for a lane on a node; infinite where no worker runs the stage."""
    able = [worker for worker in state.workers.values() if worker.node == node and worker.runs(plan)]
    return min([_busy_s(worker, costs, now) for worker in able], default=math.inf)


def _busy_s(worker: Worker, costs: Costs, now: float) -> float:
    """Until a lane is free, when what the worker has is done: in flight counts from its dispatch on."""
    if len(worker.batches) < worker.lanes:
        return 0.0
    left_s = 0.0
    for place, batch in enumerate(worker.batches.values()):
        running_s = now - batch.dispatched_at if place < worker.lanes else 0.0
        left_s += max(0.0, costs.compute.predict(batch.plan.id, len(batch.tasks)) - running_s)
    return left_s / worker.lanes

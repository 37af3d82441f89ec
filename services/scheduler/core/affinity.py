"""Where does a task start earliest?

    start = max(queue wait, data arrival) + model load

At the home of its data a task waits for a lane; away from it a lane may be idle, but inputs come from afar and so does
what it stores go. What that adds is measured, per stage, as the difference between batches that ran away from home and
batches that ran there. The policy's locality weight multiplies it: 0 looks at load alone, infinity keeps every task at
home, 1 is the honest cost. Workers load the models of their stages when they start, so the last term is 0 for a worker
that runs the stage, and infinite for one that does not.

A large batch ends sooner in parts, if lanes are idle for them. Parts take more lane time in all, which others may need:
they must save more than that, beside what they add by being elsewhere.

In the spirit of earliest-start list scheduling (HEFT, Topcuoglu et al. 2002, as Navigator applies it to inference).
What has been dispatched stays where it is; so does the group of a join's members, wherever the join itself runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from covey.messages import BatchReport
from covey.services.scheduler.core.latency import WEIGHT
from covey.services.scheduler.core.queues import live
from covey.services.scheduler.core.state import Batch, StageId, StagePlan, State, TaskState, Worker

KEEP = 0.98
"""How much an observation still counts at the next one."""
SPREAD_MIN = 0.1
"""Of the mean size: sizes that spread less say nothing about what one more task costs."""
AWAY_S = 0.002
"""What running away from home is taken to add, in seconds, until it has been tried: a round trip in a datacentre."""


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
class Costs:
    """What batches have cost so far: seconds in a lane by size, and seconds of reading and storing near and away."""

    compute: dict[StageId, Line] = field(default_factory=dict)
    near: dict[StageId, float] = field(default_factory=dict)
    away: dict[StageId, float] = field(default_factory=dict)

    def observe(self, batch: Batch, report: BatchReport) -> None:
        self.compute.setdefault(batch.plan.id, Line()).observe(len(batch.tasks), report.compute_s)
        means = self.away if batch.away else self.near
        moving_s = report.fetch_s + report.store_s
        known = means.get(batch.plan.id)
        means[batch.plan.id] = moving_s if known is None else known + WEIGHT * (moving_s - known)

    def compute_s(self, stage: StageId, size: int) -> float:
        """Seconds in a lane; 0 for a stage that has never run."""
        line = self.compute.get(stage)
        return line.at(size) if line is not None else 0.0

    def lead_s(self, stage: StageId) -> float:
        """How long before a lane is free a batch should be dispatched: its way there, and reading its inputs."""
        return AWAY_S + self.near.get(stage, 0.0)

    def added_away_s(self, stage: StageId) -> float:
        """What reading and storing take more when a batch runs away from home, in seconds."""
        near, away = self.near.get(stage, 0.0), self.away.get(stage)
        return AWAY_S if away is None else max(0.0, away - near)


def pays_away(state: State, costs: Costs, head: TaskState, home: str, now: float) -> bool:
    """Whether the next batch at a home, with this task at its head, would start earlier on an idle worker elsewhere."""
    wait_s = queue_wait_s(state, costs, head, home, now)
    if math.isinf(wait_s):
        return True  # nobody there runs the stage
    weight = state.policy.locality_weight
    return not math.isinf(weight) and weight * costs.added_away_s(head.plan.id) < wait_s


def free_in_s(worker: Worker, costs: Costs, now: float) -> float:
    """Until a lane is free, when what the worker has is done: in flight counts from its dispatch on."""
    if len(worker.batches) < worker.lanes:
        return 0.0
    left_s = 0.0
    for place, batch in enumerate(worker.batches.values()):
        running_s = now - batch.dispatched_at if place < worker.lanes else 0.0
        left_s += max(0.0, costs.compute_s(batch.plan.id, len(batch.tasks)) - running_s)
    return left_s / worker.lanes


def queue_wait_s(state: State, costs: Costs, head: TaskState, node: str, now: float) -> float:
    """How long the head of a queue waits for a lane on its node; infinite where no worker runs the stage.

    What runs there counts, and so does what waits there in other queues and is more urgent.
    """
    able = [worker for worker in state.workers.values() if worker.node == node and worker.runs(head.plan)]
    if not able:
        return math.inf
    ahead_s = 0.0
    for stage, homes in state.queues.items():
        queue = homes.get(node)
        if stage != head.plan.id and queue and live(queue) and queue[0][0] < head.urgency:
            ahead_s += costs.compute_s(stage, min(len(queue), queue[0][2].plan.declaration.batch_max))
    return min(free_in_s(worker, costs, now) for worker in able) + ahead_s / sum(worker.lanes for worker in able)


def idle_lanes(state: State, plan: StagePlan, but: Worker | None = None) -> int:
    """Lanes without work on workers that run the stage; not counting one of these workers."""
    able = [worker for worker in state.workers.values() if worker is not but and worker.runs(plan)]
    return sum(max(0, worker.lanes - len(worker.batches)) for worker in able)


def part_of(state: State, costs: Costs, plan: StagePlan, waiting: int) -> int:
    """How many of the tasks that wait should run together, when idle lanes could share them."""
    weight = state.policy.locality_weight
    together = min(waiting, plan.declaration.batch_max)
    if together < 2 or math.isinf(weight):
        return together
    idle = idle_lanes(state, plan)
    added_s = weight * costs.added_away_s(plan.id)
    whole_s = costs.compute_s(plan.id, together)
    best, best_s = together, 0.0
    for lanes in range(2, min(idle, together) + 1):
        part = -(-together // lanes)
        part_s = costs.compute_s(plan.id, part)
        saved_s = whole_s - part_s - added_s
        if saved_s - (lanes * part_s - whole_s) > best_s:
            best, best_s = part, saved_s - (lanes * part_s - whole_s)
    return best

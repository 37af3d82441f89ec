"""Where does a task start earliest?

    start = max(queue wait, data arrival) + model load

At the home of its data a task waits for a lane; away from it a lane may be free sooner, but inputs come from afar and
so does what it stores go. What that adds is measured, per stage, as the difference between batches that ran away from
home and batches that ran there. The policy's locality weight multiplies it: 0 looks at load alone, infinity keeps every
task at home, 1 is the honest cost. Workers load the models of their stages when they start, so the last term is 0 for a
worker that runs the stage, and infinite for one that does not. What a batch keeps waiting counts with it: a lane that a
busy state line will soon want is left to it, if others can have the batch sooner than it does harm.

A large batch ends sooner in parts, if lanes are idle for them. Its parts must save more than being elsewhere adds, and
more than they keep waiting: those who come meanwhile and find no lane. Their number is taken to be Poisson, with the
lanes that were busy of late as its mean, as in a queue with many lanes (Erlang).

In the spirit of earliest-start list scheduling (HEFT, Topcuoglu et al. 2002, as Navigator applies it to inference).
What has been dispatched stays where it is; so does the group of a join's members, wherever the join itself runs.
"""

from __future__ import annotations

import math

from covey.model import Priority
from covey.services.scheduler.core.costs import Costs
from covey.services.scheduler.core.imposing import imposed_s
from covey.services.scheduler.core.queues import head as head_of
from covey.services.scheduler.core.queues import live, waiting_before
from covey.services.scheduler.core.state import StagePlan, State, TaskState, Worker


def starts_earliest(state: State, costs: Costs, head: TaskState, home: str, worker: Worker, now: float) -> bool:
    """Whether this worker is where the batch with this task at its head would start earliest: at its home, or away."""
    is_strict = math.isinf(state.policy.locality_weight)
    if worker.node == home:
        return is_strict or not _yields(state, costs, head, worker, now)
    wait_s = queue_wait_s(state, costs, head, home, now)
    if math.isinf(wait_s):
        return True  # nobody there runs the stage
    if is_strict:
        return False
    return _start_away_s(state, costs, head, worker, now) < wait_s + imposed_s(state, costs, head, home, now)


def _start_away_s(state: State, costs: Costs, head: TaskState, worker: Worker, now: float) -> float:
    """What starting on a worker away from home costs, in seconds from now."""
    return (
        free_in_s(worker, costs, now)
        + away_s(state, costs, head.plan)
        + imposed_s(state, costs, head, worker.node, now)
    )


def _yields(state: State, costs: Costs, head: TaskState, worker: Worker, now: float) -> bool:
    """Whether a batch leaves a free lane of its own home to the lines that live there, and starts elsewhere."""
    imposed = imposed_s(state, costs, head, worker.node, now)
    if imposed <= away_s(state, costs, head.plan):
        return False
    others = [other for other in state.workers.values() if other.node != worker.node and other.runs(head.plan)]
    return any(_start_away_s(state, costs, head, other, now) < imposed for other in others)


def pays_together(state: State, costs: Costs, plan: StagePlan, size: int) -> bool:
    """Whether a task that joins a batch of so many away from its home saves more lane time than being away adds."""
    if math.isinf(state.policy.locality_weight):
        return False
    alone_s = costs.compute_s(plan.id, 1)
    saved_s = alone_s - (costs.compute_s(plan.id, size + 1) - costs.compute_s(plan.id, size))
    return away_s(state, costs, plan) < saved_s


def away_s(state: State, costs: Costs, plan: StagePlan) -> float:
    """What being away from its data counts for with a batch of a stage, in seconds; not for a weight of infinity."""
    return state.policy.locality_weight * costs.added_away_s(plan.id)


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
        if stage != head.plan.id and queue and live(queue) and head_of(queue).urgency < head.urgency:
            ahead_s += costs.compute_s(stage, min(len(queue), head_of(queue).plan.declaration.batch_max))
    return min(free_in_s(worker, costs, now) for worker in able) + ahead_s / sum(worker.lanes for worker in able)


def backlog_s(state: State, costs: Costs, plan: StagePlan, priority: Priority) -> float:
    """How long all lanes that run a stage take for what waits for it, in full batches, if they do nothing else; to a
    HIGH event, what waits of LOW ones is nothing."""
    waiting = waiting_before(state, plan, priority)
    size = plan.declaration.batch_max
    if waiting <= size:
        return 0.0
    lanes = lanes_of(state, plan)
    return waiting / size * costs.compute_s(plan.id, size) / lanes if lanes else 0.0


def lanes_of(state: State, plan: StagePlan) -> int:
    """The lanes of the workers that run a stage."""
    lanes = state.lanes.get(plan.id)
    if lanes is None:
        lanes = sum([worker.lanes for worker in state.workers.values() if worker.runs(plan)])
        state.lanes[plan.id] = lanes
    return lanes


def idle_lanes(state: State, plan: StagePlan, but: Worker | None = None) -> int:
    """Lanes without work on workers that run the stage; not counting one of these workers."""
    able = [worker for worker in state.workers.values() if worker is not but and worker.runs(plan)]
    return sum(max(0, worker.lanes - len(worker.batches)) for worker in able)


def part_of(state: State, costs: Costs, plan: StagePlan, waiting: int, now: float) -> int:
    """How many of the tasks that wait should run together, when idle lanes could share them.

    Who comes when all lanes are busy waits for the first of them: a part's time by the number of lanes and one.
    """
    together = min(waiting, plan.declaration.batch_max)
    if together < 2 or math.isinf(state.policy.locality_weight):
        return together
    idle = idle_lanes(state, plan)
    added_s = away_s(state, costs, plan)
    all_lanes = lanes_of(state, plan)
    whole_s = costs.compute_s(plan.id, together)
    best, best_s = together, 0.0
    for lanes in range(2, min(idle, together) + 1):
        part = -(-together // lanes)
        part_s = costs.compute_s(plan.id, part)
        kept_waiting_s = excess(costs.busy.per_s(now), idle - lanes) * part_s / (all_lanes + 1)
        gained_s = whole_s - part_s - added_s - kept_waiting_s
        if gained_s > best_s:
            best, best_s = part, gained_s
    return best


def excess(mean: float, room: int) -> float:
    """How many more than there is room for come, on average, of a Poisson distribution with that mean."""
    probability = math.exp(-mean)
    expected = mean - room
    for count in range(room):
        expected += (room - count) * probability
        probability *= mean / (count + 1)
    return expected

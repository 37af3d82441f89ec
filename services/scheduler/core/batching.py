"""What runs next, where, and together with what?

Each stage has a queue per home node, ordered by urgency. A worker with room takes the most urgent head among the queues
of its own node and those of others whose batch would start earlier here than at its home. A batch is what waits in one
queue, up to the stage's `batch_max`, of one priority, topped up from other homes when nobody is idle: it fills by
itself while devices are busy and never waits to fill.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from covey.errors import Reason, Status
from covey.messages import RunBatch, Task
from covey.services.scheduler.core.affinity import free_in_s, idle_lanes, part_of, pays_together, starts_earliest
from covey.services.scheduler.core.commands import Send
from covey.services.scheduler.core.dropping import drop_reason, late_message
from covey.services.scheduler.core.imposing import note_arrival
from covey.services.scheduler.core.placement import member_reads, reads_near, reads_of, task_homes
from covey.services.scheduler.core.policy import Routing
from covey.services.scheduler.core.queues import any_waits, count, head, live, push
from covey.services.scheduler.core.requesting import arrive as request
from covey.services.scheduler.core.state import DISPATCHED, QUEUED, Batch, Queue, StageId, TaskState, Urgency, Worker
from covey.services.scheduler.core.step import Step, move
from covey.services.scheduler.core.tracing import traceparent_of
from covey.services.scheduler.core.weighing import note_reads
from covey.services.scheduler.core.windows import arrive

Drop = Callable[[Step, TaskState, Status, Reason, str], None]
May = Callable[[Step, Worker, TaskState, str], bool]
"""Whether a worker may take the next batch, with that task at its head, from the queue of a node."""
SOON_S = 0.0005
"""Nobody wakes for less."""
ANYWHERE = ""
"""The queue of tasks that any worker may take: locality counts for nothing."""


def enqueue(step: Step, task: TaskState) -> None:
    """Queue a task at its home; a task that is queued already is queued again under its present urgency."""
    served, shared = step.state.served, step.state.shared
    if task.phase is not QUEUED:
        move(task, QUEUED)
        count(step.state, task, 1)
        task.queued_at = step.now
        task.home = _queue_of(step, task)
        if served is None:
            note_arrival(step, task)
        else:
            arrive(served, task, step.now)
    if served is not None:
        return  # whatever its urgency: its pipeline's batcher chooses
    if shared is not None:
        request(step, shared, task)
        return
    homes = step.state.queues.setdefault(task.plan.id, {})
    push(homes.setdefault(task.home, []), task)


def _queue_of(step: Step, task: TaskState) -> str:
    """The node whose queue a task joins: of those that hold what it reads, the one with the least to do."""
    policy, trigger = step.state.policy, task.trigger
    if policy.locality_weight == 0 or (task.plan.homeless and trigger is not None and trigger.payload is not None):
        return ANYWHERE
    if policy.routing is Routing.RANDOM:
        return step.rng.choice(sorted({worker.node for worker in step.state.workers.values()}) or [ANYWHERE])
    homes = task_homes(task, step.state)
    return homes[0] if len(homes) == 1 else min(homes, key=lambda node: _work_at(step, node))


def _work_at(step: Step, node: str) -> float:
    """Stages that wait on a node and batches that run there, for each of its lanes."""
    workers = [worker for worker in step.state.workers.values() if worker.node == node]
    waiting = sum(bool(homes.get(node)) for homes in step.state.queues.values())
    lanes = sum(worker.lanes for worker in workers)
    return (waiting + sum(len(worker.batches) for worker in workers)) / lanes if lanes else math.inf


def dispatch(step: Step, drop: Drop) -> None:
    """Hand out batches until no worker with room finds work.

    Idle lanes first, each with the most urgent of what would start earliest there. By the same rule what is left goes
    to workers ahead of their lanes, so that they fetch for one batch while they compute another; but no sooner than
    fetching takes, for what has been dispatched can't start anywhere else.
    """
    state = step.state
    state.dispatch_at = None
    _fill(step, drop, 0, _starts_earliest)
    _fill(step, drop, state.limits.batches_ahead, _is_soon)


def _starts_earliest(step: Step, worker: Worker, head: TaskState, node: str) -> bool:
    """Whether this worker is where the batch would start earliest; one place is like another for what has no home."""
    return node == ANYWHERE or starts_earliest(step.state, step.costs, head, node, worker, step.now)


def _is_away(worker: Worker, node: str) -> bool:
    return node not in (worker.node, ANYWHERE)


def _is_soon(step: Step, worker: Worker, head: TaskState, node: str) -> bool:
    """Whether a lane is free by the time that a batch dispatched now has its inputs; if not, when to look again."""
    if not _starts_earliest(step, worker, head, node):
        return False
    spare_s = free_in_s(worker, step.costs, step.now) - step.costs.lead_s(head.plan.id, _is_away(worker, node))
    if spare_s < SOON_S:
        return True
    at = step.now + spare_s
    step.state.dispatch_at = at if step.state.dispatch_at is None else min(at, step.state.dispatch_at)
    return False


def _fill(step: Step, drop: Drop, ahead: int, may: May) -> None:
    """Give every worker with room, the idlest first, one batch after the other of what it may take."""
    found = any(len(worker.batches) < worker.lanes + ahead for worker in step.state.workers.values())
    while found and any_waits(step.state.queues):
        found = False
        for worker in _idlest_first(step):
            if len(worker.batches) < worker.lanes + ahead and _take(step, worker, may, drop):
                found = True


def _idlest_first(step: Step) -> list[Worker]:
    """The one that has waited longest for a batch first, among equals."""
    return sorted(step.state.workers.values(), key=lambda each: (len(each.batches) / each.lanes, each.last_batch))


def _take(step: Step, worker: Worker, may: May, drop: Drop) -> bool:
    """Give a worker the most urgent batch of the queues that it may take from; False when there is none for it.

    When nobody else is idle, what waits at other homes tops the batch up: one large batch is less work than two.
    """
    best: tuple[Urgency, StageId, str] | None = None
    for stage, homes in step.state.queues.items():
        for node, queue in homes.items():
            if not queue or not live(queue):
                continue
            first = head(queue)
            if not worker.runs(first.plan):
                continue
            if (best is None or first.urgency < best[0]) and may(step, worker, first, node):
                best = (first.urgency, stage, node)
    if best is None:
        return False
    _, stage, node = best
    homes = step.state.queues[stage]
    plan = head(homes[node]).plan
    tasks: list[TaskState] = []
    _gather(step, homes[node], tasks, part_of(step.state, step.costs, plan, len(homes[node]), step.now), drop)
    others = [other for other, queue in homes.items() if other != node and live(queue)]
    if others and not idle_lanes(step.state, plan, but=worker):
        for other in sorted(others, key=lambda name: head(homes[name]).urgency):
            if not live(homes[other]):
                continue  # a drop has ended the cascades of all that waited there
            if may(step, worker, head(homes[other]), other) or pays_together(step.state, step.costs, plan, len(tasks)):
                _gather(step, homes[other], tasks, plan.declaration.batch_max, drop)
    tasks = [task for task in tasks if task.phase is QUEUED]  # a drop may have ended the cascade of some
    if tasks:
        send_batch(step, worker, tasks, _is_away(worker, node))
    return True


def _gather(step: Step, queue: Queue, tasks: list[TaskState], size_max: int, drop: Drop) -> None:
    """Add the tasks at the head of a queue that run together; what can't make it is dropped on the way."""
    if not live(queue):
        return
    predicted_s = step.latency.predict(head(queue).plan.id, 1)
    while live(queue) and len(tasks) < size_max:
        task = head(queue)
        if tasks and (task.alone or tasks[0].alone or task.urgency.priority != tasks[0].urgency.priority):
            break
        heapq.heappop(queue)
        reason = drop_reason(step.state, task, predicted_s, step.now)
        if reason is not Reason.NONE:
            drop(step, task, Status.DEADLINE_EXCEEDED, reason, late_message(task.plan, reason))
            continue
        tasks.append(task)


def send_batch(step: Step, worker: Worker, tasks: list[TaskState], away: bool) -> Batch:
    """Have a worker run these queued tasks of one stage together."""
    state = step.state
    state.last_batch += 1
    plan = tasks[0].plan
    priority = tasks[0].urgency.priority
    batch = Batch(state.last_batch, worker.peer, plan, tasks, step.now, away)
    state.batches[batch.number] = batch
    worker.batches[batch.number] = batch
    worker.last_batch = batch.number
    for task in tasks:
        move(task, DISPATCHED)
        count(step.state, task, -1)
        task.batch = batch.number
    sent = tuple([_message(step, task, worker.node) for task in tasks])
    run = RunBatch(batch.number, state.epoch, plan.id.scope, plan.id.version, plan.id.name, priority, sent)
    step.out.append(Send(worker.peer, run))
    return batch


def _message(step: Step, task: TaskState, node: str) -> Task:
    cascade, scope = task.cascade, task.plan.id.scope
    event = cascade.event
    needs = reads_of(task, step.state)
    members = member_reads(task, step.state) if task.members else ()
    if step.state.homes.copied:
        needs = tuple((pool, reads_near(reads, scope, step.state, node)) for pool, reads in needs)
        members = reads_near(members, scope, step.state, node)
    if needs:
        note_reads(step.state, needs, scope, node)
    return Task(  # by position, which takes a third of the time
        task.number,
        task.identity,
        event.id,
        task.trigger,
        members,
        needs,
        tuple(task.fields.items()),
        event.deadline,
        cascade.incomplete or (bool(members) and any(member.incomplete for member in task.members)),
        traceparent_of(task) if event.traceparent else "",
        cascade.recorded,
    )

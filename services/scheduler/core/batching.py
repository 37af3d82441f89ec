"""What runs next, where, and together with what?

Each stage has a queue per home node, ordered by urgency. A worker with room takes the most urgent head among the queues
of its own node; only a worker with an idle lane takes from another node, and only what that node's own workers have no
room for. A batch is what waits in one queue, up to the stage's `batch_max`, of one priority: it fills by itself while
devices are busy and never waits to fill.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from covey.errors import Reason, Status
from covey.messages import RunBatch, Task
from covey.services.scheduler.core.commands import Send
from covey.services.scheduler.core.dropping import drop_reason
from covey.services.scheduler.core.placement import member_reads, reads_of, task_home
from covey.services.scheduler.core.recording import is_recorded
from covey.services.scheduler.core.state import Batch, Phase, StageId, StagePlan, TaskState, Urgency, Worker
from covey.services.scheduler.core.step import Step, move
from covey.services.scheduler.core.tracing import traceparent_of

Drop = Callable[[Step, TaskState, Status, Reason, str], None]
Queue = list[tuple[Urgency, int, TaskState]]


def enqueue(step: Step, task: TaskState) -> None:
    """Queue a task at its home; a task that is queued already is queued again under its present urgency."""
    if task.phase is not Phase.QUEUED:
        move(task, Phase.QUEUED)
        task.queued_at = step.now
        task.home = task_home(task, step.state)
    homes = step.state.queues.setdefault(task.plan.id, {})
    heapq.heappush(homes.setdefault(task.home, []), (task.urgency, task.number, task))


def dispatch(step: Step, drop: Drop) -> None:
    """Hand out batches until no worker with room finds work."""
    ahead = step.state.limits.batches_ahead
    for worker in _idlest_first(step):
        while len(worker.batches) < worker.lanes + ahead and _take(step, worker, (worker.node,), drop):
            pass
    for worker in _idlest_first(step):
        while len(worker.batches) < worker.lanes:
            full = [node for node in _nodes_with_work(step) if not _has_room(step, node)]
            if not _take(step, worker, full, drop):
                break


def live(queue: Queue) -> Queue:
    """The queue without the entries at its head that no longer count."""
    while queue and not _counts(queue[0]):
        heapq.heappop(queue)
    return queue


def _counts(entry: tuple[Urgency, int, TaskState]) -> bool:
    urgency, _, task = entry
    return task.phase is Phase.QUEUED and task.urgency == urgency


def _idlest_first(step: Step) -> list[Worker]:
    return sorted(step.state.workers.values(), key=lambda worker: (len(worker.batches) / worker.lanes, worker.peer))


def _nodes_with_work(step: Step) -> Iterable[str]:
    found = [node for homes in step.state.queues.values() for node, queue in homes.items() if live(queue)]
    return dict.fromkeys(found)


def _has_room(step: Step, node: str) -> bool:
    ahead = step.state.limits.batches_ahead
    return any(
        worker.node == node and len(worker.batches) < worker.lanes + ahead for worker in step.state.workers.values()
    )


def _take(step: Step, worker: Worker, nodes: Iterable[str], drop: Drop) -> bool:
    """Give a worker the most urgent batch of these nodes' queues; False when there is none for it."""
    best: tuple[Urgency, StageId, str] | None = None
    for stage, homes in step.state.queues.items():
        for node in nodes:
            queue = homes.get(node)
            if not queue or not live(queue) or not worker.runs(queue[0][2].plan):
                continue
            if best is None or queue[0][0] < best[0]:
                best = (queue[0][0], stage, node)
    if best is None:
        return False
    _, stage, node = best
    tasks = _batch_of(step, step.state.queues[stage][node], drop)
    if tasks:
        _send(step, worker, tasks)
    return True


def _batch_of(step: Step, queue: Queue, drop: Drop) -> list[TaskState]:
    """The tasks at the head of a queue that run together; what can't make it is dropped on the way."""
    tasks: list[TaskState] = []
    size_max = queue[0][2].plan.declaration.batch_max
    while live(queue) and len(tasks) < size_max:
        task = queue[0][2]
        if tasks and (task.alone or task.urgency.priority != tasks[0].urgency.priority):
            break
        heapq.heappop(queue)
        reason = drop_reason(step.state, step.latency, task, step.now)
        if reason is not Reason.NONE:
            drop(step, task, Status.DEADLINE_EXCEEDED, reason, _late(task.plan, reason))
            continue
        tasks.append(task)
        if task.alone:
            break
    return [task for task in tasks if task.phase is Phase.QUEUED]  # a drop may have ended the cascade of some


def _late(plan: StagePlan, reason: Reason) -> str:
    if reason is Reason.LATE:
        return f"the deadline passed before stage {plan.id.name!r} could start"
    return f"stage {plan.id.name!r} was predicted to end after the deadline"


def _send(step: Step, worker: Worker, tasks: list[TaskState]) -> None:
    state = step.state
    state.last_batch += 1
    plan = tasks[0].plan
    priority = tasks[0].urgency.priority
    batch = Batch(state.last_batch, worker.peer, plan, tasks, step.now)
    state.batches[batch.number] = batch
    worker.batches[batch.number] = batch
    for task in tasks:
        move(task, Phase.DISPATCHED)
        task.batch = batch.number
    sent = tuple(_message(step, task) for task in tasks)
    run = RunBatch(batch.number, state.epoch, plan.id.scope, plan.id.version, plan.id.name, priority, sent)
    step.out.append(Send(worker.peer, run))


def _message(step: Step, task: TaskState) -> Task:
    event = task.cascade.event
    return Task(
        number=task.number,
        identity=task.identity,
        event_id=event.id,
        trigger=task.trigger,
        members=member_reads(task, step.state),
        needs=reads_of(task, step.state),
        fields=tuple(task.fields.items()),
        deadline=event.deadline,
        incomplete=task.cascade.incomplete or any(member.incomplete for member in task.members),
        traceparent=traceparent_of(task),
        record=is_recorded(step.state, task.cascade),
    )

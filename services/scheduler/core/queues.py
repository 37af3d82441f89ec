"""Queues of tasks: heaps with lazy deletion. An entry counts as long as its task is queued under that very urgency."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from covey.model import Priority
from covey.services.scheduler.core.state import QUEUED, Queue, StageId, StagePlan, State, TaskState


def any_waits(queues: Mapping[StageId, Mapping[str, Queue]]) -> bool:
    """Whether there may be a task in any of them."""
    for homes in queues.values():
        for queue in homes.values():
            if queue:
                return True
    return False


def count(state: State, task: TaskState, change: int) -> None:
    """Note that a task is queued from now on, or is not any more."""
    counts = state.queued.get(task.plan.id)
    if counts is None:
        counts = state.queued[task.plan.id] = [0, 0]
    counts[task.cascade.event.priority] += change


def waiting_before(state: State, plan: StagePlan, priority: Priority) -> int:
    """How many tasks of a stage are queued that an event of that priority can't overtake by it."""
    high, low = state.queued.get(plan.id, (0, 0))
    return high if priority is Priority.HIGH else high + low


def push(queue: Queue, task: TaskState) -> None:
    """Queue a task under its present urgency."""
    heapq.heappush(queue, (*task.urgency, task.number, task))


def live(queue: Queue) -> Queue:
    """The queue without the entries at its head that no longer count."""
    while queue:
        _, _, sequence, _, task = queue[0]
        if task.phase is QUEUED and task.urgency.sequence == sequence:  # no two cascades have one
            break
        heapq.heappop(queue)
    return queue


def head(queue: Queue) -> TaskState:
    """The first task of a queue that is live and not empty."""
    return queue[0][-1]

"""Queues of tasks: heaps with lazy deletion. An entry counts as long as its task is queued under that very urgency."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from covey.services.scheduler.core.state import QUEUED, Queue, StageId, TaskState


def any_waits(queues: Mapping[StageId, Mapping[str, Queue]]) -> bool:
    """Whether there may be a task in any of them."""
    for homes in queues.values():
        for queue in homes.values():
            if queue:
                return True
    return False


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

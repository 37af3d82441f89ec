"""Queues of tasks: heaps with lazy deletion. An entry counts as long as its task is queued under that very urgency."""

from __future__ import annotations

import heapq

from covey.services.scheduler.core.state import Phase, TaskState, Urgency

Queue = list[tuple[Urgency, int, TaskState]]


def live(queue: Queue) -> Queue:
    """The queue without the entries at its head that no longer count."""
    while queue and not _counts(queue[0]):
        heapq.heappop(queue)
    return queue


def _counts(entry: tuple[Urgency, int, TaskState]) -> bool:
    urgency, _, task = entry
    return task.phase is Phase.QUEUED and task.urgency == urgency

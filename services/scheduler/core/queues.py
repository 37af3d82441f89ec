"""Queues of tasks: heaps with lazy deletion. An entry counts as long as its task is queued under that very urgency."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from covey.services.scheduler.core.state import Phase, StageId, TaskState, Urgency

Queue = list[tuple[Urgency, int, TaskState]]


def any_waits(queues: Mapping[StageId, Mapping[str, Queue]]) -> bool:
    """Whether there may be a task in any of them."""
    for homes in queues.values():
        for queue in homes.values():
            if queue:
                return True
    return False


def live(queue: Queue) -> Queue:
    """The queue without the entries at its head that no longer count."""
    while queue and not _counts(queue[0]):
        heapq.heappop(queue)
    return queue


def _counts(entry: tuple[Urgency, int, TaskState]) -> bool:
    urgency, _, task = entry
    return task.phase is Phase.QUEUED and task.urgency == urgency

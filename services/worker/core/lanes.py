"""Which batch runs next, and in which lane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from covey.model import Priority
from covey.services.worker.core.state import BatchState, Lane


def urgency(batch: BatchState) -> tuple[int, float, int]:
    """Smaller goes first: HIGH before LOW, then by the earliest deadline, then in order of arrival."""
    return (batch.run.priority, batch.deadline_min, batch.arrival)


def most_urgent_first(batches: Iterable[BatchState]) -> list[BatchState]:
    return sorted(batches, key=urgency)


def free_lane(lanes: Sequence[Lane], priority: Priority) -> int | None:
    """The number of a free lane for this priority; one that takes nothing else is preferred."""
    free = [number for number, lane in enumerate(lanes) if lane.batch is None and lane.only in (None, priority)]
    return min(free, key=lambda number: lanes[number].only is None, default=None)


def next_run(batch: BatchState) -> tuple[int, ...] | None:
    """The tasks to compute together next, which becomes the head of `runs`; None when none is left."""
    while batch.runs:
        batch.runs[0] = tuple(number for number in batch.runs[0] if batch.tasks[number].open)
        if batch.runs[0]:
            return batch.runs[0]
        batch.runs.pop(0)
    return None

"""Which batch runs next, and in which lane."""

from __future__ import annotations

from collections.abc import Sequence

from covey.errors import Reason, Status
from covey.messages import RunBatch
from covey.services.worker.core.state import BatchState, Lane, WorkerState


def urgency(batch: BatchState) -> tuple[int, float, int]:
    """Smaller goes first: HIGH before LOW, then by the earliest deadline, then in order of arrival."""
    return (batch.run.priority, batch.deadline_min, batch.arrival)


def most_urgent_first(batches: list[BatchState]) -> list[BatchState]:
    return sorted(batches, key=urgency) if len(batches) > 1 else batches


def free_lane(lanes: Sequence[Lane], run: RunBatch) -> int | None:
    """The number of a free lane for a batch; one that takes no other priority is preferred."""
    free = [number for number, lane in enumerate(lanes) if lane.batch is None and _takes(lane, run)]
    return min(free, key=lambda number: lanes[number].only is None) if len(free) > 1 else free[0] if free else None


def _takes(lane: Lane, run: RunBatch) -> bool:
    if lane.only not in (None, run.priority):
        return False
    return not lane.stage or lane.stage == lane.model == f"{run.scope.pipeline}/{run.stage}"


def next_run(batch: BatchState) -> tuple[int, ...] | None:
    """The tasks to compute together next, which becomes the head of `runs`; None when none is left."""
    while batch.runs:
        batch.runs[0] = tuple([number for number in batch.runs[0] if batch.tasks[number].status is None])
        if batch.runs[0]:
            return batch.runs[0]
        batch.runs.pop(0)
    return None


def fail_or_halve(state: WorkerState, batch: BatchState, tasks: tuple[int, ...], why: str) -> None:
    """A run of these has raised: try the halves, so that in the end only that task fails which made the stage raise."""
    if len(tasks) == 1:
        message = f"stage {batch.run.stage!r} failed" + (f": {why}" if why else "")
        batch.tasks[tasks[0]].end(Status.FAILED_PRECONDITION, Reason.STAGE_FAILED, message)
    else:
        state.counters.batches_halved += 1
        half = len(tasks) // 2
        batch.runs[:0] = [tasks[:half], tasks[half:]]

"""Which batches a worker takes. What it refuses it refuses at once and whole, with a reason."""

from __future__ import annotations

from covey.declaration import Declaration
from covey.errors import Reason, Status
from covey.messages import RunBatch
from covey.services.worker.core.inputs import reads_of
from covey.services.worker.core.state import BatchState, Limits, TaskState, WorkerState
from covey.services.worker.core.stimuli import key_of


def why_not(
    state: WorkerState, limits: Limits, declaration: Declaration | None, run: RunBatch
) -> tuple[Status, Reason, str] | None:
    """Why this batch is refused; None if it is taken. `declaration` is what this worker has of its pipeline."""
    if declaration is None or all(stage.name != run.stage for stage in declaration.stages):
        return Status.NOT_FOUND, Reason.UNKNOWN_STAGE, f"this worker has no stage {run.scope.pipeline}/{run.stage}"
    if run.declaration != declaration.version:
        have = f"this worker runs version {declaration.version} of {declaration.pipeline!r}, not {run.declaration}"
        return Status.UNAVAILABLE, Reason.NO_WORKER, have
    if state.lost:
        return Status.UNAVAILABLE, Reason.WORKER_LOST, "the device is lost"
    if len(state.batches) >= limits.batches_max:
        return Status.UNAVAILABLE, Reason.NO_WORKER, "the worker's queue is full"
    return None


def take(state: WorkerState, node: str, link: int, run: RunBatch, now: float) -> None:
    """Put a batch on the books of a worker of that node."""
    tasks = {
        task.number: TaskState(task, reads_of(state.homes, node, run, task), task.incomplete) for task in run.tasks
    }
    batch = BatchState(key_of(run), run, link, state.arrivals, now, now, tasks, runs=[tuple(tasks)])
    state.arrivals += 1
    state.batches[batch.key] = batch

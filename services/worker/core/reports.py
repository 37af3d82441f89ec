"""What the leader is told: who this worker is, how it gets on, and how batches ended."""

from __future__ import annotations

from collections.abc import Iterable

from covey.declaration import Declaration, Graph, graph
from covey.errors import OK, Reason, Status
from covey.messages import BatchReport, Beat, Emission, RunBatch, TaskReport, WorkerJoined
from covey.model import INLINE_BYTES_MAX, ObjectRef, ObjectValue, Priority
from covey.services.worker.core.phases import FETCHING, QUEUED, READY, STORING
from covey.services.worker.core.state import BatchState, Identity, TaskState, WorkerState


def introduction(identity: Identity, epoch: int, loaded: tuple[str, ...]) -> WorkerJoined:
    """The answer to a leader; `epoch` is the newest that this worker has seen, `loaded` its models by lane."""
    stages = tuple(f"{known.pipeline}/{stage.name}" for known in identity.pipelines for stage in known.stages)
    high, low = identity.lanes.count(Priority.HIGH), identity.lanes.count(Priority.LOW)
    lanes = len(identity.lanes)
    return WorkerJoined(identity.worker, identity.node, identity.device, lanes, stages, epoch, loaded, high, low)


def beat_of(state: WorkerState, now: float) -> Beat:
    """How much waits. The oldest batch counts while it runs, too: a stage that hangs shows in its age."""
    waiting = [batch for batch in state.batches.values() if batch.phase in (QUEUED, FETCHING, READY)]
    oldest = min([batch.arrived for batch in state.batches.values()], default=now)
    queued = sum([len(batch.open_tasks) for batch in waiting])
    return Beat(queued, now - oldest, state.counters.tasks_finished, state.view.number)


def end_late(state: WorkerState, tasks: Iterable[TaskState], now: float) -> None:
    """End those of the tasks whose deadline has passed."""
    for task in tasks:
        if task.task.deadline <= now and task.open:
            state.counters.late_skipped += 1
            task.end(Status.DEADLINE_EXCEEDED, Reason.LATE, "the deadline passed before the task could start")


def report_of(declaration: Declaration, batch: BatchState) -> BatchReport:
    """How every task ended; a task that nothing has ended went well."""
    spent, known = batch.spent_s, graph(declaration)
    return BatchReport(
        batch.run.number,
        batch.run.epoch,
        tuple([_task_report(known, task) for task in batch.tasks.values()]),
        fetch_s=spent.get(QUEUED, 0.0) + spent.get(FETCHING, 0.0),
        wait_s=spent.get(READY, 0.0),
        compute_s=batch.computed_s,
        store_s=spent.get(STORING, 0.0),
    )


def refusal(run: RunBatch, status: Status, reason: Reason, message: str) -> BatchReport:
    """The same end for every task of a batch that was never taken."""
    return BatchReport(
        run.number, run.epoch, tuple(TaskReport(task.number, status, reason, message) for task in run.tasks)
    )


def _task_report(known: Graph, task: TaskState) -> TaskReport:
    refs = [task.stored[index] for index in range(len(task.emitted))] if task.status is None else ()
    values = [ObjectValue(ref, b"" if _travels(known, ref) else None) for ref in refs]
    return TaskReport(
        task.task.number,
        task.status or OK,
        task.reason,
        task.message,
        tuple([Emission(index, value) for index, value in enumerate(values)]),
        task.incomplete,
        task.remote_gets,
        task.bytes_moved,
        tuple(task.read),
    )


def _travels(known: Graph, ref: ObjectRef) -> bool:
    """Whether a payload goes along with the report: it triggers a stage or belongs to the outcome, and is small."""
    return ref.size <= INLINE_BYTES_MAX and (ref.pool in known.triggered or ref.pool in known.results)

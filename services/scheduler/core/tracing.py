"""Which spans tell where a traced event's time went?

The span of a task is named by the task's identity, so that the worker's spans hang under it on every attempt, and no
chance is needed to mint it.
"""

from __future__ import annotations

from collections.abc import Iterable

from covey.errors import OK, Reason, Status
from covey.messages import BatchReport
from covey.services.scheduler.core.commands import RecordTraces, TaskRan, TaskTrace
from covey.services.scheduler.core.state import DISPATCHED, HELD, Batch, TaskState, Worker
from covey.services.scheduler.core.step import Step

_SAMPLED = "13579bdf"


def traceparent_of(task: TaskState) -> str:
    """The W3C traceparent of a task's span, in the trace of its event; empty when the event is not traced."""
    parent = task.cascade.event.traceparent
    if not parent or parent[-1] not in _SAMPLED:
        return ""
    return f"{parent[:36]}{task.identity[:8].hex()}{parent[52:55]}"


def record(step: Step, batch: Batch, report: BatchReport, worker: Worker) -> None:
    """The spans of those tasks of a report that are still open and belong to traced events."""
    if not any(task.cascade.event.traceparent for task in batch.tasks):
        return
    ran = _ran(batch, worker)
    traces = []
    for ended in report.tasks:
        task = step.state.tasks.get(ended.number)
        if task is not None and (traceparent := traceparent_of(task)):
            error = "" if ended.status is OK else f"{ended.status} {ended.reason}"
            traces.append(_trace(step, task, traceparent, error, ran))
    if traces:
        step.out.append(RecordTraces(tuple(traces)))


def record_unreported(step: Step, tasks: Iterable[TaskState], status: Status, reason: Reason) -> None:
    """The spans of tasks that end now without a report, if they belong to traced events."""
    state, traces = step.state, []
    for task in tasks:
        traceparent = traceparent_of(task)
        batch = state.batches.get(task.batch) if task.phase is DISPATCHED else None
        if not traceparent or (task.phase is DISPATCHED and batch is None):  # its report is being dealt with
            continue
        ran = None if batch is None else _ran(batch, state.workers[batch.worker])
        traces.append(_trace(step, task, traceparent, f"{status} {reason}", ran))
    if traces:
        step.out.append(RecordTraces(tuple(traces)))


def _ran(batch: Batch, worker: Worker) -> TaskRan:
    return TaskRan(worker.id, worker.node, batch.number, len(batch.tasks), batch.dispatched_at)


def _trace(step: Step, task: TaskState, traceparent: str, error: str, ran: TaskRan | None) -> TaskTrace:
    event = task.cascade.event
    return TaskTrace(
        task.plan.id.name,
        event.id,
        event.priority,
        traceparent,
        event.traceparent,
        task.created_at,
        step.now if task.phase is HELD else task.queued_at,
        step.now,
        error,
        task.home,
        task.deaths + task.pauses,
        ran,
        task.why,
    )

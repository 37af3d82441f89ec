"""Which spans tell where a traced event's time went?

The span of a task is named by the task's identity, so that the worker's spans hang under it on every attempt, and no
chance is needed to mint it.
"""

from __future__ import annotations

from covey.errors import OK
from covey.messages import BatchReport
from covey.services.scheduler.core.commands import RecordTraces, TaskTrace
from covey.services.scheduler.core.state import Batch, TaskState
from covey.services.scheduler.core.step import Step

_SAMPLED = "13579bdf"


def traceparent_of(task: TaskState) -> str:
    """The W3C traceparent of a task's span, in the trace of its event; empty when the event is not traced."""
    parent = task.cascade.event.traceparent
    if not parent or parent[-1] not in _SAMPLED:
        return ""
    return f"{parent[:36]}{task.identity[:8].hex()}{parent[52:55]}"


def record(step: Step, batch: Batch, report: BatchReport) -> None:
    """The spans of those tasks of a report that are still open and belong to traced events."""
    if not any(task.cascade.event.traceparent for task in batch.tasks):
        return
    traces = []
    for ended in report.tasks:
        task = step.state.tasks.get(ended.number)
        traceparent = traceparent_of(task) if task is not None else ""
        if task is None or not traceparent:
            continue
        error = "" if ended.status is OK else f"{ended.status} {ended.reason}"
        traces.append(
            TaskTrace(
                task.plan.id.name,
                task.cascade.event.id,
                traceparent,
                task.cascade.event.traceparent,
                task.created_at,
                batch.dispatched_at,
                step.now,
                len(batch.tasks),
                error,
            )
        )
    if traces:
        step.out.append(RecordTraces(tuple(traces)))

"""Which tasks tell what they read together, so that `covey suggest` can find group rules?

Whole cascades are sampled, by a hash of the event: the same ones on every attempt and under every leader. What they
tell is evidence and no more, so that losing some of it is harmless.
"""

from __future__ import annotations

from covey.errors import OK
from covey.messages import BatchReport, TaskReport
from covey.model import ObjectName, Scope, TaskReads
from covey.services.scheduler.core.commands import RecordReads
from covey.services.scheduler.core.state import State, TaskState
from covey.services.scheduler.core.step import Step

HASH_BYTES = 4
"""Of an event's identity, which is a hash already."""


def is_recorded(state: State, event: bytes) -> bool:
    """Whether the tasks of the event of this identity tell what they read: one in `suggest_sample`; 0: none does."""
    sample = state.limits.suggest_sample
    return sample > 0 and int.from_bytes(event[:HASH_BYTES], "big") % sample == 0


def record(step: Step, report: BatchReport) -> None:
    """What those tasks of a report have read that are still open, went well and belong to recorded cascades."""
    told: dict[Scope, list[TaskReads]] = {}
    for ended in report.tasks:
        task = step.state.tasks.get(ended.number)
        if task is not None and task.cascade.recorded and ended.status is OK:
            told.setdefault(task.plan.id.scope, []).append(_reads_of(task, ended))
    step.out += [RecordReads(scope, tuple(tasks)) for scope, tasks in told.items()]


def _reads_of(task: TaskState, report: TaskReport) -> TaskReads:
    trigger = task.trigger
    name = ObjectName(trigger.ref.pool, trigger.ref.key) if trigger is not None else None
    inline = trigger is not None and trigger.payload is not None
    return TaskReads(task.plan.id.name, name, inline, report.read)

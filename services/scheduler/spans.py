"""What a task's span says: where it ran, what it waited for, and why then and there."""

from __future__ import annotations

from covey.services.scheduler.core.commands import TaskTrace
from covey.services.scheduler.core.contention import Load, Why
from covey.telemetry import Attribute, Attributes


def attributes_of(task: TaskTrace) -> Attributes:
    """Of its span, by which `covey explain` tells of it."""
    ran = task.ran
    until = ran.dispatched_at if ran is not None else task.ended_at
    found: dict[str, str | int | float | bool] = {
        Attribute.STAGE: task.stage,
        Attribute.EVENT: task.event_id,
        Attribute.PRIORITY: task.priority.name,
        Attribute.QUEUED_S: until - task.ready_at,
        Attribute.HELD_S: task.queued_at - task.ready_at,
        Attribute.HOME: task.home,
        Attribute.ATTEMPTS: task.attempts,
    }
    if ran is not None:
        found |= {
            Attribute.WORKER: ran.worker,
            Attribute.NODE: ran.node,
            Attribute.BATCH: ran.batch,
            Attribute.BATCH_SIZE: ran.batch_size,
        }
    return found | _reasons(task.why) if task.why is not None else found


def _reasons(why: Why) -> dict[str, str | float]:
    return {
        Attribute.RULE: why.rule.value,
        Attribute.PREDICTED_S: why.predicted_s,
        Attribute.PROMISED_S: why.promised_s,
        Attribute.SPARE_S: why.spare_s,
        Attribute.SLOWDOWN: why.slowdown,
        Attribute.BESIDE: ", ".join([_words(load) for load in why.beside]),
        Attribute.HARM: why.harm,
    }


def _words(load: Load) -> str:
    """`track x4 LOW`: the stage, how many tasks, and their priority."""
    return f"{load.model.rpartition('/')[2]} x{load.size} {load.priority.name}"

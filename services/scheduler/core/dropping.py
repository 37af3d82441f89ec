"""What can no longer make it?

A task whose budget does not cover its predicted time is dropped before work is wasted on it. Were all of them dropped,
nothing would run, nothing would be measured, and a prediction that was once too high would stay so; hence one in
`probe_every` runs all the same, and is counted.
"""

from __future__ import annotations

from covey.errors import Reason
from covey.services.scheduler.core.state import StagePlan, State, TaskState


def drop_reason(state: State, task: TaskState, predicted_s: float, now: float) -> Reason:
    """Why a task that is predicted to take so long must not start now; NONE when it may."""
    remains = task.cascade.event.deadline - now
    if remains <= 0:
        return Reason.LATE
    if predicted_s <= remains:
        return Reason.NONE
    state.predicted_late += 1
    return Reason.NONE if state.predicted_late % state.limits.probe_every == 0 else Reason.PREDICTED_LATE


def late_message(plan: StagePlan, reason: Reason) -> str:
    """What the client is told of a drop."""
    if reason is Reason.LATE:
        return f"the deadline passed before stage {plan.id.name!r} could start"
    return f"stage {plan.id.name!r} was predicted to end after the deadline"

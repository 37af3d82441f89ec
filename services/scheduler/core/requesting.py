"""What does the policy of priorities know of a task that waits?

A request: the stage is its model, the event gives priority and deadline, and its home and what being away from it adds
are those of the ordinary dispatch. A task that others wait for behind its state has the urgency that they lend it,
though never a deadline beyond its own; when it can't make what was lent, it has what the next of them lends, or its
own, for its event and theirs may well be answered.
"""

from __future__ import annotations

from covey.grouping import Scope
from covey.model import Priority
from covey.services.scheduler.core.affinity import away_s
from covey.services.scheduler.core.contention import Request
from covey.services.scheduler.core.guessing import profile_of
from covey.services.scheduler.core.shared import Shared
from covey.services.scheduler.core.state import HELD, PipelinePlan, StagePlan, TaskState
from covey.services.scheduler.core.step import Step


def model_of(plan: StagePlan) -> str:
    """What the policy knows a stage by, whatever its version."""
    return model_named(plan.id.scope, plan.id.name)


def model_named(scope: Scope, stage: str) -> str:
    """`<tenant>/<pipeline>/<stage>`."""
    return f"{scope.tenant}/{scope.pipeline}/{stage}"


def arrive(step: Step, shared: Shared, task: TaskState) -> None:
    """A task waits from now on; one that waits already has another urgency from now on."""
    now, priority = step.now, task.urgency.priority
    model = _known(shared, task.plan)
    waiting = shared.waiting.setdefault(model, {})
    if task.number in waiting:
        shared.policy.gone(task.number, now)
    waiting[task.number] = None
    deadline = min(task.urgency.deadline, task.cascade.event.deadline)
    follows_s = _follows_s(shared, task.cascade.plan, task.plan, priority)
    added_s = away_s(step.state, step.costs, task.plan) if task.home else 0.0
    shared.policy.arrived(Request(task.number, model, priority, now, deadline, follows_s, task.home, added_s), now)


def _known(shared: Shared, plan: StagePlan) -> str:
    """The model of a stage, of which the policy has a profile from now on."""
    model, batch_max = model_of(plan), plan.declaration.batch_max
    known = shared.profiles.get(model)
    if known is None or known.sizes[-1] != batch_max:  # it is new, or the newest version has larger batches
        shared.profiles[model] = profile_of(known.curve if known else shared.curves.get(model), batch_max)
    return model


def _follows_s(shared: Shared, pipeline: PipelinePlan, plan: StagePlan, priority: Priority) -> float:
    """What comes after a stage takes so long at least, on the longest way and as far as is known."""
    most = 0.0
    for name in plan.followers:
        after = pipeline.stages[name]
        own_s = shared.policy.alone_s(_known(shared, after), priority)
        most = max(most, own_s + _follows_s(shared, pipeline, after, priority))
    return most


def withdraw(shared: Shared, task: TaskState, now: float) -> None:
    """A task that waited will not run."""
    del shared.waiting[model_of(task.plan)][task.number]
    shared.policy.gone(task.number, now)


def start(shared: Shared, task: TaskState) -> None:
    """The policy has launched a task, and it is about to be sent."""
    del shared.waiting[model_of(task.plan)][task.number]


def give_back(step: Step, shared: Shared, task: TaskState) -> bool:
    """Have a task that the policy has dropped wait under the next urgency that it has of its own, or of those that wait
    for its state; False: it has had none but its own."""
    own, lost = task.cascade.urgency, task.urgency
    if lost == own:
        return False
    behind = step.state.lines[task.line].waiting if task.line is not None else []
    lent = [each.urgency for *_, each in behind if each.phase is HELD]
    task.urgency = min([own, *[urgency for urgency in lent if lost < urgency]])
    arrive(step, shared, task)
    return True

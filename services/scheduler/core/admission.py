"""Is this event taken in?

The only place where the mesh says no. An event reserves credits for the tasks that its pipeline's events usually lead
to, under a hard cap on open tasks; past this point nothing blocks on a full queue. An event that is known already is
not run again: it gets the outcome that it has, or will have.
"""

from __future__ import annotations

from covey.errors import CoveyError, Reason, Status
from covey.model import Event, Priority, event_identity
from covey.services.scheduler.core import cascade as cascades
from covey.services.scheduler.core.affinity import backlog_s
from covey.services.scheduler.core.commands import Conclude
from covey.services.scheduler.core.served import Served
from covey.services.scheduler.core.state import PipelinePlan, StagePlan
from covey.services.scheduler.core.step import Step


def submit(step: Step, peer: int, event: Event) -> None:
    """Admit an event, refuse it with a reason, or connect it with the cascade or outcome that it has."""
    state = step.state
    identity = event_identity(event.scope, event.id)
    known = state.cascades.get(identity)
    if known is not None:
        if peer in known.gateways:
            known.gateways.remove(peer)
        known.gateways.append(peer)
        if known.storing_again:
            known.event = event
            cascades.plant(step, known)
        return
    outcome = state.outcomes.get(identity)
    if outcome is not None:
        state.outcomes.move_to_end(identity)
        step.out.append(Conclude((peer,), outcome))
        return
    versions = state.pipelines.get(event.scope)
    if not versions:
        message = f"the scheduler has no pipeline {event.scope.pipeline!r}"
        cascades.refuse(step, peer, event, Status.NOT_FOUND, Reason.UNKNOWN_PIPELINE, message)
        return
    plan = versions.get(event.declaration) or versions[next(reversed(versions))]
    if state.served is not None and state.served.serving.scope == event.scope:
        state.served.offered += 1
    reserved = round(state.tasks_per_event.get(event.scope, float(len(plan.stages)))) or 1
    refusal = _refusal(step, event, plan, reserved)
    if refusal is not None:
        cascades.refuse(step, peer, event, *refusal)
        return
    try:
        pool = plan.graph.pools.get(event.ref.pool) or plan.declaration.pool(event.ref.pool)
        fields = pool.fields_of(event.ref.key)
    except CoveyError as error:
        cascades.refuse(step, peer, event, error.status, error.reason, error.message)
        return
    cascades.begin(step, peer, event, identity, plan, fields, reserved)


def _refusal(step: Step, event: Event, plan: PipelinePlan, reserved: int) -> tuple[Status, Reason, str] | None:
    state = step.state
    if state.stopping:
        return Status.UNAVAILABLE, Reason.DRAINING, "the scheduler is stopping"
    if event.deadline <= step.now:
        return Status.DEADLINE_EXCEEDED, Reason.LATE, "the deadline had passed when the event reached the scheduler"
    if state.served is not None and not _is_provisioned(state.served, plan):
        known = state.served.serving.scope.pipeline
        message = f"this scheduler provisions {known!r} alone, and as it was declared when it began"
        return Status.UNAVAILABLE, Reason.NO_WORKER, message
    if not state.homes.nodes:
        return Status.UNAVAILABLE, Reason.NO_HOME, "no datastore is ready"
    kept = state.limits.kept_for_high if event.priority is Priority.LOW else 0.0
    room = state.limits.tasks_open_max - int(kept * state.limits.tasks_open_max)
    if state.reserved + reserved > room:
        message = f"{state.reserved} tasks are open or expected; at most {room} are admitted"
        return Status.RESOURCE_EXHAUSTED, Reason.NOT_ADMITTED, message
    for stage in plan.graph.triggered.get(event.ref.pool, ()):
        if state.workerless and _is_stranded(step, plan.stages[stage.name]):
            message = f"no worker runs stage {stage.name!r}"
            return Status.UNAVAILABLE, Reason.NO_WORKER, message
        if state.served is not None:
            continue  # its batcher knows better what is worth waiting
        wait_s = backlog_s(state, step.costs, plan.stages[stage.name], event.priority)
        if wait_s > event.deadline - step.now:
            message = f"what waits for stage {stage.name!r} takes {wait_s:.3g} s, longer than the event has"
            return Status.RESOURCE_EXHAUSTED, Reason.NOT_ADMITTED, message
    return None


def _is_provisioned(served: Served, plan: PipelinePlan) -> bool:
    return plan.scope == served.serving.scope and plan.stages.keys() <= served.stages.keys()


def _is_stranded(step: Step, plan: StagePlan) -> bool:
    """Whether no worker has run the stage for longer than one waits for it."""
    since = step.state.workerless.get(plan.id)
    if since is None or since + step.state.limits.patience_s > step.now:
        return False
    return not any(worker.runs(plan) for worker in step.state.workers.values())  # one may have come since the last tick

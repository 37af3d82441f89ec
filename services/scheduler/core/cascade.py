"""What follows from an event, and from each task that ends?

An admitted event makes the tasks that its pool triggers; an accepted report makes children of what the task emitted,
collects the members of joins, and fires the joins that no open task can add to. When no task is open, the event has its
outcome. The first report of a task is accepted and any other ignored, so that re-execution shows nowhere.
"""

from __future__ import annotations

import heapq

from covey.declaration import Missing
from covey.errors import OK, Reason, Status
from covey.messages import CancelTasks, StoreAgain, TaskReport
from covey.model import (
    Event,
    GroupId,
    ObjectRef,
    ObjectValue,
    Outcome,
    task_identity,
)
from covey.services.scheduler.core import foreseeing, ordering, recording, requesting, windows
from covey.services.scheduler.core.batching import enqueue
from covey.services.scheduler.core.commands import Conclude, Send
from covey.services.scheduler.core.outcomes import FINAL, outcome_of, remember
from covey.services.scheduler.core.placement import use_group
from covey.services.scheduler.core.queues import count
from covey.services.scheduler.core.state import (
    DISPATCHED,
    ENDED,
    PAUSED,
    QUEUED,
    Cascade,
    Fields,
    JoinState,
    Member,
    PipelinePlan,
    StagePlan,
    TaskState,
    Urgency,
)
from covey.services.scheduler.core.step import Step, move
from covey.services.scheduler.core.tracing import record_unreported
from covey.services.scheduler.core.weighing import note_emissions

TIMERS_SPARE = 1_000


# --- the beginning ---------------------------------------------------------------------------------------------------


def begin(
    step: Step, peer: int, event: Event, identity: bytes, plan: PipelinePlan, fields: Fields, reserved: int
) -> None:
    """Make the cascade of an admitted event, whose key has these fields."""
    state = step.state
    state.sequence += 1
    urgency = Urgency(event.priority, event.deadline, state.sequence)
    cascade = Cascade(event, identity, plan, fields, [peer], urgency, step.now, reserved=reserved)
    cascade.recorded = recording.is_recorded(state, identity)
    state.reserved += reserved
    state.cascades[identity] = cascade
    look_again(step, cascade, event.deadline)
    foreseeing.prefetch(step, cascade)
    plant(step, cascade)


def look_again(step: Step, cascade: Cascade, at: float) -> None:
    """Have the cascade looked at when that time has come."""
    state = step.state
    heapq.heappush(state.timers, (at, cascade.urgency.sequence, cascade.identity))
    if len(state.timers) > 2 * len(state.cascades) + TIMERS_SPARE:
        # Most belong to events that ended long before their deadlines.
        state.timers = [timer for timer in state.timers if timer[2] in state.cascades]
        heapq.heapify(state.timers)


def plant(step: Step, cascade: Cascade) -> None:
    """Make the root tasks of a cascade, for the first time or again."""
    event, plan = cascade.event, cascade.plan
    cascade.storing_again = False
    trigger = ObjectValue(event.ref, event.payload)
    _note_use(step, plan, event.ref)
    for stage in plan.graph.triggered.get(event.ref.pool, ()):
        _make_task(step, cascade, plan.stages[stage.name], trigger, (), cascade.fields, b"", "0", 0)
    if event.ref.pool in plan.graph.results:
        cascade.results.append(trigger)
    _settle(step, cascade)


def _make_task(
    step: Step,
    cascade: Cascade,
    plan: StagePlan,
    trigger: ObjectValue | None,
    members: tuple[Member, ...],
    fields: Fields,
    parent: bytes,
    part: str,
    order: int,
) -> None:
    state = step.state
    if cascade.tasks_made >= state.limits.cascade_tasks_max:
        cascade.failure = cascade.failure or (
            Status.RESOURCE_EXHAUSTED,
            Reason.CASCADE_TOO_LARGE,
            f"the event set off more than {state.limits.cascade_tasks_max} tasks",
        )
        return
    state.last_task += 1
    cascade.tasks_made += 1
    number, name = state.last_task, plan.id.name
    identity = task_identity(cascade.identity, name, parent, part)
    task = TaskState(
        number, identity, cascade, plan, trigger, members, fields, order, cascade.urgency, step.now
    )  # fmt: skip
    if cascade.accepted_states and identity in cascade.accepted_states:
        task.repeats = True
        task.state_version, task.state_as_of = cascade.accepted_states[identity]
    state.tasks[number] = cascade.tasks[number] = task
    cascade.open_by_stage[name] = cascade.open_by_stage.get(name, 0) + 1
    ordering.enter(step, task)
    foreseeing.remember(state, task)


# --- the end of a task -----------------------------------------------------------------------------------------------


def accept(step: Step, task: TaskState, report: TaskReport) -> None:
    """Take the first report of a task that succeeded: its children, its state, its share of the outcome."""
    cascade, state_pool = task.cascade, task.plan.state_pool
    cascade.remote_gets += report.remote_gets
    cascade.bytes_moved += report.bytes_moved
    cascade.incomplete = cascade.incomplete or report.incomplete
    left_version = None
    refs = [emission.value.ref for emission in report.emissions]
    if refs:
        for ref in refs:
            _note_use(step, cascade.plan, ref)
        note_emissions(step.state, task, refs)
    if state_pool is not None and not task.repeats:
        left_version = next((ref.version for ref in reversed(refs) if ref.pool == state_pool.name), None)
        cascade.accepted_states[task.identity] = (task.state_version, task.state_as_of)
    _close(step, task, left_version)
    for emission in report.emissions:
        _follow(step, task, emission.index, emission.value, report.incomplete)
    _settle(step, cascade)


def _follow(step: Step, parent: TaskState, index: int, value: ObjectValue, incomplete: bool) -> None:
    """What one emitted object leads to: tasks, members of joins, a part of the outcome."""
    cascade, ref = parent.cascade, value.ref
    found = cascade.plan.graph
    stages = cascade.plan.stages
    if ref.pool in found.results:
        cascade.results.append(value)
        return
    triggered, joined = found.triggered.get(ref.pool, ()), found.joined.get(ref.pool, ())
    if not triggered and not joined:
        return
    fields = found.pools[ref.pool].fields_of(ref.key)
    served = step.state.served
    for stage in triggered:
        _make_task(step, cascade, stages[stage.name], value, (), fields, parent.identity, str(index), index)
        if served is not None:
            served.stages[parent.plan.id.name].led_to[stage.name] += 1
    for stage in joined:
        join = stage.join
        if join is None or stage.name in cascade.fired:
            continue
        values = tuple(fields[name] for name in join.by)
        collected = _join_of(step, cascade, stages[stage.name], parent).collected
        collected.setdefault(values, []).append(Member(ref, incomplete))


def _join_of(step: Step, cascade: Cascade, plan: StagePlan, feeder: TaskState) -> JoinState:
    found = cascade.joins.get(plan.id.name)
    if found is None:
        join = plan.declaration.join
        assert join is not None
        fires_at = step.now + join.timeout_s if join.missing is Missing.FIRE and join.timeout_s > 0 else None
        found = cascade.joins[plan.id.name] = JoinState(plan, feeder.plan.id.name, fires_at=fires_at)
        if fires_at is not None:
            look_again(step, cascade, fires_at)
    return found


def drop(step: Step, task: TaskState, status: Status, reason: Reason, message: str) -> None:
    """A task will not run, or has failed: its cascade ends, or goes on without it, as the joins below it say."""
    step.state.drops[reason] = step.state.drops.get(reason, 0) + 1
    cascade = task.cascade
    if task.plan.fatal:
        conclude(step, cascade, status, reason, message)
        return
    if task.plan.tolerated:
        cascade.incomplete = True
        cascade.forgiven = cascade.forgiven or (status, reason, message)
    elif cascade.failure is None:
        cascade.failure = (status, reason, message)
    record_unreported(step, (task,), status, reason)
    _close(step, task, None)
    _settle(step, cascade)


def give_up(step: Step, task: TaskState, status: Status, reason: Reason, message: str) -> None:
    """A task is not worth running. Where its event can't be answered without it, all of the cascade ends now."""
    if task.plan.tolerated:
        drop(step, task, status, reason, message)
    else:
        step.state.drops[reason] = step.state.drops.get(reason, 0) + 1
        conclude(step, task.cascade, status, reason, message)


def retry(step: Step, task: TaskState) -> None:
    """Run a task again whose worker died with it; alone, and not for ever: the task may be what killed it."""
    task.deaths += 1
    if task.deaths >= step.state.limits.deaths_max:
        message = f"stage {task.plan.id.name!r} was tried {task.deaths} times and its worker died each time"
        drop(step, task, Status.UNAVAILABLE, Reason.WORKER_LOST, message)
        return
    task.alone = True
    task.batch = 0
    enqueue(step, task)


def pause(step: Step, task: TaskState, reason: Reason, message: str) -> None:
    """Run a task again a little later that was turned away: by then the view, or the worker, may be another."""
    limits = step.state.limits
    if task.pauses >= limits.pauses_max:
        drop(step, task, Status.UNAVAILABLE, reason, message)
        return
    move(task, PAUSED)
    task.batch = 0
    heapq.heappush(step.state.paused, (step.now + limits.pause_s * 2**task.pauses, task.number))
    task.pauses += 1


def _close(step: Step, task: TaskState, left_version: int | None) -> None:
    """Take a task off the books."""
    state, cascade, number = step.state, task.cascade, task.number
    if task.phase is QUEUED:
        count(state, task, -1)
        if state.served is not None:
            windows.withdraw(state.served, task)
        if state.shared is not None:
            requesting.withdraw(state.shared, task, step.now)
    move(task, ENDED)
    del state.tasks[number]
    del cascade.tasks[number]
    cascade.open_by_stage[task.plan.id.name] -= 1
    if task.line is not None:
        ordering.leave(step, task, task.line, left_version)


# --- joins and the end of a cascade ----------------------------------------------------------------------------------


def _settle(step: Step, cascade: Cascade) -> None:
    """Fire every join that nothing open can add to; conclude a cascade in which nothing is open."""
    if cascade.identity not in step.state.cascades:
        return
    if cascade.failure is not None and cascade.failure[1] is Reason.CASCADE_TOO_LARGE:
        conclude(step, cascade, *cascade.failure)
        return
    if cascade.joins:
        for name in cascade.plan.graph.order:
            join = cascade.joins.get(name)
            if join is not None and not _upstream_is_open(cascade, name):
                _fire(step, cascade, join)
    if not cascade.tasks and not cascade.storing_again:
        # A join that says missing="fire" forgives what it ran without; where none ever ran, nothing was forgiven.
        failure = cascade.failure or (None if cascade.fired else cascade.forgiven)
        status, reason, message = failure or (OK, Reason.NONE, "")
        conclude(step, cascade, status, reason, message)


def _upstream_is_open(cascade: Cascade, stage: str) -> bool:
    upstream = cascade.plan.graph.upstream[stage]
    return any(cascade.open_by_stage.get(name, 0) or name in cascade.joins for name in upstream)


def _fire(step: Step, cascade: Cascade, join: JoinState) -> None:
    """Make the join's tasks, one per value of its fields, in the order of the values."""
    del cascade.joins[join.plan.id.name]
    cascade.fired.append(join.plan.id.name)
    declared = join.plan.declaration.join
    assert declared is not None
    for order, values in enumerate(sorted(join.collected, key=repr)):
        fields = dict(zip(declared.by, values, strict=True))
        members = tuple(join.collected[values])
        _make_task(step, cascade, join.plan, None, members, fields, b"", repr(values), order)
    if step.state.served is not None:
        step.state.served.stages[join.fed_by].led_to[join.plan.id.name] += len(join.collected)


def fire_overdue(step: Step, cascade: Cascade) -> None:
    """Fire the joins whose timeout has passed with what is there; what comes later comes too late for them."""
    for join in list(cascade.joins.values()):
        if join.fires_at is not None and join.fires_at <= step.now:
            cascade.incomplete = True
            _fire(step, cascade, join)
    _settle(step, cascade)


def conclude(step: Step, cascade: Cascade, status: Status, reason: Reason, message: str) -> None:
    """End a cascade now, whatever of it is still open."""
    state = step.state
    if cascade.tasks and cascade.event.traceparent:
        record_unreported(step, cascade.tasks.values(), status, reason)
    _call_off(step, cascade)
    del state.cascades[cascade.identity]
    state.reserved -= cascade.reserved
    state.finished += 1
    mean = state.tasks_per_event.get(cascade.event.scope, float(cascade.tasks_made))
    if status is OK:
        state.tasks_per_event[cascade.event.scope] = mean + 0.1 * (cascade.tasks_made - mean)
    outcome = outcome_of(cascade, status, reason, message, step.now)
    if status in FINAL:
        remember(state, cascade.identity, outcome)
    step.out.append(Conclude(tuple(cascade.gateways), outcome))


def start_again(step: Step, cascade: Cascade, message: str) -> None:
    """Begin anew from the root, because objects of the cascade were lost with their home.

    What was accepted once keeps its identity: homes that survived recognise the emissions, and a stateful task reads
    the state that it read then. A payload that is not inline has to be stored again by the gateway first.
    """
    if cascade.restarts >= step.state.limits.restarts_max:
        conclude(step, cascade, Status.UNAVAILABLE, Reason.HOME_LOST, message)
        return
    cascade.restarts += 1
    cascade.storing_again = True
    _call_off(step, cascade)
    cascade.joins.clear()
    cascade.fired.clear()
    cascade.results.clear()
    cascade.failure = cascade.forgiven = None
    pool = cascade.event.ref.pool
    if cascade.event.payload is not None and pool not in cascade.plan.graph.needed:
        plant(step, cascade)
    elif cascade.gateways:
        step.out.append(Send(cascade.gateways[-1], StoreAgain(cascade.event.scope, cascade.event.id)))
    else:
        conclude(step, cascade, Status.UNAVAILABLE, Reason.HOME_LOST, message)


def _call_off(step: Step, cascade: Cascade) -> None:
    """Close every open task, and tell the workers that have some."""
    if not cascade.tasks:
        return
    running: dict[int, list[int]] = {}
    for task in list(cascade.tasks.values()):
        batch = step.state.batches.get(task.batch)  # none: its report, or its worker's end, is being dealt with
        if batch is not None and task.phase is DISPATCHED:
            running.setdefault(batch.worker, []).append(task.number)
        _close(step, task, None)
    for worker, numbers in running.items():
        step.out.append(Send(worker, CancelTasks(step.state.epoch, tuple(numbers))))


def refuse(step: Step, peer: int, event: Event, status: Status, reason: Reason, message: str) -> None:
    """Answer an event that is not admitted; nothing is remembered, so it may be sent again."""
    retry_after_s = step.state.limits.tick_s if status is Status.RESOURCE_EXHAUSTED else 0.0
    outcome = Outcome(event.scope, event.id, status, reason, message, retry_after_s=retry_after_s)
    step.out.append(Conclude((peer,), outcome))


def _note_use(step: Step, plan: PipelinePlan, ref: ObjectRef) -> None:
    """Count a use of the object's group, if the group will be seen again."""
    if ref.pool in plan.recorded:
        use_group(step.state, GroupId(plan.scope, ref.group), 1, ref.size)

"""The scheduler's one door: `handle(stimuli, now)` takes all that has happened and returns what to do.

Order of a step: what happened, what time has brought, then one round of dispatching for all of it. The same machine
runs under asyncio (`shell.py`) and under the simulator's clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from random import Random
from typing import assert_never

from covey.errors import OK, Reason, Status
from covey.messages import BatchReport, Beat, CancelEvent, LaneReady, SubmitEvent, TaskReport
from covey.model import Scope, event_identity
from covey.services.scheduler.core import (
    balancing,
    membership,
    ordering,
    recording,
    replicas,
    serving,
    sharing,
    tracing,
    weighing,
)
from covey.services.scheduler.core import cascade as cascades
from covey.services.scheduler.core.admission import submit
from covey.services.scheduler.core.batching import dispatch, enqueue
from covey.services.scheduler.core.commands import Command, WriteMetadata
from covey.services.scheduler.core.costs import Costs
from covey.services.scheduler.core.latency import Latency
from covey.services.scheduler.core.outcomes import add_times
from covey.services.scheduler.core.placement import place_anew, records_to_write
from covey.services.scheduler.core.policy import Policy
from covey.services.scheduler.core.served import Serving, served_by
from covey.services.scheduler.core.shared import Shared
from covey.services.scheduler.core.state import PAUSED, QUEUED, Batch, Limits, State, TaskState
from covey.services.scheduler.core.step import Step
from covey.services.scheduler.core.stimuli import (
    Declared,
    Elected,
    GatewayConnected,
    GroupsPinned,
    MetadataWritten,
    NodeConnected,
    PeerLost,
    PeerSaid,
    Stimulus,
    StopRequested,
    WorkerConnected,
)


class Scheduler:
    """The core. `state` is for reading; only `handle` changes it."""

    def __init__(
        self,
        limits: Limits | None = None,
        scheduler: str = "scheduler",
        policy: Policy | None = None,
        rng: Random | None = None,
        served: Serving | None = None,
        shared: Shared | None = None,
    ) -> None:
        """`rng` draws where tasks go under random routing; nothing else is left to chance.

        With `served` the lanes of all workers are replicas of that pipeline's stages, and no other is served. With
        `shared`, which is the scheduler's from now on, its policy says what runs where. Both together make no sense.
        """
        assert served is None or shared is None, "a provisioned lane serves one stage, and has nothing to share"
        self.state = State(limits or Limits(), policy or Policy(), scheduler=scheduler)
        self.state.served = None if served is None else served_by(served)
        self.state.shared = shared
        self.latency = Latency()
        self.costs = Costs()
        self._rng = rng or Random(0)

    @property
    def wake_at(self) -> float | None:
        """The next beat, deadline or timeout; None before the election, when there is nobody to beat for."""
        if self.state.epoch == 0:
            return None
        state = self.state
        at = state.next_tick
        if state.timers and state.timers[0][0] < at:
            at = state.timers[0][0]
        if state.paused and state.paused[0][0] < at:
            at = state.paused[0][0]
        if state.dispatch_at is not None and state.dispatch_at < at:
            at = state.dispatch_at
        if state.served is not None and state.served.next_window < at:
            at = state.served.next_window
        return at

    def handle(self, stimuli: Sequence[Stimulus], now: float) -> list[Command]:
        """Take everything that has happened up to `now` and decide."""
        step = Step(self.state, self.latency, self.costs, self._rng, now)
        for stimulus in stimuli:
            _take(step, stimulus)
        if self.state.epoch:
            _let_time_pass(step)
            if self.state.served is not None:
                serving.dispatch(step, self.state.served, cascades.give_up)
            elif self.state.shared is not None:
                sharing.dispatch(step, self.state.shared, cascades.drop)
            else:
                dispatch(step, cascades.drop)
        return step.out


def _take(step: Step, stimulus: Stimulus) -> None:
    state = step.state
    match stimulus:
        case PeerSaid(peer, message):
            _listen(step, peer, message)
        case GatewayConnected(peer, joined):
            membership.gateway_connected(step, peer, joined)
        case WorkerConnected(peer, joined):
            membership.worker_connected(step, peer, joined)
        case NodeConnected(peer, joined):
            membership.node_connected(step, peer, joined)
        case PeerLost(peer):
            membership.lost(step, peer)
        case Declared(tenant, declaration):
            membership.declared(step, tenant, declaration)
        case GroupsPinned(homes):
            pins = dict(homes)
            if pins != state.pins:
                state.pins = pins
                place_anew(state)
                membership.publish(step)
        case Elected(epoch):
            membership.elected(step, epoch)
        case MetadataWritten():
            state.writing_metadata = False
        case StopRequested():
            state.stopping = True
        case _:
            assert_never(stimulus)


def _listen(step: Step, peer: int, message: SubmitEvent | CancelEvent | BatchReport | LaneReady | Beat) -> None:
    state = step.state
    if not membership.heard(step, peer):
        return  # it was hung up on; what it still says counts no more
    match message:
        case SubmitEvent(event):
            submit(step, peer, event)
        case CancelEvent(scope, event_id):
            _cancel(step, scope, event_id)
        case BatchReport():
            _take_report(step, peer, message)
        case LaneReady():
            if state.served is not None:
                replicas.ready(step, state.served, peer, message)
        case Beat():
            if peer in state.nodes:
                state.nodes[peer].settled = message.settled
                membership.node_acknowledged(step, peer, message.view)
        case _:
            assert_never(message)


def _cancel(step: Step, scope: Scope, event_id: str) -> None:
    cascade = step.state.cascades.get(event_identity(scope, event_id))
    if cascade is not None:
        cascades.conclude(step, cascade, Status.CANCELLED, Reason.CANCELLED, "the client took the event back")


# --- reports ---------------------------------------------------------------------------------------------------------


def _take_report(step: Step, peer: int, report: BatchReport) -> None:
    """A worker's report: learn its times, then take the end of each task that is still open."""
    state = step.state
    if report.epoch != state.epoch:
        return
    batch = state.batches.pop(report.number, None)
    if batch is not None:
        worker = state.workers[batch.worker]
        worker.batches.pop(report.number, None)
        if state.shared is not None:
            sharing.take_report(step, state.shared, batch, report)
        if state.served is not None:
            serving.take_report(step, state.served, batch, report)
        elif any(task.status is OK for task in report.tasks):
            # Of what is learnt here, nothing is asked where stages have lanes of their own.
            step.latency.observe(batch.plan.id, len(batch.tasks), step.now - batch.dispatched_at)
            step.costs.observe(batch, report, step.now)
            weighing.weigh(step.state, batch, report)
        add_times(batch, report)
        tracing.record(step, batch, report, worker)
    recording.record(step, report)
    for task_report in report.tasks:
        task = state.tasks.get(task_report.number)
        if task is None:
            continue
        if task_report.status is OK:
            cascades.accept(step, task, task_report)
        elif task.batch == report.number:
            _take_failure(step, task, task_report)
    if batch is not None:
        _retry_unreported(step, batch)


def _retry_unreported(step: Step, batch: Batch) -> None:
    for task in batch.tasks:
        if step.state.tasks.get(task.number) is task and task.batch == batch.number:
            cascades.pause(step, task, Reason.WORKER_LOST, f"no report mentions stage {task.plan.id.name!r}")


def _take_failure(step: Step, task: TaskState, report: TaskReport) -> None:
    if report.reason is Reason.INPUT_LOST:
        cascades.start_again(step, task.cascade, report.message)
    elif report.status is Status.UNAVAILABLE:
        cascades.pause(step, task, report.reason, report.message)
    else:
        cascades.drop(step, task, report.status, report.reason, report.message)


# --- time ------------------------------------------------------------------------------------------------------------


def _let_time_pass(step: Step) -> None:
    state = step.state
    while state.timers and state.timers[0][0] <= max(step.now, state.next_tick):
        at, sequence, identity = state.timers[0]
        cascade = state.cascades.get(identity)
        if cascade is None or cascade.urgency.sequence != sequence:
            heapq.heappop(state.timers)  # nobody need wake for it
            continue
        if at > step.now:
            break
        heapq.heappop(state.timers)
        if cascade.event.deadline <= step.now:
            waits_for = ", ".join(name for name, count in cascade.open_by_stage.items() if count) or "its payload"
            message = f"the deadline passed while the event waited for {waits_for}"
            cascades.conclude(step, cascade, Status.DEADLINE_EXCEEDED, Reason.LATE, message)
        else:
            cascades.fire_overdue(step, cascade)
    while state.paused and state.paused[0][0] <= step.now:
        task = state.tasks.get(heapq.heappop(state.paused)[1])
        if task is not None and task.phase is PAUSED:
            enqueue(step, task)
    replicas.look(step)
    if state.next_tick <= step.now:
        due_at, state.next_tick = state.next_tick, step.now + state.limits.tick_s
        membership.tick(step, due_at)
        _end_stranded(step)
        balancing.look(step)
        _write_metadata(step)


def _end_stranded(step: Step) -> None:
    """End what waits for a stage that no worker has run for too long."""
    state = step.state
    for versions in state.pipelines.values():
        for pipeline in versions.values():
            for plan in pipeline.stages.values():
                if any(worker.runs(plan) for worker in state.workers.values()):
                    state.workerless.pop(plan.id, None)
                    continue
                since = state.workerless.setdefault(plan.id, step.now)
                if since + state.limits.patience_s > step.now:
                    continue
                stranded = [task for task in state.tasks.values() if task.phase is QUEUED and task.plan is plan]
                for task in stranded:
                    if task.phase is QUEUED:  # else it has ended with another of its cascade
                        message = f"no worker runs stage {plan.id.name!r}"
                        cascades.conclude(step, task.cascade, Status.UNAVAILABLE, Reason.NO_WORKER, message)


def _write_metadata(step: Step) -> None:
    state = step.state
    if state.writing_metadata or state.next_metadata > step.now:
        return
    state.next_metadata = step.now + state.limits.metadata_s
    ordering.forget_idle_lines(step)
    records = records_to_write(state)
    if records:
        state.writing_metadata = True
        step.out.append(WriteMetadata(records))

"""What do the replicas of a provisioned pipeline run?

Whenever a replica is free, or so nearly that a batch which leaves now is there in time, the pipeline's batcher says
what it runs next and what is not worth running any more. What falls with a dropped task falls at once: its siblings,
and all that its cascade has open.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from covey.errors import OK, Reason, Status
from covey.messages import BatchReport
from covey.services.scheduler.core import replicas
from covey.services.scheduler.core.batching import Drop, send_batch
from covey.services.scheduler.core.dropping import late_message
from covey.services.scheduler.core.placement import task_homes
from covey.services.scheduler.core.provision import Backlog, Choice
from covey.services.scheduler.core.served import Replica, Served, ServedStage
from covey.services.scheduler.core.state import Batch, TaskState
from covey.services.scheduler.core.step import Step

SOON_S = 0.0001
"""Nobody wakes for less."""
LEAD = 2.0
"""Times the transit: how long before a replica is free it is sent its next batch, so that it need not wait for one."""
WEIGHT = 0.1
"""Of the last batch, in the mean of the transit."""

_free_at = attrgetter("free_at")


def dispatch(step: Step, served: Served, drop: Drop) -> None:
    """Hand out batches until no replica that is free, or will be by the time that a batch is there, finds work."""
    step.state.dispatch_at = None
    for name, stage in served.stages.items():
        while stage.waiting and (stage.idle or _is_soon_free(step, served, stage)):
            backlogs = _backlogs(served, step.now)
            choice = served.serving.batcher.choose(name, list(stage.waiting.values()), backlogs, step.now)
            if not _carry_out(step, served, stage, choice, drop):
                break


def _is_soon_free(step: Step, served: Served, stage: ServedStage) -> bool:
    """Whether a replica should be sent its next batch now; if not, when to look again."""
    soonest = _soonest(step, stage)
    if soonest is None:
        return False
    at = soonest.free_at - LEAD * served.transit_s
    if at - step.now < SOON_S:
        return True
    _look_again(step, at)
    return False


def _soonest(step: Step, stage: ServedStage) -> Replica | None:
    """The replica that is free first, of those that may be sent another batch."""
    most = step.state.limits.batches_ahead
    first: Replica | None = min(stage.up, key=_free_at, default=None)
    if first is None or len(first.batches) <= most:  # as nearly always
        return first
    able = [replica for replica in stage.up if len(replica.batches) <= most]
    return min(able, key=_free_at) if able else None


def _look_again(step: Step, at: float) -> None:
    state = step.state
    state.dispatch_at = at if state.dispatch_at is None else min(at, state.dispatch_at)


def _carry_out(step: Step, served: Served, stage: ServedStage, choice: Choice, drop: Drop) -> bool:
    """Do what the batcher has chosen; False: nothing, for now."""
    state = step.state
    for number in choice.drop:
        if number in stage.waiting:  # else it has fallen with another
            task = state.tasks[number]
            reason = Reason.LATE if task.cascade.event.deadline <= step.now else Reason.PREDICTED_LATE
            drop(step, task, Status.DEADLINE_EXCEEDED, reason, late_message(task.plan, reason))
    tasks = _together([state.tasks[number] for number in choice.run if number in stage.waiting])
    if tasks:
        _start(step, served, stage, tasks)
    elif not choice.drop:
        if choice.again_at is not None:
            _look_again(step, choice.again_at)
        return False
    return True


def _together(tasks: Sequence[TaskState]) -> list[TaskState]:
    """The first, and those that may share its batch: of one version, unless one of them has to run alone."""
    first = tasks[0] if tasks else None
    if first is None or first.alone:
        return list(tasks[:1])
    return [task for task in tasks if task.plan is first.plan and not task.alone]


def _start(step: Step, served: Served, stage: ServedStage, tasks: list[TaskState]) -> None:
    replica = _nearest(step, stage, tasks[0]) if stage.idle else _soonest(step, stage)
    assert replica is not None
    stage.idle.pop(replica, None)
    for task in tasks:
        del stage.waiting[task.number]
    stage.running += len(tasks)
    batch = send_batch(step, step.state.workers[replica.worker], tasks, away=False)
    served.running[batch.number] = replica
    begins_at = max(replica.free_at, step.now) if replica.batches else step.now
    replica.free_at = begins_at + _run_s(served, replica.stage, len(tasks))
    replica.batches.append(batch.number)


def _run_s(served: Served, stage: str, size: int) -> float:
    return served.serving.pipeline.profiles[stage].curve.mean_s(size)


def _nearest(step: Step, stage: ServedStage, task: TaskState) -> Replica:
    """The replica that has been idle longest, on a node that holds what the task reads if there is one."""
    longest = next(iter(stage.idle))
    if task.plan.homeless:
        return longest
    homes = task_homes(task, step.state)
    return next((replica for replica in stage.idle if replica.node in homes), longest)


def _backlogs(served: Served, now: float) -> dict[str, Backlog]:
    return {
        name: Backlog(len(stage.waiting), stage.running, len(stage.up), _free_in_s(served, name, now))
        for name, stage in served.stages.items()
    }


def _free_in_s(served: Served, name: str, now: float) -> float:
    stage = served.stages[name]
    if stage.idle:
        return 0.0
    some = stage.up or [replica for replica in served.replicas.values() if replica.bound_for == name]
    if not some:
        return served.serving.pipeline.profiles[name].cold_s
    soonest_at: float = min(map(_free_at, some))
    return max(0.0, soonest_at - now)


def take_report(step: Step, served: Served, batch: Batch, report: BatchReport) -> None:
    """A batch has ended: its replica is free, and the batcher learns how long it took."""
    name = batch.plan.id.name
    stage, replica = served.stages[name], served.running.pop(batch.number)
    stage.running -= len(batch.tasks)
    processed = sum([task.status is OK for task in report.tasks])
    if processed:  # else it was turned away, called off or failed, which says nothing of how long it takes
        stage.processed += processed
        late = sum([task.cascade.event.deadline < step.now for task in batch.tasks])
        served.serving.batcher.ended(name, processed, report.compute_s, late, step.now)
        there_s = report.fetch_s + report.wait_s + report.compute_s + report.store_s
        transit_s = max(0.0, step.now - batch.dispatched_at - there_s)
        served.transit_s += WEIGHT * (transit_s - served.transit_s)
    replica.batches.remove(batch.number)
    if replica.batches:
        (following,) = replica.batches
        replica.free_at = step.now + _run_s(served, name, len(step.state.batches[following].tasks))
    else:
        replicas.free(step, served, replica)

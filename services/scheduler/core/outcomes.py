"""What the sender of an event is told: the outcome, and where its time went."""

from __future__ import annotations

from covey.errors import OK, Reason, Status
from covey.messages import BatchReport
from covey.model import Outcome, StageTime
from covey.services.scheduler.core.state import Batch, Cascade, StageSum, State

FINAL = (OK, Status.FAILED_PRECONDITION)
"""Outcomes that would be the same the next time. Others (late, refused, lost, taken back) may be tried again."""


def remember(state: State, identity: bytes, outcome: Outcome) -> None:
    """Keep an outcome for whoever sends the same event again."""
    state.outcomes[identity] = outcome
    while len(state.outcomes) > state.limits.outcomes_max:
        state.outcomes.popitem(last=False)


def add_times(batch: Batch, report: BatchReport) -> None:
    """Add a batch's times to where the time of each of its cascades went."""
    name, size = batch.plan.id.name, len(batch.tasks)
    for task in batch.tasks:
        queue_s, known = batch.dispatched_at - task.created_at, task.cascade.sums
        sums = known.get(name)
        if sums is None:
            known[name] = StageSum(
                1, queue_s, report.fetch_s, report.wait_s, report.compute_s, report.store_s, size
            )  # fmt: skip
            continue
        sums.tasks += 1
        sums.queue_s += queue_s
        sums.fetch_s += report.fetch_s
        sums.wait_s += report.wait_s
        sums.compute_s += report.compute_s
        sums.store_s += report.store_s
        sums.batch_size_sum += size


def outcome_of(cascade: Cascade, status: Status, reason: Reason, message: str, now: float) -> Outcome:
    stages = [
        StageTime(
            name,
            sums.tasks,
            sums.queue_s,
            sums.fetch_s,
            sums.wait_s,
            sums.compute_s,
            sums.store_s,
            sums.batch_size_sum,
        )
        for name in cascade.plan.graph.order
        if (sums := cascade.sums.get(name)) is not None
    ]
    return Outcome(  # by position, which takes a third of the time
        cascade.event.scope,
        cascade.event.id,
        status,
        reason,
        message,
        tuple(cascade.results),
        cascade.incomplete,
        tuple(stages),
        cascade.remote_gets,
        cascade.bytes_moved,
        now - cascade.admitted_at,
    )

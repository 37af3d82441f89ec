"""What the sender of an event is told: the outcome, and where its time went."""

from __future__ import annotations

from covey.errors import Reason, Status
from covey.model import Outcome, StageTime
from covey.services.scheduler.core.state import Cascade, StagePlan, StageSum, State

FINAL = (Status.OK, Status.FAILED_PRECONDITION)
"""Outcomes that would be the same the next time. Others (late, refused, lost, taken back) may be tried again."""


def remember(state: State, identity: bytes, outcome: Outcome) -> None:
    """Keep an outcome for whoever sends the same event again."""
    state.outcomes[identity] = outcome
    while len(state.outcomes) > state.limits.outcomes_max:
        state.outcomes.popitem(last=False)


def add_time(cascade: Cascade, plan: StagePlan, **spent: float) -> StageSum:
    """Add to where the cascade's time went."""
    sums = cascade.sums.setdefault(plan.id.name, StageSum())
    for name, seconds in spent.items():
        setattr(sums, name, getattr(sums, name) + seconds)
    return sums


def outcome_of(cascade: Cascade, status: Status, reason: Reason, message: str, now: float) -> Outcome:
    stages = tuple(
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
    )
    return Outcome(
        scope=cascade.event.scope,
        event_id=cascade.event.id,
        status=status,
        reason=reason,
        message=message,
        results=tuple(cascade.results),
        incomplete=cascade.incomplete,
        stages=stages,
        remote_gets=cascade.remote_gets,
        bytes_moved=cascade.bytes_moved,
        elapsed_s=now - cascade.admitted_at,
    )

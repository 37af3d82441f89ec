"""What does a batch keep waiting?

A lane that computes can't be interrupted. The tasks of a state line run one after the other, so that what one of them
waits, all behind it wait too; where a busy line lives, a long batch of another stage is dear. Its price, in seconds:

    (arrivals per second, those behind them included) * duration * the wait of each

A line's task that comes at any instant of a batch waits for half of it on average, or runs elsewhere, if what that adds
is less.
"""

from __future__ import annotations

from covey.services.scheduler.core.costs import Costs, Rate
from covey.services.scheduler.core.state import State, TaskState
from covey.services.scheduler.core.step import Step

RARE = 0.01
"""Rate per second that are not worth remembering."""


def note_arrival(step: Step, task: TaskState) -> None:
    """A task is queued at its home; those of a line count, with all that wait behind them."""
    if task.line is None:
        return
    key = task.home, task.plan.id
    lines = step.costs.lines
    if key not in lines:
        for forgotten in [each for each, arrivals in lines.items() if arrivals.per_s(step.now) < RARE]:
            del lines[forgotten]
        lines[key] = Rate()
    lines[key].observe(1 + len(step.state.lines[task.line].waiting), step.now)


def imposed_s(state: State, costs: Costs, head: TaskState, node: str, now: float) -> float:
    """Seconds that others are kept waiting if the batch with this task at its head runs on a node."""
    if head.line is not None or not costs.lines:  # lines take turns
        return 0.0
    waiting = len(state.queues.get(head.plan.id, {}).get(head.home, ()))
    duration_s = costs.compute_s(head.plan.id, min(max(waiting, 1), head.plan.declaration.batch_max))
    return sum(
        arrivals.per_s(now) * duration_s * min(duration_s / 2, costs.added_away_s(stage))
        for (home, stage), arrivals in costs.lines.items()
        if home == node
    )

"""One call of `handle`: the state, the time, and the commands so far. Handed through the rooms of the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from covey.services.scheduler.core.commands import Command
from covey.services.scheduler.core.costs import Costs
from covey.services.scheduler.core.latency import Latency
from covey.services.scheduler.core.state import Phase, State, TaskState


class IllegalMove(AssertionError):
    """A task was asked to go where it can't: a bug of ours."""


@dataclass(slots=True)
class Step:
    state: State
    latency: Latency
    costs: Costs
    rng: Random
    now: float
    out: list[Command] = field(default_factory=list)


def move(task: TaskState, phase: Phase) -> None:
    """Take a task to another phase; raises IllegalMove, and changes nothing, where the table has no such move."""
    if phase not in task.phase.moves:
        raise IllegalMove(f"task {task.number} of {task.plan.qualified} can't go from {task.phase} to {phase}")
    task.phase = phase

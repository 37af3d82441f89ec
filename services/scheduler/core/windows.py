"""What has happened in a provisioned pipeline since its provisioner last looked?

Tasks count where they become ready, where they end, and by what they lead to; events count when they are offered,
whether or not they are taken in.
"""

from __future__ import annotations

from collections import Counter

from covey.services.scheduler.core.provision import Seen, Waiting, Window
from covey.services.scheduler.core.served import Served
from covey.services.scheduler.core.state import TaskState


def arrive(served: Served, task: TaskState, now: float) -> None:
    """A task waits for a replica; one that is to run again has arrived before."""
    stage = served.stages[task.plan.id.name]
    cascade = task.cascade
    stage.waiting[task.number] = Waiting(task.number, now, cascade.admitted_at, cascade.event.deadline)
    stage.arrived += not (task.deaths or task.pauses)


def withdraw(served: Served, task: TaskState) -> None:
    """A task that waited will not run."""
    stage = served.stages[task.plan.id.name]
    del stage.waiting[task.number]
    stage.dropped += 1


def take_window(served: Served, now: float, seconds: float) -> Window:
    """The window that ends now; the next one begins."""
    window = Window(now, seconds, served.offered, {name: _take(served, name) for name in served.stages})
    served.offered = 0
    served.window_began = now
    return window


def _take(served: Served, name: str) -> Seen:
    stage = served.stages[name]
    seen = Seen(
        stage.arrived,
        stage.processed,
        stage.dropped,
        stage.led_to,
        len(stage.waiting),
        stage.running,
        len(stage.up),
        coming(served, name),
    )
    stage.arrived = stage.processed = stage.dropped = 0
    stage.led_to = Counter()
    return seen


def coming(served: Served, name: str) -> int:
    """Replicas that will serve a stage and do not yet."""
    return sum(each.bound_for == name for each in served.replicas.values()) - len(served.stages[name].up)

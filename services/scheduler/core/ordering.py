"""In which order do the tasks of one state run?

A stage that needs `latest()` of a pool it emits into passes state to its own next task. Per state key there is a line:
one task runs, the others are held in admission order. The line remembers the version that the last accepted task left,
and the next task's read names it, so that neither a retry nor a dropped task's write is ever read.

A task that is held lends its urgency to the one that runs: a LOW task must not make a HIGH one behind it wait.
"""

from __future__ import annotations

import heapq

from covey.services.scheduler.core.batching import enqueue
from covey.services.scheduler.core.state import HELD, QUEUED, StateKey, StateLine, TaskState
from covey.services.scheduler.core.step import Step


def enter(step: Step, task: TaskState) -> None:
    """Queue a new task, or hold it behind the one that has its state."""
    pool = task.plan.state_pool
    if pool is None or task.repeats:
        enqueue(step, task)
        return
    key = StateKey(task.plan.id.scope, task.plan.id.name, pool.compiled.render(task.fields))
    line = step.state.lines.setdefault(key, StateLine())
    task.line = key
    heapq.heappush(line.waiting, (task.cascade.urgency.sequence, task.order, task.number, task))
    if line.running is None:
        _start_next(step, line)
    elif task.urgency < line.running.urgency:
        _lend(step, line.running, task)


def leave(step: Step, task: TaskState, key: StateKey, left_version: int | None) -> None:
    """A task of a line has ended; with a version if it was accepted. The next one starts."""
    line = step.state.lines[key]
    if left_version is not None:
        # A task that an earlier leader had run leaves what it had put then, and others may have put more since.
        line.version = max(line.version, left_version)
        line.lost = False
        # What an earlier leader had admitted may have been accepted by it too, and others after it.
        line.settled = line.settled or task.cascade.admitted_at >= step.state.handover_ends
        step.state.exposed.pop(key, None)
    elif line.running is task and (task.batch or task.deaths or task.pauses):
        step.state.exposed.setdefault(key, task.created_at)
    if line.running is task:
        line.running = None
        line.used_at = step.now
        _start_next(step, line)


def forget_idle_lines(step: Step) -> None:
    """Lines whose state has outlived its retention are gone in the datastore too."""
    idle = [
        key
        for key, line in step.state.lines.items()
        if line.running is None and not line.waiting and line.used_at < step.now - _ttl_s(step, key)
    ]
    for key in idle:
        del step.state.lines[key]
        step.state.exposed.pop(key, None)


def lose_states(step: Step, node: str, home_of_key: dict[StateKey, str]) -> None:
    """The node that held these states is gone: their next tasks start from None and say so."""
    for key, home in home_of_key.items():
        if home == node:
            line = step.state.lines[key]
            line.version = 0
            line.lost = line.settled = True
            step.state.exposed.pop(key, None)


def _ttl_s(step: Step, key: StateKey) -> float:
    for plan in step.state.pipelines.get(key.scope, {}).values():
        stage = plan.stages.get(key.stage)
        if stage is not None and stage.state_pool is not None:
            return stage.state_pool.ttl_s
    return 0.0


def _start_next(step: Step, line: StateLine) -> None:
    while line.waiting:
        _, _, _, task = heapq.heappop(line.waiting)
        if task.phase is not HELD:
            continue  # its cascade ended while it waited
        line.running = task
        if line.as_of is None:
            line.as_of = task.cascade.admitted_at
        task.state_version, task.state_as_of = line.version, None if line.settled else line.as_of
        if line.lost:
            task.cascade.incomplete = True
        for _, _, _, behind in line.waiting:
            if behind.phase is HELD and behind.urgency < task.urgency:
                task.urgency = behind.urgency
        enqueue(step, task)
        return


def _lend(step: Step, runner: TaskState, waiter: TaskState) -> None:
    runner.urgency = waiter.urgency
    if runner.phase is QUEUED:
        enqueue(step, runner)

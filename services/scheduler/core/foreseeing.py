"""What will later stages of an event read from afar?

Stages that follow the first can't be dispatched yet, but some of their reads are known as soon as the event is: those
whose keys the event's own fields name, and, where the fields are not known before an earlier stage has run (which
actors a scene has), those that the group's previous event led to. Workers are told to read them now. Reads as of the
event's admission find the same whenever they are made, so a wrong guess costs a read and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from covey.declaration import NeedKind
from covey.messages import Prefetch
from covey.model import GroupId, KeyRead
from covey.services.scheduler.core.commands import Send
from covey.services.scheduler.core.lru import entry
from covey.services.scheduler.core.state import Cascade, Foresight, StagePlan, State, TaskState, Worker
from covey.services.scheduler.core.step import Step

GROUPS_MAX = 10_000
TASKS_MAX = 256
"""Tasks of a group's previous event that are remembered."""

Fields = Mapping[str, str | int]


def remember(state: State, task: TaskState) -> None:
    """Note what a later stage's task works on and where, for the next event of the group."""
    if not task.plan.foreseeable:
        return
    foresight = entry(state.foresights, _group_of(task.cascade), Foresight, GROUPS_MAX)
    if foresight.event != task.cascade.identity:
        foresight.event = task.cascade.identity
        foresight.tasks = []
    if len(foresight.tasks) < TASKS_MAX:
        foresight.tasks.append((task.plan, task.fields, task.home))


def prefetch(step: Step, cascade: Cascade) -> None:
    """Tell workers what later tasks of a new event are bound to read from other nodes."""
    if not cascade.plan.foresees:
        return
    state, event = step.state, cascade.event
    wanted: dict[str, dict[KeyRead, None]] = {}
    for plan, fields, node in _expected(state, cascade):
        for read in _reads(state, cascade, plan, fields):
            if read.node not in ("", node) and node:
                wanted.setdefault(node, {})[read] = None
    for node, reads in wanted.items():
        worker = _worker_at(state, node)
        if worker is not None:
            prefetched = Prefetch(state.epoch, event.scope, event.id, tuple(reads), event.deadline)
            step.out.append(Send(worker.peer, prefetched))


def _expected(state: State, cascade: Cascade) -> Iterator[tuple[StagePlan, Fields, str]]:
    """The tasks that the event will probably lead to: stage, fields, node."""
    event = cascade.event
    own = cascade.plan.graph.pools[event.ref.pool].fields_of(event.ref.key)
    known = state.foresights.get(_group_of(cascade))
    foreseen = known.tasks if known is not None else []
    for plan, fields, node in foreseen:
        if plan.id.version == cascade.plan.declaration.version:
            yield plan, {**fields, **{name: value for name, value in own.items() if name in fields}}, node
    seen = {plan.id.name for plan, _, _ in foreseen}
    home = state.homes.of(GroupId(event.scope, event.ref.group))
    for plan in cascade.plan.stages.values():
        if plan.foreseeable and plan.id.name not in seen:
            yield plan, own, home


def _reads(state: State, cascade: Cascade, plan: StagePlan, fields: Fields) -> Iterator[KeyRead]:
    """What a task with these fields reads, as far as they name it."""
    scope = plan.id.scope
    for need, pool in plan.foreseeable:
        template = pool.compiled
        if any(name not in fields for name in template.names):
            continue
        offsets = need.offsets if need.kind is NeedKind.AT else (0,)
        index = template.index
        for offset in offsets:
            shifted = {**fields, index: int(fields[index]) + offset} if index is not None else fields
            key = template.render(shifted)
            group = pool.group_of(key, shifted)[0]
            node = state.homes.of(GroupId(scope, group))
            yield KeyRead(pool.name, key, group, 0, node, False, cascade.admitted_at)


def _worker_at(state: State, node: str) -> Worker | None:
    able = [worker for worker in state.workers.values() if worker.node == node]
    return min(able, key=lambda worker: (len(worker.batches) / worker.lanes, worker.peer), default=None)


def _group_of(cascade: Cascade) -> GroupId:
    return GroupId(cascade.event.scope, cascade.event.ref.group)

"""What do groups cost, and who reads them?

What the leader sees go by anyway is charged to *root* groups: a stem with all of its branches where their pipeline
keeps them together, else the group itself, if it outlives its objects' index (what lives for one event is not worth a
record). `balancing` decides by it.
"""

from __future__ import annotations

from collections.abc import Sequence

from covey.homes import stem_of
from covey.messages import BatchReport
from covey.model import GroupId, KeyRead, ObjectRef, Read, Scope
from covey.services.scheduler.core.lru import entry
from covey.services.scheduler.core.state import Batch, State, TaskState
from covey.services.scheduler.core.weights import Readers, Weight

WEIGHTS_MAX = 10_000
READERS_MAX = 1_000


def weigh(state: State, batch: Batch, report: BatchReport) -> None:
    """Charge a batch's time in its lane to the root groups of its tasks."""
    if not state.policy.balance:
        return
    share_s = report.compute_s / len(batch.tasks)
    for task in batch.tasks:
        weight = _weight_of(state, task)
        if weight is not None:
            weight.busy_now += share_s


def note_emissions(state: State, task: TaskState, emitted: Sequence[ObjectRef]) -> None:
    """Count what a task has put: its bytes, and whether some of it went to another group of the same stem."""
    if not state.policy.balance:
        return
    scope, weight = task.plan.id.scope, _weight_of(state, task)
    if weight is not None:
        weight.put_now += sum([ref.size for ref in emitted])
    if scope not in state.balance.together:
        _look_for_branches(state, task, scope, emitted)
    if state.balance.readers:
        for ref in emitted:
            readers = state.balance.readers.get(GroupId(scope, ref.group))
            if readers is not None:
                readers.puts_now += 1


def _look_for_branches(state: State, task: TaskState, scope: Scope, emitted: Sequence[ObjectRef]) -> None:
    own = _ref_of(task)
    if own is None or own.group == own.key:
        return
    for ref in emitted:
        if ref.group != own.group and _stem(GroupId(scope, own.group)) == _stem(GroupId(scope, ref.group)):
            state.balance.together[scope] = None


def note_reads(state: State, needs: tuple[tuple[str, tuple[Read, ...]], ...], scope: Scope, node: str) -> None:
    """Count the reads of the newest version that a task on a node makes of groups that live elsewhere."""
    if not state.policy.balance:
        return
    for _, reads in needs:
        for read in reads:
            if isinstance(read, KeyRead) and read.version == 0 and not read.before:
                group = GroupId(scope, read.group)
                if state.homes.of(group) != node:
                    readers = entry(state.balance.readers, group, Readers, READERS_MAX)
                    readers.reads_now[node] = readers.reads_now.get(node, 0) + 1


def _group_of(task: TaskState) -> GroupId | None:
    """The group that a task works on; None where no rule names one."""
    ref = _ref_of(task)
    return None if ref is None or ref.group == ref.key else GroupId(task.plan.id.scope, ref.group)


def _ref_of(task: TaskState) -> ObjectRef | None:
    """What a task works on, or the first of it."""
    return task.trigger.ref if task.trigger is not None else task.members[0].ref if task.members else None


def _weight_of(state: State, task: TaskState) -> Weight | None:
    """Of the root group that a task works on, if it will be seen again; found once a task."""
    if not task.weighed:
        task.weighed, task.weight = True, _find_weight(state, task)
    return task.weight


def _find_weight(state: State, task: TaskState) -> Weight | None:
    group = _group_of(task)
    if group is None:
        return None
    stem = stem_of(group) if group.scope in state.balance.together else None
    if stem is None and task.plan.pool.name not in task.cascade.plan.recorded:
        return None
    return entry(state.balance.weights, stem or group, Weight, WEIGHTS_MAX)


def _stem(group: GroupId) -> GroupId:
    return stem_of(group) or group

"""Which nodes hold what a task reads?

A placement is drawn up of the ready nodes, what operators pin and what `balancing` decides; `covey.homes` reads it. A
task's home is where most of what it reads lives. Reads name the nodes that can answer them, so that nobody else has to
know the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from covey.declaration import Need, NeedKind, PoolDeclaration
from covey.grouping import TemplateRule
from covey.homes import Homes
from covey.model import GroupId, KeyRead, LastRead, Node, ObjectRef, Placement, Read, Scope
from covey.services.scheduler.core.commands import GroupRecord
from covey.services.scheduler.core.lru import entry
from covey.services.scheduler.core.state import State, TaskState
from covey.services.scheduler.core.weights import GroupUse

Fields = Mapping[str, str | int]


def epoch_base(state: State) -> int:
    """View numbers and placement epochs of this leader lie above; those of any earlier one below."""
    return state.epoch << 24


def place_anew(state: State) -> None:
    """Draw up the placement of now, under a new epoch: the nodes, the pins or what balances them has changed.

    While the leader gathers the nodes of the placement in force, that one stays.
    """
    if state.gathering:
        return
    nodes: dict[str, Node] = {peer.node.id: peer.node for peer in state.nodes.values() if peer.ready}
    placed = {**state.balance.placed, **state.pins}
    placement = Placement(
        epoch=max(state.homes.placement.epoch, epoch_base(state)) + 1,
        nodes=tuple(nodes[name] for name in sorted(nodes)),
        exceptions={group: node for group, node in placed.items() if node in nodes},
        together=tuple(state.balance.together),
        replicas=dict(state.balance.replicas),
        copies=state.policy.copies,
    )
    state.homes = Homes(placement)


def reads_of(task: TaskState, state: State) -> tuple[tuple[str, tuple[Read, ...]], ...]:
    """What the stage's needs mean for this task: per pool, reads that name their nodes."""
    if not task.plan.needs:
        return ()
    if task.reads_epoch != state.homes.placement.epoch:
        declared = zip(task.plan.declaration.needs, task.plan.needs, strict=True)
        task.reads = tuple((pool.name, _reads_of_need(task, need, pool, state)) for need, pool in declared)
        task.reads_epoch = state.homes.placement.epoch
    return task.reads


def member_reads(task: TaskState, state: State) -> tuple[Read, ...]:
    """The joined objects, in key order."""
    members = sorted(task.members, key=lambda member: (member.ref.key, member.ref.version))
    return tuple(
        KeyRead(ref.pool, ref.key, ref.group, ref.version, state.homes.of(GroupId(task.plan.id.scope, ref.group)), True)
        for ref, _ in members
    )


def task_homes(task: TaskState, state: State) -> tuple[str, ...]:
    """The nodes that hold most of what a task reads: its trigger, its members, what it needs.

    The state counts twice: it is read to be written again.
    """
    scope, homes = task.plan.id.scope, state.homes
    if task.trigger is not None and not task.plan.needs:
        return homes.readers(GroupId(scope, task.trigger.ref.group))
    held: dict[str, int] = {}

    def count(nodes: tuple[str, ...], weight: int = 1) -> None:
        for node in nodes:
            held[node] = held.get(node, 0) + weight

    if task.trigger is not None:
        count(homes.readers(GroupId(scope, task.trigger.ref.group)))
    for member in task.members:
        count(homes.readers(GroupId(scope, member.ref.group)))
    for (_, reads), pool in zip(reads_of(task, state), task.plan.needs, strict=True):
        for read in reads:
            if isinstance(read, KeyRead):
                count(homes.readers(GroupId(scope, read.group)), 2 if pool is task.plan.state_pool else 1)
            elif isinstance(read, LastRead) and len(read.nodes) == 1:
                count(read.nodes)
    if len(held) < 2:
        return tuple(held) or homes.nodes
    most = max(held.values())
    return tuple([node for node, weight in held.items() if weight == most])


def reads_near(reads: tuple[Read, ...], scope: Scope, state: State, node: str) -> tuple[Read, ...]:
    """The same reads, asked of the node where the task runs if that holds a copy of what they read."""
    return tuple([_read_near(read, scope, state, node) for read in reads])


def _read_near(read: Read, scope: Scope, state: State, node: str) -> Read:
    match read:
        case KeyRead() if read.node != node:
            return replace(read, node=state.homes.nearest(GroupId(scope, read.group), node))
        case LastRead() if len(read.nodes) > 1 and len(state.homes.nodes) <= state.homes.placement.copies:
            return replace(read, nodes=(node,) if node in read.nodes else read.nodes[:1])
        case _:
            return read


def _reads_of_need(task: TaskState, need: Need, pool: PoolDeclaration, state: State) -> tuple[Read, ...]:
    scope = task.plan.id.scope
    match need.kind:
        case NeedKind.LATEST:
            if pool is task.plan.state_pool and task.state_version == 0 and _begins(task, state):
                return ()
            version = task.state_version if pool is task.plan.state_pool else 0
            key = pool.compiled.render(task.fields)
            return (_key_read(pool, key, task, scope, version, state),)
        case NeedKind.AT:
            index = _index(task)
            name = pool.compiled.index or ""
            keys = [pool.compiled.render({**task.fields, name: index + offset}) for offset in need.offsets]
            return tuple(_key_read(pool, key, task, scope, 0, state) for key in keys)
        case NeedKind.LAST:
            trigger = task.trigger.ref if task.trigger is not None else None
            same_pool = trigger is not None and trigger.pool == pool.name
            return (
                LastRead(
                    pool=pool.name,
                    series=pool.compiled.series(task.fields),
                    count=need.count,
                    as_of=_index(task),
                    exclusive=pool.name in task.plan.declaration.emits,
                    nodes=_series_nodes(pool, task.fields, trigger if same_pool else None, scope, state),
                    awaits=trigger.key if trigger is not None and same_pool else "",
                ),
            )


def _begins(task: TaskState, state: State) -> bool:
    """Whether the state was lost with its home: there is nothing to read, and the task starts from None."""
    line = state.lines.get(task.line) if task.line is not None else None
    return line is not None and line.lost


def _key_read(
    pool: PoolDeclaration,
    key: str,
    task: TaskState,
    scope: Scope,
    version: int,
    state: State,
) -> KeyRead:
    trigger = task.trigger.ref if task.trigger is not None else None
    is_trigger = trigger is not None and trigger.key == key
    group = trigger.group if trigger is not None and is_trigger else pool.group_of(key, pool.fields_of(key))[0]
    node = state.homes.of(GroupId(scope, group))
    if is_trigger:  # it may be on its way, and is then newer than the admission that it caused
        return KeyRead(pool.name, key, group, version, node, required=True)
    if pool is task.plan.state_pool:
        before = b"" if task.state_as_of is None else task.identity
        return KeyRead(pool.name, key, group, version, node, False, task.state_as_of, before)
    return KeyRead(pool.name, key, group, 0, node, False, task.cascade.admitted_at)


def _series_nodes(
    pool: PoolDeclaration,
    fields: Fields,
    trigger: ObjectRef | None,
    scope: Scope,
    state: State,
) -> tuple[str, ...]:
    """The nodes that may hold objects of a series, the trigger's home first: that node waits for the trigger.

    One, when the rule is made of fields that all of the series share; every node otherwise. An event with an explicit
    group lives where it was told to, so that node is asked too.
    """
    rule = pool.rule
    if isinstance(rule, TemplateRule) and pool.compiled.index not in rule.names:
        nodes_of_series: tuple[str, ...] = (state.homes.of(GroupId(scope, rule.text.format_map(fields))),)
    else:
        nodes_of_series = state.homes.nodes
    if trigger is None:
        return nodes_of_series
    return tuple(dict.fromkeys((state.homes.of(GroupId(scope, trigger.group)), *nodes_of_series)))


def _index(task: TaskState) -> int:
    """The index that the task's reads are relative to: that of its trigger, or of the join's fields."""
    source = task.plan.pool
    return int(task.fields[source.compiled.index or ""])


# --- what the metadata says of groups --------------------------------------------------------------------------------


def use_group(state: State, group: GroupId, objects: int, size: int) -> None:
    """Count a use of a group; the least recently used are forgotten."""
    use = entry(state.groups, group, GroupUse, state.limits.groups_max)
    use.objects += objects
    use.size += size
    use.uses += 1


HOT_USES = 2
RECORDS_MAX = 1_000


def records_to_write(state: State) -> tuple[GroupRecord, ...]:
    """The groups that were used again since their last record, the most recent first; starts their count anew.

    A group that is used once, as a join's is, gets no record.
    """
    records = []
    for group in reversed(state.groups):
        use = state.groups[group]
        if use.uses >= HOT_USES:
            records.append(
                GroupRecord(group, state.homes.of(group), state.homes.placement.epoch, use.objects, use.size, use.uses)
            )
            use.uses = 0
        if len(records) == RECORDS_MAX:
            break
    return tuple(records)

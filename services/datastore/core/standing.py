"""Does a group live here, and is it here already? Pure.

A request is answered where the group lives, and only once everything that was acknowledged of it is there. That is so
when this node is settled; or when the group has been handed to it; or when it has lived here in every placement since
the node was last settled, so that nobody else can have had it; or when every other node has said, by the placement of
now, which groups it has for this one, and the group is none of those.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from covey.declaration import PoolDeclaration
from covey.errors import Moved
from covey.grouping import Scope, TemplateRule
from covey.model import GroupId
from covey.services.datastore.core.state import Arrival, Settling, State


def awaited(state: State, group_id: GroupId) -> tuple[Arrival, ...]:
    """What a request for a group must wait for, mostly nothing. Raises Moved where the group lives elsewhere."""
    homes, moves = state.homes, state.moves
    if not moves.member or homes.of(group_id) != state.node:
        raise Moved(f"group {group_id.group!r} does not live on node {state.node}")
    group = state.groups.get(group_id)
    if moves.settled == homes.placement.epoch or not _may_come(state, group_id):
        if group is not None and not group.ours:  # a node that is gone may have gone on from what is here
            group.ours, group.number = True, max(group.number, state.number_floor)
        return ()
    is_given = group is not None and group.given
    if not is_given and ((group is not None and group.ours) or has_stayed(state, group_id)):
        return ()
    return (Arrival(group_id),)


def awaited_by_reader(state: State, group_id: GroupId) -> tuple[Arrival, ...]:
    """What a read of a group must wait for, where it lives or on a node that holds a copy of it. Raises Moved."""
    homes, moves = state.homes, state.moves
    home = homes.of(group_id)
    if home == state.node or not moves.member or not homes.copied or state.node not in homes.readers(group_id):
        return awaited(state, group_id)
    epoch, giver, group = homes.placement.epoch, moves.givers.get(home), state.groups.get(group_id)
    if giver is not None and giver.copied == epoch:
        return ()
    if group is not None and group.copy_of == home and group.copied_at == epoch:
        return ()
    since = moves.copies_since
    if since and all(each.of(group_id) == home and state.node in each.readers(group_id) for each in since):
        return ()
    return (Arrival(group_id),)


def _may_come(state: State, group_id: GroupId) -> bool:
    """Whether another node has the group for this one, or may have."""
    epoch, givers = state.homes.placement.epoch, state.moves.givers
    for name in state.moves.peers:
        giver = givers.get(name)
        if giver is None or giver.announced != epoch or group_id in giver.coming:
            return True
    return False


def has_stayed(state: State, group_id: GroupId) -> bool:
    """Whether the group has lived here in every placement since this node was last settled."""
    since = state.moves.since
    return bool(since) and all(homes.of(group_id) == state.node for homes in since)


def awaited_by_all(state: State, nodes: Sequence[str]) -> tuple[Settling, ...]:
    """What a read must wait for that spans nodes: all groups are where they live. Raises Moved if it misses a node."""
    homes, moves = state.homes, state.moves
    epoch = homes.placement.epoch
    has_all = homes.placement.copies >= len(homes.nodes)
    if not moves.member or not (has_all or all(node in nodes for node in homes.nodes)):
        raise Moved(f"the nodes are {', '.join(homes.nodes)}, not {', '.join(nodes)}")
    if moves.settled != epoch or moves.done != epoch:
        return (Settling(),)
    is_whole = not has_all or all(moves.givers[name].copied == epoch for name in moves.peers)
    return () if is_whole else (Settling(),)


def group_of_series(scope: Scope, pool: PoolDeclaration, series: str) -> GroupId | None:
    """The one group of all objects of a series, or None when they may be of several."""
    group = _group_of_series(pool, series)
    return GroupId(scope, group) if group is not None else None


@functools.lru_cache(maxsize=65_536)
def _group_of_series(pool: PoolDeclaration, series: str) -> str | None:
    rule, template = pool.rule, pool.compiled
    if not isinstance(rule, TemplateRule) or template.index in rule.names:
        return None
    star = series.find("*")
    while star >= 0:  # a field may hold a '*' of its own
        fields = template.match(f"{series[:star]}0{series[star + 1 :]}")
        if fields is not None and template.series(fields) == series:
            return rule.group_of(series, fields)
        star = series.find("*", star + 1)
    return None

"""A new placement: which nodes are there, and which groups live elsewhere now? Pure.

`handing_over` has the law.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from covey.homes import Homes
from covey.model import GroupId, Node, ObjectName, Placement
from covey.services.datastore.core import copying, groups, handing_over, retention
from covey.services.datastore.core.commands import Command, LeaveNode
from covey.services.datastore.core.moving import Peer
from covey.services.datastore.core.state import Group, State

SCANNED_A_STEP = 1_000

SINCE_MAX = 16
"""Placements that are remembered since the node was last settled; after more, groups wait for it to settle."""

NUMBERS_OF_THE_LOST = 1 << 30
"""More puts than a group of a lost node can have had: its numbers are not given again."""


def adopt(state: State, placement: Placement, out: list[Command]) -> None:
    """Act upon a placement, if it is newer than the one known. What lives elsewhere is handed over from now on."""
    before, moves = state.homes, state.moves
    if placement.epoch <= before.placement.epoch:
        return
    while moves.scan:  # by the placement that it was begun for
        _judge(state, moves.scan.popleft(), out)
    handing_over.take_out(state, math.inf)
    mine = next((node for node in placement.nodes if node.id == state.node), None)
    if moves.member and (mine is None or mine.joined != moves.joined):
        _let_go(state, out)
    moves.member = mine is not None
    moves.joined = mine.joined if mine is not None else 0
    state.homes = Homes(placement)
    moves.adopted = True
    if moves.since:
        moves.since = [*moves.since, state.homes] if len(moves.since) < SINCE_MAX else []
    is_next = placement.epoch == before.placement.epoch + 1 and len(moves.copies_since) < SINCE_MAX
    moves.copies_since = [*moves.copies_since, state.homes] if moves.copies_since and is_next else []
    if any(node not in placement.nodes for node in before.placement.nodes if node.id != state.node):
        state.number_floor += NUMBERS_OF_THE_LOST
    _meet_nodes(state, placement.nodes if moves.member else (), out)
    for series in state.series.values():
        if series.pool.durable:
            series.complete = False  # storage may have keys of groups that live here only now
    moves.stale = _stale(before.placement, placement)
    moves.marks = {}
    for scope, pool, group, key in state.evicted_keys:
        moves.marks.setdefault(GroupId(scope, group), []).append(ObjectName(pool, key))
    first = moves.stale[1] if moves.stale is not None else ()
    # What was used last goes first: somebody may be waiting for it.
    moves.scan = deque(dict.fromkeys([*moves.leaving, *first, *reversed(state.groups), *moves.marks]))


def _let_go(state: State, out: list[Command]) -> None:
    """This node was taken for lost: its groups live elsewhere by now, and what is here of them is out of date."""
    moves = state.moves
    copying.give_up_all(state, out)
    moves.since, moves.copies_since = [], []
    moves.leaving.clear()
    moves.arriving.clear()
    for peer in moves.peers.values():
        peer.queue.clear()
        peer.to_copy.clear()
        peer.copying.clear()
        peer.waits.clear()
        peer.waits_for_it.clear()
        peer.giving = None
    for group in state.groups.values():
        group.leaving, group.given, group.ours = False, 0, False
        group.copies.clear()
    retention.evict_all(state)


def _meet_nodes(state: State, nodes: Sequence[Node], out: list[Command]) -> None:
    """Reach who is new, leave who is gone. A node that was lost and is back is both."""
    moves = state.moves
    wanted = {node.id: node for node in nodes if node.id != state.node}
    for name, peer in list(moves.peers.items()):
        if wanted.get(name) != peer.node:
            handing_over.doubt_sent(state, peer, out)
            for group_id in [group for group, giver in moves.arriving.items() if giver == name]:
                handing_over.discard(state, group_id)
            if peer.link:
                out.append(LeaveNode(peer.link))
            del moves.peers[name]
    for name, node in wanted.items():
        if name not in moves.peers:
            moves.last_tenure += 1
            moves.peers[name] = Peer(node, tenure=moves.last_tenure)


def _stale(before: Placement, now: Placement) -> tuple[Homes, dict[GroupId, None]] | None:
    """The groups that can have moved, where exceptions alone differ."""
    if (before.nodes, before.together, before.copies) != (now.nodes, now.together, now.copies):
        return None
    differ = [group for group, node in before.exceptions.items() if now.exceptions.get(group) != node]
    differ += [group for group in now.exceptions if group not in before.exceptions]
    for ours, theirs in ((before.replicas, now.replicas), (now.replicas, before.replicas)):
        differ += [group for group, nodes in ours.items() if theirs.get(group) != nodes]
    return Homes(now), dict.fromkeys(differ)


def _judge(state: State, group_id: GroupId, out: list[Command]) -> None:
    """Find out whether a group lives elsewhere now, and see to it that it gets there."""
    moves, group = state.moves, state.groups.get(group_id)
    if moves.stale is not None and group_id not in moves.leaving:
        homes, differ = moves.stale
        if group_id not in differ and homes.root_of(group_id) not in differ:
            return
    if group_id in moves.discarding:
        return
    if group is not None and group.given:
        return  # until it is known whether the node that it was given to has it
    handing_over.keep_from_others(state, group_id)
    home = state.homes.of(group_id)
    if home == state.node or not moves.member:
        if group is not None:
            _stay(state, group)
        return
    if group is not None and group.copy_of:
        if state.node not in state.homes.readers(group_id):
            handing_over.discard(state, group_id)
        return
    if group_id in moves.arriving:
        handing_over.discard(state, group_id)
        return
    if group is None:
        if group_id not in moves.marks:
            return
        group = groups.use_group(state, group_id)
    if not group.leaving:
        copying.stop(state, group, out)
        group.ours = group.ours or _had_stayed(state, group_id)
        group.leaving = True
    moves.leaving[group_id] = home
    moves.peers[home].queue[group_id] = None


def _stay(state: State, group: Group) -> None:
    """The group lives here. A reader's copy becomes the group, once it is known that nobody has more of it."""
    group.leaving = False
    if group.copy_of:
        group.copy_of, group.copied_at, group.ours = "", -1, False
        groups.forget_durable(state, group)
    if state.moves.member:
        copying.renew(state, group)
    groups.forget_if_empty(state, group)


def _had_stayed(state: State, group_id: GroupId) -> bool:
    """Whether the group was this node's before the placement of now."""
    earlier = state.moves.since[:-1]
    return bool(earlier) and all(homes.of(group_id) == state.node for homes in earlier)


def scan(state: State, out: list[Command]) -> None:
    """Look at some of the groups that may live elsewhere now."""
    moves = state.moves
    for _ in range(min(SCANNED_A_STEP, len(moves.scan))):
        _judge(state, moves.scan.popleft(), out)

"""Groups move: what lives elsewhere by a new placement is handed over to its new home. Pure.

The law, of the node that gives; `taking_over` has that of the node that takes, `standing` says when a group is served:

1. From the moment a placement is adopted, what lives elsewhere by it is answered MOVED here. It is sent to its new
   home, versions oldest first, and dropped here once the new home has acknowledged it whole. Of durable objects nothing
   is sent: storage finishes what it is doing, and the new home loads them.
2. First each node says to every other node of the placement E which groups come (HandingOver), so that a group which
   nobody announces is known to be new. A node that holds nothing that lives elsewhere by placement E says HandedOver(E) to every other node of E. It takes
   nothing that does not live with it (it refuses, or waits for the placement that the giver knows), so this stays true
   for as long as it acts upon E.
3. A node is *settled* at E when all other nodes of E have said HandedOver(E), for E and no other: who is further on may
   have given a group to a node of a later placement. Whoever left a placement is not waited for.
4. Every hand-over counts once: it is numbered within one life of the giver and remembered by one life of the taker, and
   what was not acknowledged when a link broke is asked about on the next one. Where the taker is gone, and may have had
   the group since, the copy here is kept and handed on as not *sure*: it is merged, and served only by a settled node.
5. A node that a placement leaves out has been taken for lost: it lets go of everything.

So at any moment one node at most takes puts of a group, and it has all that was acknowledged of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from covey.homes import Homes
from covey.messages import HandedOver, HandingOver, HandOver, HandOverDone, KeptVersion, MeetNode, NodeMet
from covey.model import GroupId, Node, ObjectName, Placement
from covey.services.datastore.core import copying, groups, retention
from covey.services.datastore.core.commands import Command, LeaveNode, ReachNode, Tell
from covey.services.datastore.core.moving import Giving, Peer
from covey.services.datastore.core.state import OVERHEAD_BYTES, Group, State, is_busy

BYTES_SENT_MAX = 4 * 1024 * 1024
MESSAGES_SENT_MAX = 32
VERSIONS_SENT_MAX = 256
"""What may be unacknowledged by one node, so that what is handed over never fills a link, nor keeps the taker for more
than some 10 ms at a time from its other requests."""

PIECE_BYTES = 128 * 1024
"""Of payloads, and of what objects cost beside them, in one message; a larger object goes alone."""

VERSIONS_A_PIECE = 64
MARKS_A_PIECE = 1_000
GROUPS_ANNOUNCED = 2_000
"""In one message."""
SCANNED_A_STEP = 1_000
DISCARDED_A_STEP = 500
REDIAL_S = 0.1

SINCE_MAX = 16
"""Placements that are remembered since the node was last settled; after more, groups wait for it to settle."""

NUMBERS_OF_THE_LOST = 1 << 30
"""More puts than a group of a lost node can have had: its numbers are not given again."""


# --- a new placement -------------------------------------------------------------------------------------------------


def adopt(state: State, placement: Placement, out: list[Command]) -> None:
    """Act upon a placement, if it is newer than the one known. What lives elsewhere is handed over from now on."""
    before, moves = state.homes, state.moves
    if placement.epoch <= before.placement.epoch:
        return
    while moves.scan:  # by the placement that it was begun for
        _judge(state, moves.scan.popleft(), out)
    _take_out(state, math.inf)
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
            _doubt_sent(state, peer, out)
            for group_id in [group for group, giver in moves.arriving.items() if giver == name]:
                discard(state, group_id)
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
    _keep_from_others(state, group_id)
    home = state.homes.of(group_id)
    if home == state.node or not moves.member:
        if group is not None:
            _stay(state, group)
        return
    if group is not None and group.copy_of:
        if state.node not in state.homes.readers(group_id):
            discard(state, group_id)
        return
    if group_id in moves.arriving:
        discard(state, group_id)
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
        group.number = max(group.number, state.number_floor)
    if state.moves.member:
        copying.renew(state, group)
    groups.forget_if_empty(state, group)


def _had_stayed(state: State, group_id: GroupId) -> bool:
    """Whether the group was this node's before the placement of now."""
    earlier = state.moves.since[:-1]
    return bool(earlier) and all([homes.of(group_id) == state.node for homes in earlier])


def _keep_from_others(state: State, group_id: GroupId) -> None:
    """The group is handed over to nobody, as things stand."""
    peer = state.moves.peers.get(state.moves.leaving.pop(group_id, ""))
    if peer is not None:
        peer.queue.pop(group_id, None)
        if peer.giving is not None and peer.giving.group == group_id:
            peer.giving = None


def come_back(state: State, group_id: GroupId) -> None:
    """The group comes to this node: it is handed to nobody, and of what was to be taken out nothing is left."""
    _keep_from_others(state, group_id)
    if group_id in state.moves.discarding:
        del state.moves.discarding[group_id]
        groups.discard(state, state.groups[group_id], math.inf)


# --- giving ----------------------------------------------------------------------------------------------------------


def proceed(state: State, now: float, out: list[Command]) -> None:
    """Go on with what there is to hand over, and tell the others when there is nothing left."""
    moves = state.moves
    for _ in range(min(SCANNED_A_STEP, len(moves.scan))):
        _judge(state, moves.scan.popleft(), out)
    _take_out(state, DISCARDED_A_STEP)
    for peer in moves.peers.values():
        if peer.reach_at is not None and peer.reach_at <= now:
            moves.last_link += 1
            peer.link, peer.reach_at = moves.last_link, None
            out.append(ReachNode(peer.link, peer.node))
    if moves.scan or not moves.member:
        return
    epoch = state.homes.placement.epoch
    for peer in moves.peers.values():
        if peer.met and peer.announced < epoch:
            peer.announced = epoch
            _announce(state, peer, epoch, out)
        if peer.met:
            _give(state, peer, out)
    if moves.leaving:
        return
    moves.done = epoch
    copying.tell_made(state, out)
    for peer in moves.peers.values():
        if peer.met and peer.told < epoch:
            peer.told = epoch
            out.append(Tell(peer.link, HandedOver(epoch, state.number_floor)))


def _announce(state: State, peer: Peer, epoch: int, out: list[Command]) -> None:
    """Say which groups come. Those whose last piece was sent are there before this, and are not named."""
    left = deque(peer.queue)
    while True:
        names = tuple([left.popleft() for _ in range(min(GROUPS_ANNOUNCED, len(left)))])
        out.append(Tell(peer.link, HandingOver(epoch, state.number_floor, names, more=bool(left))))
        if not left:
            return


def next_step(state: State, now: float) -> float | None:
    """When there is something to do though nothing happens."""
    if state.moves.scan or state.moves.discarding:
        return now
    instants = [peer.reach_at for peer in state.moves.peers.values() if peer.reach_at is not None]
    return min(instants, default=None)


def _give(state: State, peer: Peer, out: list[Command]) -> None:
    while _has_room(peer):
        peer.giving = peer.giving or _next_group(state, peer)
        if peer.giving is None:
            return
        message = _next_piece(state, peer, peer.giving)
        peer.sent.append(message)
        peer.bytes_sent += message.size
        peer.versions_sent += len(message.versions)
        state.counts.bytes_handed_over += message.size
        out.append(Tell(peer.link, message))


def _next_group(state: State, peer: Peer) -> Giving | None:
    """What to begin with next: groups that live with the node now, then copies of those that it reads."""
    first = state.moves.last_request + 1
    for group_id in peer.queue:
        group = state.groups[group_id]
        if not is_busy(group) and not group.spreads:
            return Giving(group_id, first, copying.pieces(group), deque(state.moves.marks.get(group_id, ())))
    while peer.to_copy:
        group_id, _ = peer.to_copy.popitem(last=False)
        if group_id in state.groups:
            return Giving(group_id, first, copying.pieces(state.groups[group_id]), deque(), copy=True)
        for pending in peer.waits.pop(group_id, ()):
            raise AssertionError(f"a put waits for a copy of {pending.group}, which is not here")
    return None


def _has_room(peer: Peer) -> bool:
    return (
        len(peer.sent) < MESSAGES_SENT_MAX
        and peer.bytes_sent < BYTES_SENT_MAX
        and peer.versions_sent < VERSIONS_SENT_MAX
    )


def _next_piece(state: State, peer: Peer, giving: Giving) -> HandOver:
    """The next message of a group. With the last one, nobody here knows whose the group is until it is answered."""
    moves, group = state.moves, state.groups[giving.group]
    moves.last_request += 1
    versions: list[KeptVersion] = []
    cost = 0
    while giving.versions and len(versions) < VERSIONS_A_PIECE:
        if versions and cost + _cost(giving.versions[0]) > PIECE_BYTES:
            break
        cost += _cost(giving.versions[0])
        versions.append(giving.versions.popleft())
    evicted = [giving.evicted.popleft() for _ in range(min(MARKS_A_PIECE, len(giving.evicted)))]
    is_last = not giving.versions and not giving.evicted
    if is_last:
        peer.giving = None
    if is_last and giving.copy:
        copying.sent_whole(state, peer, group, moves.last_request)
    elif is_last:
        group.given = moves.last_request
        del peer.queue[group.id]
    return HandOver(
        request=moves.last_request,
        epoch=state.homes.placement.epoch,
        joined=moves.joined,
        group=group.id,
        number=group.number,
        versions=tuple(versions),
        evicted=tuple(evicted),
        last=is_last,
        sure=group.ours,
        copy=giving.copy,
    )


def _cost(version: KeptVersion) -> int:
    return version.ref.size + OVERHEAD_BYTES


# --- what the others answer ------------------------------------------------------------------------------------------


def reached(state: State, link: int, out: list[Command]) -> None:
    """A link is open: say who hands over."""
    if _peer_at(state, link) is not None:
        out.append(Tell(link, MeetNode(link, state.node, state.life)))


def lost(state: State, link: int, now: float) -> None:
    """A link has ended, or could not be opened; what was sent over it may have arrived."""
    peer = _peer_at(state, link)
    if peer is not None:
        peer.link, peer.met, peer.reach_at = 0, False, now + REDIAL_S
        peer.announced = peer.told = peer.told_copies = 0


def met(state: State, link: int, answer: NodeMet, out: list[Command]) -> None:
    """Learn what the node has of what was sent before, and send it the rest again."""
    peer = _peer_at(state, link)
    if peer is None:
        return
    peer.met = True
    if peer.life is not None and peer.life != answer.life:
        _doubt_sent(state, peer, out)
        state.moves.last_tenure += 1
        peer.tenure = state.moves.last_tenure
        state.moves.scan.extend(state.groups)  # what it had copies of, it has to get again
        state.moves.stale = None
    peer.life = answer.life
    for message in [message for message in peer.sent if message.request <= answer.last]:
        acknowledged(state, link, HandOverDone(message.request, message.request in answer.refused), out)
    out.extend([Tell(link, message) for message in peer.sent])


def acknowledged(state: State, link: int, answer: HandOverDone, out: list[Command]) -> None:
    """A node has a piece of a group, or refused it."""
    peer = _peer_at(state, link)
    if peer is None or not peer.sent or peer.sent[0].request != answer.request:
        return
    message = peer.sent.popleft()
    peer.bytes_sent -= message.size
    peer.versions_sent -= len(message.versions)
    if message.copy:
        copying.acknowledged(state, peer, message, answer.refused, out)
        return
    group = state.groups.get(message.group)
    if answer.refused:
        _take_back(state, peer, message)
    elif group is not None and group.given == message.request:
        state.moves.leaving.pop(message.group, None)
        state.counts.groups_handed_over += 1
        discard(state, message.group)


def _take_back(state: State, peer: Peer, message: HandOver) -> None:
    """The node knows a later placement, by which the group lives elsewhere: wait for it, or act upon it."""
    group = state.groups.get(message.group)
    if peer.giving is not None and peer.giving.group == message.group and message.request >= peer.giving.first:
        peer.giving = None
        peer.queue.pop(message.group, None)
    if group is not None and group.given == message.request:
        group.given = 0
    if message.epoch < state.homes.placement.epoch:
        state.moves.scan.append(message.group)


def _doubt_sent(state: State, peer: Peer, out: list[Command]) -> None:
    """The process that was sent all this is gone: whether it took it, and what it made of it, nobody knows."""
    copying.lose_reader(state, peer, out)
    for message in [message for message in peer.sent if not message.copy]:
        group = state.groups.get(message.group)
        if group is not None and group.given == message.request:
            group.given, group.ours = 0, False
        state.moves.scan.append(message.group)
    peer.sent.clear()
    peer.bytes_sent = peer.versions_sent = 0
    peer.giving = None


def _peer_at(state: State, link: int) -> Peer | None:
    return next((peer for peer in state.moves.peers.values() if link and peer.link == link), None)


# --- out of memory ---------------------------------------------------------------------------------------------------


def discard(state: State, group_id: GroupId) -> None:
    """Another node has the group: let go of what is here, without a word of it being lost."""
    state.moves.arriving.pop(group_id, None)
    group = state.groups.get(group_id)
    if group is not None:
        group.ours, group.given, group.leaving = False, 0, True
        state.moves.discarding[group_id] = None


def _take_out(state: State, histories_max: float) -> None:
    """Take some of what was discarded out of memory; a large group takes several steps."""
    discarding = state.moves.discarding
    while discarding and histories_max > 0:
        group_id = next(iter(discarding))
        histories_max -= groups.discard(state, state.groups[group_id], histories_max)
        if group_id not in state.groups or not state.groups[group_id].leaving:
            del discarding[group_id]

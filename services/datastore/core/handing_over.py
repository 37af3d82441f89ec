"""Groups move: what lives elsewhere by a new placement is handed over to its new home. Pure.

The law, of the node that gives; `taking_over` has that of the node that takes, `standing` says when a group is served:

1. From the moment a placement is adopted, what lives elsewhere by it is answered MOVED here. It is sent to its new
   home, versions oldest first, and dropped here once the new home has acknowledged it whole. Of durable objects nothing
   is sent: storage finishes what it is doing, and the new home loads them.
2. First each node says to every other node of the placement E which groups come (HandingOver), so that a group which
   nobody announces is known to be new. When it holds nothing more that lives elsewhere, it says HandedOver(E). It takes
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

from covey.messages import HandedOver, HandingOver, HandOver, HandOverDone, KeptVersion, MeetNode, NodeMet
from covey.model import GroupId
from covey.services.datastore.core import copying, groups
from covey.services.datastore.core.commands import Command, ReachNode, Tell
from covey.services.datastore.core.moving import Giving, Peer
from covey.services.datastore.core.standing import awaited
from covey.services.datastore.core.state import OVERHEAD_BYTES, State, is_busy

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
DISCARDED_A_STEP = 500
REDIAL_S = 0.1


def keep_from_others(state: State, group_id: GroupId) -> None:
    """The group is handed over to nobody, as things stand."""
    peer = state.moves.peers.get(state.moves.leaving.pop(group_id, ""))
    if peer is not None:
        peer.queue.pop(group_id, None)
        if peer.giving is not None and peer.giving.group == group_id:
            peer.giving = None


def come_back(state: State, group_id: GroupId) -> None:
    """The group comes to this node: it is handed to nobody, and of what was to be taken out nothing is left."""
    keep_from_others(state, group_id)
    if group_id in state.moves.discarding:
        del state.moves.discarding[group_id]
        groups.discard(state, state.groups[group_id], math.inf)


# --- giving ----------------------------------------------------------------------------------------------------------


def proceed(state: State, now: float, out: list[Command]) -> None:
    """Go on with what there is to hand over, and tell the others when there is nothing left."""
    moves = state.moves
    take_out(state, DISCARDED_A_STEP)
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
    """Say which groups come, or may come: those that were given to some node under an earlier placement, too."""
    given = [group_id for group_id in state.moves.leaving if state.groups[group_id].given]
    left = deque([*peer.queue, *(group_id for group_id in given if state.homes.of(group_id) == peer.node.id)])
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
    for group_id in list(peer.to_copy):
        if group_id not in state.groups:
            del peer.to_copy[group_id]
        elif state.homes.of(group_id) == state.node and not awaited(state, group_id):  # else there may be more of it
            del peer.to_copy[group_id]
            return Giving(group_id, first, copying.pieces(state.groups[group_id]), deque(), copy=True)
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
        groups.forget_durable(state, group)
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
        doubt_sent(state, peer, out)
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


def doubt_sent(state: State, peer: Peer, out: list[Command]) -> None:
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


def take_out(state: State, histories_max: float) -> None:
    """Take some of what was discarded out of memory; a large group takes several steps."""
    discarding = state.moves.discarding
    while discarding and histories_max > 0:
        group_id = next(iter(discarding))
        histories_max -= groups.discard(state, state.groups[group_id], histories_max)
        if group_id not in state.groups or not state.groups[group_id].leaving:
            del discarding[group_id]

"""Replicas: a group's home keeps copies of it on the nodes that read it, and acknowledges what all of them have. Pure.

1. The home sends the whole group to a node that has become one of its readers, and each put from then on. It answers a
   put when every reader has it, or has left. A node that was a reader until now may serve the group for as long as it
   has not adopted the placement that says otherwise: the home of now waits for that, too.
2. When a home is settled, and the readers have the whole of all groups that live with it, it says CopiesMade(E).
3. A reader serves a group (`standing.awaited_by_reader`) when it has been sent the whole of it under the placement of
   now; or its home has said CopiesMade for that one, so that what is not here does not exist; or home and reader have
   been the same in every placement since all homes had last said so, and none was missed.

Copies travel with hand-overs, in order; both are counted and repeated alike.
"""

from __future__ import annotations

from collections import deque

from covey.errors import Reason, Status
from covey.messages import CopiesMade, HandOver, KeptVersion, PutDone
from covey.model import GroupId
from covey.services.datastore.core import groups
from covey.services.datastore.core.commands import Command, Send, Tell
from covey.services.datastore.core.moving import Peer, Spread
from covey.services.datastore.core.state import Group, History, State, Version


def spread(state: State, group: Group, version: Version, link: int, answer: PutDone, out: list[Command]) -> None:
    """Send a new version to the readers of its group, and have the put answered when they have it."""
    moves = state.moves
    if not moves.member or not (state.homes.copied or any(homes.copied for homes in moves.since)):
        out.append(Send(link, answer))
        return
    history = group.histories[version.ref.pool, version.ref.key]
    pending = Spread(group.id, version.ref.version, [(link, answer)])
    home, *readers = state.homes.readers(group.id)
    if home != state.node:
        readers = []  # storage has taken what was put before the group moved; its new home sees to the rest
    for name in readers:
        pending.left += _send_to(state, moves.peers[name], group, history, version, pending, out)
    for name in _former_readers(state, group.id):
        if name in moves.peers and name not in readers and not _has_adopted(state, name):
            moves.peers[name].waits_for_it.append(pending)
            pending.left += 1
    if not pending.left:
        out.append(Send(link, answer))
        return
    group.spreads += 1
    moves.spreads[group.id, version.ref.version] = pending


def answer_known(state: State, group_id: GroupId, link: int, answer: PutDone, out: list[Command]) -> None:
    """Answer a put that came again: with the first one, if that waits for readers."""
    pending = state.moves.spreads.get((group_id, answer.ref.version)) if answer.ref is not None else None
    if pending is not None:
        pending.answers.append((link, answer))
    else:
        out.append(Send(link, answer))


def _send_to(
    state: State, peer: Peer, group: Group, history: History, version: Version, pending: Spread, out: list[Command]
) -> int:
    """Send a version to one reader, by itself or with the whole group; how many answers are to be waited for: one."""
    if group.copies.get(peer.node.id) == peer.tenure:
        message = _message(state, group, (kept(history, version),), last=False)
        peer.sent.append(message)
        peer.bytes_sent += message.size
        peer.versions_sent += 1
        state.moves.spread_by[message.request] = pending
        if peer.met:
            out.append(Tell(peer.link, message))
        return 1
    if peer.giving is not None and peer.giving.group == group.id:
        peer.giving.versions.append(kept(history, version))
    else:
        peer.to_copy[group.id] = None
    peer.waits.setdefault(group.id, []).append(pending)
    return 1


def _former_readers(state: State, group_id: GroupId) -> list[str]:
    """The nodes that may still read the group, for all they know; everyone, where that is not known here."""
    moves = state.moves
    if moves.settled == state.homes.placement.epoch:
        return []
    if not moves.since:
        return list(moves.peers)
    return list(dict.fromkeys([name for homes in moves.since for name in homes.readers(group_id)]))


def _has_adopted(state: State, name: str) -> bool:
    giver = state.moves.givers.get(name)
    return giver is not None and giver.announced == state.homes.placement.epoch


def _message(state: State, group: Group, versions: tuple[KeptVersion, ...], last: bool) -> HandOver:
    state.moves.last_request += 1
    return HandOver(
        request=state.moves.last_request,
        epoch=state.homes.placement.epoch,
        joined=state.moves.joined,
        group=group.id,
        number=group.number,
        versions=versions,
        last=last,
        copy=True,
    )


def kept(history: History, version: Version) -> KeptVersion:
    """A version as it travels to another node."""
    return KeptVersion(
        version.ref,
        version.payload,
        version.emission,
        version.put_at,
        version.lapsed_at if version.lapsed_at < float("inf") else None,
        history.lost_before if history.lost_before > float("-inf") else None,
    )


def renew(state: State, group: Group) -> None:
    """The group lives here: see to it that its readers of now, and no others, are sent the whole of it once."""
    readers = state.homes.readers(group.id)[1:] if state.homes.copied else ()
    for name in [name for name in group.copies if name not in readers]:
        del group.copies[name]
    for name in readers:
        peer = state.moves.peers[name]
        if group.copies.get(name) != peer.tenure:
            peer.to_copy[group.id] = None


def stop(state: State, group: Group, out: list[Command]) -> None:
    """The group lives elsewhere now. Who waits for a copy waits until that reader knows so, too."""
    group.copies.clear()
    for name, peer in state.moves.peers.items():
        peer.to_copy.pop(group.id, None)
        if peer.giving is not None and peer.giving.copy and peer.giving.group == group.id:
            peer.giving = None
        peer.waits_for_it.extend(peer.waits.pop(group.id, ()))
        has_adopted(state, name, out)


def sent_whole(state: State, peer: Peer, group: Group, request: int) -> None:
    """The last piece of a copy is on its way: from now on the reader is sent puts as they come."""
    group.copies[peer.node.id] = peer.tenure
    peer.copying[group.id] = request


def acknowledged(state: State, peer: Peer, message: HandOver, refused: bool, out: list[Command]) -> None:
    """A reader has a copy or a part of one, or is no reader any more by what it knows."""
    release(state, state.moves.spread_by.pop(message.request, None), out)
    group = state.groups.get(message.group)
    if refused:
        if group is not None:
            group.copies.pop(peer.node.id, None)
        peer.to_copy.pop(message.group, None)
        if peer.giving is not None and peer.giving.copy and peer.giving.group == message.group:
            peer.giving = None
    if refused or peer.copying.get(message.group) == message.request:
        peer.copying.pop(message.group, None)
        for pending in peer.waits.pop(message.group, ()):
            release(state, pending, out)


def lose_reader(state: State, peer: Peer, out: list[Command]) -> None:
    """A reader has left, or is another process now, which has nothing: nobody waits for what it was sent."""
    for message in peer.sent:
        release(state, state.moves.spread_by.pop(message.request, None), out)
    for waits in [*peer.waits.values(), peer.waits_for_it]:
        for pending in waits:
            release(state, pending, out)
    peer.waits.clear()
    peer.waits_for_it.clear()
    peer.to_copy.clear()
    peer.copying.clear()


def has_adopted(state: State, name: str, out: list[Command]) -> None:
    """A node acts upon the placement of now: it reads no group of which it is no reader."""
    peer = state.moves.peers.get(name)
    if peer is not None and peer.waits_for_it and _has_adopted(state, name):
        waits, peer.waits_for_it = peer.waits_for_it, []
        for pending in waits:
            release(state, pending, out)


def release(state: State, pending: Spread | None, out: list[Command]) -> None:
    """One node less to wait for; after the last, the put is answered."""
    if pending is None:
        return
    pending.left -= 1
    if pending.left or (pending.group, pending.version) not in state.moves.spreads:
        return
    del state.moves.spreads[pending.group, pending.version]
    group = state.groups[pending.group]
    group.spreads -= 1
    groups.forget_if_empty(state, group)  # what was put may have lapsed, or left for another node, meanwhile
    out.extend([Send(link, message) for link, message in pending.answers])


def give_up_all(state: State, out: list[Command]) -> None:
    """This node was taken for lost: what its readers have not acknowledged is not acknowledged to anybody."""
    message = "the node was taken for lost"
    for pending in state.moves.spreads.values():
        state.groups[pending.group].spreads = 0
        for link, done in pending.answers:
            out.append(Send(link, PutDone(done.request, None, Status.UNAVAILABLE, Reason.MOVED, message)))
    state.moves.spreads.clear()
    state.moves.spread_by.clear()


def tell_made(state: State, out: list[Command]) -> None:
    """Say so, once the readers have the whole of every group that lives here."""
    moves, epoch = state.moves, state.homes.placement.epoch
    if not state.homes.copied or moves.settled != epoch or moves.done != epoch:
        return
    peers = list(moves.peers.values())
    if any(peer.to_copy or peer.copying or (peer.giving is not None and peer.giving.copy) for peer in peers):
        return
    for peer in peers:
        if peer.met and peer.told_copies < epoch:
            peer.told_copies = epoch
            out.append(Tell(peer.link, CopiesMade(epoch)))


def hear_made(state: State, name: str, epoch: int) -> None:
    """A home says that its readers have everything."""
    moves = state.moves
    moves.givers[name].copied = max(moves.givers[name].copied, epoch)
    moves.informed = True
    if all(
        other in moves.givers and moves.givers[other].copied == state.homes.placement.epoch for other in moves.peers
    ):
        moves.copies_since = [state.homes]


def pieces(group: Group) -> deque[KeptVersion]:
    """What is to be sent of a group, in the order of its puts; its durable objects are read from storage."""
    found = [
        kept(history, version)
        for history in group.histories.values()
        if not history.pool.durable
        for version in history.versions
    ]
    return deque(sorted(found, key=lambda version: version.ref.version))

"""Groups arrive: what other nodes hand over to this one. Pure.

`handing_over` has the law. What comes by a placement that is not known here yet waits for it, in order; what lives
elsewhere by a later one is refused.
"""

from __future__ import annotations

from covey.messages import CopiesMade, HandedOver, HandingOver, HandOver, HandOverDone, KeptVersion, MeetNode, NodeMet
from covey.model import ObjectRef
from covey.services.datastore.core import copying, groups
from covey.services.datastore.core.admission import place_of
from covey.services.datastore.core.commands import Command, Record, Send
from covey.services.datastore.core.handing_over import come_back, discard
from covey.services.datastore.core.moving import Giver
from covey.services.datastore.core.state import Address, Group, History, PoolId, SeriesId, State, Version

REFUSED_KEPT = 64
"""Refusals that are remembered of a giver: more than it may have sent without hearing of one."""


def meet(state: State, link: int, message: MeetNode, out: list[Command]) -> None:
    """A node begins to hand over on a new link; what it still says on an older one counts no more."""
    known = state.moves.givers.get(message.node)
    if known is None or known.life != message.life:
        for group_id in [group for group, giver in state.moves.arriving.items() if giver == message.node]:
            discard(state, group_id)
        known = state.moves.givers[message.node] = Giver(message.life, link)
    known.link = link
    known.held.clear()
    out.append(Send(link, NodeMet(message.request, state.life, known.last, tuple(known.refused))))


def hear_made(state: State, link: int, message: CopiesMade) -> None:
    """The readers of the groups of a node have them whole."""
    name = _giver_at(state, link)
    if name:
        copying.hear_made(state, name, message.epoch)


def hear_of(state: State, link: int, message: HandingOver, out: list[Command]) -> None:
    """A node says which groups it has for this one."""
    name = _giver_at(state, link)
    if not name:
        return
    giver = state.moves.givers[name]
    if giver.announcing != message.epoch:
        giver.coming.clear()
    giver.coming.update(dict.fromkeys(message.groups))
    giver.announcing = message.epoch if message.more else -1
    if not message.more:
        giver.announced = message.epoch
        state.number_floor = max(state.number_floor, message.number)
        state.moves.informed = True
        copying.has_adopted(state, name, out)


def hear(state: State, link: int, message: HandedOver) -> None:
    """A node holds nothing that lives here by its placement."""
    name = _giver_at(state, link)
    if name:
        state.moves.heard[name] = message.epoch
        if state.moves.givers[name].announced == message.epoch:
            state.moves.givers[name].coming.clear()
            state.moves.informed = True
        state.number_floor = max(state.number_floor, message.number)


def take(state: State, link: int, message: HandOver, out: list[Command]) -> None:
    """A piece of a group comes."""
    name = _giver_at(state, link)
    if not name:
        return
    giver = state.moves.givers[name]
    if giver.held or message.epoch > state.homes.placement.epoch:
        giver.held.append(message)
    else:
        _take(state, name, message, out)


def take_held(state: State, out: list[Command]) -> None:
    """A placement is new here: what has waited for it is taken, or refused."""
    for name, giver in list(state.moves.givers.items()):
        copying.has_adopted(state, name, out)
        while giver.held and giver.held[0].epoch <= state.homes.placement.epoch:
            _take(state, name, giver.held.popleft(), out)


def settle(state: State) -> bool:
    """Whether this node has just settled: all other nodes have handed over what lives here."""
    moves, placement = state.moves, state.homes.placement
    if not moves.member or moves.settled == placement.epoch:
        return False
    if any(moves.heard.get(name) != placement.epoch for name in moves.peers):
        return False
    moves.settled = placement.epoch
    moves.since = [state.homes]
    return True


def _giver_at(state: State, link: int) -> str:
    return next((name for name, giver in state.moves.givers.items() if giver.link == link), "")


def _take(state: State, name: str, message: HandOver, out: list[Command]) -> None:
    giver = state.moves.givers[name]
    if message.copy:
        giver.last = max(giver.last, message.request)
        is_reader = _is_reader(state, name, message)
        if is_reader:
            _keep_copy(state, name, message)
        out.append(Send(giver.link, HandOverDone(message.request, refused=not is_reader)))
        return
    if message.request > giver.last:
        giver.last = message.request
        if not _is_for_us(state, name, message):
            giver.refused[message.request] = None
            if len(giver.refused) > REFUSED_KEPT:
                giver.refused.popitem(last=False)
            if state.moves.arriving.get(message.group) == name:
                discard(state, message.group)
        else:
            _keep(state, name, message)
    out.append(Send(giver.link, HandOverDone(message.request, message.request in giver.refused)))


def _is_for_us(state: State, name: str, message: HandOver) -> bool:
    """Whether the group lives here, and the sender has not been taken for lost in between."""
    peer = state.moves.peers.get(name)
    is_member = peer is not None and peer.node.joined == message.joined
    return is_member and state.homes.of(message.group) == state.node


def _is_reader(state: State, name: str, message: HandOver) -> bool:
    """Whether this node reads a group that lives with the sender."""
    peer = state.moves.peers.get(name)
    is_member = peer is not None and peer.node.joined == message.joined
    readers = state.homes.readers(message.group)
    return is_member and readers[0] == name and state.node in readers


def _keep_copy(state: State, name: str, message: HandOver) -> None:
    """Take a part of a copy into memory, or one put more. It is whole with the last part."""
    come_back(state, message.group)
    group = groups.use_group(state, message.group)
    group.given, group.leaving, group.ours, group.copy_of = 0, False, False, name
    group.number = max(group.number, message.number)
    for version in message.versions:
        if state.pools[PoolId(group.id.scope, version.ref.pool)][0].durable:
            groups.forget_durable(state, group)
        else:
            _store(state, group, version)
    if message.last:
        group.copied_at = message.epoch
        groups.forget_durable(state, group)
    state.moves.arrived.append(group.id)
    groups.forget_if_empty(state, group)


def _keep(state: State, name: str, message: HandOver) -> None:
    """Take a piece into memory; with the last one, the group is here."""
    moves = state.moves
    come_back(state, message.group)
    group = groups.use_group(state, message.group)
    group.given, group.leaving, group.copy_of = 0, False, ""
    group.number = max(group.number, message.number)
    moves.arriving[group.id] = name
    for version in message.versions:
        _store(state, group, version)
    for pool, key in message.evicted:
        if (pool, key) not in group.histories:
            _mark(state, group, pool, key)
    if message.last:
        del moves.arriving[group.id]
        moves.givers[name].coming.pop(group.id, None)
        group.ours = group.ours or message.sure
        groups.forget_durable(state, group)
        moves.arrived.append(group.id)
        copying.renew(state, group)
        groups.forget_if_empty(state, group)


def _mark(state: State, group: Group, pool: str, key: str) -> None:
    """An object of the group was lost before it came here."""
    scope, name = group.id
    place = place_of(state.pools.get(PoolId(scope, pool), ()), scope, ObjectRef(pool, key, name))
    if place is not None:
        series = SeriesId(scope, pool, place.series) if place.series else None
        groups.mark(state, Address(scope, pool, name, key), series, place.index)


def keep_record(state: State, group: Group, record: Record, now: float) -> None:
    """Take a record of storage into memory. What storage held of its object before the first one is not known."""
    is_first = (record.ref.pool, record.ref.key) not in group.histories
    version = Version(record.ref, record.payload, now - record.age_s, record.emission)
    history = _keep_version(state, group, version, now)
    if history is not None and is_first:
        history.lost_before = version.put_at


def _keep_version(state: State, group: Group, version: Version, now: float) -> History | None:
    """Take one version into memory, unless it is here already, or its pool or key is declared no more."""
    ref = version.ref
    place = place_of(state.pools.get(PoolId(group.id.scope, ref.pool), ()), group.id.scope, ref)
    history = group.histories.get((ref.pool, ref.key))
    if place is None or (history is not None and history.versions[-1].ref.version >= ref.version):
        return None
    groups.store(state, group, place, version, now)
    return group.histories[ref.pool, ref.key]


def _store(state: State, group: Group, kept: KeptVersion) -> None:
    version = Version(kept.ref, kept.payload, kept.put_at, kept.emission)
    history = _keep_version(state, group, version, kept.put_at)
    if history is None:
        return
    if kept.lapsed_at is not None:
        groups.lapse(state, history, version, kept.lapsed_at)
    if kept.lost_before is not None:
        history.lost_before = max(history.lost_before, kept.lost_before)

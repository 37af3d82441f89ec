"""The datastore's core: one node's objects, and what it answers. Pure.

    Put ──► refused │ known emission ──────────────► PutDone
            volatile ──► stored ───────────────────► PutDone, Watched, waiting reads
            durable ──► [group loaded] ──► Persist ─► the same, when storage has it
    Get ──► every read answered ───────────────────► GetDone
            something is on its way ──► parked ──► tried again when it is there, or at the deadline

Storage is told one thing of a group at a time, so that what it holds is always what some prefix of the puts made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

from covey.errors import Reason, Unavailable
from covey.messages import (
    CopiesMade,
    EndWatch,
    Get,
    HandedOver,
    HandingOver,
    HandOver,
    HandOverDone,
    MeetNode,
    NodeMet,
    Put,
    ToDatastore,
    Watch,
)
from covey.model import GroupId
from covey.services.datastore.core import (
    adopting,
    copying,
    groups,
    handing_over,
    leading,
    parking,
    retention,
    taking_over,
    watching,
)
from covey.services.datastore.core.commands import Command, Remove
from covey.services.datastore.core.requests import Requests
from covey.services.datastore.core.state import (
    Group,
    GroupLoad,
    Limits,
    Loading,
    Parked,
    PendingPut,
    PoolId,
    Removal,
    SeriesId,
    State,
    lives_here,
)
from covey.services.datastore.core.stimuli import (
    Asked,
    GroupLoaded,
    KeysFound,
    LeaderSaid,
    LinkEnded,
    NodeLost,
    NodeReached,
    NodeSaid,
    Persisted,
    ReaderFellBehind,
    Removed,
    Stimulus,
)


class DatastoreCore(Requests):
    """Decides for one node. `number_floor`: versions begin beyond it; what an earlier life gave lies below."""

    def __init__(self, node: str, address: str, limits: Limits, number_floor: int = 0) -> None:
        super().__init__(State(node, address, limits, number_floor, life=number_floor))
        self._now = -math.inf

    @property
    def wake_at(self) -> float | None:
        """When a parked read gives up, or something may have to go."""
        state = self.state
        instants = [
            retention.next_sweep(state),
            state.patience[0][0] if state.patience else None,
            handing_over.next_step(state, self._now),
        ]
        return min((instant for instant in instants if instant is not None), default=None)

    def handle(self, stimuli: Sequence[Stimulus], now: float) -> list[Command]:
        """Take all that has happened since, decide once."""
        self._now = now
        for stimulus in stimuli:
            self._take(stimulus, now)
        self._move(now)
        self._lose_patience(now)
        retention.sweep(self.state, now)
        self._tell_storage(now)
        retention.evict(self.state)
        commands, self._commands = self._commands, []
        return commands

    def _take(self, stimulus: Stimulus, now: float) -> None:
        match stimulus:
            case Asked(link, message):
                self._asked(link, message, now)
            case LeaderSaid(link, message):
                self._commands.extend(leading.take(self.state, link, message, now))
            case LinkEnded(link):
                self._end_link(link)
            case ReaderFellBehind(link):
                self._commands.extend(watching.cut_off(self.state, link))
            case Persisted(group_id, failed):
                self._persisted(group_id, failed, now)
            case Removed(group_id, failed):
                self._removed(group_id, failed, now)
            case GroupLoaded():
                self._group_loaded(stimulus, now)
            case KeysFound():
                self._keys_found(stimulus, now)
            case NodeReached(link):
                handing_over.reached(self.state, link, self._commands)
            case NodeSaid(link, NodeMet() as answer):
                handing_over.met(self.state, link, answer, self._commands)
            case NodeSaid(link, HandOverDone() as answer):
                handing_over.acknowledged(self.state, link, answer, self._commands)
            case NodeSaid():
                pass  # nothing else was asked of it
            case NodeLost(link):
                handing_over.lost(self.state, link, now)
            case _:
                assert_never(stimulus)

    def _asked(self, link: int, message: ToDatastore, now: float) -> None:
        match message:
            case Put():
                self._put(Parked(0, link, message, now), message, now)
            case Get():
                self._get(Parked(0, link, message, now), message, now)
            case Watch():
                self._commands.extend(watching.begin(self.state, link, message))
            case EndWatch(request):
                watching.end(self.state, link, request)
            case MeetNode():
                taking_over.meet(self.state, link, message, self._commands)
            case HandOver():
                taking_over.take(self.state, link, message, self._commands)
            case HandingOver():
                taking_over.hear_of(self.state, link, message, self._commands)
            case CopiesMade():
                taking_over.hear_made(self.state, link, message)
            case HandedOver():
                taking_over.hear(self.state, link, message)
            case _:
                assert_never(message)

    # --- groups that move --------------------------------------------------------------------------------------------

    def _move(self, now: float) -> None:
        """Hand over, take over, and let those go on who waited for a group, or must hear that it has moved."""
        state, moves = self.state, self.state.moves
        if moves.adopted:
            moves.adopted = False
            taking_over.take_held(state, self._commands)
            for parked in list(state.parked.values()):
                if parked.blockers and parked.number in state.parked:
                    parked.found.clear()  # more lives here now
                    self._try_again(parked, now)
        adopting.scan(state, self._commands)
        handing_over.proceed(state, now, self._commands)
        has_settled = taking_over.settle(state)
        is_informed, moves.informed = moves.informed or has_settled, False
        arrived, moves.arrived = dict.fromkeys(moves.arrived), []
        if state.waiting and (arrived or is_informed):
            for blocker in list(state.waiting):
                if parking.has_come(state, blocker, arrived, is_informed):
                    self._resolve(blocker, (), now)
        if has_settled:
            copying.tell_made(state, self._commands)
            self._commands.extend(leading.tell_settled(state, now))

    # --- storage -----------------------------------------------------------------------------------------------------

    def _group_loaded(self, loaded: GroupLoaded, now: float) -> None:
        group = groups.use_group(self.state, loaded.group)
        if group.is_stale:
            group.is_stale, group.loading = False, Loading.ABSENT
            parking.load(self.state, group.id, self._commands)
            return
        group.loading = Loading.ABSENT if loaded.failed else Loading.DONE
        self.state.counts.storage_failures += loaded.failed
        group.number = max(group.number, loaded.number)
        for record in loaded.records:
            taking_over.keep_record(self.state, group, record, now)
        if not loaded.failed:
            groups.forget_unclaimed(self.state, group)
        self._resolve(GroupLoad(group.id), (), now, loaded.failed)
        if self.state.node not in self.state.homes.readers(group.id):
            groups.forget_durable(self.state, group)
        groups.forget_if_empty(self.state, group)

    def _keys_found(self, found: KeysFound, now: float) -> None:
        wanted, state = found.wanted, self.state
        pools = state.pools.get(PoolId(wanted.scope, wanted.pool), ())
        self.state.counts.storage_failures += found.failed
        is_current = wanted.epoch == state.homes.placement.epoch
        if wanted.series and pools and not found.failed and is_current:
            groups.adopt_keys(state, pools[0], SeriesId(wanted.scope, wanted.pool, wanted.series), found.keys, now)
        mine = tuple([(key, group) for key, group in found.keys if lives_here(state, GroupId(wanted.scope, group))])
        self._resolve(wanted, mine, now, found.failed)

    def _persisted(self, group_id: GroupId, failed: bool, now: float) -> None:
        group = self.state.groups[group_id]
        done, group.writing = group.writing, None
        assert isinstance(done, PendingPut), f"storage answered for {group_id}, to which it was not asked to write"
        if failed:
            # Storage may have it all the same: what the group holds is read again before anything is built on it.
            self.state.counts.storage_failures += 1
            groups.unload(self.state, group, volatile_too=False)
            error = Unavailable(f"storage did not take {done.version.ref.key}", Reason.STORAGE_FAILED)
            self._refuse(done.parked.link, done.put, error)
        else:
            done.version.put_at = now
            self._stored(group, done, now)
        self._write_next(group, now)

    def _removed(self, group_id: GroupId, failed: bool, now: float) -> None:
        group = self.state.groups[group_id]
        assert isinstance(group.writing, Removal), f"storage answered for {group_id}, from which it removes nothing"
        group.writing = None
        self.state.counts.storage_failures += failed
        self._write_next(group, now)

    def _write_next(self, group: Group, now: float) -> None:
        """Tell storage the next thing of a group."""
        while group.writes and group.writing is None:
            match group.writes.popleft():
                case Removal() as removal:
                    group.writing = removal
                    self._commands.append(Remove(group.id, tuple(removal.refs), tuple(removal.entries)))
                case Parked() as parked:
                    self._try_again(parked, now)
        groups.forget_if_empty(self.state, group)

    def _tell_storage(self, now: float) -> None:
        """Have storage remove what was removed here, and load what must be known to go."""
        state = self.state
        removals, state.removals = state.removals, {}
        for group_id, removal in removals.items():
            state.groups[group_id].writes.append(removal)
            self._write_next(state.groups[group_id], now)
        loads, state.loads = state.loads, {}
        for group_id in loads:
            parking.load(state, group_id, self._commands)

    def _end_link(self, link: int) -> None:
        """Nobody listens on this link any more; puts under way are finished all the same."""
        watching.end(self.state, link)
        self.state.leads.pop(link, None)
        for parked in [parked for parked in self.state.parked.values() if parked.link == link]:
            if isinstance(parked.request, Get):
                parking.unpark(self.state, parked)

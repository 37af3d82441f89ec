"""The datastore's core: one node's objects, and what it answers. Pure.

    Put ──► refused │ known emission ──────────────► PutDone
            volatile ──► stored ───────────────────► PutDone, Watched, waiting reads
            durable ──► [group loaded] ──► Persist ─► the same, when storage has it
    Get ──► every read answered ───────────────────► GetDone
            something is on its way ──► parked ──► tried again when it is there, or at the deadline

Storage is told one thing of a group at a time, so that what it holds is always what some prefix of the puts made.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import assert_never

from covey.errors import CoveyError, Moved, Reason, ResourceExhausted, Unavailable, VersionConflict
from covey.grouping import Scope
from covey.messages import (
    CopiesMade,
    EndWatch,
    Get,
    GetDone,
    HandedOver,
    HandingOver,
    HandOver,
    HandOverDone,
    MeetNode,
    NodeMet,
    Put,
    PutDone,
    ToDatastore,
    Watch,
)
from covey.model import Answer, GroupId, ObjectRef, ObjectValue, Read
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
from covey.services.datastore.core.admission import admit, unknown
from covey.services.datastore.core.answering import Blocked, answer, give_up, without_known
from covey.services.datastore.core.commands import Command, Entry, Persist, Record, Remove, Send
from covey.services.datastore.core.standing import awaited
from covey.services.datastore.core.state import (
    Arrival,
    Blocker,
    Group,
    GroupLoad,
    Limits,
    Loading,
    ObjectPut,
    Parked,
    PendingPut,
    PoolId,
    Removal,
    SeriesId,
    Settling,
    State,
    Version,
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


class DatastoreCore:
    """Decides for one node. `number_floor`: versions begin beyond it; what an earlier life gave lies below."""

    def __init__(self, node: str, address: str, limits: Limits, number_floor: int = 0) -> None:
        self.state = State(node, address, limits, number_floor, life=number_floor)
        self._commands: list[Command] = []
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

    # --- puts --------------------------------------------------------------------------------------------------------

    def _put(self, parked: Parked, put: Put, now: float) -> None:
        """Store an object, or park the put for what it needs to know, or refuse it."""
        try:
            self._try_put(parked, put, now)
        except CoveyError as error:
            self._refuse(parked.link, put, error)

    def _try_put(self, parked: Parked, put: Put, now: float) -> None:
        place = admit(self.state, put)
        arrival = awaited(self.state, place.group)
        if arrival and parking.has_waited(parked, now):
            raise Moved(f"group {place.group.group!r} is on its way to node {self.state.node}")
        if arrival:
            self._park(parked, arrival)
            return
        known = self.state.emissions.get((put.scope, put.emission)) if put.emission else None
        if known is not None:
            self.state.counts.known_emissions += 1
            copying.answer_known(self.state, place.group, parked.link, PutDone(put.request, known.ref), self._commands)
            return
        pool = place.pool
        blockers = unknown(self.state, place, parked) if pool.durable else ()
        if blockers:
            self._park(parked, blockers)
            return
        group = groups.use_group(self.state, place.group)
        if pool.durable and group.writing is not None:
            self._park(parked, ())
            group.writes.append(parked)
            return
        history = group.histories.get((pool.name, put.ref.key))
        current = history.versions[-1].ref.version if history is not None else 0
        if put.previous_version not in (None, current):
            groups.forget_if_empty(self.state, group)
            problem = f"the current version of {put.ref.key} is {current}, not {put.previous_version}"
            raise VersionConflict(problem if current else f"there is no {put.ref.key}")
        group.number += 1
        size = len(put.payload) or put.ref.size
        ref = ObjectRef(pool.name, put.ref.key, group.id.group, group.number, size)
        pending = PendingPut(parked, put, place, Version(ref, put.payload, now, put.emission))
        if not pool.durable:
            self._stored(group, pending, now)
            return
        group.writing = pending
        entry = Entry(pool.name, ref.key, place.series) if history is None else None
        self._commands.append(Persist(group.id, Record(ref, put.payload, put.emission), entry))

    def _stored(self, group: Group, done: PendingPut, now: float) -> None:
        """A version is there: acknowledge it, and tell who waited and who watches."""
        version, scope = done.version, group.id.scope
        groups.store(self.state, group, done.place, version, now)
        self.state.counts.puts += 1
        answer = PutDone(done.put.request, version.ref)
        copying.spread(self.state, group, version, done.parked.link, answer, self._commands)
        if self.state.watches:
            self._commands.extend(watching.tell(self.state, scope, ObjectValue(version.ref, version.payload)))
        if self.state.waiting:
            self._resolve(ObjectPut(scope, version.ref.pool, version.ref.key), (), now)

    def _refuse(self, link: int, put: Put, error: CoveyError) -> None:
        self.state.counts.refused += 1
        self.state.counts.moved += isinstance(error, Moved)
        refusal = PutDone(put.request, None, error.status, error.reason, error.message)
        self._commands.append(Send(link, refusal))

    # --- gets --------------------------------------------------------------------------------------------------------

    def _get(self, parked: Parked, get: Get, now: float) -> None:
        """Answer every read, or park the whole get as long as one of them may still find something."""
        is_last_try = get.deadline - parking.ANSWER_MARGIN_S <= now
        has_waited = parking.has_waited(parked, now)
        answers: list[Answer] = []
        blockers: dict[Blocker, None] = {}
        for read in get.reads:
            found = self._answer(get.scope, read, parked)
            if isinstance(found, Answer):
                answers.append(found)
            elif (
                is_last_try
                or (has_waited and all(isinstance(blocker, ObjectPut | Arrival | Settling) for blocker in found))
                or any(blocker in parked.failed for blocker in found)
            ):
                answers.append(give_up(found, parked.failed))
            else:
                blockers.update(dict.fromkeys(found))
        if blockers:
            self._park(parked, tuple(blockers))
            return
        self.state.counts.gets += 1
        self.state.counts.incomplete += sum(not found.complete for found in answers)
        if get.known:
            answers = without_known(answers, get.known)
        self._commands.append(Send(parked.link, GetDone(get.request, tuple(answers))))

    def _answer(self, scope: Scope, read: Read, parked: Parked) -> Answer | Blocked:
        try:
            return answer(self.state, scope, read, parked.found)
        except CoveyError as error:
            return Answer((), False, error.status, error.reason, error.message)

    # --- what waits --------------------------------------------------------------------------------------------------

    def _park(self, parked: Parked, blockers: Blocked) -> None:
        """Keep a request until what it waits for is there, if there is room."""
        if len(self.state.parked) < self.state.limits.parked_max:
            parking.park(self.state, parked, blockers, self._commands)
            return
        error = ResourceExhausted(f"{self.state.limits.parked_max:,} requests wait on node {self.state.node} already")
        if isinstance(parked.request, Put):
            self._refuse(parked.link, parked.request, error)
        else:
            refused = Answer((), False, error.status, error.reason, error.message)
            done = GetDone(parked.request.request, (refused,) * len(parked.request.reads))
            self._commands.append(Send(parked.link, done))

    def _resolve(self, blocker: Blocker, found: tuple[tuple[str, str], ...], now: float, failed: bool = False) -> None:
        """Try again what waited for this."""
        waiting = list(self.state.waiting.get(blocker, {}).values())
        for parked in waiting:
            if failed:
                parked.failed.append(blocker)
            elif not isinstance(blocker, ObjectPut):
                parked.found[blocker] = found
        for parked in waiting:
            if parked.number in self.state.parked:  # else one of the others, tried before it, has let it go on
                self._try_again(parked, now)

    def _try_again(self, parked: Parked, now: float) -> None:
        parking.unpark(self.state, parked)
        match parked.request:
            case Put() as put:
                self._put(parked, put, now)
            case Get() as get:
                self._get(parked, get, now)
            case _:
                assert_never(parked.request)

    def _lose_patience(self, now: float) -> None:
        patience = self.state.patience
        while patience and patience[0][0] <= now:
            _, number = heapq.heappop(patience)
            if number in self.state.parked:
                self._try_again(self.state.parked[number], now)

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

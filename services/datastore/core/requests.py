"""Puts and gets: what is answered at once, what waits and is tried again. Pure."""

from __future__ import annotations

import heapq
from typing import assert_never

from covey.errors import CoveyError, Moved, ResourceExhausted, VersionConflict
from covey.grouping import Scope
from covey.messages import (
    Get,
    GetDone,
    Put,
    PutDone,
)
from covey.model import Answer, ObjectRef, ObjectValue, Read
from covey.services.datastore.core import (
    copying,
    groups,
    parking,
    watching,
)
from covey.services.datastore.core.admission import admit, unknown
from covey.services.datastore.core.answering import Blocked, answer, give_up, without_known
from covey.services.datastore.core.commands import Command, Entry, Persist, Record, Send
from covey.services.datastore.core.standing import awaited
from covey.services.datastore.core.state import (
    Arrival,
    Blocker,
    Group,
    ObjectPut,
    Parked,
    PendingPut,
    Settling,
    State,
    Version,
)


class Requests:
    """What callers of a datastore ask of it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._commands: list[Command] = []

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

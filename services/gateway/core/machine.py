"""The gateway's core: what happened goes in, what to do comes out. Pure.

Laws: every event received gets exactly one outcome on its call, no later than its deadline if the core is woken at
`wake_at`; an event is kept until then, and is submitted again to every new leader; what an older leader says is not
heard.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from typing import assert_never

from covey.edge import EventName
from covey.errors import CoveyError, DeadlineExceeded, Reason, Unavailable
from covey.homes import Homes
from covey.messages import Beat, GatewayJoined, OutcomeReady, StoreAgain, View
from covey.model import Scope
from covey.services.gateway.core import clientcalls, events
from covey.services.gateway.core.commands import AdoptView, AnswerCancel, Command, Deliver, HangUp
from covey.services.gateway.core.outcomes import cancelled
from covey.services.gateway.core.state import (
    FOLLOWING,
    JOINING,
    LOST,
    Held,
    IllegalMove,
    Leadership,
    Limits,
    State,
    size_of,
)
from covey.services.gateway.core.step import Step, check_leader, check_readiness, check_room, move
from covey.services.gateway.core.stimuli import (
    CancelRequested,
    ClientGone,
    DrainStarted,
    EventReceived,
    GetRequested,
    LeaderConnected,
    LeaderLost,
    PutRequested,
    ReadDone,
    Stimulus,
    Stored,
    StoreFailed,
)
from covey.services.gateway.core.storing import may_try_again, retry_moved, try_store


class GatewayCore:
    """Decides for one gateway. `rng` mints ids and spreads retries."""

    def __init__(self, gateway: str, limits: Limits, rng: random.Random, now: float) -> None:
        self.state = State(gateway, limits, leaderless_since=now)
        self._rng = rng

    @property
    def wake_at(self) -> float | None:
        """When to be called if nothing happens."""
        state = self.state
        times = [state.timers[0][0]] if state.timers else []
        if state.leadership is not LOST:
            times += (state.beat_at, state.heard_at + state.limits.silence_s_max)
        if state.held and state.leaderless_since is not None:
            times.append(state.leaderless_since + state.limits.patience_s)
        return min(times) if times else None

    @property
    def is_drained(self) -> bool:
        """Whether nobody waits for anything."""
        state = self.state
        return not (state.open or state.stores or state.readings or state.held)

    def handle(self, stimuli: Sequence[Stimulus], now: float) -> list[Command]:
        """Take all that has happened since; decide once."""
        step = Step(self.state, self._rng, now)
        for stimulus in stimuli:
            _take(step, stimulus)
        _pass_time(step)
        return step.out


def _take(step: Step, stimulus: Stimulus) -> None:
    match stimulus:
        case EventReceived() | PutRequested() | GetRequested():
            _request(step, stimulus)
        case CancelRequested(call, name):
            found = events.cancel(step, name) or _cancel_held(step, name)
            if call:
                step.out.append(AnswerCancel(call, found))
        case ClientGone(call):
            events.leave(step, call)
            _drop_held(step, [one for one in step.state.held if one.request.call == call])
        case Stored(number, ref):
            store = step.state.stores.get(number)
            if store is not None and isinstance(store.owner, EventName):
                del step.state.stores[number]
                events.event_stored(step, store.owner, ref)
            elif store is not None:
                clientcalls.put_done(step, number, ref)
        case StoreFailed(number, error):
            _store_failed(step, number, error)
        case ReadDone(number, answers):
            clientcalls.read_done(step, number, answers)
        case DrainStarted():
            step.state.draining = True
        case _:
            _take_from_leader(step, stimulus)


def _store_failed(step: Step, number: int, error: CoveyError) -> None:
    store = step.state.stores.get(number)
    if store is None:
        return
    if isinstance(store.owner, EventName):
        step.state.last_error[store.owner] = error
    if not may_try_again(step, number, error):
        _store_given_up(step, number, error)


def _store_given_up(step: Step, number: int, error: CoveyError) -> None:
    store = step.state.stores[number]
    if isinstance(store.owner, EventName):
        del step.state.stores[number]
        events.event_not_stored(step, store.owner, error)
    else:
        clientcalls.put_failed(step, number, error)


# --- requests before there is a view ---------------------------------------------------------------------------------


def _request(step: Step, request: EventReceived | PutRequested | GetRequested) -> None:
    state = step.state
    if state.view is not None:
        _serve(step, request, step.now)
        return
    size = size_of(request)
    try:
        check_readiness(step)
        check_leader(step)
        check_room(step, state.waits + len(state.held), size)
    except CoveyError as error:
        _refuse(step, request, error)
        return
    state.held.append(Held(step.now, request))
    state.bytes += size


def _serve(step: Step, request: EventReceived | PutRequested | GetRequested, at: float) -> None:
    match request:
        case EventReceived():
            events.receive(step, request.call, request.event, request.traceparent, at)
        case PutRequested():
            clientcalls.put(step, request.call, request.object, at)
        case GetRequested():
            clientcalls.get(step, request, at)
        case _:
            assert_never(request)


def _refuse(step: Step, request: EventReceived | PutRequested | GetRequested, error: CoveyError) -> None:
    if isinstance(request, EventReceived):
        events.refuse(step, request.call, EventName(request.event.scope, request.event.id), error)
    else:
        step.refuse(request.call, error)


def _release_held(step: Step, error: CoveyError | None = None) -> None:
    """Serve what was held, or refuse it with this error."""
    held, step.state.held = step.state.held, []
    for one in held:
        step.state.bytes -= size_of(one.request)
        if error is None:
            _serve(step, one.request, one.received_at)
        else:
            _refuse(step, one.request, error)


def _cancel_held(step: Step, name: EventName) -> bool:
    """Take back an event that was never admitted."""
    gone = [
        one
        for one in step.state.held
        if isinstance(one.request, EventReceived) and (one.request.event.scope, one.request.event.id) == name
    ]
    _drop_held(step, gone)
    for one in gone:
        step.out.append(Deliver(one.request.call, cancelled(name)))
    return bool(gone)


def _drop_held(step: Step, gone: list[Held]) -> None:
    step.state.held = [one for one in step.state.held if one not in gone]
    step.state.bytes -= sum(size_of(one.request) for one in gone)


# --- the leader ------------------------------------------------------------------------------------------------------


def _take_from_leader(
    step: Step, stimulus: LeaderConnected | LeaderLost | View | OutcomeReady | StoreAgain | Beat
) -> None:
    state = step.state
    if isinstance(stimulus, LeaderConnected):
        move(state, JOINING)
        state.heard_at = step.now
        state.beat_at = step.now + state.limits.beat_s
        step.out.append(GatewayJoined(state.gateway, _epoch(state)))
        return
    if isinstance(stimulus, LeaderLost):
        _lose_leader(step, LOST)
        return
    if state.leadership is LOST:
        raise IllegalMove(f"{type(stimulus).__name__} came over no link")
    state.heard_at = step.now
    if isinstance(stimulus, View):
        _take_view(step, stimulus)
    elif state.leadership is JOINING:
        return  # an older leader's, or a word before its view: whose it is nobody knows
    elif isinstance(stimulus, OutcomeReady):
        events.conclude(step, stimulus.outcome)
    elif isinstance(stimulus, StoreAgain):
        events.store_again(step, stimulus)
    else:
        assert isinstance(stimulus, Beat)


def _epoch(state: State) -> int:
    return 0 if state.view is None else state.view.epoch


def _take_view(step: Step, view: View) -> None:
    """Follow whoever sent this view, unless it is older than what we know."""
    state = step.state
    if view.epoch < _epoch(state):
        _lose_leader(step, JOINING)
        step.out.append(HangUp())
        return
    joining = state.leadership is JOINING
    if joining:
        move(state, FOLLOWING)
        state.leaderless_since = None
    if state.view is None or (view.epoch, view.number) > (state.view.epoch, state.view.number):
        _adopt(step, view)
    events.submit_all(step)


def _adopt(step: Step, view: View) -> None:
    state = step.state
    state.view = view
    state.homes = Homes(view.placement)
    # Of several versions of one pipeline, the last is the current one.
    declared = {Scope(tenant, one.pipeline): one for tenant, one in view.declarations}
    state.declarations.update(declared)
    state.served = dict.fromkeys(declared if state.homes.nodes else ())
    if state.homes.nodes:
        state.homeless_since = None
    elif state.homeless_since is None:
        state.homeless_since = step.now
    step.out.append(AdoptView(view))
    _release_held(step)
    retry_moved(step)


def _lose_leader(step: Step, leadership: Leadership) -> None:
    """No leader is known from now on: what it was given must be given again to the next."""
    state = step.state
    if state.leadership is not leadership:
        move(state, leadership)
    elif leadership is LOST:
        raise IllegalMove("a leader was lost that was not there")
    if state.leaderless_since is None:
        state.leaderless_since = step.now
    for opened in state.open.values():
        opened.submitted = False


# --- time ------------------------------------------------------------------------------------------------------------


def _pass_time(step: Step) -> None:
    state = step.state
    while state.timers and state.timers[0][0] <= step.now:
        _, _, what = heapq.heappop(state.timers)
        if isinstance(what, EventName):
            events.expire(step, what)
        elif what in state.stores:
            _store_due(step, what)
        else:
            clientcalls.read_due(step, what)
    since = state.leaderless_since
    if state.held and since is not None and step.now >= since + state.limits.patience_s:
        _release_held(step, Unavailable("no scheduler leads the mesh", Reason.NO_LEADER))
    _keep_contact(step)
    _prune(step)


def _store_due(step: Step, number: int) -> None:
    store = step.state.stores[number]
    if store.retry_at is None or store.retry_at > step.now:
        return
    if step.now >= store.deadline:
        _store_given_up(step, number, DeadlineExceeded("no home took the object in time"))
    else:
        try_store(step, number)


def _keep_contact(step: Step) -> None:
    """Beat, and hang up on a leader that has been silent for too long."""
    state = step.state
    if state.leadership is LOST:
        return
    if step.now >= state.heard_at + state.limits.silence_s_max:
        state.heard_at = step.now
        state.beat_at = step.now + state.limits.beat_s
        _lose_leader(step, JOINING)
        step.out.append(HangUp())
    elif step.now >= state.beat_at:
        state.beat_at = step.now + state.limits.beat_s
        oldest = next(iter(state.open.values()), None)
        oldest_s = 0.0 if oldest is None else step.now - oldest.opened_at
        number = 0 if state.view is None else state.view.number
        step.out.append(Beat(len(state.open), oldest_s, state.finished, number))


def _prune(step: Step) -> None:
    """Keep the heap in proportion to what is under way, and wake for that alone: most events end before their timer."""
    state = step.state
    while state.timers and state.timers[0][0] < state.beat_at and not _is_alive(state, state.timers[0][2]):
        heapq.heappop(state.timers)
    alive = len(state.open) + len(state.stores) + len(state.readings)
    if len(state.timers) > 4 * alive + 64:
        state.timers = [entry for entry in state.timers if _is_alive(state, entry[2])]
        heapq.heapify(state.timers)


def _is_alive(state: State, what: EventName | int) -> bool:
    if isinstance(what, EventName):
        return what in state.open
    return what in state.stores or what in state.readings

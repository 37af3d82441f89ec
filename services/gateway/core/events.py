"""The life of an event at the gateway: received, admitted, stored, submitted, and ended exactly once. Pure."""

from __future__ import annotations

from dataclasses import replace

from covey.declaration import graph
from covey.edge import EventName, NewEvent
from covey.errors import OK, AlreadyExists, CoveyError, DeadlineExceeded
from covey.messages import CancelEvent, StoreAgain, SubmitEvent
from covey.model import INLINE_BYTES_MAX, Event, ObjectRef, Outcome, emission_id, event_identity
from covey.services.gateway.core.admission import address_of, budget_of, check_id, minted_id
from covey.services.gateway.core.commands import Deliver, RecordEvent
from covey.services.gateway.core.outcomes import (
    cancelled,
    digest_of,
    is_same,
    outward,
    refusal,
    remember,
    too_late,
)
from covey.services.gateway.core.state import FOLLOWING, OpenEvent
from covey.services.gateway.core.step import (
    Step,
    check_leader,
    check_readiness,
    check_room,
    count_ungrouped,
    declaration_of,
)
from covey.services.gateway.core.storing import start_store

EVENT_EMISSION = 0
"""The index of an event's own object among the emissions of its identity."""


def receive(step: Step, call: int, new: NewEvent, traceparent: str, at: float) -> None:
    """Admit an event that came at the instant `at`, or answer at once: a refusal, or an outcome that is known."""
    name = EventName(new.scope, new.id or minted_id(step.rng))
    try:
        check_id(name.id)
        if new.id and _came_before(step, call, name, new):
            return
        opened = _admit(step, name, new, traceparent, at)
    except CoveyError as error:
        refuse(step, call, name, error)
        return
    opened.parent = new.traceparent
    opened.calls.append(call)
    state = step.state
    state.open[name] = opened
    state.bytes += len(opened.payload)
    _wait_for(step, call, name)
    step.look_at(opened.event.deadline, name)
    if opened.is_kept:
        _store(step, name, opened)
    submit(step, opened)


def refuse(step: Step, call: int, name: EventName, error: CoveyError) -> None:
    """Answer an event that is not admitted."""
    outcome = refusal(name, error)
    step.out += (Deliver(call, outcome), RecordEvent(outcome, admitted=False))


def _came_before(step: Step, call: int, name: EventName, new: NewEvent) -> bool:
    """Whether the event is open, or ended of late, and so answered. Raises AlreadyExists for another event's id."""
    opened = step.state.open.get(name)
    if opened is not None:
        if not is_same(opened, new.key, new.group, new.payload):
            raise AlreadyExists(f"the event id {name.id!r} is in use with another key, group or payload")
        check_room(step, step.state.waits, 0)
        opened.calls.append(call)
        _wait_for(step, call, name)
        return True
    recent = step.state.recent.get(name)
    if recent is None:
        return False
    if recent.digest != digest_of(new.key, new.group, new.payload):
        raise AlreadyExists(f"the event id {name.id!r} was used with another key, group or payload")
    step.out.append(Deliver(call, recent.outcome))
    return True


def _admit(step: Step, name: EventName, new: NewEvent, traceparent: str, at: float) -> OpenEvent:
    """The open event. Raises the error that it is refused with."""
    state = step.state
    check_readiness(step)
    check_leader(step)
    declaration = declaration_of(state, new.scope)
    size = len(new.payload)
    address = address_of(declaration, new.key, new.group, size)
    check_room(step, state.waits + len(state.held), size, new.priority)
    budget_s = budget_of(new.budget_s, declaration.objective_s, state.limits.budget_s_max)
    if at + budget_s <= step.now:
        raise DeadlineExceeded("the event's deadline had passed when it came")
    inline = size <= INLINE_BYTES_MAX
    needed = address.pool.name in graph(declaration).needed
    count_ungrouped(state, new.scope, address)
    event = Event(  # by position, which takes a third of the time
        name.scope,
        name.id,
        address.ref,
        new.payload if inline else None,
        new.priority,
        at + budget_s,
        declaration.version,
        address.explicit_group,
        traceparent,
    )
    must_store = not inline or needed or address.pool.durable
    return OpenEvent(event, new.payload, bool(new.id), at, must_store, needed, address.pool.is_stored(size))


def _wait_for(step: Step, call: int, name: EventName) -> None:
    step.state.waiting.setdefault(call, {})[name] = None
    step.state.waits += 1


def _store(step: Step, name: EventName, opened: OpenEvent) -> None:
    event = opened.event
    emission = emission_id(event_identity(event.scope, event.id), EVENT_EMISSION)
    opened.store = start_store(
        step,
        name,
        event.scope,
        event.ref,
        opened.payload,
        emission,
        event.deadline,
        traceparent=event.traceparent,
    )


def submit(step: Step, opened: OpenEvent) -> None:
    """Hand an event to the leader, if it takes it, the event still needs it, and its object is where it must be."""
    state = step.state
    if state.leadership is not FOLLOWING or opened.event.scope not in state.served:
        return
    if opened.submitted or opened.outcome is not None:
        return
    if opened.stored_first and not opened.stored:
        return
    opened.submitted = True
    step.out.append(SubmitEvent(opened.event))


def submit_all(step: Step) -> None:
    """To a new leader, or one that only now serves a pipeline: all that is unfinished, as it was admitted."""
    for opened in step.state.open.values():
        submit(step, opened)


# --- what comes back -------------------------------------------------------------------------------------------------


def event_stored(step: Step, name: EventName, ref: ObjectRef) -> None:
    """The home has the event's object."""
    opened = step.state.open[name]
    opened.store = 0
    opened.stored = True
    opened.event = replace(opened.event, ref=ref)
    step.state.last_error.pop(name, None)
    if opened.outcome is not None:
        _end(step, name, opened.outcome)
    else:
        submit(step, opened)


def event_not_stored(step: Step, name: EventName, error: CoveyError) -> None:
    """The event's object can't be stored. The leader has it inline, perhaps, and then the cascade can do without."""
    opened = step.state.open[name]
    opened.store = 0
    if opened.must_store or opened.stored_first:
        told = outward(error, f"the event's object {opened.event.ref.key!r} could not be stored")
        _withdraw(step, name, refusal(name, told))
    elif opened.outcome is not None:
        _end(step, name, opened.outcome)


def store_again(step: Step, message: StoreAgain) -> None:
    """The leader says that the home has lost the event's object: store it, then submit the event again."""
    name = EventName(message.scope, message.event_id)
    opened = step.state.open.get(name)
    if opened is None or opened.outcome is not None:
        return
    opened.submitted = False
    opened.stored = False
    opened.stored_first = True
    if not opened.store:
        opened.event = replace(opened.event, ref=replace(opened.event.ref, version=0))
        _store(step, name, opened)


def conclude(step: Step, outcome: Outcome) -> None:
    """The leader has decided. An event that can't do without its object waits for that to be stored."""
    name = EventName(outcome.scope, outcome.event_id)
    opened = step.state.open.get(name)
    if opened is None or opened.outcome is not None:
        return
    if opened.store and outcome.status is OK:
        opened.outcome = outcome
        return
    _end(step, name, outcome)


def cancel(step: Step, name: EventName) -> bool:
    """Take an event back; whether it was open."""
    if name not in step.state.open:
        return False
    _withdraw(step, name, cancelled(name))
    return True


def leave(step: Step, call: int) -> None:
    """Nobody reads this call's answers: what nobody else waits for is withdrawn."""
    state = step.state
    for name in state.waiting.pop(call, {}):
        opened = state.open[name]
        remaining = [other for other in opened.calls if other != call]
        state.waits -= len(opened.calls) - len(remaining)
        opened.calls = remaining
        if not remaining:
            _tell_leader(step, name, opened)
            _forget(step, name, cancelled(name).lasting(step.now - opened.opened_at))


def expire(step: Step, name: EventName) -> None:
    """End an event whose deadline has come."""
    opened = step.state.open.get(name)
    if opened is None or opened.event.deadline > step.now:
        return
    if opened.outcome is not None and not opened.must_store:
        _end(step, name, opened.outcome)
        return
    _withdraw(step, name, too_late(name, opened, step.state))


# --- the one way out -------------------------------------------------------------------------------------------------


def _withdraw(step: Step, name: EventName, outcome: Outcome) -> None:
    """End an event that the leader has not decided, and tell it so."""
    _tell_leader(step, name, step.state.open[name])
    _end(step, name, outcome)


def _tell_leader(step: Step, name: EventName, opened: OpenEvent) -> None:
    if opened.submitted and opened.outcome is None:
        step.out.append(CancelEvent(name.scope, name.id))


def _end(step: Step, name: EventName, outcome: Outcome) -> None:
    """Deliver the one outcome to every call that waits for it."""
    opened = step.state.open[name]
    outcome = outcome.lasting(step.now - opened.opened_at)
    step.out += [Deliver(call, outcome) for call in opened.calls]
    for call in dict.fromkeys(opened.calls):
        names = step.state.waiting[call]
        del names[name]
        if not names:
            del step.state.waiting[call]
    step.state.waits -= len(opened.calls)
    _forget(step, name, outcome)
    remember(step.state, name, opened, outcome)


def _forget(step: Step, name: EventName, outcome: Outcome) -> None:
    state = step.state
    opened = state.open.pop(name)
    step.out.append(RecordEvent(outcome, True, opened.event.priority, opened.event.traceparent, opened.parent))
    state.bytes -= len(opened.payload)
    state.stores.pop(opened.store, None)
    state.last_error.pop(name, None)
    state.finished += 1

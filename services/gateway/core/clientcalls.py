"""Puts and gets of clients: which node, and again when a group has moved. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from covey.edge import NewObject
from covey.errors import CoveyError, DeadlineExceeded, Reason, Status, Unavailable
from covey.model import Answer, ObjectRef, Scope, emission_id, event_identity
from covey.services.gateway.core.admission import Address, address_of, budget_of, check_id, minted_id
from covey.services.gateway.core.commands import AnswerGet, AnswerPut, ReadObjects
from covey.services.gateway.core.homes import addresses_of, reads_of, spans_groups
from covey.services.gateway.core.outcomes import outward
from covey.services.gateway.core.state import Reading, State
from covey.services.gateway.core.step import Step, check_readiness, check_room, count_ungrouped, declaration_of
from covey.services.gateway.core.stimuli import GetRequested
from covey.services.gateway.core.storing import start_store

PUT_EMISSION = 1
"""The index of a client's put among the emissions of its id; an event of the same id has its object at 0."""


def put(step: Step, call: int, new: NewObject, at: float) -> None:
    """Store an object, or refuse to."""
    state = step.state
    size = len(new.payload)
    try:
        check_id(new.id)
        check_readiness(step)
        declaration = declaration_of(state, new.scope)
        address = address_of(declaration, new.key, new.group, size)
        check_room(step, len(state.stores), size)
        deadline = at + budget_of(new.budget_s, state.limits.put_budget_s, state.limits.budget_s_max)
        if deadline <= step.now:
            raise DeadlineExceeded("the put's deadline had passed when it came")
    except CoveyError as error:
        step.refuse(call, error)
        return
    count_ungrouped(state, new.scope, address)
    emission = emission_id(event_identity(new.scope, new.id or minted_id(step.rng)), PUT_EMISSION)
    state.bytes += size
    start_store(step, call, new.scope, address.ref, new.payload, emission, deadline, new.previous_version)


def put_done(step: Step, number: int, ref: ObjectRef) -> None:
    call = _end_put(step, number)
    step.out.append(AnswerPut(call, ref))


def put_failed(step: Step, number: int, error: CoveyError) -> None:
    key = step.state.stores[number].put.ref.key
    call = _end_put(step, number)
    step.refuse(call, outward(error, f"{key!r} could not be stored"))


def _end_put(step: Step, number: int) -> int:
    store = step.state.stores.pop(number)
    step.state.bytes -= len(store.put.payload)
    assert isinstance(store.owner, int)
    return store.owner


def get(step: Step, request: GetRequested, at: float) -> None:
    """Read objects, or refuse to."""
    state = step.state
    try:
        check_room(step, len(state.readings), 0)
        deadline = at + budget_of(request.budget_s, state.limits.get_budget_s, state.limits.budget_s_max)
        if deadline <= step.now:
            raise DeadlineExceeded("the get's deadline had passed when it came")
    except CoveyError as error:
        step.refuse(request.call, error)
        return
    number = step.number()
    state.readings[number] = Reading(request, at, deadline)
    _try_read(step, number)


def _try_read(step: Step, number: int) -> None:
    """Ask the nodes of now."""
    reading = step.state.readings[number]
    reading.attempts += 1
    reading.retry_at = None
    request = reading.request
    try:
        check_readiness(step)
        declaration = declaration_of(step.state, request.scope)
        addresses = addresses_of(declaration, request.wanted)
        reads = reads_of(step.state, request.scope, declaration, request.wanted, addresses, reading.at)
    except CoveyError as error:
        if error.status is not Status.UNAVAILABLE or not _may_read_again(step, number):
            _end_read(step, number, error)
        return
    if not reading.counted:
        reading.counted = True
        _count(step.state, request.scope, addresses)
    step.out.append(ReadObjects(number, request.scope, reads, reading.deadline))


def _count(state: State, scope: Scope, addresses: Sequence[Address]) -> None:
    for address in addresses:
        count_ungrouped(state, scope, address)
    if spans_groups(addresses):
        state.spanning[scope] = state.spanning.get(scope, 0) + 1


def read_done(step: Step, number: int, answers: Sequence[Answer]) -> None:
    """The answers, or word that the nodes could not give them: then again, against the newest view."""
    reading = step.state.readings.get(number)
    answer = _joined(answers)
    if reading is None or (answer.status is Status.UNAVAILABLE and _may_read_again(step, number)):
        return
    if answer.status is Status.UNAVAILABLE and answer.reason is Reason.MOVED:
        _end_read(step, number, Unavailable("the group is moving between nodes", Reason.NO_HOME))
    else:
        del step.state.readings[number]
        step.out.append(AnswerGet(reading.request.call, answer))


def _joined(answers: Sequence[Answer]) -> Answer:
    """One answer out of those to the reads of a get; the first that is not OK speaks for all."""
    for answer in answers:
        if answer.status is not Status.OK:
            return answer
    objects = tuple([value for answer in answers for value in answer.objects])
    return Answer(objects, all(answer.complete for answer in answers))


def _may_read_again(step: Step, number: int) -> bool:
    """Whether a get that failed waits for its next try; False: it has failed for good."""
    reading = step.state.readings[number]
    retry_at = step.now + step.backoff_s(reading.attempts)
    if reading.attempts >= step.state.limits.attempts_max or retry_at >= reading.deadline or step.state.draining:
        return False
    reading.retry_at = retry_at
    step.look_at(retry_at, number)
    return True


def _end_read(step: Step, number: int, error: CoveyError) -> None:
    reading = step.state.readings.pop(number)
    step.refuse(reading.request.call, error)


def read_due(step: Step, number: int) -> None:
    reading = step.state.readings.get(number)
    if reading is not None and reading.retry_at is not None and reading.retry_at <= step.now:
        _try_read(step, number)

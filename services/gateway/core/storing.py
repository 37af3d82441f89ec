"""Is the object in its home? Puts under way: sent, tried again against the newest view, given up. Pure.

A put that was moved or met no answer is tried again with the same emission id, so that a home which had it already
answers with the version that it gave.
"""

from __future__ import annotations

from covey.edge import EventName
from covey.errors import CoveyError, Status, Unavailable
from covey.messages import Put
from covey.model import ObjectRef, Scope
from covey.services.gateway.core.commands import StorePayload
from covey.services.gateway.core.homes import home_of
from covey.services.gateway.core.state import Store
from covey.services.gateway.core.step import Step


def start_store(
    step: Step,
    owner: EventName | int,
    scope: Scope,
    ref: ObjectRef,
    payload: bytes,
    emission: bytes,
    deadline: float,
    previous_version: int | None = None,
    traceparent: str = "",
) -> int:
    """Begin to put an object; the number of the put."""
    number = step.number()
    put = Put(number, scope, ref, payload, emission, previous_version, traceparent)
    step.state.stores[number] = Store(put, deadline, owner)
    try_store(step, number)
    return number


def try_store(step: Step, number: int) -> None:
    """Send a put to the home of now, or wait for one."""
    store = step.state.stores[number]
    store.attempts += 1
    store.retry_at = None
    try:
        node = home_of(step.state, store.put.scope, store.put.ref.group)
    except Unavailable:
        _wait_until(step, number, store, min(step.now + step.backoff_s(store.attempts), store.deadline))
        return
    store.node = node.id
    step.out.append(StorePayload(node, store.put, store.deadline))


def may_try_again(step: Step, number: int, error: CoveyError) -> bool:
    """Whether a failed put waits for its next try; False: it has failed for good."""
    store = step.state.stores[number]
    if error.status is not Status.UNAVAILABLE or store.attempts >= step.state.limits.attempts_max:
        return False
    retry_at = step.now + step.backoff_s(store.attempts)
    if retry_at >= store.deadline:
        return False
    _wait_until(step, number, store, retry_at)
    return True


def retry_moved(step: Step) -> None:
    """A new view: what waits for a next try, and has another home now, goes at once."""
    for number, store in list(step.state.stores.items()):
        if store.retry_at is None or not step.state.homes.nodes:
            continue
        if home_of(step.state, store.put.scope, store.put.ref.group).id != store.node:
            try_store(step, number)


def _wait_until(step: Step, number: int, store: Store, when: float) -> None:
    store.retry_at = when
    step.look_at(when, number)

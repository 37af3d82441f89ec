"""What is an event's outcome, when the gateway decides it, and which outcomes are remembered? Pure."""

from __future__ import annotations

from covey.edge import EventName
from covey.errors import CoveyError, Moved, Reason, ResourceExhausted, Status, Unavailable
from covey.model import Outcome
from covey.services.gateway.core.state import Leadership, OpenEvent, Recent, State

AGAIN = (Status.DEADLINE_EXCEEDED, Status.RESOURCE_EXHAUSTED, Status.UNAVAILABLE)
"""The mesh could not, this time: the same id may be sent again and is then run again."""

OUTCOME_BYTES = 512
"""What remembering an outcome costs beside its payloads, roughly."""


def refusal(name: EventName, error: CoveyError) -> Outcome:
    """The outcome that says this error."""
    retry_after_s = error.retry_after_s if isinstance(error, ResourceExhausted) else 0.0
    return Outcome(name.scope, name.id, error.status, error.reason, error.message, retry_after_s=retry_after_s)


def too_late(name: EventName, opened: OpenEvent, state: State) -> Outcome:
    """The outcome of an event whose deadline has come: the mesh's fault where it had no leader or no home to give."""
    budget_s = opened.event.deadline - opened.opened_at
    if state.leadership is not Leadership.FOLLOWING:
        message = f"no scheduler leads the mesh; the event waited {budget_s:.3f} s for one"
        return Outcome(name.scope, name.id, Status.UNAVAILABLE, Reason.NO_LEADER, message)
    if not state.homes.nodes:
        message = f"no datastore has joined the mesh; the event waited {budget_s:.3f} s for one"
        return Outcome(name.scope, name.id, Status.UNAVAILABLE, Reason.NO_HOME, message)
    message = f"no outcome within {budget_s:.3f} s"
    error = state.last_error.get(name)
    if error is not None and not opened.stored:
        message = f"{message}: its object could not be stored: {error.message}"
    return Outcome(name.scope, name.id, Status.DEADLINE_EXCEEDED, Reason.LATE, message)


def cancelled(name: EventName) -> Outcome:
    return Outcome(name.scope, name.id, Status.CANCELLED, Reason.CANCELLED, "the client took the event back")


def outward(error: CoveyError, what: str) -> CoveyError:
    """The error that a client is told when its object could not be stored or read; MOVED never leaves the mesh."""
    message = f"{what}: {error.message}"
    match error:
        case ResourceExhausted():
            return ResourceExhausted(message, error.reason, error.retry_after_s)
        case Moved():
            return Unavailable(f"{what}: the group is moving between nodes", Reason.NO_HOME)
        case _:
            return type(error)(message, error.reason)


def digest_of(key: str, group: str, payload: bytes) -> int:
    """What tells two events of one id apart, within this process: SipHash, by a secret of the process."""
    return hash((key, group, payload))


def remember(state: State, name: EventName, opened: OpenEvent, outcome: Outcome) -> None:
    """Keep a final outcome for a client that asks again; the oldest go when there are too many."""
    if not opened.named or outcome.status in AGAIN:
        return
    size = OUTCOME_BYTES + len(outcome.packed) + sum([len(result.payload or b"") for result in outcome.results])
    if size > state.limits.recent_bytes_max:
        return
    digest = digest_of(opened.event.ref.key, _explicit(opened), opened.payload)
    state.recent[name] = Recent(digest, outcome, size)
    state.recent_bytes += size
    while len(state.recent) > state.limits.recent_max or state.recent_bytes > state.limits.recent_bytes_max:
        _, oldest = state.recent.popitem(last=False)
        state.recent_bytes -= oldest.size


def is_same(opened: OpenEvent, key: str, group: str, payload: bytes) -> bool:
    """Whether an event that came again is the one that is open."""
    return opened.event.ref.key == key and _explicit(opened) == group and opened.payload == payload


def _explicit(opened: OpenEvent) -> str:
    return opened.event.ref.group if opened.event.explicit_group else ""

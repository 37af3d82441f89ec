"""What the gateway's core wants done. Pure.

Messages to the leader (`GatewayJoined`, `SubmitEvent`, `CancelEvent`, `Beat`) are commands as they stand: they are
queued on its link. `StorePayload` and `ReadObjects` are awaited and return the one stimulus that they cause.
"""

from __future__ import annotations

from covey.errors import CoveyError
from covey.messages import Beat, CancelEvent, GatewayJoined, Put, SubmitEvent, View
from covey.model import Answer, Node, ObjectRef, Outcome, Priority, Read, Scope
from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class StorePayload:
    """Put an object into its home: causes `Stored` or `StoreFailed` with the number `put.request`, by `deadline`."""

    node: Node
    put: Put
    deadline: float


@dataclass(frozen=True, slots=True)
class ReadObjects:
    """Ask the nodes that the reads name and merge what they say: causes `ReadDone` with `number`, by `deadline`."""

    number: int
    scope: Scope
    reads: tuple[Read, ...]
    deadline: float


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give a call the outcome of an event that it waits for."""

    call: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class AnswerPut:
    call: int
    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class AnswerGet:
    call: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class AnswerCancel:
    """Tell a call whether the event that it took back was open."""

    call: int
    found: bool


@dataclass(frozen=True, slots=True)
class Refuse:
    """End a call that is no event's (a put or a get) with this error."""

    call: int
    error: CoveyError


@dataclass(frozen=True, slots=True)
class AdoptView:
    """Describe, watch and dial by this view from now on."""

    view: View


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the link to the leader, which is stale or silent, and look for the leader again: causes `LeaderLost`."""


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Count an event that has ended, or was refused, and record its span."""

    outcome: Outcome
    admitted: bool
    priority: Priority = Priority.HIGH
    traceparent: str = ""
    parent: str = ""


ToLeader = GatewayJoined | SubmitEvent | CancelEvent | Beat
ToClient = Deliver | AnswerPut | AnswerGet | AnswerCancel | Refuse
Command = ToLeader | ToClient | StorePayload | ReadObjects | RecordEvent | AdoptView | HangUp

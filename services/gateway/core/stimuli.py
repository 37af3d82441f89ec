"""What the gateway's core is told has happened. Pure.

A *call* is a number that the shell gives to one client call: a `Send`, a whole `Stream`, a `Put` or a `Get`.
"""

from __future__ import annotations

from covey.edge import EventName, NewEvent, NewObject, Wanted
from covey.errors import CoveyError
from covey.messages import Beat, OutcomeReady, StoreAgain, View
from covey.model import Answer, ObjectRef, Scope
from covey.values import dataclass

# --- from clients ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventReceived:
    """`traceparent` names the span of the event itself, if it is traced; the event's own, that of the client."""

    call: int
    event: NewEvent
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A client takes an event back. `call` wants to know whether it was open; 0: nobody does."""

    call: int
    name: EventName


@dataclass(frozen=True, slots=True)
class ClientGone:
    """Nobody reads the answers of this call any more."""

    call: int


@dataclass(frozen=True, slots=True)
class PutRequested:
    call: int
    object: NewObject


@dataclass(frozen=True, slots=True)
class GetRequested:
    call: int
    scope: Scope
    wanted: Wanted
    budget_s: float | None = None


# --- from the leader -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeaderConnected:
    """A link to the leader is open; nothing has been said on it yet."""


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """The link to the leader has ended."""


# --- results of commands ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """A home acknowledged the put of this number."""

    number: int
    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class StoreFailed:
    number: int
    error: CoveyError


@dataclass(frozen=True, slots=True)
class ReadDone:
    """The reads of this number were answered, in their order; a status that is not OK is inside its answer."""

    number: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """The process is about to end: finish what is open, take nothing new."""


FromClient = EventReceived | CancelRequested | ClientGone | PutRequested | GetRequested
FromLeader = LeaderConnected | LeaderLost | View | OutcomeReady | StoreAgain | Beat
Stimulus = FromClient | FromLeader | Stored | StoreFailed | ReadDone | DrainStarted

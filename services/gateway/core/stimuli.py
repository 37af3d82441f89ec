"""What the gateway's core is told has happened. Pure.

A *call* is a number that the shell gives to one client call: a `Send`, a whole `Stream`, a `Put` or a `Get`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from covey.errors import CoveyError
from covey.messages import Beat, OutcomeReady, StoreAgain, View
from covey.model import Answer, ObjectRef, Priority, Scope


class EventName(NamedTuple):
    """What an event is known by: its id, within its tenant and pipeline."""

    scope: Scope
    id: str


# --- from clients ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventReceived:
    """A client sent an event: with an empty `id` for one to be minted, a `budget_s` of None for the objective."""

    call: int
    scope: Scope
    key: str
    payload: bytes
    id: str = ""
    priority: Priority = Priority.HIGH
    budget_s: float | None = None
    group: str = ""
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
    """A client stores an object. An `id` makes the put repeatable by the client."""

    call: int
    scope: Scope
    key: str
    payload: bytes
    group: str = ""
    previous_version: int | None = None
    id: str = ""
    budget_s: float | None = None


@dataclass(frozen=True, slots=True)
class KeyWanted:
    """One object: the version, or the latest if 0. `group` is the explicit one that it was put with."""

    key: str
    version: int = 0
    group: str = ""


@dataclass(frozen=True, slots=True)
class SeriesWanted:
    """The last `count` objects of a series (a key with `*` for its index) at or before the index `as_of`."""

    series: str
    count: int = 1
    as_of: int | None = None


@dataclass(frozen=True, slots=True)
class PrefixWanted:
    """The current objects under a key prefix, in key order."""

    prefix: str
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class GroupWanted:
    """The current objects of a group in one pool, in key order."""

    pool: str
    group: str
    limit: int = 1000


Wanted = KeyWanted | SeriesWanted | PrefixWanted | GroupWanted


@dataclass(frozen=True, slots=True)
class GetRequested:
    """A client reads objects."""

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
    """The read of this number was answered; a status that is not OK is inside the answer."""

    number: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """The process is about to end: finish what is open, take nothing new."""


FromClient = EventReceived | CancelRequested | ClientGone | PutRequested | GetRequested
FromLeader = LeaderConnected | LeaderLost | View | OutcomeReady | StoreAgain | Beat
Stimulus = FromClient | FromLeader | Stored | StoreFailed | ReadDone | DrainStarted

"""What a datastore's shell is to do. Pure."""

from __future__ import annotations

from covey.grouping import Scope
from covey.messages import DatastoreToScheduler, FromDatastore, ToDatastore
from covey.model import GroupId, Node, ObjectRef
from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One version of a durable object, as storage holds it. `age_s`: how long ago it was put, when it is loaded."""

    ref: ObjectRef
    payload: bytes
    emission: bytes = b""
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the indices of storage name a key: under its pool and, where the pool has an index, under its series."""

    pool: str
    key: str
    series: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Send on an exchange link."""

    link: int
    message: FromDatastore


@dataclass(frozen=True, slots=True)
class Report:
    """Send on a leader's link."""

    link: int
    message: DatastoreToScheduler


@dataclass(frozen=True, slots=True)
class Persist:
    """Store a version, and its key in the indices of storage if it is new there. Returns Persisted."""

    group: GroupId
    record: Record
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove versions, and keys of which no version is left from the indices. Returns Removed."""

    group: GroupId
    refs: tuple[ObjectRef, ...]
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class LoadGroup:
    """Read everything of a group. Returns GroupLoaded."""

    group: GroupId


@dataclass(frozen=True, slots=True)
class FindKeys:
    """Find the keys of a series, or else the first `limit` keys under a prefix in key order. Returns KeysFound."""

    scope: Scope
    pool: str
    series: str = ""
    prefix: str = ""
    limit: int = 0
    epoch: int = 0
    """Of the placement: what was found by an older one lacks the keys of groups that have come since."""


@dataclass(frozen=True, slots=True)
class ReachNode:
    """Open a link of that number to another datastore. NodeReached comes, and NodeLost at the end or at once."""

    link: int
    node: Node


@dataclass(frozen=True, slots=True)
class LeaveNode:
    """Close the link to another datastore."""

    link: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Send on a link to another datastore."""

    link: int
    message: ToDatastore


Command = Send | Report | Persist | Remove | LoadGroup | FindKeys | ReachNode | LeaveNode | Tell

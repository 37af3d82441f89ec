"""What has happened, as the datastore's core is told. Pure."""

from __future__ import annotations

from covey.messages import FromDatastore, SchedulerToDatastore, ToDatastore
from covey.model import GroupId
from covey.services.datastore.core.commands import FindKeys, Record
from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """A gateway, worker or datastore said something on its link. Links are numbered by the shell, never reused."""

    link: int
    message: ToDatastore


@dataclass(frozen=True, slots=True)
class LeaderSaid:
    """A leader said something on its link."""

    link: int
    message: SchedulerToDatastore


@dataclass(frozen=True, slots=True)
class LinkEnded:
    """Nothing more comes from this link, and nothing that is sent on it arrives."""

    link: int


@dataclass(frozen=True, slots=True)
class ReaderFellBehind:
    """More is waiting to be written on this link than a watcher may leave unread."""

    link: int


@dataclass(frozen=True, slots=True)
class Persisted:
    """Storage has the record, or failed to say so; it may then have it all the same."""

    group: GroupId
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Removed:
    """Storage has removed the records, or failed; a failure is made good when the group is next loaded."""

    group: GroupId
    failed: bool = False


@dataclass(frozen=True, slots=True)
class GroupLoaded:
    """All that storage has of a group, oldest version first, and the last number it gave to a put."""

    group: GroupId
    number: int = 0
    records: tuple[Record, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class KeysFound:
    """The keys that storage has, each with its group."""

    wanted: FindKeys
    keys: tuple[tuple[str, str], ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class NodeReached:
    """A link to another datastore is open."""

    link: int


@dataclass(frozen=True, slots=True)
class NodeSaid:
    """Another datastore answered on the link to it."""

    link: int
    message: FromDatastore


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A link to another datastore has ended, or could not be opened."""

    link: int


Stimulus = (
    Asked
    | LeaderSaid
    | LinkEnded
    | ReaderFellBehind
    | Persisted
    | Removed
    | GroupLoaded
    | KeysFound
    | NodeReached
    | NodeSaid
    | NodeLost
)

"""What gateways, workers and datastores say to a datastore, and what it answers; `datastore.proto` mirrors it. Pure.

All of it travels on one stream a pair, `Exchange`. `covey.messages` has the rest of what services say.
"""

from __future__ import annotations

from typing import NamedTuple

from covey.errors import Reason, Status
from covey.grouping import Scope
from covey.model import Answer, GroupId, ObjectName, ObjectRef, ObjectValue, Read
from covey.values import dataclass

# --- gateway or worker <-> datastore ---------------------------------------------------------------------------------


class SharedPlace(NamedTuple):
    """Where a payload stands in shared memory (`wire.sharing`): in which file, and how many bytes went before it."""

    name: str
    begin: int


@dataclass(frozen=True, slots=True)
class Put:
    """Store an object. `request` is the caller's number for the answer.

    `emission` makes the put repeatable: a home that knows it answers with the version it gave. `previous_version`
    (None: do not care; 0: there is none) makes it optimistic.
    """

    request: int
    scope: Scope
    ref: ObjectRef
    payload: bytes
    emission: bytes = b""
    previous_version: int | None = None
    traceparent: str = ""
    place: SharedPlace | None = None
    """Where the payload is, `ref.size` bytes, if it did not come along; only to the datastore of the caller's host."""


@dataclass(frozen=True, slots=True)
class PutDone:
    """The answer to a put: `ref` with its version when the status is OK.

    A payload that could not be read at its place should be sent: it was overwritten meanwhile (FILE_OVERWRITTEN), or
    the datastore can't see the caller's file at all (FILE_UNSEEN).
    """

    request: int
    ref: ObjectRef | None
    status: Status = Status.OK
    reason: Reason = Reason.NONE
    message: str = ""


@dataclass(frozen=True, slots=True)
class Get:
    """Read objects in one round trip; each read has its answer. Waits for what is required until `deadline`."""

    request: int
    scope: Scope
    reads: tuple[Read, ...]
    deadline: float
    traceparents: tuple[str, ...] = ()
    """Of the traced tasks that the reads are for."""
    known: tuple[ObjectRef, ...] = ()
    """What the caller holds already: its payloads may be left out of the answer."""
    shared: bool = False
    """The caller is on the datastore's host and can read its files."""


class SharedFile(NamedTuple):
    """Where the payload of the object at `position` of the answer at `answer` is."""

    answer: int
    position: int
    place: SharedPlace


@dataclass(frozen=True, slots=True)
class GetDone:
    """The answers, in the order of the reads."""

    request: int
    answers: tuple[Answer, ...]
    files: tuple[SharedFile, ...] = ()
    """Where the payloads are that did not come along; only for callers that share the host."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Stream the objects put into a pool from now on, until the watch is ended."""

    request: int
    scope: Scope
    pool: str


@dataclass(frozen=True, slots=True)
class EndWatch:
    request: int


@dataclass(frozen=True, slots=True)
class Watched:
    """An object of a watched pool; a status that is not OK ends the watch (SLOW_READER: it was cut off)."""

    request: int
    value: ObjectValue | None
    status: Status = Status.OK
    reason: Reason = Reason.NONE
    message: str = ""


# --- datastore <-> datastore, on the same stream: the one that hands groups over dials -------------------------------


@dataclass(frozen=True, slots=True)
class MeetNode:
    """First on the link. `life` tells the processes of a node apart."""

    request: int
    node: str
    life: int


@dataclass(frozen=True, slots=True)
class NodeMet:
    """Who answers, and the last hand-over of the other's life that was taken or refused, so that each counts once."""

    request: int
    life: int
    last: int = 0
    refused: tuple[int, ...] = ()
    """Of the last ones, those that were refused."""


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """One version of an object as a home keeps it: when it was put, and when it lapsed, if it has.

    What was current before `lost_before` may be gone.
    """

    ref: ObjectRef
    payload: bytes
    emission: bytes
    put_at: float
    lapsed_at: float | None = None
    lost_before: float | None = None


@dataclass(frozen=True, slots=True)
class HandOver:
    """Take these versions of a group, oldest first, which lives with you by the placement of that epoch.

    With `last` the group is whole. `number` is the last that its home gave to a put, `evicted` what was lost of it.
    The group is not `sure` when the sender can't know whether another node has had it since.
    """

    request: int
    epoch: int
    joined: int
    group: GroupId
    number: int
    versions: tuple[KeptVersion, ...] = ()
    evicted: tuple[ObjectName, ...] = ()
    last: bool = False
    sure: bool = True
    copy: bool = False
    """It goes on living with the sender, and the receiver is one of its readers."""

    @property
    def size(self) -> int:
        """Payload bytes."""
        return sum([version.ref.size for version in self.versions])


@dataclass(frozen=True, slots=True)
class HandOverDone:
    """It is here, or it was refused: the group lives elsewhere by a placement that the sender does not know yet."""

    request: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class HandingOver:
    """The groups that the sender has for the receiver by the placement of that epoch; there are no others, unless
    there are `more` such messages. No group that it has let go of had a number beyond `number`."""

    epoch: int
    number: int
    groups: tuple[GroupId, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The sender holds nothing that lives elsewhere by the placement of that epoch, and never will while it acts upon
    it. No group that it has let go of had a number beyond `number`."""

    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class CopiesMade:
    """By the placement of that epoch, the readers of the groups that live with the sender have all of them whole."""

    epoch: int


ToDatastore = Put | Get | Watch | EndWatch | MeetNode | HandOver | HandingOver | HandedOver | CopiesMade
FromDatastore = PutDone | GetDone | Watched | NodeMet | HandOverDone

"""What the services say to one another, in our own words; the protos mirror these one to one. Pure.

Every inner hop is one long-lived stream that carries messages both ways. The names are past tense where something is
reported and imperative where something is asked; each union at the end of a section is closed.
"""

from __future__ import annotations

from typing import NamedTuple

from covey.declaration import Declaration
from covey.errors import Reason, Status
from covey.grouping import Scope
from covey.model import (
    Answer,
    Event,
    GroupId,
    KeyRead,
    ObjectName,
    ObjectRef,
    ObjectValue,
    Outcome,
    Placement,
    Priority,
    Read,
)
from covey.values import dataclass

# --- the leader's view, pushed to gateways, workers and datastores ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """What the leader wants everyone to know. `number` grows with each change, also from leader to leader.

    A receiver refuses a view, and every command, of an older epoch.
    """

    epoch: int
    number: int
    placement: Placement
    declarations: tuple[tuple[str, Declaration], ...] = ()
    """(tenant, declaration): the current one of every pipeline last, and older ones that may still have open events."""
    unserved: tuple[tuple[str, str], ...] = ()
    """(pipeline, stage): stages of current declarations that no connected worker runs."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat that carries progress: how much waits, how long the oldest has, and what was finished in all."""

    queued: int = 0
    oldest_s: float = 0.0
    finished: int = 0
    view: int = 0
    """The number of the newest view that the sender acts upon."""
    settled: int = 0
    """A datastore: the newest placement epoch whose groups have all arrived where they live now."""


# --- gateway <-> scheduler -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GatewayJoined:
    """First on the stream. `epoch` is the newest that the gateway has seen."""

    gateway: str
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class SubmitEvent:
    """Run this event's cascade. Sent again after a change of leader, or when the leader asks."""

    event: Event


@dataclass(frozen=True, slots=True)
class CancelEvent:
    """Nobody waits for this event any more."""

    scope: Scope
    event_id: str


@dataclass(frozen=True, slots=True)
class StoreAgain:
    """The home of this event's payload is gone: put it once more, in the home of now, and submit the event again."""

    scope: Scope
    event_id: str


@dataclass(frozen=True, slots=True)
class OutcomeReady:
    outcome: Outcome


GatewayToScheduler = GatewayJoined | SubmitEvent | CancelEvent | Beat
SchedulerToGateway = View | OutcomeReady | StoreAgain | Beat


# --- scheduler <-> worker --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """First answer of a worker: what it is and what it can run. `epoch` is the newest it has seen."""

    worker: str
    node: str
    device: str
    lanes: int
    stages: tuple[str, ...]
    """As `<pipeline>/<stage>`; empty means every stage."""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class LeaderJoined:
    """First message of a leader to a worker or a datastore."""

    epoch: int
    scheduler: str


@dataclass(frozen=True, slots=True)
class Task:
    """One call of a stage.

    `trigger` is None for a join, whose `members` are read like needs. `needs` pairs pools with reads; `fields` are the
    key fields that what the stage emits inherits. `deadline` is the cascade's.
    """

    number: int
    identity: bytes
    event_id: str
    trigger: ObjectValue | None
    members: tuple[Read, ...]
    needs: tuple[tuple[str, tuple[Read, ...]], ...]
    fields: tuple[tuple[str, str | int], ...]
    deadline: float
    incomplete: bool = False
    traceparent: str = ""
    record: bool = False
    """Its report tells what it read."""


@dataclass(frozen=True, slots=True)
class RunBatch:
    """Run these tasks of one stage together. `number` is unique within the epoch."""

    number: int
    epoch: int
    scope: Scope
    declaration: str
    stage: str
    priority: Priority
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class CancelTasks:
    """Skip these tasks if they have not started."""

    epoch: int
    tasks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Tasks of this event will make these reads on this worker: what is found now answers them then.

    A read as of an instant finds the same whenever it is made, so nothing can be out of date.
    """

    epoch: int
    scope: Scope
    event_id: str
    reads: tuple[KeyRead, ...]
    deadline: float


@dataclass(frozen=True, slots=True)
class Emission:
    """The `index`-th object that a task emitted, as its home acknowledged it.

    `value.payload` is there for pools that trigger a stage or belong to the outcome, when small.
    """

    index: int
    value: ObjectValue


@dataclass(frozen=True, slots=True)
class TaskReport:
    """How one task ended. OK means that every emission has been acknowledged by its home."""

    number: int
    status: Status
    reason: Reason = Reason.NONE
    message: str = ""
    emissions: tuple[Emission, ...] = ()
    incomplete: bool = False
    remote_gets: int = 0
    bytes_moved: int = 0
    read: tuple[ObjectName, ...] = ()
    """Of a task that was to be recorded: what it read, each object once, whether it was there or not."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """How one batch ended, and where its time went, in seconds.

    `fetch_s` is reading inputs, `wait_s` waiting for a lane with all inputs there, `store_s` until the last
    acknowledgement.
    """

    number: int
    epoch: int
    tasks: tuple[TaskReport, ...]
    fetch_s: float = 0.0
    wait_s: float = 0.0
    compute_s: float = 0.0
    store_s: float = 0.0


SchedulerToWorker = LeaderJoined | View | RunBatch | CancelTasks | Prefetch | Beat
WorkerToScheduler = WorkerJoined | BatchReport | Beat


# --- scheduler <-> datastore -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeJoined:
    """First answer of a datastore. `epoch` is the newest it has seen, and `placement` the newest it acts upon."""

    node: str
    address: str
    epoch: int = 0
    placement: Placement = Placement()


@dataclass(frozen=True, slots=True)
class Horizon:
    """The age of the oldest open event, in seconds: what was current then must still be readable."""

    epoch: int
    age_s: float


SchedulerToDatastore = LeaderJoined | View | Horizon | Beat
DatastoreToScheduler = NodeJoined | Beat


# --- gateway or worker <-> datastore ---------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class PutDone:
    """The answer to a put: `ref` with its version when the status is OK."""

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
    """Where the payload of the object at `position` of the answer at `answer` is, in shared memory (`wire.sharing`)."""

    answer: int
    position: int
    name: str
    offset: int
    until: int


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


# --- datastore <-> datastore, on the same stream: the one that hands groups over dials ---------------------------------


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

"""What the services say to one another, in our own words; the protos mirror these one to one. Pure.

Every inner hop is one long-lived stream that carries messages both ways. The names are past tense where something is
reported and imperative where something is asked; each union at the end of a section is closed. What is said to
datastores, and by them to one another, is written in `covey.exchange`, and found here with the rest.
"""

from __future__ import annotations

from covey.declaration import Declaration
from covey.errors import Reason, Status
from covey.exchange import (
    CopiesMade as CopiesMade,
)
from covey.exchange import (
    EndWatch as EndWatch,
)
from covey.exchange import (
    FromDatastore as FromDatastore,
)
from covey.exchange import (
    Get as Get,
)
from covey.exchange import (
    GetDone as GetDone,
)
from covey.exchange import (
    HandedOver as HandedOver,
)
from covey.exchange import (
    HandingOver as HandingOver,
)
from covey.exchange import (
    HandOver as HandOver,
)
from covey.exchange import (
    HandOverDone as HandOverDone,
)
from covey.exchange import (
    KeptVersion as KeptVersion,
)
from covey.exchange import (
    MeetNode as MeetNode,
)
from covey.exchange import (
    NodeMet as NodeMet,
)
from covey.exchange import (
    Put as Put,
)
from covey.exchange import (
    PutDone as PutDone,
)
from covey.exchange import (
    SharedFile as SharedFile,
)
from covey.exchange import (
    SharedPlace as SharedPlace,
)
from covey.exchange import (
    ToDatastore as ToDatastore,
)
from covey.exchange import (
    Watch as Watch,
)
from covey.exchange import (
    Watched as Watched,
)
from covey.grouping import Scope
from covey.model import (
    Event,
    KeyRead,
    ObjectName,
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
    loaded: tuple[str, ...] = ()
    """By lane: the stage whose model an earlier leader had it load, as `<pipeline>/<stage>`; empty: none."""
    high_lanes: int = 0
    """Of `lanes`, those that are kept for HIGH, ..."""
    low_lanes: int = 0
    """... and for LOW; the others take any."""


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
class AssignLane:
    """Let this lane serve that stage, as `<pipeline>/<stage>`, and no other; an empty one frees it of its model.

    What was assigned before and is still loading is called off. Answered with LaneReady once the model is loaded.
    """

    epoch: int
    lane: int
    stage: str


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


@dataclass(frozen=True, slots=True)
class LaneReady:
    """A lane takes batches of the stage that it was assigned; or of none, for its model can't be loaded."""

    epoch: int
    lane: int
    stage: str


SchedulerToWorker = LeaderJoined | View | RunBatch | CancelTasks | AssignLane | Prefetch | Beat
WorkerToScheduler = WorkerJoined | BatchReport | LaneReady | Beat


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

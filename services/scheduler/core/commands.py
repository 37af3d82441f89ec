"""What the scheduler's core wants done. All but WriteMetadata are messages on streams and cause no stimulus."""

from __future__ import annotations

from covey.messages import (
    AssignLane,
    Beat,
    CancelTasks,
    Horizon,
    OutcomeReady,
    Prefetch,
    RunBatch,
    StoreAgain,
    View,
)
from covey.model import GroupId, Outcome, Priority, Scope, TaskReads
from covey.services.scheduler.core.contention import Why
from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class Send:
    """Put a message on a peer's link."""

    peer: int
    message: View | OutcomeReady | StoreAgain | Beat | RunBatch | CancelTasks | AssignLane | Prefetch | Horizon


@dataclass(frozen=True, slots=True)
class Conclude:
    """An event has its outcome: send it to the gateways that wait (none: they are gone), and count it."""

    peers: tuple[int, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close a peer's link: it has been silent for too long, or its place was taken."""

    peer: int


@dataclass(frozen=True, slots=True)
class TaskTrace:
    """One stage's turn of a traced cascade, from ready to its report, or its end without one; instants in seconds."""

    stage: str
    event_id: str
    priority: Priority
    traceparent: str
    parent: str
    ready_at: float
    queued_at: float
    """Later than `ready_at` where it had to wait for the state that another task was changing, or ran before."""
    ended_at: float
    error: str
    home: str = ""
    """The node that holds what it reads; empty: none is nearer than another."""
    attempts: int = 0
    """Times that it was sent to a worker and did not end there."""
    ran: TaskRan | None = None
    """None: it never did, this time."""
    why: Why | None = None
    """Of a policy of priorities, where there is one."""


@dataclass(frozen=True, slots=True)
class TaskRan:
    """Where a task ran."""

    worker: str
    node: str
    batch: int
    batch_size: int
    dispatched_at: float


@dataclass(frozen=True, slots=True)
class RecordTraces:
    """Hand these to whoever traces."""

    tasks: tuple[TaskTrace, ...]


@dataclass(frozen=True, slots=True)
class RecordReads:
    """Keep what these tasks read together, for whoever asks which group rules would suit."""

    scope: Scope
    tasks: tuple[TaskReads, ...]


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """The correlation metadata of one group; `uses` counts tasks since the last record."""

    group: GroupId
    home: str
    placement_epoch: int
    objects: int
    size: int
    uses: int


@dataclass(frozen=True, slots=True)
class WriteMetadata:
    """Write these records behind; causes MetadataWritten."""

    records: tuple[GroupRecord, ...]


Command = Send | Conclude | RecordTraces | RecordReads | HangUp | WriteMetadata

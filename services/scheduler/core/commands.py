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
from covey.model import GroupId, Outcome, Scope, TaskReads
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
    """One stage's turn of a traced cascade, from ready to its report; instants in seconds."""

    stage: str
    event_id: str
    traceparent: str
    parent: str
    ready_at: float
    dispatched_at: float
    ended_at: float
    batch_size: int
    error: str


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

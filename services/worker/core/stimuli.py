"""What a worker's core is told has happened. Metadata only: payloads stay in the shell.

The objects that came inline ride along inside `RunBatch`; the core asks whether they are there, never what they hold.
"""

from __future__ import annotations

from typing import NamedTuple

from covey.errors import Reason, Status
from covey.messages import RunBatch, SchedulerToWorker
from covey.model import ObjectName, ObjectRef
from covey.values import dataclass


class BatchKey(NamedTuple):
    """Names a batch: a leader's numbers are unique within its epoch."""

    epoch: int
    number: int


def key_of(run: RunBatch) -> BatchKey:
    return BatchKey(run.epoch, run.number)


@dataclass(frozen=True, slots=True)
class Received:
    """The leader at the other end of link number `link` said this."""

    link: int
    message: SchedulerToWorker


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Nothing more will come over this link, and nothing sent over it arrives."""

    link: int


@dataclass(frozen=True, slots=True)
class Found:
    """What one read of a `Fetch` found; `remote_gets` and `bytes_moved` count what came from other nodes, and
    `unchanged` the objects that another node found and that were here."""

    objects: tuple[ObjectRef, ...] = ()
    complete: bool = True
    status: Status = Status.OK
    reason: Reason = Reason.NONE
    message: str = ""
    remote_gets: int = 0
    bytes_moved: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class InputsFetched:
    """The stimulus of `Fetch`: one `found` per read, in their order."""

    batch: BatchKey
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class FetchedAhead:
    """The stimulus of `FetchAhead`: one `found` per read, in their order."""

    number: int
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """The stimulus of `LoadModel`; `failed`: it can't be loaded, and the log says why."""

    lane: int
    stage: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ComputedTask:
    """What one task emitted, in its order (versions still 0), or why it ended itself (`task.fail`)."""

    number: int
    emitted: tuple[ObjectRef, ...] = ()
    failed: str | None = None
    remote_gets: int = 0
    bytes_moved: int = 0
    read: tuple[ObjectName, ...] = ()
    """Of a task that is to be recorded: what its stage read by itself."""


@dataclass(frozen=True, slots=True)
class BatchComputed:
    """The stimulus of a `Compute` that went well, after `seconds` on the device.

    Where reads are cached, `got` is what its stage got from other nodes by itself, `unchanged` of them without payload.
    """

    batch: BatchKey
    seconds: float
    tasks: tuple[ComputedTask, ...]
    got: tuple[ObjectRef, ...] = ()
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class BatchFailed:
    """The stimulus of a `Compute` whose stage raised, after `seconds`. The exception went to the log and the trace.

    `why` is what a client may hear of it.
    """

    batch: BatchKey
    seconds: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The stimulus of a `Compute` after which the device can't be trusted: a CUDA error that sticks."""

    batch: BatchKey
    summary: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The home's answer to one put: the ref with its version when the status is OK."""

    ref: ObjectRef | None
    status: Status = Status.OK
    reason: Reason = Reason.NONE
    message: str = ""


@dataclass(frozen=True, slots=True)
class EmissionsStored:
    """The stimulus of `Store`: one answer per put, in their order."""

    batch: BatchKey
    answers: tuple[Stored, ...]


Stimulus = (
    Received
    | Disconnected
    | InputsFetched
    | FetchedAhead
    | ModelLoaded
    | BatchComputed
    | BatchFailed
    | EngineLost
    | EmissionsStored
)

"""What a worker's core wants done. `Fetch`, `FetchAhead`, `LoadModel`, `Compute` and `Store` each return the one
stimulus that they cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from covey.grouping import Scope
from covey.messages import BatchReport, Beat, LaneReady, RunBatch, View, WorkerJoined
from covey.model import KeyRead, ObjectRef, Read
from covey.services.worker.core.stimuli import BatchKey
from covey.values import dataclass


class Resident(NamedTuple):
    """Names an object that the shell holds in memory. What it names never changes."""

    scope: Scope
    group: str
    key: str
    version: int


@dataclass(frozen=True, slots=True)
class Send:
    """Say this to the leader at the other end of the link. Returns nothing."""

    link: int
    message: WorkerJoined | LaneReady | Beat


@dataclass(frozen=True, slots=True)
class UseView:
    """This is the newest view: where homes are, and their addresses. Returns nothing."""

    view: View


class Ahead(NamedTuple):
    """The read of a task that is answered with what `FetchAhead` number `number` found for its read `found_by`."""

    read: KeyRead
    number: int
    found_by: KeyRead


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read inputs of a batch, each read once: `reads` from their homes, `resident` and `ahead` from memory.

    The homes need not send the payloads of what is `known` for a read, for it is resident. Waits for what is required
    until `deadline`. Returns InputsFetched, with one answer per read of `reads`.
    """

    run: RunBatch
    reads: tuple[Read, ...]
    resident: tuple[KeyRead, ...]
    ahead: tuple[Ahead, ...]
    known: Mapping[Read, tuple[ObjectRef, ...]]
    deadline: float


@dataclass(frozen=True, slots=True)
class FetchAhead:
    """Make these reads for tasks to come, and hold what they find until it is forgotten. Returns FetchedAhead."""

    number: int
    scope: Scope
    reads: tuple[KeyRead, ...]
    deadline: float


@dataclass(frozen=True, slots=True)
class ForgetAhead:
    """Let go of what these FetchAheads have found, if anything. Returns nothing."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Load the model of a stage (`<pipeline>/<stage>`) for a lane. Returns ModelLoaded.

    Loads and unloads are carried out in the order in which they are asked for.
    """

    lane: int
    stage: str


@dataclass(frozen=True, slots=True)
class UnloadModel:
    """Let go of the model of a stage: no lane serves it any more. Returns nothing."""

    stage: str


@dataclass(frozen=True, slots=True)
class Compute:
    """Run the stage over these tasks (numbers) of the batch, in this lane.

    Returns BatchComputed, BatchFailed or EngineLost.
    """

    run: RunBatch
    lane: int
    tasks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PutEmission:
    """Put the `index`-th object that a task emitted into its home, under an id that makes the put repeatable."""

    task: int
    index: int
    emission: bytes
    ref: ObjectRef
    node: str


@dataclass(frozen=True, slots=True)
class Store:
    """Put what a batch emitted, in parallel. Returns EmissionsStored, with one answer per put."""

    run: RunBatch
    puts: tuple[PutEmission, ...]
    deadline: float


@dataclass(frozen=True, slots=True)
class Retain:
    """Hold `keep`, which the batch read or emitted, in memory, and let go of `evict`. Returns nothing."""

    batch: BatchKey
    scope: Scope
    keep: tuple[ObjectRef, ...]
    evict: tuple[Resident, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Send the report and forget the batch. Returns nothing.

    An emission whose payload is empty, rather than None, travels with its payload: the shell fills it in.
    """

    link: int
    report: BatchReport


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget the batch: nobody waits for its report. Returns nothing."""

    batch: BatchKey


@dataclass(frozen=True, slots=True)
class Exit:
    """End the process once the reports are out: the device is lost, and whoever supervises us starts afresh."""

    summary: str


Command = (
    Send
    | UseView
    | Fetch
    | FetchAhead
    | ForgetAhead
    | LoadModel
    | UnloadModel
    | Compute
    | Store
    | Retain
    | Report
    | Forget
    | Exit
)

"""What a worker's core knows: batches, lanes and the newest view, with the law that they keep. No behaviour.

`phases.py` says where a batch may be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from covey.declaration import Declaration
from covey.errors import Reason, Status
from covey.homes import Homes
from covey.messages import RunBatch, Task, View
from covey.model import READS_RECORDED_MAX, ObjectName, ObjectRef, Placement, Priority, Read
from covey.services.worker.core.commands import PutEmission
from covey.services.worker.core.phases import DROPPED, FETCHING, MOVES, QUEUED, READY, REPORTED, RUNNING, STORING, Phase
from covey.services.worker.core.prefetching import Prefetches
from covey.services.worker.core.residency import Residency
from covey.services.worker.core.stimuli import BatchKey, Found


class IllegalMove(AssertionError):
    """A bug of ours: a batch was moved where `MOVES` does not allow, or a result came that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this worker is. `pipelines` are the declarations whose stages it runs."""

    worker: str
    node: str
    device: str
    lanes: tuple[Priority | None, ...]
    """The priority that each lane is kept for; None takes any."""
    pipelines: tuple[Declaration, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of everything that could grow, and the pace of retries and heartbeats (seconds)."""

    batches_max: int = 64
    fetching_max: int = 4
    store_attempts_max: int = 8
    store_retry_s: float = 0.01
    resident_bytes_max: int = 256 * 1024 * 1024
    """What is held in memory beyond the batches on their way; an eighth of it is for what was read ahead."""
    prefetch_events_max: int = 256
    cache_reads: bool = True
    cached_bytes_min: int = 16 * 1024
    """Objects from this size on are cached: what is smaller is sent again as soon as it is named."""
    beat_s: float = 0.5

    @property
    def prefetch_bytes_max(self) -> int:
        return self.resident_bytes_max // 8


@dataclass(slots=True)
class TaskState:
    """A task, and how it ended if it has (`status`)."""

    task: Task
    reads: tuple[Read, ...]
    incomplete: bool
    status: Status | None = None
    reason: Reason = Reason.NONE
    message: str = ""
    emitted: tuple[ObjectRef, ...] = ()
    stored: dict[int, ObjectRef] = field(default_factory=dict)
    """Index of an emission -> the ref that its home acknowledged, or its own if it only travels."""
    remote_gets: int = 0
    bytes_moved: int = 0
    read: dict[ObjectName, None] = field(default_factory=dict)
    """Of a task that is to be recorded: what it read so far, at most READS_RECORDED_MAX."""

    @property
    def open(self) -> bool:
        return self.status is None

    def end(self, status: Status, reason: Reason = Reason.NONE, message: str = "") -> None:
        """The first end holds."""
        if self.status is None:
            self.status, self.reason, self.message = status, reason, message

    def note_reads(self, names: Iterable[ObjectName]) -> None:
        """Remember what a task has read that is to be recorded."""
        if self.task.record:
            self.read.update(dict.fromkeys(islice(names, READS_RECORDED_MAX - len(self.read))))


@dataclass(slots=True)
class BatchState:
    """A batch on its way through the phases. Instants and durations are in seconds."""

    key: BatchKey
    run: RunBatch
    link: int
    arrival: int
    arrived: float
    since: float
    """When it came into its phase."""
    tasks: dict[int, TaskState]
    phase: Phase = QUEUED
    orphan: bool = False
    waiting: bool = False
    """A command of this batch is out; its stimulus will come."""
    unread: dict[Read, str] = field(default_factory=dict)
    """While it is fetching: what it reads in a later round, each with the event of a task that reads it."""
    reads: tuple[Read, ...] = ()
    """What its homes were asked for in this round."""
    found: dict[Read, Found] = field(default_factory=dict)
    """What was read so far, save what was resident."""
    runs: list[tuple[int, ...]] = field(default_factory=list)
    """Task numbers still to be computed together, the next first: one tuple, or halves after a failure."""
    puts: tuple[PutEmission, ...] = ()
    attempts: int = 0
    retry_at: float | None = None
    view: int = 0
    """The number of the view that the last puts went by."""
    computed_s: float = 0.0
    spent_s: dict[Phase, float] = field(default_factory=dict)

    @property
    def open_tasks(self) -> list[TaskState]:
        return [task for task in self.tasks.values() if task.status is None]

    @property
    def deadline_min(self) -> float:
        return min([task.task.deadline for task in self.tasks.values()])

    @property
    def deadline_max(self) -> float:
        return max([task.task.deadline for task in self.tasks.values()])

    def move(self, phase: Phase, now: float) -> None:
        if phase not in MOVES[self.phase]:
            raise IllegalMove(f"batch {self.key} can't go from {self.phase.value} to {phase.value}")
        self.spent_s[self.phase] = self.spent_s.get(self.phase, 0.0) + now - self.since
        self.phase, self.since = phase, now


@dataclass(slots=True)
class Lane:
    """An execution slot: kept for one priority or open to `only=None` any, and the batch that runs in it."""

    only: Priority | None
    batch: BatchKey | None = None
    stage: str = ""
    """What the leader has assigned to it, as `<pipeline>/<stage>`: it takes nothing else; empty: it takes any."""
    model: str = ""
    """The stage whose model was loaded for it."""


@dataclass(slots=True)
class Counters:
    """What has happened in all, for metrics."""

    tasks_finished: int = 0
    batches_refused: int = 0
    stale_refused: int = 0
    late_skipped: int = 0
    batches_halved: int = 0
    store_retries: int = 0
    resident_hits: int = 0
    resident_misses: int = 0
    prefetch_hits: int = 0
    prefetch_misses: int = 0
    """Reads that could have been made ahead, and were not, or in vain."""
    cache_hits: int = 0
    cache_misses: int = 0
    """Objects that came from other nodes without their payload, or with it."""

    def count_cached(self, objects: int, unchanged: int) -> None:
        """Homes were asked for objects, some of which were here."""
        self.cache_hits += unchanged
        self.cache_misses += objects - unchanged


@dataclass(slots=True)
class WorkerState:
    """Everything."""

    lanes: list[Lane]
    residency: Residency
    prefetches: Prefetches
    epoch: int = 0
    leader: int | None = None
    """The link of the leader; None before one has come, and after it has gone."""
    view: View = field(default_factory=lambda: View(0, 0, Placement()))
    homes: Homes = field(default_factory=lambda: Homes(Placement()))
    batches: dict[BatchKey, BatchState] = field(default_factory=dict)
    arrivals: int = 0
    next_beat: float | None = None
    lost: bool = False
    """The device is lost: nothing is taken any more."""
    counters: Counters = field(default_factory=Counters)

    def in_phase(self, phase: Phase) -> list[BatchState]:
        return [batch for batch in self.batches.values() if batch.phase is phase]

    def check_invariants(self, limits: Limits) -> None:
        """The law. Raises AssertionError when it is broken."""
        running = {lane.batch for lane in self.lanes if lane.batch is not None}
        computing = {key for key, batch in self.batches.items() if batch.phase is RUNNING}
        assert running == computing, "a batch runs in one lane, and a lane runs one batch"
        assert len(self.batches) <= limits.batches_max, "the queue is bounded"
        assert len(self.in_phase(FETCHING)) <= limits.fetching_max, "fetches are bounded"
        for key, batch in self.batches.items():
            assert key == batch.key
            assert batch.phase not in (REPORTED, DROPPED), "what has ended is gone"
            assert batch.waiting or not batch.orphan, "an orphan stays only for the command that it waits for"
            assert batch.orphan or batch.key.epoch == self.epoch, "only the leader's batches go on"
            assert batch.waiting or batch.open_tasks, "a batch with nothing left to do has been reported"
            stored_or_retried = batch.waiting != (batch.retry_at is not None)
            assert batch.phase is not STORING or stored_or_retried, "puts are out, or will be tried again"
            if batch.phase is FETCHING:
                assert batch.waiting or batch.unread, "a batch that is fetching waits for a command or a prefetch"
            if batch.phase is RUNNING:
                assert batch.waiting, "a batch that is running waits for a command"
            if batch.phase in (QUEUED, READY):
                assert not batch.waiting, f"a batch that is {batch.phase.value} waits for nothing but its turn"
        self.residency.check_invariants()
        self.prefetches.check_invariants()


def new_state(identity: Identity, limits: Limits) -> WorkerState:
    """A worker that has just started."""
    residency = Residency(
        limits.resident_bytes_max - limits.prefetch_bytes_max, limits.cache_reads, limits.cached_bytes_min
    )
    prefetches = Prefetches(limits.prefetch_events_max, limits.prefetch_bytes_max)
    return WorkerState([Lane(only) for only in identity.lanes], residency, prefetches)

"""The scheduler's data; `invariants.py` says what holds of it after every step. No behaviour.

A *task* belongs to one cascade and goes through the phases of `MOVES`. A stateful task is HELD until its predecessor on
the same state line has ended. Queues are heaps with lazy deletion: an entry counts only while its task is QUEUED under
that very key.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from covey.declaration import Declaration, Graph, Need, PoolDeclaration, StageDeclaration
from covey.errors import Reason, Status
from covey.homes import Homes
from covey.model import Event, GroupId, Node, ObjectRef, ObjectValue, Outcome, Placement, Priority, Read, Scope
from covey.services.scheduler.core.contention import Why
from covey.services.scheduler.core.policy import Policy
from covey.services.scheduler.core.served import Served
from covey.services.scheduler.core.shared import Shared
from covey.services.scheduler.core.weights import Balance, GroupUse, Weight


class Limits(NamedTuple):
    """Bounds and patience. Times in seconds."""

    tasks_open_max: int = 100_000
    kept_for_high: float = 0.1
    """Share of that which LOW events leave to HIGH ones."""
    cascade_tasks_max: int = 10_000
    outcomes_max: int = 10_000
    declarations_max: int = 4
    groups_max: int = 100_000
    deaths_max: int = 3
    """Workers that may die with a task before it is given up."""
    pauses_max: int = 8
    """Times that a task may be turned away (a home that moved, a worker that stops) before it is given up."""
    pause_s: float = 0.02
    """The first pause; each further one is twice as long."""
    restarts_max: int = 2
    batches_ahead: int = 1
    """Batches that a worker holds beyond its lanes, so that it fetches for one while another computes."""
    silence_s_max: float = 2.0
    patience_s: float = 2.0
    """How long work waits for the first worker, or the next, that can run it."""
    tick_s: float = 0.1
    beat_s: float = 0.5
    """How often gateways and workers hear that their leader is there; datastores do at every tick."""
    metadata_s: float = 1.0
    provision_s: float = 1.0
    """How often a provisioner looks."""
    probe_every: int = 50
    """One in so many tasks that are predicted late runs all the same, so that predictions stay alive."""
    suggest_sample: int = 16
    """One in so many events tells what its tasks read, for `covey suggest`; 0: none does."""


Fields = dict[str, str | int]
"""Of a key, by the template of its pool."""


class StageId(NamedTuple):
    """A stage of one version of a pipeline: what may share a batch."""

    scope: Scope
    version: str
    name: str


class Urgency(NamedTuple):
    """What queues are ordered by: priority, then deadline, then admission."""

    priority: Priority
    deadline: float
    sequence: int


class Phase(enum.Enum):
    HELD = "held"
    QUEUED = "queued"
    DISPATCHED = "dispatched"
    PAUSED = "paused"
    ENDED = "ended"
    moves: tuple[Phase, ...]  # as in MOVES, without hashing, which takes longer than the rest of a move


MOVES: dict[Phase, tuple[Phase, ...]] = {
    Phase.HELD: (Phase.QUEUED, Phase.ENDED),
    Phase.QUEUED: (Phase.DISPATCHED, Phase.ENDED),
    Phase.DISPATCHED: (Phase.QUEUED, Phase.PAUSED, Phase.ENDED),
    Phase.PAUSED: (Phase.QUEUED, Phase.ENDED),
    Phase.ENDED: (),
}
"""The legal moves of a task. DISPATCHED -> QUEUED is re-execution, by way of PAUSED if trying at once is no use."""
for _phase, _moves in MOVES.items():
    _phase.moves = _moves
HELD, QUEUED, DISPATCHED, PAUSED, ENDED = Phase  # names, for to look up an enum's attribute takes 0.1 us in Python 3.11


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage, with what dispatching it needs to know."""

    id: StageId
    declaration: StageDeclaration
    pool: PoolDeclaration
    needs: tuple[PoolDeclaration, ...]
    state_pool: PoolDeclaration | None
    foreseeable: tuple[tuple[Need, PoolDeclaration], ...]
    """Needs of a stage that no event triggers itself, whose keys the fields of its task name."""
    fatal: bool
    """A dropped task of this stage ends its cascade: a join with missing="drop" needs all of them."""
    homeless: bool
    """What its tasks read and emit travels with them, so that no node is nearer than another."""
    tolerated: bool
    """A dropped task only makes the outcome incomplete: a join with missing="fire" runs without it."""
    followers: tuple[str, ...]
    """The stages that what it emits leads to."""

    @property
    def qualified(self) -> str:
        return f"{self.id.scope.pipeline}/{self.id.name}"


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """One version of a pipeline, compiled."""

    scope: Scope
    declaration: Declaration
    graph: Graph
    stages: dict[str, StagePlan]
    recorded: frozenset[str]
    """The pools whose groups are seen again and again: those of one key, or of one index, get no record."""
    foresees: bool
    """Some stage's reads can be known before it runs."""


class StateKey(NamedTuple):
    """The state that tasks of a stage hand on: one line of tasks each."""

    scope: Scope
    stage: str
    key: str


@dataclass(slots=True)
class StateLine:
    """One of its tasks at a time; the others wait in admission order."""

    version: int = 0
    """What the last accepted task left; 0: not known to this leader, so read what was current at admission."""
    as_of: float | None = None
    """Until the line is settled, what was current then is read, unless the version is later: no task of the line had
    run for this leader, so that nothing that it has dropped is read."""
    settled: bool = False
    """No earlier leader can have accepted more than this one knows: the version alone says what to read."""
    lost: bool = False
    running: TaskState | None = None
    waiting: list[tuple[int, int, int, TaskState]] = field(default_factory=list)
    used_at: float = 0.0


@dataclass(slots=True, eq=False)
class TaskState:
    number: int
    identity: bytes
    cascade: Cascade
    plan: StagePlan
    trigger: ObjectValue | None
    members: tuple[Member, ...]
    fields: Fields
    order: int
    urgency: Urgency
    created_at: float
    home: str = ""
    reads: tuple[tuple[str, tuple[Read, ...]], ...] = ()
    """What the stage's needs mean for this task, by the placement of `reads_epoch`."""
    reads_epoch: int = -1
    phase: Phase = Phase.HELD
    queued_at: float = 0.0
    deaths: int = 0
    pauses: int = 0
    alone: bool = False
    """It was in a batch whose worker died: run it by itself, so that a poisonous task takes no others with it."""
    batch: int = 0
    line: StateKey | None = None
    state_version: int = 0
    state_as_of: float | None = None
    weight: Weight | None = None
    """Of its root group, once `weighed`; None if that is not worth a record."""
    weighed: bool = False
    why: Why | None = None
    """It was sent, or dropped, as a policy of priorities says."""
    repeats: bool = False
    """It was accepted before its cascade started again: it reads the state that it read then, and commits none."""


Queue = list[tuple[Priority, float, int, int, TaskState]]
"""A heap of the urgency, number and state of tasks. (Flat: a tuple in a tuple takes twice as long to compare.)"""


class Member(NamedTuple):
    """An object that a join collected."""

    ref: ObjectRef
    incomplete: bool


@dataclass(slots=True)
class JoinState:
    """What a join of one cascade has collected, by the values of its fields."""

    plan: StagePlan
    fed_by: str
    """The stage that its first member came from: its tasks count as what that one has led to."""
    collected: dict[tuple[str | int, ...], list[Member]] = field(default_factory=dict)
    fires_at: float | None = None


@dataclass(slots=True)
class StageSum:
    """The sums behind model.StageTime."""

    tasks: int = 0
    queue_s: float = 0.0
    fetch_s: float = 0.0
    wait_s: float = 0.0
    compute_s: float = 0.0
    store_s: float = 0.0
    batch_size_sum: int = 0


@dataclass(slots=True, eq=False)
class Cascade:
    """All that descends from one event."""

    event: Event
    identity: bytes
    plan: PipelinePlan
    fields: Fields
    """Of the event's key."""
    gateways: list[int]
    """Whom the outcome goes to: each that has submitted the event and is still there; the last has its payload."""
    urgency: Urgency
    admitted_at: float
    tasks: dict[int, TaskState] = field(default_factory=dict)
    open_by_stage: dict[str, int] = field(default_factory=dict)
    joins: dict[str, JoinState] = field(default_factory=dict)
    fired: list[str] = field(default_factory=list)
    results: list[ObjectValue] = field(default_factory=list)
    sums: dict[str, StageSum] = field(default_factory=dict)
    accepted_states: dict[bytes, tuple[int, float | None]] = field(default_factory=dict)
    """Identity of an accepted stateful task -> the version that it read, or as of when."""
    failure: tuple[Status, Reason, str] | None = None
    forgiven: tuple[Status, Reason, str] | None = None
    """The first failure that a join with missing="fire" runs without, if it runs."""
    incomplete: bool = False
    recorded: bool = False
    """Its tasks tell what they read, for `covey suggest`."""
    tasks_made: int = 0
    reserved: int = 0
    restarts: int = 0
    storing_again: bool = False
    remote_gets: int = 0
    bytes_moved: int = 0


@dataclass(slots=True)
class Gateway:
    peer: int
    id: str
    heard_at: float


@dataclass(slots=True)
class Batch:
    number: int
    worker: int
    plan: StagePlan
    tasks: list[TaskState]
    dispatched_at: float
    away: bool = False
    """It runs on another node than the one that holds its data."""


@dataclass(slots=True)
class Worker:
    peer: int
    id: str
    node: str
    lanes: int
    stages: frozenset[str]
    heard_at: float
    high_lanes: int = 0
    """Of its lanes, kept for HIGH, ..."""
    low_lanes: int = 0
    """... and for LOW; the others take any."""
    batches: dict[int, Batch] = field(default_factory=dict)
    last_batch: int = 0

    def runs(self, plan: StagePlan) -> bool:
        return not self.stages or plan.qualified in self.stages


@dataclass(slots=True)
class NodePeer:
    """A datastore. It is ready, and chosen as a home, once it acts upon a view of ours."""

    peer: int
    node: Node
    heard_at: float
    acknowledged: int = 0
    ready: bool = False
    settled: int = 0
    """The newest placement epoch whose groups have all arrived."""


@dataclass(slots=True)
class Foresight:
    """What the newest event of a group led to: stage, fields and node of its later tasks."""

    event: bytes = b""
    tasks: list[tuple[StagePlan, dict[str, str | int], str]] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """All that the scheduler knows."""

    limits: Limits = Limits()
    policy: Policy = Policy()
    epoch: int = 0
    gathering: bool = True
    """The placement is that of an earlier leader, or none; ours is drawn up when its nodes have joined ..."""
    gathers_until: float = 0.0
    """... or at this instant."""
    handover_ends: float = 0.0
    """Until then gateways may submit again what an earlier leader had admitted, and perhaps accepted."""
    view_number: int = 0
    homes: Homes = field(default_factory=lambda: Homes(Placement()))
    """Where groups live, by the placement of now; `placement.place_anew` draws up the next."""
    scheduler: str = ""
    stopping: bool = False
    sequence: int = 0
    last_task: int = 0
    last_batch: int = 0
    gateways: dict[int, Gateway] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    lanes: dict[StageId, int] = field(default_factory=dict)
    """Of the workers that run a stage, for the stages that were asked for since workers came or went."""
    nodes: dict[int, NodePeer] = field(default_factory=dict)
    pins: dict[GroupId, str] = field(default_factory=dict)
    pipelines: dict[Scope, OrderedDict[str, PipelinePlan]] = field(default_factory=dict)
    """Scope -> version -> plan; the last is current."""
    announced: dict[Scope, tuple[Declaration, int]] = field(default_factory=dict)
    """Declarations that datastores have been told of in the view of that number, and gateways not yet."""
    cascades: dict[bytes, Cascade] = field(default_factory=dict)
    outcomes: OrderedDict[bytes, Outcome] = field(default_factory=OrderedDict)
    tasks: dict[int, TaskState] = field(default_factory=dict)
    timers: list[tuple[float, int, bytes]] = field(default_factory=list)
    """When to look at a cascade again: its deadline, the timeout of a join."""
    paused: list[tuple[float, int]] = field(default_factory=list)
    """When to queue a paused task again, and its number."""
    reserved: int = 0
    dispatch_at: float | None = None
    """When a lane will be free for a batch that was not dispatched yet."""
    queues: dict[StageId, dict[str, Queue]] = field(default_factory=dict)
    """Stage -> home node -> heap of queued tasks."""
    queued: dict[StageId, list[int]] = field(default_factory=dict)
    """How many tasks of a stage are queued, of HIGH and of LOW events."""
    lines: dict[StateKey, StateLine] = field(default_factory=dict)
    exposed: dict[StateKey, float] = field(default_factory=dict)
    """Lines whose version may be superseded by what a dropped task has put -> an instant when it was still current:
    homes keep what was current then, until the line's next task has read it."""
    batches: dict[int, Batch] = field(default_factory=dict)
    served: Served | None = None
    """The pipeline that is provisioned; then it is served alone, and `queues` stay empty."""
    shared: Shared | None = None
    """Devices are shared by priorities, as a policy says; then `queues` stay empty too."""
    wanted_workers: int = 0
    """How many would have the lanes that are provisioned; 0: nothing is."""
    groups: OrderedDict[GroupId, GroupUse] = field(default_factory=OrderedDict)
    foresights: OrderedDict[GroupId, Foresight] = field(default_factory=OrderedDict)
    """By the group of the event."""
    balance: Balance = field(default_factory=Balance)
    tasks_per_event: dict[Scope, float] = field(default_factory=dict)
    predicted_late: int = 0
    drops: dict[str, int] = field(default_factory=dict)
    """Reason -> tasks dropped for it."""
    finished: int = 0
    writing_metadata: bool = False
    next_tick: float = 0.0
    next_beat: float = 0.0
    next_metadata: float = 0.0
    workerless: dict[StageId, float] = field(default_factory=dict)
    """Stages with queued tasks that no worker runs -> since when."""

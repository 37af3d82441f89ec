"""A scheduler's core with peers that answer: a small world, not a mock. Time moves only when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from covey.declaration import Declaration
from covey.errors import Reason, Status
from covey.messages import (
    BatchReport,
    Beat,
    Emission,
    GatewayJoined,
    NodeJoined,
    OutcomeReady,
    RunBatch,
    SubmitEvent,
    Task,
    TaskReport,
    View,
    WorkerJoined,
)
from covey.model import Event, Node, ObjectRef, ObjectValue, Outcome, Placement
from covey.services.scheduler.core.commands import Command, Conclude, HangUp, Send
from covey.services.scheduler.core.invariants import check_invariants
from covey.services.scheduler.core.machine import Scheduler
from covey.services.scheduler.core.policy import Policy
from covey.services.scheduler.core.served import Serving
from covey.services.scheduler.core.shared import Shared
from covey.services.scheduler.core.state import Limits
from covey.services.scheduler.core.stimuli import (
    Declared,
    Elected,
    GatewayConnected,
    NodeConnected,
    PeerLost,
    PeerSaid,
    Stimulus,
    WorkerConnected,
)
from tests.builders import SCOPE, collisions

GATEWAY, WORKER, NODE = 1, 100, 200
ACTORS = ("a1", "a2", "a3")

Emits = Callable[[RunBatch, Task], list[tuple[str, str, str]]]
"""What a task emits: (pool, key, group) each."""


def collision_emissions(batch: RunBatch, task: Task) -> list[tuple[str, str, str]]:
    """Three actors in every scene at every tick, and one alert."""
    fields = dict(task.fields)
    scene, tick = fields["scene"], fields["tick"]
    match batch.stage:
        case "track":
            positions = [("positions", f"/positions/{scene}/{a}/{tick}", f"{scene}/{a}") for a in ACTORS]
            return [*positions, ("tracks", f"/tracks/{scene}", str(scene))]
        case "predict":
            actor = fields["actor"]
            return [("predictions", f"/predictions/{scene}/{tick}/{actor}", f"{scene}/{tick}")]
        case "collide":
            return [("alerts", f"/alerts/{scene}/{tick}/a1-a2", f"/alerts/{scene}/{tick}/a1-a2")]
    raise AssertionError(batch.stage)


@dataclass
class SchedulerWorld:
    """Workers run nothing until told to; `finish` reports a batch as a worker would."""

    limits: Limits = field(default_factory=Limits)
    declaration: Declaration = field(default_factory=collisions)
    workers: int = 1
    nodes: int = 1
    lanes: int = 1
    emits: Emits = collision_emissions
    now: float = 0.0
    epoch: int = 1
    policy: Policy = Policy()
    serving: Serving | None = None
    shared: Shared | None = None
    kept: tuple[int, int] = (0, 0)
    """Lanes of each worker that are kept for HIGH, and for LOW."""

    def __post_init__(self) -> None:
        self.core = Scheduler(self.limits, policy=self.policy, served=self.serving, shared=self.shared)
        self.outcomes: dict[str, Outcome] = {}
        self.answers: list[Outcome] = []
        self.batches: dict[int, tuple[int, RunBatch]] = {}
        self.sent: list[Send] = []
        self.hung_up: list[int] = []
        self.commands: list[Command] = []
        self.version = 0
        self.tell(Elected(self.epoch), Declared(SCOPE.tenant, self.declaration))
        for number in range(self.nodes):
            self.join_node(number)
        self.tell(GatewayConnected(GATEWAY, GatewayJoined("g")))
        for number in range(self.workers):
            self.join_worker(number)

    def join_node(self, number: int, peer: int | None = None) -> None:
        peer = NODE + number if peer is None else peer
        nodes = tuple(Node(f"n{each}", f"n{each}:1") for each in range(self.nodes))
        known = Placement(self.epoch - 1, nodes) if self.epoch > 1 else Placement()
        self.tell(NodeConnected(peer, NodeJoined(f"n{number}", f"n{number}:1", placement=known)))
        self.tell(PeerSaid(peer, Beat(view=self.core.state.view_number)))

    def join_worker(self, number: int, peer: int | None = None) -> None:
        node = f"n{number % max(self.nodes, 1)}"
        peer = WORKER + number if peer is None else peer
        joined = WorkerJoined(f"w{number}", node, "cpu", self.lanes, (), 0, (), *self.kept)
        self.tell(WorkerConnected(peer, joined))

    def tell(self, *stimuli: Stimulus) -> Sequence[Command]:
        """Hand stimuli to the core, check its invariants, and note what it commands."""
        commands = self.core.handle(stimuli, self.now)
        check_invariants(self.core.state)
        for command in commands:
            self.commands.append(command)
            match command:
                case Send(peer, RunBatch() as batch):
                    self.batches[batch.number] = (peer, batch)
                case Send():
                    self.sent.append(command)
                case Conclude(_, outcome):
                    self.answers.append(outcome)
                    self.outcomes.setdefault(outcome.event_id, outcome)
                case HangUp(peer):
                    self.hung_up.append(peer)
        return commands

    def submit(self, *events: Event) -> None:
        self.tell(*(PeerSaid(GATEWAY, SubmitEvent(event)) for event in events))

    def wait(self, seconds: float) -> None:
        """Let time pass, with every peer beating."""
        until = self.now + seconds
        while (wake_at := self.core.wake_at) is not None and wake_at <= until:
            self.now = max(self.now, wake_at)
            state = self.core.state
            self.tell(*(PeerSaid(peer, self.beat()) for peer in (*state.gateways, *state.workers, *state.nodes)))
        self.now = until
        self.tell()

    def beat(self) -> Beat:
        """What a peer says that is up to date."""
        return Beat(view=self.core.state.view_number, settled=self.core.state.homes.placement.epoch)

    def finish(
        self, number: int, *, only: Callable[[Task], bool] = lambda task: True, compute_s: float = 0.0
    ) -> RunBatch:
        """A worker reports a batch as done (tasks that `only` refuses are left out of the report)."""
        peer, batch = self.batches.pop(number)
        reports = tuple(self.report(batch, task) for task in batch.tasks if only(task))
        self.tell(PeerSaid(peer, BatchReport(batch.number, batch.epoch, reports, compute_s=compute_s)))
        return batch

    def report(self, batch: RunBatch, task: Task) -> TaskReport:
        emissions = []
        for index, (pool, key, group) in enumerate(self.emits(batch, task)):
            self.version += 1
            emissions.append(Emission(index, ObjectValue(ObjectRef(pool, key, group, self.version, 8), b"value")))
        return TaskReport(task.number, Status.OK, emissions=tuple(emissions))

    def fail(self, number: int, status: Status, reason: Reason, message: str = "no") -> RunBatch:
        """A worker reports every task of a batch as failed."""
        peer, batch = self.batches.pop(number)
        reports = tuple(TaskReport(task.number, status, reason, message) for task in batch.tasks)
        self.tell(PeerSaid(peer, BatchReport(batch.number, batch.epoch, reports)))
        return batch

    def lose(self, peer: int) -> None:
        self.batches = {number: held for number, held in self.batches.items() if held[0] != peer}
        self.tell(PeerLost(peer))

    def running(self, stage: str) -> list[RunBatch]:
        return [batch for _, batch in self.batches.values() if batch.stage == stage]

    def run_all(self, compute_s: float = 0.0) -> None:
        """Finish batches, oldest first, until nothing is dispatched."""
        while self.batches:
            self.finish(min(self.batches), compute_s=compute_s)

    def views(self, peer: int) -> list[View]:
        return [sent.message for sent in self.sent if sent.peer == peer and isinstance(sent.message, View)]


__all__ = ["GATEWAY", "NODE", "WORKER", "OutcomeReady", "SchedulerWorld", "collision_emissions"]

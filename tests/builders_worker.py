"""A worker's core on a bench: say things to it, see what it commands, its law checked after every step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from covey.declaration import Declaration, Need, NeedKind, PoolDeclaration, StageDeclaration
from covey.grouping import Scope
from covey.messages import LeaderJoined, RunBatch, SchedulerToWorker, Task, View
from covey.model import KeyRead, Node, ObjectRef, ObjectValue, Placement, Priority, Read
from covey.services.worker.core.commands import Command, Compute, Fetch, Report, Store
from covey.services.worker.core.machine import WorkerCore
from covey.services.worker.core.state import Identity, Limits
from covey.services.worker.core.stimuli import (
    BatchComputed,
    BatchFailed,
    ComputedTask,
    Disconnected,
    EmissionsStored,
    Found,
    InputsFetched,
    Received,
    Stimulus,
    Stored,
    key_of,
)

SCOPE = Scope("acme", "demo")
LINK = 1
C = TypeVar("C")

DECLARATION = Declaration(
    "demo",
    1.0,
    pools=(
        PoolDeclaration("ticks", "/ticks/{scene}/{tick:int}", "template", "{scene}"),
        PoolDeclaration("tracks", "/tracks/{scene}", "template", "{scene}"),
        PoolDeclaration("alerts", "/alerts/{scene}/{tick:int}", "template", "{scene}"),
        PoolDeclaration("points", "/points/{scene}/{tick:int}", "template", "{scene}"),
    ),
    stages=(
        StageDeclaration(
            "track", "ticks", needs=(Need("tracks", NeedKind.LATEST),), emits=("tracks", "points", "alerts")
        ),
        StageDeclaration("look", "points", emits=("alerts",), batch_max=8),
    ),
).versioned()


def a_ref(
    pool: str = "ticks", key: str = "/ticks/a/1", group: str = "a", version: int = 0, size: int = 10
) -> ObjectRef:
    return ObjectRef(pool, key, group, version, size)


def a_task(number: int, deadline: float = 100.0, needs: Sequence[Read] = (), payload: bytes | None = b"") -> Task:
    """A task with its trigger inline, or apart if `payload` is None."""
    trigger = ObjectValue(a_ref(key=f"/ticks/a/{number}", version=1), payload)
    pools = (("tracks", tuple(needs)),) if needs else ()
    identity = number.to_bytes(16, "big")
    return Task(number, identity, f"event-{number}", trigger, (), pools, (("scene", "a"), ("tick", number)), deadline)


def a_batch(number: int, *tasks: Task, priority: Priority = Priority.HIGH, epoch: int = 1, **changes: Any) -> RunBatch:
    run = RunBatch(number, epoch, SCOPE, DECLARATION.version, "track", priority, tasks or (a_task(number),))
    return replace(run, **changes)


def a_view(*nodes: str, number: int = 1, epoch: int = 1, **changes: Any) -> View:
    placement = Placement(epoch, tuple(Node(node, f"{node}:1") for node in nodes or ("n1",)), **changes)
    return View(epoch, number, placement)


def a_state_read(version: int, required: bool = True) -> KeyRead:
    return KeyRead("tracks", "/tracks/a", "a", version, "n1", required)


class Bench:
    """A core, its clock, and everything that it has commanded so far."""

    def __init__(self, lanes: tuple[Priority | None, ...] = (None,), join: bool = True, **limits: Any) -> None:
        self.limits = Limits(**limits)
        self.core = WorkerCore(Identity("w1", "n1", "cpu", lanes, (DECLARATION,)), self.limits)
        self.now = 0.0
        self.commands: list[Command] = []
        if join:
            self.say(LeaderJoined(1, "s1"), a_view())

    def do(self, *stimuli: Stimulus, at: float | None = None) -> list[Command]:
        """Hand in stimuli together, at an instant; the answer is what the core commands for them."""
        self.now = self.now if at is None else at
        commands = list(self.core.handle(stimuli, self.now))
        self.core.check_invariants()
        self.commands += commands
        return commands

    def say(self, *messages: SchedulerToWorker, link: int = LINK, at: float | None = None) -> list[Command]:
        return self.do(*[Received(link, message) for message in messages], at=at)

    def hang_up(self, link: int = LINK) -> list[Command]:
        return self.do(Disconnected(link))

    def fetched(self, fetch: Fetch, *found: Found, at: float | None = None) -> list[Command]:
        answers = found or tuple(Found((a_ref(read.pool),)) for read in fetch.reads)
        return self.do(InputsFetched(key_of(fetch.run), answers), at=at)

    def computed(
        self, compute: Compute, *emitted: ObjectRef, failed: dict[int, str] | None = None, at: float | None = None
    ) -> list[Command]:
        """The run went well: every task emitted these."""
        why = failed or {}
        tasks = tuple(ComputedTask(number, emitted, why.get(number)) for number in compute.tasks)
        return self.do(BatchComputed(key_of(compute.run), 0.5, tasks), at=at)

    def failed(self, compute: Compute, why: str = "") -> list[Command]:
        return self.do(BatchFailed(key_of(compute.run), 0.25, why))

    def stored(self, store: Store, *answers: Stored, at: float | None = None) -> list[Command]:
        given = answers or tuple(Stored(replace(put.ref, version=7)) for put in store.puts)
        return self.do(EmissionsStored(key_of(store.run), given), at=at)


def the(kind: type[C], commands: Sequence[Command]) -> C:
    """The one command of this kind."""
    found = [command for command in commands if isinstance(command, kind)]
    assert len(found) == 1, commands
    return found[0]


def every(kind: type[C], commands: Sequence[Command]) -> list[C]:
    return [command for command in commands if isinstance(command, kind)]


def ends(commands: Sequence[Command]) -> dict[int, tuple[str, str]]:
    """Task -> (status, reason), of everything reported."""
    reports = [command.report for command in commands if isinstance(command, Report)]
    return {task.number: (task.status.value, task.reason.value) for report in reports for task in report.tasks}

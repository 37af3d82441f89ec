"""Whatever comes in whatever order, the worker keeps its law and answers for every batch that it took."""

from collections import Counter
from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from covey.errors import Reason, Status
from covey.messages import CancelTasks, LeaderJoined, Prefetch
from covey.model import KeyRead, LastRead, Priority, Read
from covey.services.worker.core.commands import (
    Command,
    Compute,
    Fetch,
    FetchAhead,
    Forget,
    ForgetAhead,
    Report,
    Resident,
    Retain,
    Store,
)
from covey.services.worker.core.stimuli import BatchKey, FetchedAhead, Found, Stored
from tests.builders_worker import SCOPE, Bench, a_batch, a_ref, a_state_read, a_task, a_view

BATCHES_MAX = 6
NOTHING = Found(status=Status.NOT_FOUND)
GONE = Found(status=Status.UNAVAILABLE, reason=Reason.HOME_LOST)
MOVED = Stored(None, Status.UNAVAILABLE, Reason.MOVED)
LAST = LastRead("points", "/points/a/*", 2, 9, False, ("n1", "n2"))
AHEAD = KeyRead("points", "/points/a/1", "a", 0, "n2", False, 1.0)
POINTS = Found((a_ref("points", "/points/a/1", version=1, size=2), a_ref("points", "/points/a/2", version=1, size=3)))


class WorkerLife(RuleBasedStateMachine):
    """A leader that sends batches, cancels, changes and hangs up; commands that return late and in any order."""

    def __init__(self) -> None:
        super().__init__()
        limits = {"resident_bytes_max": 40, "prefetch_events_max": 3, "cache_reads": True, "cached_bytes_min": 0}
        self.bench = Bench((Priority.HIGH, None), batches_max=BATCHES_MAX, fetching_max=2, **limits)
        self.epoch, self.number, self.task = 1, 0, 0
        self.out: list[Fetch | FetchAhead | Compute | Store] = []
        self.ahead: dict[int, tuple[KeyRead, ...]] = {}
        self.sent: dict[BatchKey, tuple[int, ...]] = {}
        self.ended: Counter[BatchKey] = Counter()
        self.resident: dict[Resident, None] = {}

    def see(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Fetch():
                    for read in command.resident:
                        assert Resident(SCOPE, read.group, read.key, read.version) in self.resident
                    for ref in [ref for refs in command.known.values() for ref in refs]:
                        assert Resident(SCOPE, ref.group, ref.key, ref.version) in self.resident
                    for _, number, found_by in command.ahead:
                        assert found_by in self.ahead[number]
                    self.out.append(command)
                case FetchAhead():
                    self.out.append(command)
                case ForgetAhead():
                    for number in command.numbers:
                        self.ahead.pop(number, None)
                case Compute():
                    for task in command.run.tasks:
                        assert task.number not in command.tasks or task.deadline > self.bench.now
                    self.out.append(command)
                case Store():
                    self.out.append(command)
                case Report():
                    key = BatchKey(command.report.epoch, command.report.number)
                    assert key.epoch == self.epoch, "an old leader's batch was reported"
                    assert tuple(task.number for task in command.report.tasks) == self.sent[key]
                    self.ended[key] += 1
                case Forget():
                    self.ended[command.batch] += 1
                case Retain():
                    for name in command.evict:
                        del self.resident[name]
                    for ref in command.keep:
                        self.resident[Resident(SCOPE, ref.group, ref.key, ref.version)] = None
                case _:
                    pass

    @rule(
        size=st.integers(1, 4),
        low=st.booleans(),
        budget=st.integers(1, 20),
        version=st.integers(0, 3),
        more=st.lists(st.sampled_from([LAST, AHEAD]), unique=True),
    )
    def run_batch(self, size: int, low: bool, budget: int, version: int, more: list[Read]) -> None:
        self.number += 1
        needs = [*([a_state_read(version)] if version else []), *more]
        numbers = range(self.task + 1, self.task + size + 1)
        self.task += size
        tasks = [a_task(number, self.bench.now + budget, needs) for number in numbers]
        run = a_batch(self.number, *tasks, priority=Priority.LOW if low else Priority.HIGH, epoch=self.epoch)
        self.sent[BatchKey(run.epoch, run.number)] = tuple(numbers)
        self.see(self.bench.say(run, link=self.epoch))

    @rule(event=st.integers(1, 3), budget=st.integers(1, 20), as_of=st.sampled_from([0.5, 1.0]))
    def prefetch(self, event: int, budget: int, as_of: float) -> None:
        read = replace(AHEAD, as_of=as_of)
        ahead = Prefetch(self.epoch, SCOPE, f"event-{self.task + event}", (read,), self.bench.now + budget)
        self.see(self.bench.say(ahead, link=self.epoch))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def return_something(self, data: st.DataObject) -> None:
        command = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        match command:
            case Fetch():
                answers = [data.draw(st.sampled_from([self.found_by(read), NOTHING, GONE])) for read in command.reads]
                self.see(self.bench.fetched(command, *answers))
            case FetchAhead():
                point = replace(POINTS, objects=POINTS.objects[:1], remote_gets=1)
                self.ahead[command.number] = command.reads
                answers = [data.draw(st.sampled_from([point, NOTHING, GONE])) for _ in command.reads]
                self.see(self.bench.do(FetchedAhead(command.number, tuple(answers))))
            case Compute() if data.draw(st.booleans()):
                self.see(self.bench.failed(command))
            case Compute():
                refs = [a_ref("tracks", "/tracks/a"), a_ref("points", "/points/a/1", size=30)]
                emitted = refs[: data.draw(st.integers(0, 2))]
                failed = {command.tasks[0]: "no"} if data.draw(st.booleans()) else {}
                self.see(self.bench.computed(command, *emitted, failed=failed))
            case Store():
                version = data.draw(st.integers(1, 9))
                well = [Stored(replace(put.ref, version=version)) for put in command.puts]
                self.see(self.bench.stored(command, *[data.draw(st.sampled_from([each, MOVED])) for each in well]))

    def found_by(self, read: Read) -> Found:
        if isinstance(read, KeyRead) and read.pool == "tracks":
            return Found((a_ref("tracks", "/tracks/a", version=2),))
        return replace(POINTS, objects=POINTS.objects[: 1 + isinstance(read, LastRead)], remote_gets=1)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        numbers = tuple(data.draw(st.lists(st.integers(1, self.task + 1), max_size=3)))
        self.see(self.bench.say(CancelTasks(self.epoch, numbers), link=self.epoch))

    @rule(step=st.sampled_from([0.1, 1.0, 5.0]))
    def wait(self, step: float) -> None:
        self.see(self.bench.do(at=self.bench.now + step))

    @rule()
    def change_view(self) -> None:
        number = self.bench.core.state.view.number + 1
        self.see(self.bench.say(a_view("n1", "n2", number=number, epoch=self.epoch), link=self.epoch))

    @rule(hangs_up=st.booleans())
    def change_leader(self, hangs_up: bool) -> None:
        if hangs_up:
            self.see(self.bench.hang_up(self.epoch))
        self.epoch += 1
        self.see(self.bench.say(LeaderJoined(self.epoch, "s"), a_view(epoch=self.epoch), link=self.epoch))

    @invariant()
    def ends_at_most_once(self) -> None:
        assert all(count == 1 for count in self.ended.values())

    def teardown(self) -> None:
        """Once every command has returned and time has passed, every batch has had its one end."""
        for _ in range(1000):
            if not self.out and not self.bench.core.state.batches:
                break
            for command in self.out:
                match command:
                    case Fetch():
                        answers = [Found() for _ in command.reads]
                        self.out = [each for each in self.out if each is not command]
                        self.see(self.bench.fetched(command, *answers))
                    case FetchAhead():
                        self.out = [each for each in self.out if each is not command]
                        self.ahead[command.number] = command.reads
                        self.see(self.bench.do(FetchedAhead(command.number, (GONE,) * len(command.reads))))
                    case Compute():
                        self.out = [each for each in self.out if each is not command]
                        self.see(self.bench.computed(command))
                    case Store():
                        self.out = [each for each in self.out if each is not command]
                        self.see(self.bench.stored(command))
            self.see(self.bench.do(at=self.bench.now + 1.0))
        assert dict(self.ended) == dict.fromkeys(self.sent, 1)
        self.see(self.bench.do(at=self.bench.now + 100.0))
        assert self.ahead == {}, "what was read ahead is let go of in the end"


WorkerLife.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWorkerLife = WorkerLife.TestCase

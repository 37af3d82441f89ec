"""Whatever comes in whatever order, the worker keeps its law and answers for every batch that it took."""

from collections import Counter
from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from covey.errors import Reason, Status
from covey.messages import CancelTasks, LeaderJoined
from covey.model import Priority
from covey.services.worker.core.commands import Command, Compute, Fetch, Forget, Report, Resident, Retain, Store
from covey.services.worker.core.stimuli import BatchKey, Found, Stored
from tests.builders_worker import SCOPE, Bench, a_batch, a_ref, a_state_read, a_task, a_view

BATCHES_MAX = 6
NOTHING = Found(status=Status.NOT_FOUND)
GONE = Found(status=Status.UNAVAILABLE, reason=Reason.HOME_LOST)
MOVED = Stored(None, Status.UNAVAILABLE, Reason.MOVED)


class WorkerLife(RuleBasedStateMachine):
    """A leader that sends batches, cancels, changes and hangs up; commands that return late and in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench((Priority.HIGH, None), batches_max=BATCHES_MAX, fetching_max=2, resident_bytes_max=40)
        self.epoch, self.number, self.task = 1, 0, 0
        self.out: list[Fetch | Compute | Store] = []
        self.sent: dict[BatchKey, tuple[int, ...]] = {}
        self.ended: Counter[BatchKey] = Counter()
        self.resident: dict[Resident, None] = {}

    def see(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Fetch():
                    for read in command.resident:
                        assert Resident(SCOPE, read.group, read.key, read.version) in self.resident
                    self.out.append(command)
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

    @rule(size=st.integers(1, 4), low=st.booleans(), budget=st.integers(1, 20), version=st.integers(0, 3))
    def run_batch(self, size: int, low: bool, budget: int, version: int) -> None:
        self.number += 1
        needs = [a_state_read(version)] if version else []
        numbers = range(self.task + 1, self.task + size + 1)
        self.task += size
        tasks = [a_task(number, self.bench.now + budget, needs) for number in numbers]
        run = a_batch(self.number, *tasks, priority=Priority.LOW if low else Priority.HIGH, epoch=self.epoch)
        self.sent[BatchKey(run.epoch, run.number)] = tuple(numbers)
        self.see(self.bench.say(run, link=self.epoch))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def return_something(self, data: st.DataObject) -> None:
        command = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        match command:
            case Fetch():
                found = Found((a_ref("tracks", "/tracks/a", version=2),))
                answers = [data.draw(st.sampled_from([found, NOTHING, GONE])) for _ in command.reads]
                exact = [replace(each, objects=each.objects[:1]) for each in answers]
                self.see(self.bench.fetched(command, *exact) if exact else self.bench.fetched(command))
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
                    case Compute():
                        self.out = [each for each in self.out if each is not command]
                        self.see(self.bench.computed(command))
                    case Store():
                        self.out = [each for each in self.out if each is not command]
                        self.see(self.bench.stored(command))
            self.see(self.bench.do(at=self.bench.now + 1.0))
        assert dict(self.ended) == dict.fromkeys(self.sent, 1)


WorkerLife.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWorkerLife = WorkerLife.TestCase

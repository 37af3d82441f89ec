"""Which tasks tell what they read, and what they tell: the evidence behind `covey suggest`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from covey.messages import BatchReport, RunBatch, Task, TaskReport
from covey.model import READS_RECORDED_MAX, KeyRead, LastRead, ObjectName, TaskReads
from covey.services.scheduler.core.commands import RecordReads
from covey.services.scheduler.core.state import Limits
from covey.services.scheduler.core.stimuli import PeerSaid
from covey.services.worker.core.commands import Compute, Fetch, Report, Store
from covey.services.worker.core.stimuli import BatchComputed, ComputedTask, Found, key_of
from tests.builders import SCOPE, event
from tests.builders_worker import Bench, a_batch, a_ref, a_state_read, a_task, every, the
from tests.worlds import SchedulerWorld

# --- the leader ------------------------------------------------------------------------------------------------------


class TellingWorld(SchedulerWorld):
    """Its workers report that each task has read one object of its own stage."""

    def report(self, batch: RunBatch, task: Task) -> TaskReport:
        report = super().report(batch, task)
        return replace(report, read=(ObjectName(batch.stage, f"/{task.number}"),)) if task.record else report


def told(world: SchedulerWorld) -> list[TaskReads]:
    return [task for command in world.commands if isinstance(command, RecordReads) for task in command.tasks]


def test_whole_cascades_are_sampled() -> None:
    """Every task of a sampled event is asked and none of the others, about one event in so many, on every attempt."""
    world = TellingWorld(Limits(suggest_sample=4))
    asked: dict[str, set[bool]] = {}
    for tick in range(200):
        world.submit(event(tick))
        while world.batches:
            batch = world.finish(min(world.batches))
            for task in batch.tasks:
                asked.setdefault(task.event_id, set()).add(task.record)

    assert all(len(answers) == 1 for answers in asked.values())
    sampled = [name for name, answers in asked.items() if answers == {True}]
    assert 30 < len(sampled) < 70
    assert len(told(world)) == 5 * len(sampled)  # track, three times predict, collide
    again = TellingWorld(Limits(suggest_sample=4), epoch=7)
    again.submit(event(int(sampled[0].removeprefix("s-"))))
    assert again.running("track")[0].tasks[0].record


def test_a_record_names_the_stage_the_trigger_and_what_was_read() -> None:
    """A trigger that came with the task is marked as such; a join has none."""
    world = TellingWorld(Limits(suggest_sample=1))
    world.submit(event(3))
    world.run_all()

    by_stage = {task.stage: task for task in told(world)}
    assert by_stage["track"].trigger == ObjectName("observations", "/observations/s/3")
    assert by_stage["track"].inline
    assert (by_stage["collide"].trigger, by_stage["collide"].inline) == (None, False)
    assert [name.pool for name in by_stage["collide"].read] == ["collide"]
    scopes = {command.scope for command in world.commands if isinstance(command, RecordReads)}
    assert scopes == {SCOPE}


def test_a_large_trigger_is_a_read_like_any_other() -> None:
    """The record says that the trigger did not come inline."""
    world = TellingWorld(Limits(suggest_sample=1))
    world.submit(event(3, payload=None))
    world.run_all()

    track = next(task for task in told(world) if task.stage == "track")
    assert (track.trigger, track.inline) == (ObjectName("observations", "/observations/s/3"), False)


def test_nothing_is_recorded_when_it_is_off_or_a_task_is_over() -> None:
    """A sample of 0 asks nobody; a second report of a task, and one of a failed task, tell nothing."""
    off = TellingWorld(Limits(suggest_sample=0))
    off.submit(event())
    off.run_all()
    assert told(off) == []

    world = TellingWorld(Limits(suggest_sample=1))
    world.submit(event())
    ((number, (peer, batch)),) = world.batches.items()
    report = BatchReport(number, batch.epoch, (world.report(batch, batch.tasks[0]),))
    world.tell(PeerSaid(peer, report), PeerSaid(peer, report))
    assert len(told(world)) == 1


# --- the worker ------------------------------------------------------------------------------------------------------


def reads_reported(bench: Bench) -> tuple[ObjectName, ...]:
    return the(Report, bench.commands).report.tasks[0].read


def run_one(record: bool, *found: Found, got: tuple[ObjectName, ...] = ()) -> Bench:
    """One task with a state and a history to read, whose stage then got something by itself."""
    history = LastRead("points", "/points/a/*", 2, 5, False, ("n1",))
    bench = Bench()
    task = replace(a_task(1, needs=[a_state_read(0, required=False), history]), record=record)
    fetch = the(Fetch, bench.say(a_batch(1, task)))
    compute = the(Compute, bench.fetched(fetch, *found))
    bench.do(BatchComputed(key_of(compute.run), 0.1, (ComputedTask(1, read=got),)))
    return bench


POINTS = (a_ref("points", "/points/a/4"), a_ref("points", "/points/a/5"))
GOT = (ObjectName("alerts", "/alerts/a/1"), ObjectName("points", "/points/a/5"))


@pytest.mark.parametrize("state", [Found((a_ref("tracks", "/tracks/a"),)), Found()])
def test_a_report_names_what_was_asked_for_and_what_was_found(state: Found) -> None:
    """A key is told whether it was there or not, a history by what it found, and each object once."""
    bench = run_one(True, state, Found(POINTS), got=GOT)

    assert reads_reported(bench) == (
        ObjectName("tracks", "/tracks/a"),
        ObjectName("points", "/points/a/4"),
        ObjectName("points", "/points/a/5"),
        ObjectName("alerts", "/alerts/a/1"),
    )


def test_a_task_that_is_not_recorded_tells_nothing() -> None:
    """Other reports carry no names."""
    assert reads_reported(run_one(False, Found(), Found(POINTS), got=GOT)) == ()


def test_a_report_names_so_many_objects_at_most() -> None:
    """A join of hundreds tells of its first members."""
    many = tuple(a_ref("points", f"/points/a/{tick}") for tick in range(3 * READS_RECORDED_MAX))
    names = reads_reported(run_one(True, Found(), Found(many), got=GOT))

    assert len(names) == READS_RECORDED_MAX
    assert names[1] == ObjectName("points", "/points/a/0")


def test_what_is_resident_is_a_read_as_well() -> None:
    """Where an object was at hand tells nothing of where it lives: the second task names its state all the same."""
    bench = Bench()
    first = the(Compute, bench.fetched(the(Fetch, bench.say(a_batch(1, a_task(1, needs=[a_state_read(0)]))))))
    bench.stored(the(Store, bench.computed(first, a_ref("tracks", "/tracks/a"))))
    task = replace(a_task(2, needs=[a_state_read(7)]), record=True)
    fetch = the(Fetch, bench.say(a_batch(2, task)))
    assert (fetch.reads, [type(read) for read in fetch.resident]) == ((), [KeyRead])
    bench.computed(the(Compute, bench.fetched(fetch)))

    assert every(Report, bench.commands)[-1].report.tasks[0].read == (ObjectName("tracks", "/tracks/a"),)

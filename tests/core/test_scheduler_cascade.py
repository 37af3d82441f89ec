"""The scheduler's core: what follows from an event, and the one outcome that it ends in."""

from __future__ import annotations

import pytest

from covey.declaration import Missing
from covey.errors import Reason, Status
from covey.messages import CancelEvent, SubmitEvent
from covey.model import KeyRead, LastRead, Priority, event_identity, task_identity
from covey.services.scheduler.core.state import Limits
from covey.services.scheduler.core.stimuli import PeerSaid
from tests.builders import collisions, event
from tests.worlds import GATEWAY, SchedulerWorld, collision_emissions


def test_an_event_runs_through_all_stages_and_ends_ok() -> None:
    """One event sets off a track task, one predict task per actor and one collide task, and its alert comes back."""
    world = SchedulerWorld()
    world.submit(event(3))
    world.run_all()

    outcome = world.outcomes["s-3"]
    assert outcome.status is Status.OK
    assert [value.ref.key for value in outcome.results] == ["/alerts/s/3/a1-a2"]
    assert [(stage.stage, stage.tasks) for stage in outcome.stages] == [("track", 1), ("predict", 3), ("collide", 1)]
    assert not world.core.state.cascades
    assert not world.core.state.tasks


def test_tasks_of_one_stage_share_a_batch() -> None:
    """The three actors of a scene are predicted in one batch."""
    world = SchedulerWorld()
    world.submit(event())
    world.finish(1)

    (batch,) = world.running("predict")
    assert len(batch.tasks) == 3


def test_a_batch_is_no_larger_than_the_stage_allows() -> None:
    """With batch_max 2, three predictions take two batches."""
    world = SchedulerWorld(declaration=collisions(batch_max=2), lanes=2)
    world.submit(event())
    world.finish(1)

    assert sorted(len(batch.tasks) for batch in world.running("predict")) == [1, 2]


def test_reads_name_the_home_of_the_group() -> None:
    """A history is one read of the actor's home, as of the trigger, which it waits for."""
    world = SchedulerWorld(nodes=2, workers=2, lanes=4)
    world.submit(event(4))
    world.finish(1)

    for batch in world.running("predict"):
        for task in batch.tasks:
            ((pool, (read,)),) = task.needs
            assert isinstance(read, LastRead)
            assert (pool, read.count, read.as_of, read.exclusive) == ("positions", 8, 4, False)
            assert len(read.nodes) == 1
            assert task.trigger is not None
            assert read.awaits == task.trigger.ref.key


def test_without_a_group_rule_every_node_is_asked() -> None:
    """Grouping is a hint: without it the same objects are found, by asking all nodes."""
    grouped = collisions()
    pools = tuple(type(pool)(pool.name, pool.template) for pool in grouped.pools)
    bare = type(grouped)(grouped.pipeline, grouped.objective_s, pools, grouped.stages).versioned()
    world = SchedulerWorld(declaration=bare, nodes=2, workers=2, lanes=4)
    world.submit(event())
    world.finish(1)

    reads = [task.needs[0][1][0] for batch in world.running("predict") for task in batch.tasks]
    assert reads
    assert all(isinstance(read, LastRead) and sorted(read.nodes) == ["n0", "n1"] for read in reads)


def test_a_join_fires_when_no_upstream_task_is_open() -> None:
    """Collide waits for the last prediction and then sees all of them, in key order."""
    world = SchedulerWorld(declaration=collisions(batch_max=1), lanes=4)
    world.submit(event(7))
    world.finish(1)
    first, second, third = sorted(batch.number for batch in world.running("predict"))
    world.finish(first)
    world.finish(third)
    assert not world.running("collide")

    world.finish(second)
    (batch,) = world.running("collide")
    (task,) = batch.tasks
    assert task.trigger is None
    keys = [read.key for read in task.members if isinstance(read, KeyRead)]
    assert keys == [f"/predictions/s/7/{actor}" for actor in ("a1", "a2", "a3")]
    assert dict(task.fields) == {"scene": "s", "tick": 7}


def test_a_cascade_that_emits_nothing_ends_ok() -> None:
    """A scene without actors has no join to fire and an empty outcome."""
    world = SchedulerWorld(emits=lambda batch, task: [])
    world.submit(event())
    world.run_all()

    assert world.outcomes["s-0"].status is Status.OK
    assert world.outcomes["s-0"].results == ()


def test_a_state_has_one_task_at_a_time_in_admission_order() -> None:
    """The next tick of a scene is tracked when the one before has ended, and reads the version that it left."""
    world = SchedulerWorld(lanes=4)
    world.submit(event(2), event(0), event(1))
    seen = []
    expected = 0
    for _ in range(3):
        (batch,) = world.running("track")
        seen.append(batch.tasks[0].event_id)
        reads = batch.tasks[0].needs[0][1]
        left = world.version + 4  # three positions, then the state
        world.finish(batch.number)
        assert [read.version for read in reads if isinstance(read, KeyRead)] == [expected]
        expected = left
    assert seen == ["s-2", "s-0", "s-1"]


def test_scenes_do_not_wait_for_each_other() -> None:
    """Two scenes are tracked at the same time."""
    world = SchedulerWorld(lanes=4)
    world.submit(event(0, "s"), event(0, "t"), event(1, "s"))

    assert sorted(batch.tasks[0].event_id for batch in world.running("track")) == ["s-0", "t-0"]


def test_a_failed_task_leaves_the_state_as_it_was() -> None:
    """After a failed track task the next one reads what the last accepted one left."""
    world = SchedulerWorld()
    world.submit(event(0))
    world.finish(1)
    left = world.core.state.lines[next(iter(world.core.state.lines))].version
    world.run_all()
    world.submit(event(1), event(2))
    (batch,) = world.running("track")
    world.fail(batch.number, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED, "stage 'track' failed")

    (batch,) = world.running("track")
    assert batch.tasks[0].event_id == "s-2"
    assert [read.version for read in batch.tasks[0].needs[0][1] if isinstance(read, KeyRead)] == [left]
    assert world.outcomes["s-1"].status is Status.FAILED_PRECONDITION


def test_a_dropped_task_ends_a_cascade_whose_join_needs_it() -> None:
    """With missing="drop" the siblings of a failed prediction fall with it, at once."""
    world = SchedulerWorld(declaration=collisions(batch_max=1), lanes=1)
    world.submit(event())
    world.finish(1)
    (number, *_) = sorted(batch.number for batch in world.running("predict"))
    world.fail(number, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED, "stage 'predict' failed")

    outcome = world.outcomes["s-0"]
    assert (outcome.status, outcome.reason) == (Status.FAILED_PRECONDITION, Reason.STAGE_FAILED)
    assert not world.core.state.tasks


def test_a_join_that_tolerates_misses_fires_with_what_is_there() -> None:
    """With missing="fire" the outcome is OK and incomplete."""
    world = SchedulerWorld(declaration=collisions(Missing.FIRE, batch_max=1), lanes=4)
    world.submit(event())
    world.finish(1)
    first, second, third = sorted(batch.number for batch in world.running("predict"))
    world.fail(first, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED)
    world.finish(second)
    world.finish(third)
    (batch,) = world.running("collide")
    assert len(batch.tasks[0].members) == 2
    assert batch.tasks[0].incomplete
    world.run_all()

    assert world.outcomes["s-0"].status is Status.OK
    assert world.outcomes["s-0"].incomplete


def test_a_join_that_never_ran_forgives_nothing() -> None:
    """With missing="fire" an event whose root failed is not OK: there was nothing to run the join with."""
    world = SchedulerWorld(declaration=collisions(Missing.FIRE))
    world.submit(event())
    world.fail(1, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED, "stage 'track' failed")

    assert world.outcomes["s-0"].status is Status.FAILED_PRECONDITION


def test_an_event_that_was_late_may_be_sent_again() -> None:
    """Only outcomes that would be the same again are remembered by the event's id."""
    world = SchedulerWorld()
    world.submit(event(deadline=1.0))
    world.wait(1.0)
    world.run_all()
    world.submit(event(deadline=9.0))
    world.run_all()

    assert [answer.status for answer in world.answers] == [Status.DEADLINE_EXCEEDED, Status.OK]


def test_a_join_fires_at_its_timeout() -> None:
    """What is there half a second after the first member is joined; what comes later comes too late."""
    world = SchedulerWorld(declaration=collisions(Missing.FIRE, 0.5, batch_max=1), lanes=4)
    world.submit(event())
    world.finish(1)
    first, *late = sorted(batch.number for batch in world.running("predict"))
    world.finish(first)
    world.wait(0.4)
    assert not world.running("collide")
    world.wait(0.2)
    (batch,) = world.running("collide")
    assert len(batch.tasks[0].members) == 1
    world.finish(batch.number)
    for number in late:
        world.finish(number)

    assert not world.running("collide")
    assert world.outcomes["s-0"].status is Status.OK
    assert world.outcomes["s-0"].incomplete


def test_identities_are_the_same_on_every_attempt() -> None:
    """A task's identity follows from the event, the stage, the parent and the emission alone."""
    first, second = SchedulerWorld(), SchedulerWorld(workers=2, nodes=2)
    found = []
    for world in (first, second):
        world.submit(event(5))
        world.finish(1)
        found.append([task.identity for batch in world.running("predict") for task in batch.tasks])
    assert sorted(found[0]) == sorted(found[1])
    root = event_identity(event(5).scope, "s-5")
    track = task_identity(root, "track", b"", "0")
    assert task_identity(root, "predict", track, "0") in found[0]


def test_an_event_sent_twice_runs_once() -> None:
    """While it is open, and after its outcome, an event that is submitted again is not run again."""
    world = SchedulerWorld()
    world.submit(event(), event())
    assert len(world.batches) == 1
    world.run_all()
    world.submit(event())

    assert not world.batches
    assert [answer.status for answer in world.answers] == [Status.OK, Status.OK]


def test_a_cancelled_event_ends_everywhere() -> None:
    """Cancelling concludes the cascade and tells the worker that runs a part of it."""
    world = SchedulerWorld()
    world.submit(event())
    world.tell(PeerSaid(GATEWAY, CancelEvent(event().scope, "s-0")))

    assert world.outcomes["s-0"].status is Status.CANCELLED
    assert any(type(sent.message).__name__ == "CancelTasks" for sent in world.sent)
    world.run_all()
    assert len(world.answers) == 1


def test_a_cascade_that_outgrows_its_cap_is_ended_with_a_reason() -> None:
    """A runaway fan-out ends its own cascade and nobody else's."""
    world = SchedulerWorld(limits=Limits(cascade_tasks_max=3))
    world.submit(event())
    world.run_all()

    outcome = world.outcomes["s-0"]
    assert (outcome.status, outcome.reason) == (Status.RESOURCE_EXHAUSTED, Reason.CASCADE_TOO_LARGE)


def test_more_events_than_fit_are_refused_at_admission() -> None:
    """Credits are reserved per event, and what does not fit is told when to come back."""
    world = SchedulerWorld(limits=Limits(tasks_open_max=7))
    world.submit(*(event(tick) for tick in range(4)))

    refused = [answer for answer in world.answers if answer.status is Status.RESOURCE_EXHAUSTED]
    assert [answer.event_id for answer in refused] == ["s-2", "s-3"]
    assert all(answer.retry_after_s > 0 for answer in refused)
    world.run_all()
    world.tell(PeerSaid(GATEWAY, SubmitEvent(event(2))))
    world.run_all()
    assert world.answers[-1].status is Status.OK


def test_low_events_leave_room_to_high_ones_at_admission() -> None:
    """Of thirty tasks three are kept: nine LOW events of three tasks each are taken in, and a HIGH one after them."""
    world = SchedulerWorld(limits=Limits(tasks_open_max=30))
    world.submit(*(event(tick, priority=Priority.LOW) for tick in range(10)), event(10))

    assert [answer.event_id for answer in world.answers] == ["s-9"]
    assert world.answers[0].reason is Reason.NOT_ADMITTED


@pytest.mark.parametrize("stage", ["track", "predict", "collide"])
def test_the_deadline_ends_an_event_wherever_it_is(stage: str) -> None:
    """An event whose deadline passes is concluded at that time, with what it waited for in the message."""
    world = SchedulerWorld()
    world.submit(event(deadline=1.0))
    while not world.running(stage):
        world.finish(min(world.batches))
    world.wait(1.0)

    outcome = world.outcomes["s-0"]
    assert (outcome.status, outcome.reason) == (Status.DEADLINE_EXCEEDED, Reason.LATE)
    assert stage in outcome.message
    assert world.now == 1.0


def test_urgent_events_run_first() -> None:
    """Among queued events HIGH precedes LOW, and an earlier deadline a later one."""
    world = SchedulerWorld(emits=lambda batch, task: [] if batch.stage == "track" else collision_emissions(batch, task))
    scenes = "abcdef"
    low = type(event().priority).LOW
    world.submit(event(0, "a"), event(0, "b"))  # fill the worker's lane and the batch ahead of it
    world.submit(event(0, "c", priority=low, deadline=3.0), event(0, "d", deadline=9.0))
    world.submit(event(0, "e", deadline=4.0), event(0, "f", priority=low, deadline=2.0))
    order = []
    while world.batches:
        order.append(world.finish(min(world.batches)).tasks[0].event_id[0])
    assert order == list("abedfc")
    assert set(order) == set(scenes)

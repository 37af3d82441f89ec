"""The scheduler's core: which state a task reads, whatever dropped tasks and earlier leaders have put."""

from __future__ import annotations

from covey.errors import Reason, Status
from covey.messages import Beat, Horizon, RunBatch
from covey.model import KeyRead, event_identity, task_identity
from covey.services.scheduler.core.commands import Send
from covey.services.scheduler.core.membership import HANDOVER_S
from covey.services.scheduler.core.state import Limits
from tests.builders import SCOPE, event
from tests.worlds import GATEWAY, NODE, WORKER, SchedulerWorld


def state_read(batch: RunBatch) -> KeyRead:
    """The one read of the tracker's state by the one task of a batch."""
    (read,) = batch.tasks[0].needs[0][1]
    assert isinstance(read, KeyRead)
    return read


def ages(world: SchedulerWorld) -> list[float]:
    """The horizons that datastores were told, as ages in seconds."""
    return [command.message.age_s for command in world.sent if isinstance(command.message, Horizon)]


def test_datastores_are_spoken_to() -> None:
    """A datastore speaks only when it is spoken to, so each tick brings it a beat that it can answer."""
    world = SchedulerWorld()
    world.wait(1.0)

    assert any(command == Send(NODE, command.message) and isinstance(command.message, Beat) for command in world.sent)


def test_who_need_not_answer_hears_the_leader_less_often() -> None:
    """Gateways and workers only have to know that it is there: their beats come by `beat_s`, not at every tick."""
    for beat_s in (0.2, 1.0):
        world = SchedulerWorld(Limits(tick_s=0.1, beat_s=beat_s))
        world.sent.clear()
        world.wait(10.05)

        beats = [sent.peer for sent in world.sent if isinstance(sent.message, Beat)]
        assert beats.count(NODE) >= 95
        assert 10 / (beat_s + 0.1) - 1 <= beats.count(WORKER) == beats.count(GATEWAY) <= 10 / beat_s + 1


def test_until_something_is_accepted_reads_look_before_what_was_dropped() -> None:
    """The first task of a line reads as of its admission; when it is dropped, the next one reads as of then, too."""
    world = SchedulerWorld()
    world.submit(event(0))
    (batch,) = world.running("track")
    first = state_read(batch)
    world.now += 0.01
    world.submit(event(1))
    world.fail(batch.number, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED)

    (batch,) = world.running("track")
    assert (first.version, first.as_of) == (0, 0.0)
    assert (state_read(batch).version, state_read(batch).as_of) == (0, 0.0)


def test_a_task_does_not_read_what_it_has_put_for_an_earlier_leader() -> None:
    """As long as an earlier leader may have run it, a task's read says which task it is for."""
    world = SchedulerWorld(epoch=2)
    world.submit(event(0))
    (batch,) = world.running("track")

    identity = task_identity(event_identity(SCOPE, "s-0"), "track", b"", "0")
    assert state_read(batch).before == identity == batch.tasks[0].identity


def test_after_the_handover_the_version_alone_says_what_to_read() -> None:
    """Once an event that no earlier leader can have seen has left a version, reads name it and nothing else."""
    world = SchedulerWorld(epoch=2)
    world.submit(event(0))
    world.run_all()
    world.submit(event(1))
    (batch,) = world.running("track")
    handed_over = state_read(batch)
    world.run_all()
    world.wait(HANDOVER_S)
    for tick in (2, 3):
        world.submit(event(tick, deadline=world.now + 10))
        (batch,) = world.running("track")
        settled = state_read(batch)
        world.run_all()

    assert handed_over.version > 0
    assert handed_over.as_of == 0.0
    assert settled.version > handed_over.version
    assert (settled.as_of, settled.before) == (None, b"")


def test_the_first_leader_has_nothing_to_hand_over() -> None:
    """In the first epoch no earlier leader can have accepted anything: from the second task on the version says all."""
    world = SchedulerWorld()
    world.submit(event(0))
    world.run_all()
    world.submit(event(1))
    (batch,) = world.running("track")

    assert state_read(batch).version > 0
    assert (state_read(batch).as_of, state_read(batch).before) == (None, b"")


def test_a_version_of_long_ago_does_not_replace_a_later_one() -> None:
    """A task that an earlier leader had run leaves the version of then: the line keeps the later one."""
    world = SchedulerWorld(epoch=2)
    world.version = 100
    world.submit(event(0))
    world.run_all()
    (line,) = world.core.state.lines.values()
    later = line.version
    world.version = 50
    world.submit(event(1))
    world.run_all()

    assert line.version == later


def test_a_new_leader_leaves_the_horizon_as_it_is_for_a_while() -> None:
    """What an earlier leader's events must read is kept until they have come again and ended."""
    world = SchedulerWorld(epoch=2)
    world.wait(HANDOVER_S - 0.2)
    early = ages(world)
    world.wait(1.0)

    assert early == []
    assert ages(world)[-1] == 0.0


def test_the_state_before_a_dropped_task_is_kept() -> None:
    """A dropped task may have put a state, which supersedes the one that the next task must still read."""
    world = SchedulerWorld()
    world.wait(HANDOVER_S + 1)
    world.submit(event(0, deadline=world.now + 10))
    world.run_all()
    dropped_at = world.now
    world.submit(event(1, deadline=world.now + 10))
    (batch,) = world.running("track")
    world.fail(batch.number, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED)
    world.wait(3.0)
    exposed = ages(world)[-1]
    world.submit(event(2, deadline=world.now + 10))
    world.run_all()
    world.wait(0.5)

    assert exposed >= world.now - 0.5 - dropped_at - 0.2
    assert ages(world)[-1] == 0.0

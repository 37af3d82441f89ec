"""An event is taken in when what waits before it leaves it time."""

from dataclasses import replace

from covey.declaration import Declaration, PoolDeclaration, StageDeclaration
from covey.errors import Reason, Status
from covey.messages import RunBatch, Task
from covey.model import Priority
from tests.builders import SCOPE, event
from tests.worlds import SchedulerWorld

SECONDS = 1.0


def one_stage() -> Declaration:
    """Observations that one stage takes one by one."""
    pools = (
        PoolDeclaration("observations", "/observations/{scene}/{tick:int}", "template", "{scene}"),
        PoolDeclaration("results", "/results/{scene}/{tick:int}", "template", "{scene}"),
    )
    return Declaration(
        SCOPE.pipeline, 1.0, pools, (StageDeclaration("see", "observations", emits=("results",)),)
    ).versioned()


def result(batch: RunBatch, task: Task) -> list[tuple[str, str, str]]:
    scene, tick = dict(task.fields).values()
    return [("results", f"/results/{scene}/{tick}", str(scene))]


def busy(priority: Priority = Priority.HIGH) -> SchedulerWorld:
    """One lane that takes a second for each event, and nine events of a priority that wait for it."""
    world = SchedulerWorld(declaration=one_stage(), emits=result)
    world.submit(event(0))
    world.run_all(SECONDS)
    world.submit(*(event(1 + number, deadline=world.now + 60.0, priority=priority) for number in range(10)))
    return world


def test_an_event_that_could_not_be_reached_in_time_is_refused() -> None:
    """With nine seconds of work before it, one that has five is told so at once, and may try again."""
    world = busy()

    world.submit(event(99, deadline=world.now + 5.0))

    refused = world.outcomes["s-99"]
    assert (refused.status, refused.reason) == (Status.RESOURCE_EXHAUSTED, Reason.NOT_ADMITTED)
    assert refused.retry_after_s > 0


def test_an_event_that_has_time_is_taken_in() -> None:
    """With the same work before it, one that has a minute waits for its turn."""
    world = busy()

    world.submit(event(99, deadline=world.now + 60.0))

    assert "s-99" not in world.outcomes


def test_low_that_waits_keeps_no_high_out() -> None:
    """HIGH runs before it: with nine seconds of LOW work there, a HIGH event that has five is taken in, LOW is not."""
    for priority, is_refused in ((Priority.HIGH, False), (Priority.LOW, True)):
        world = busy(Priority.LOW)
        world.submit(event(99, deadline=world.now + 5.0, priority=priority))
        assert ("s-99" in world.outcomes) == is_refused


def test_what_has_never_run_refuses_nobody() -> None:
    """As long as nobody knows how long a stage takes, there is nothing to refuse by."""
    world = SchedulerWorld(declaration=one_stage(), emits=result)

    world.submit(*(event(number, deadline=0.5) for number in range(100)))

    assert not world.outcomes


def test_a_task_of_transient_pools_goes_wherever_a_lane_is_idle() -> None:
    """What travels with its tasks is nowhere nearer: two events of one group run on two nodes at once."""
    declared = one_stage()
    pools = tuple(replace(pool, transient=True) for pool in declared.pools)
    world = SchedulerWorld(declaration=replace(declared, pools=pools).versioned(), emits=result, nodes=2, workers=2)
    world.submit(event(0, deadline=60.0))
    world.run_all(SECONDS)

    world.submit(event(1, deadline=60.0), event(2, deadline=60.0))

    assert len({peer for peer, _ in world.batches.values()}) == 2
    assert not world.core.state.groups, "groups without objects need no record"

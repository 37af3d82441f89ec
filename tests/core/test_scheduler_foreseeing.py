"""The scheduler's core: what workers are told to read ahead."""

from __future__ import annotations

from covey.declaration import Declaration, Need, NeedKind, PoolDeclaration, StageDeclaration
from covey.messages import Prefetch, RunBatch, Task
from covey.model import GroupId
from tests.builders import SCOPE, collisions, event
from tests.worlds import SchedulerWorld


def pipeline() -> Declaration:
    """A scene leads to its actors, each of which reads its appearance and the scene's map, far away from it."""
    return Declaration(
        "collisions",
        0.2,
        (
            PoolDeclaration("observations", "/observations/{scene}/{tick:int}", "template", "{scene}"),
            PoolDeclaration("positions", "/positions/{scene}/{actor}/{tick:int}", "template", "{scene}"),
            PoolDeclaration("maps", "/maps/{scene}", "template", "maps"),
            PoolDeclaration("looks", "/looks/{actor}", "template", "looks-{actor}"),
        ),
        (
            StageDeclaration("track", "observations", emits=("positions",)),
            StageDeclaration(
                "match", "positions", needs=(Need("maps", NeedKind.LATEST), Need("looks", NeedKind.LATEST))
            ),
        ),
    ).versioned()


def emits(batch: RunBatch, task: Task) -> list[tuple[str, str, str]]:
    fields = dict(task.fields)
    if batch.stage != "track":
        return []
    return [("positions", f"/positions/{fields['scene']}/{actor}/{fields['tick']}", "s") for actor in ("a", "b")]


def world_with_all_far() -> SchedulerWorld:
    """On enough nodes that the scene, the map and each look live apart."""
    for nodes in range(4, 16):
        world = SchedulerWorld(nodes=nodes, workers=nodes, declaration=pipeline(), emits=emits)
        groups = ("s", "maps", "looks-a", "looks-b")
        homes = [world.core.state.homes.of(GroupId(SCOPE, group)) for group in groups]
        if len(set(homes)) == len(homes):
            return world
    raise AssertionError("hashing put them together each time")


def prefetched(world: SchedulerWorld, event_id: str) -> dict[str, str]:
    """Key -> the node whose worker was told to read it."""
    workers = world.core.state.workers
    return {
        read.key: workers[sent.peer].node
        for sent in world.sent
        if isinstance(sent.message, Prefetch) and sent.message.event_id == event_id
        for read in sent.message.reads
    }


def test_what_the_events_fields_name_is_read_at_admission() -> None:
    """The map of the scene is read before the tracker has run; the actors are not known yet."""
    world = world_with_all_far()
    world.submit(event(1))
    assert prefetched(world, "s-1") == {"/maps/s": world.core.state.homes.of(GroupId(SCOPE, "s"))}


def test_what_the_groups_previous_event_led_to_is_the_hint() -> None:
    """The next event of the scene reads its actors' looks ahead."""
    world = world_with_all_far()
    world.submit(event(1))
    world.run_all()
    world.submit(event(2))
    assert {"/looks/a", "/looks/b"} <= set(prefetched(world, "s-2"))


def test_reads_ahead_are_the_reads_that_the_tasks_make() -> None:
    """What is foreseen is as of the event's admission, as the task's own read is."""
    world = world_with_all_far()
    world.submit(event(1))
    world.run_all()
    world.submit(event(2))
    ahead = {
        read
        for sent in world.sent
        if isinstance(sent.message, Prefetch) and sent.message.event_id == "s-2"
        for read in sent.message.reads
    }
    world.finish(min(world.batches))
    made = {
        read for _, batch in world.batches.values() for task in batch.tasks for _, reads in task.needs for read in reads
    }
    assert ahead == made


def test_what_is_on_the_node_already_is_not_read_ahead() -> None:
    """On one node there is nothing to fetch from afar."""
    world = SchedulerWorld(nodes=1, workers=1, declaration=pipeline(), emits=emits)
    world.submit(event(1))
    world.run_all()
    world.submit(event(2))
    assert not prefetched(world, "s-1")
    assert not prefetched(world, "s-2")


def test_a_pipeline_whose_reads_are_histories_foresees_nothing() -> None:
    """The state and histories depend on what comes before; reading them early could find less."""
    world = SchedulerWorld(nodes=3, workers=3, declaration=collisions())
    for tick in range(3):
        world.submit(event(tick))
        world.run_all()
    assert not any(isinstance(sent.message, Prefetch) for sent in world.sent)

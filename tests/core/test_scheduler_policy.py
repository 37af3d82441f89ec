"""The scheduler's core: where tasks run and groups live, by what that costs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from covey.declaration import Declaration, Need, NeedKind, PoolDeclaration, StageDeclaration
from covey.errors import InvalidArgument
from covey.messages import RunBatch, Task
from covey.model import GroupId, KeyRead, LastRead, Placement
from covey.services.scheduler.core.affinity import excess, part_of, pays_together
from covey.services.scheduler.core.balancing import adopt, leads_to_branches
from covey.services.scheduler.core.costs import Costs, Line
from covey.services.scheduler.core.policy import Policy, Routing
from covey.services.scheduler.core.state import State
from covey.services.scheduler.core.stimuli import GroupsPinned, PeerSaid
from covey.services.scheduler.settings import SchedulerSettings
from tests.builders import SCOPE, collisions, event
from tests.worlds import SchedulerWorld, collision_emissions

STRICT = Policy(locality_weight=math.inf, balance=False)
SCENES = [f"s{number}" for number in range(12)]


def on_one_node(world: SchedulerWorld, count: int = 3) -> list[str]:
    """Names of scenes that live on the same node."""
    homes: dict[str, list[str]] = {}
    for scene in SCENES:
        homes.setdefault(world.core.state.homes.of(GroupId(SCOPE, scene)), []).append(scene)
    return max(homes.values(), key=len)[:count]


def home_of(world: SchedulerWorld, group: str) -> str:
    return world.core.state.homes.of(GroupId(SCOPE, group))


def nodes_of(world: SchedulerWorld, stage: str) -> list[str]:
    """Where the batches of a stage that are dispatched run."""
    workers = world.core.state.workers
    return [workers[peer].node for peer, batch in world.batches.values() if batch.stage == stage]


def teach(world: SchedulerWorld, scene: str, compute_s: float) -> None:
    """Run an event, so that the scheduler knows how long a batch is in a lane."""
    world.submit(event(0, scene, event_id=f"teach-{scene}"))
    world.run_all(compute_s)


# --- affinity --------------------------------------------------------------------------------------------------------


def test_a_task_waits_at_home_when_fetching_from_afar_would_take_longer() -> None:
    """A lane that will be free in a millisecond is sooner than a round trip."""
    world = SchedulerWorld(nodes=2, workers=2, policy=Policy(balance=False))
    first, second, third = on_one_node(world)
    teach(world, first, compute_s=0.001)
    world.submit(event(1, first), event(1, second), event(1, third))
    assert set(nodes_of(world, "track")) == {home_of(world, first)}


def test_a_task_goes_where_a_lane_is_idle_when_the_wait_at_home_is_longer() -> None:
    """Three scenes that hash to one node do not wait for one another while the other node idles."""
    world = SchedulerWorld(nodes=2, workers=2, policy=Policy(balance=False))
    first, second, third = on_one_node(world)
    teach(world, first, compute_s=0.1)
    world.submit(event(1, first), event(1, second), event(1, third))
    assert len(set(nodes_of(world, "track"))) == 2


def test_with_an_infinite_weight_a_task_never_leaves_home() -> None:
    """Strict grouping waits however long it takes."""
    world = SchedulerWorld(nodes=2, workers=2, policy=STRICT)
    first, second, third = on_one_node(world)
    teach(world, first, compute_s=10.0)
    world.submit(event(1, first), event(1, second), event(1, third))
    assert set(nodes_of(world, "track")) == {home_of(world, first)}


def test_even_a_strict_task_leaves_a_home_where_no_worker_is() -> None:
    """Locality is a preference: a node without a worker must not strand its tasks."""
    world = SchedulerWorld(nodes=2, workers=1, policy=STRICT)
    for scene in SCENES:
        world.submit(event(0, scene))
    world.run_all()
    assert len(world.outcomes) == len(SCENES)


def test_with_a_weight_of_nothing_the_idlest_worker_is_next() -> None:
    """Load alone decides: scenes of one node spread over all workers."""
    world = SchedulerWorld(nodes=3, workers=3, policy=Policy(locality_weight=0.0, balance=False))
    scenes = on_one_node(world)
    world.submit(*[event(0, scene) for scene in scenes])
    assert sorted(nodes_of(world, "track")) == ["n0", "n1", "n2"]


def test_random_routing_pays_no_heed_to_homes() -> None:
    """One scene's tasks run on every node sooner or later."""
    world = SchedulerWorld(nodes=3, workers=3, policy=Policy(routing=Routing.RANDOM, balance=False))
    seen = set()
    for tick in range(20):
        world.submit(event(tick, "s"))
        seen.update(nodes_of(world, "track"))
        world.run_all()
    assert seen == {"n0", "n1", "n2"}


def test_a_batch_is_not_sent_ahead_long_before_its_lane_is_free() -> None:
    """What waits for a busy lane can still go elsewhere; what is due soon is sent, so that its inputs are there."""
    world = SchedulerWorld(policy=STRICT)
    teach(world, "a", compute_s=1.0)
    world.submit(event(1, "a"), event(1, "b"))
    assert len(world.running("track")) == 1
    wake_at = world.core.wake_at
    assert wake_at is not None
    world.wait(1.0)
    assert len(world.running("track")) == 2


def test_what_waits_goes_ahead_to_the_lane_that_is_free_soonest() -> None:
    """A busy worker's next batch is the one that starts earliest there, wherever its home is."""
    world = SchedulerWorld(nodes=2, workers=2, policy=Policy(balance=False))
    first, second, _ = on_one_node(world)
    other = next(scene for scene in SCENES if home_of(world, scene) != home_of(world, first))
    teach(world, first, compute_s=0.1)
    world.submit(event(1, other))
    world.wait(0.09)
    world.submit(event(1, first), event(1, second))
    assert nodes_of(world, "track") == [home_of(world, other), home_of(world, first)]
    world.wait(0.0085)
    assert nodes_of(world, "track")[2:] == [home_of(world, other)]


def test_being_together_away_from_home_pays_when_a_batch_has_a_fixed_cost() -> None:
    """A task that adds nothing to a batch's cost is worth a round trip; one that costs as much as alone is not."""
    world = SchedulerWorld(nodes=2, workers=2)
    teach(world, "a", compute_s=0.0)
    (plan,) = world.core.state.pipelines[SCOPE].values()
    track = plan.stages["track"]
    for each_s, pays in ((0.0, True), (0.1, False)):
        costs = Costs()
        costs.compute[track.id] = line = Line()
        for size in (1, 4):
            line.observe(size, 0.1 + each_s * (size - 1))
        assert pays_together(world.core.state, costs, track, 2) is pays
        assert not pays_together(State(policy=STRICT), costs, track, 2)


def test_a_long_batch_leaves_its_home_to_a_line_that_comes_there_often() -> None:
    """A scene whose ticks follow one another closely has its predictions made elsewhere, though its lane is idle."""

    def one_actor(batch: RunBatch, task: Task) -> list[tuple[str, str, str]]:
        emitted = collision_emissions(batch, task)
        return [each for each in emitted if "a2" not in each[1] and "a3" not in each[1]]

    world = SchedulerWorld(nodes=2, workers=2, emits=one_actor)
    world.wait(0.2)  # by then a scene and its actors live together
    seen = []
    for tick in range(30):
        world.submit(event(tick))
        for seconds in (0.01, 0.1, 0.001):
            seen += nodes_of(world, "predict")
            world.finish(min(world.batches), compute_s=seconds)
        world.wait(0.03)
    home = home_of(world, "s")
    assert seen[:3] == [home] * 3
    assert home not in seen[-10:]


def test_a_large_batch_is_shared_among_idle_lanes() -> None:
    """A scene's actors are predicted on three nodes at once when a task takes longer than it takes to get there."""
    world = SchedulerWorld(nodes=3, workers=3)
    world.wait(0.2)  # by then a scene and its actors live together
    world.submit(event(0))
    while world.batches:
        number = min(world.batches)
        world.finish(number, compute_s=0.03 * len(world.batches[number][1].tasks))
    world.submit(event(1))
    world.finish(min(world.batches), compute_s=0.03)
    assert sorted(len(batch.tasks) for batch in world.running("predict")) == [1, 1, 1]


def test_a_large_batch_stays_whole_when_lanes_are_in_demand() -> None:
    """The same batch is not shared once as many lanes as there are have been busy of late."""
    world = SchedulerWorld(nodes=3, workers=3)
    teach(world, "a", compute_s=0.0)
    (plan,) = world.core.state.pipelines[SCOPE].values()
    predict, costs = plan.stages["predict"], Costs()
    costs.compute[predict.id] = line = Line()
    for size in (1, 4):
        line.observe(size, 0.05 + 0.005 * size)
    assert part_of(world.core.state, costs, predict, 6, world.now) == 2
    costs.busy.observe(3.0, world.now)
    assert part_of(world.core.state, costs, predict, 6, world.now) == 6


def test_excess_is_what_poisson_leaves_over() -> None:
    """Nothing comes of nothing; without room all of it; one place spares those who come alone."""
    assert excess(0.0, 0) == 0.0
    assert excess(2.0, 0) == 2.0
    assert excess(1.0, 1) == pytest.approx(math.exp(-1.0))
    assert excess(0.5, 20) == pytest.approx(0.0, abs=1e-12)


def test_settings_refuse_a_policy_that_there_is_not() -> None:
    """A misspelt routing or a negative weight is an error at the start."""
    assert SchedulerSettings("redis://").policy == Policy()
    for wrong in ({"routing": "nearest"}, {"locality_weight": -1.0}, {"copies": 0}):
        with pytest.raises(InvalidArgument):
            _ = SchedulerSettings("redis://", **wrong).policy  # type: ignore[arg-type]


# --- balance ---------------------------------------------------------------------------------------------------------


def run_for(world: SchedulerWorld, scenes: list[str], rounds: int, compute_s: float = 0.05) -> None:
    """An event of each scene every tenth of a second, each busy for a while."""
    for tick in range(rounds):
        for scene in scenes:
            world.submit(event(tick + 10, scene, event_id=f"{scene}-{world.now:.1f}", deadline=world.now + 10))
        world.run_all(compute_s)
        world.wait(0.1)


def test_groups_that_hash_onto_one_node_are_spread_by_load() -> None:
    """Three busy scenes end up on three nodes, wherever hashing had put them."""
    world = SchedulerWorld(nodes=3, workers=3)
    scenes = on_one_node(world)
    run_for(world, scenes, rounds=80)
    assert len({home_of(world, scene) for scene in scenes}) == 3
    assert all(world.outcomes)


def test_without_balance_groups_stay_where_they_hash() -> None:
    """The knob matters: hashing alone leaves three scenes on one node."""
    world = SchedulerWorld(nodes=3, workers=3, policy=STRICT)
    scenes = on_one_node(world)
    run_for(world, scenes, rounds=80)
    assert len({home_of(world, scene) for scene in scenes}) == 1


def test_idle_groups_are_left_alone() -> None:
    """A node that is hardly busy gives nothing away: a move costs more than it could gain."""
    world = SchedulerWorld(nodes=3, workers=3)
    scenes = on_one_node(world)
    run_for(world, scenes, rounds=40, compute_s=0.0005)
    assert world.core.state.balance.moves == 0


def test_a_pinned_group_is_not_moved() -> None:
    """An operator's word counts more than the load."""
    world = SchedulerWorld(nodes=3, workers=3)
    scenes = on_one_node(world)
    pins = tuple((GroupId(SCOPE, scene), home_of(world, scene)) for scene in scenes)
    world.tell(GroupsPinned(pins))
    run_for(world, scenes, rounds=80)
    assert len({home_of(world, scene) for scene in scenes}) == 1


def test_nothing_moves_while_groups_are_on_their_way() -> None:
    """The next move waits until every node has what the last one sent it."""
    world = SchedulerWorld(nodes=3, workers=3)
    scenes = on_one_node(world)
    run_for(world, scenes, rounds=5)
    for peer in world.core.state.nodes.values():
        peer.settled = 0
    before = world.core.state.homes.placement.epoch
    for tick in range(40):
        world.submit(*[event(tick, scene, event_id=f"late-{scene}-{tick}", deadline=99) for scene in scenes])
        world.run_all(0.05)
        world.now += 0.1
        for peer in (*world.core.state.gateways, *world.core.state.workers, *world.core.state.nodes):
            world.tell(PeerSaid(peer, replace(world.beat(), settled=0)))
    assert world.core.state.homes.placement.epoch == before


def test_a_scene_and_its_actors_live_together() -> None:
    """A hop from a scene to its actors stays on the node."""
    world = SchedulerWorld(nodes=5, workers=5)
    world.wait(0.2)
    assert {home_of(world, f"s/{actor}") for actor in range(30)} == {home_of(world, "s")}
    assert leads_to_branches(collisions())


def test_without_balance_actors_are_spread_by_hash() -> None:
    """Grouping alone knows nothing of what feeds what."""
    world = SchedulerWorld(nodes=5, workers=5, policy=STRICT)
    world.wait(0.2)
    assert len({home_of(world, f"s/{actor}") for actor in range(30)}) == 5


def test_a_later_leader_goes_on_from_what_the_earlier_one_decided() -> None:
    """What was placed stays placed; pins stay pins."""
    world = SchedulerWorld(nodes=2, workers=2)
    group = GroupId(SCOPE, "s")
    adopt(world.core.state, Placement(1, (), {group: "n1"}, together=(SCOPE,), replicas={group: ("n0",)}))
    assert world.core.state.balance.placed == {group: "n1"}
    assert list(world.core.state.balance.together) == [SCOPE]
    assert world.core.state.balance.replicas == {group: ("n0",)}
    world.wait(1.5)
    assert world.core.state.homes.readers(group) == ("n1", "n0")  # nobody has read it yet, nor for long not
    world.wait(20)
    assert world.core.state.homes.readers(group) == ("n1",)


# --- replicas --------------------------------------------------------------------------------------------------------


def with_reference() -> Declaration:
    """A stage that reads one object of the whole pipeline beside its own."""
    return Declaration(
        "collisions",
        0.2,
        (
            PoolDeclaration("observations", "/observations/{scene}/{tick:int}", "template", "{scene}"),
            PoolDeclaration("map", "/map/{scene}", "template", "all"),
            PoolDeclaration("tracks", "/tracks/{scene}", "template", "{scene}"),
        ),
        (
            StageDeclaration(
                "track",
                "observations",
                needs=(Need("tracks", NeedKind.LATEST), Need("map", NeedKind.LATEST)),
                emits=("tracks",),
            ),
        ),
    ).versioned()


def reads_of_pool(batch: RunBatch, pool: str) -> list[KeyRead | LastRead]:
    return [
        read
        for task in batch.tasks
        for name, reads in task.needs
        if name == pool
        for read in reads
        if isinstance(read, KeyRead | LastRead)
    ]


def test_a_group_that_many_nodes_read_is_replicated_to_them() -> None:
    """After a while the map is read on the node where the task runs, and the replica goes when nobody reads it."""
    world = SchedulerWorld(
        nodes=3, workers=3, declaration=with_reference(), emits=lambda batch, task: [("tracks", "/tracks/s", "s")]
    )
    home = home_of(world, "all")
    scenes = [scene for scene in SCENES if home_of(world, scene) != home]
    run_for(world, scenes, rounds=40, compute_s=0.0)
    assert world.core.state.homes.readers(GroupId(SCOPE, "all"))[0] == home
    assert len(world.core.state.homes.readers(GroupId(SCOPE, "all"))) == 3
    world.submit(event(99, scenes[0], deadline=world.now + 10))
    ((peer, batch),) = world.batches.values()
    (read,) = reads_of_pool(batch, "map")
    assert isinstance(read, KeyRead)
    assert read.node == world.core.state.workers[peer].node
    world.run_all()
    world.wait(20)
    assert world.core.state.homes.readers(GroupId(SCOPE, "all")) == (home,)


def test_with_copies_everywhere_a_history_is_read_on_the_spot() -> None:
    """Every node holds every group: one node answers, and nobody else is asked."""
    grouped = collisions()
    pools = tuple(PoolDeclaration(pool.name, pool.template) for pool in grouped.pools)
    bare = replace(grouped, pools=pools).versioned()
    world = SchedulerWorld(nodes=2, workers=2, declaration=bare, policy=Policy(math.inf, balance=False, copies=2))
    world.submit(event())
    world.finish(1)
    for peer, batch in world.batches.values():
        for read in reads_of_pool(batch, "positions"):
            assert isinstance(read, LastRead)
            assert read.nodes == (world.core.state.workers[peer].node,)

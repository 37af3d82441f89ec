"""The scheduler's core: what a free replica runs next, and what is dropped."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from covey.services.scheduler.core.choosing import AdaptiveDrop, DropRule
from covey.services.scheduler.core.provision import (
    Backlog,
    Edge,
    Pipeline,
    Profile,
    Provision,
    Share,
    Waiting,
    Window,
)
from covey.simulator.arrivals import steps
from covey.simulator.baselines.greedy import Greedy, Lateness
from covey.simulator.hardware import LatencyTable, affine
from tests.pipeline_world import PipelineWorld

IDLE = Backlog(queued=0, running=0, replicas=1, free_in_s=0.0)


def chain(stages: str = "abc", objective_s: float = 0.3) -> Pipeline:
    """Each stage takes 10 ms, and 10 ms more for each task of a batch of at most 8."""
    edges = tuple(Edge(source, target) for source, target in zip(["", *stages], stages, strict=False))
    profiles = dict.fromkeys(stages, Profile(affine(0.01, 0.01), 8, cold_s=5.0))
    return Pipeline(tuple(stages), edges, dict.fromkeys(edges, 1.0), profiles, objective_s)


def waiting(*deadlines: float) -> list[Waiting]:
    """Tasks that are numbered from 0 and became ready in this order."""
    return [Waiting(number, 0.0, deadline - 0.3, deadline) for number, deadline in enumerate(deadlines)]


def chosen(
    deadlines: Sequence[float],
    rule: DropRule | None = None,
    stage: str = "a",
    pipeline: Pipeline | None = None,
    **backlogs: Backlog,
) -> tuple[list[int], list[int]]:
    """What is run and what is dropped at 0 s."""
    known = pipeline or chain()
    choice = AdaptiveDrop(known, rule).choose(
        stage, waiting(*deadlines), {name: backlogs.get(name, IDLE) for name in known.stages}, now=0.0
    )
    return list(choice.run), list(choice.drop)


def test_who_has_least_time_left_goes_first() -> None:
    """Batches are filled by deadline, whatever became ready first, and are as large as the provision says."""
    pipeline = chain()
    batcher = AdaptiveDrop(pipeline)
    batcher.provisioned(dict.fromkeys(pipeline.stages, Share(1, 2, 0.1)))
    choice = batcher.choose("a", waiting(0.9, 0.7, 0.8), dict.fromkeys(pipeline.stages, IDLE), now=0.0)
    assert (list(choice.run), list(choice.drop)) == ([1, 2], [])


def test_what_cannot_make_it_is_dropped() -> None:
    """Three stages take a batch of one 60 ms: what has less is dropped, what has more runs."""
    assert chosen([0.059]) == ([], [0])
    assert chosen([0.061]) == ([0], [])
    assert chosen([0.059, 1.0]) == ([1], [0])


def test_a_batch_that_others_have_left_is_shorter() -> None:
    """Three tasks would take 120 ms together; when two of them are dropped, the third is in time alone."""
    assert chosen([0.01, 0.01, 0.1], DropRule(shrink=False)) == ([2], [0, 1])


def test_what_waits_downstream_counts() -> None:
    """A task that would be in time but for the queue at the last stage is dropped at the first."""
    busy = Backlog(queued=16, running=8, replicas=1, free_in_s=0.05)
    # On its arrival after 40 ms: 50 ms until a replica is free, two batches of 90 ms, its own of up to 8.
    assert chosen([0.3], c=busy) == ([], [0])
    assert chosen([0.33], c=busy) == ([0], [])
    assert chosen([0.3], c=busy._replace(replicas=4)) == ([0], [])


def test_without_looking_downstream_only_the_stage_counts() -> None:
    """The switch of the ablation: what waits downstream, and even what runs there, is left out."""
    busy = Backlog(queued=64, running=8, replicas=1, free_in_s=0.05)
    assert chosen([0.021], DropRule(downstream=False), c=busy) == ([0], [])
    assert chosen([0.019], DropRule(downstream=False)) == ([], [0])


def test_what_is_served_before_it_comes_is_not_waited_for() -> None:
    """A queue at the last stage that is gone by the time a task has passed the second costs it nothing."""
    slow = Profile(affine(0.5, 0.0), 8, cold_s=5.0)
    pipeline = chain(objective_s=2.0)
    with_slow = Pipeline(
        pipeline.stages, pipeline.edges, pipeline.fan_outs, {**pipeline.profiles, "b": slow}, objective_s=2.0
    )
    behind = Backlog(queued=16, running=8, replicas=1, free_in_s=0.05)
    # 20 ms and 500 ms, then the 230 ms of the queue are over; its own batch is taken for a full one, 90 ms, and so is
    # what runs when it comes, of which half is to be waited for.
    assert chosen([0.66], pipeline=with_slow, c=behind) == ([0], [])
    assert chosen([0.65], pipeline=with_slow, c=behind) == ([], [0])


def test_what_is_on_its_way_is_waited_for() -> None:
    """Tasks that wait in between will be ahead at the last stage, too."""
    between = Backlog(queued=24, running=8, replicas=4, free_in_s=0.01)
    assert chosen([0.35], b=between) == ([], [0])
    assert chosen([0.35], b=between, c=IDLE._replace(replicas=4)) == ([0], [])


def test_replicas_share_what_is_on_its_way() -> None:
    """What runs at the first stage does not all come in one batch with what leaves it now: four replicas take 9."""
    runs = IDLE._replace(running=8, replicas=2)
    four = IDLE._replace(replicas=4)
    # 20 ms, then 40 ms twice, in batches of three; eight before it are served in 22.5 ms.
    assert chosen([0.104], a=runs, b=four, c=four) == ([0], [])
    assert chosen([0.101], a=runs, b=four, c=four) == ([], [0])
    assert chosen([0.104], a=runs) == ([], [0])


def test_the_longest_path_counts() -> None:
    """Of two branches, the one that is busy decides."""
    edges = {Edge("", "a"): 1.0, Edge("a", "b"): 1.0, Edge("a", "c"): 1.0}
    profiles = chain().profiles
    pipeline = Pipeline(("a", "b", "c"), tuple(edges), edges, profiles, 0.3)
    busy = Backlog(queued=16, running=8, replicas=1, free_in_s=0.05)
    assert chosen([0.1], pipeline=pipeline) == ([0], [])
    assert chosen([0.1], pipeline=pipeline, b=busy) == ([], [0])
    assert chosen([0.1], pipeline=pipeline, c=busy) == ([], [0])


def test_a_batch_is_shrunk_rather_than_a_task_dropped() -> None:
    """Eight tasks would be late in one batch: where nothing else waits, four go first."""
    # 8 in a batch: 90 ms a stage, 270 in all; 4: 150.
    deadlines = [0.2, *[1.0] * 7]
    assert chosen(deadlines) == ([0, 1, 2, 3], [])
    assert chosen(deadlines, DropRule(shrink=False)) == ([1, 2, 3, 4, 5, 6, 7], [0])


def test_under_overload_no_batch_is_shrunk() -> None:
    """Where more is queued than a batch for each replica, small batches would cost what all need."""
    run, drop = chosen([0.2, *[1.0] * 20])
    assert (run, drop) == ([1, 2, 3, 4, 5, 6, 7, 8], [0])


def test_an_overloaded_first_stage_lets_in_who_has_something_to_spare() -> None:
    """Once somebody was late, of more tasks than a batch takes those go that have least to spare: a batch is left."""
    pipeline = chain()
    idle = dict.fromkeys(pipeline.stages, IDLE)
    # 8 in a batch take 270 ms in all; a tenth of the objective is 30 ms.
    scarce, ample = [0.28] * 4, [0.32] * 7
    for stage, deadlines, dropped in (
        ("a", scarce + ample, 3),
        ("a", scarce + ample + ample, 4),
        ("a", (scarce + ample)[:8], 0),
        ("b", scarce + ample, 0),
    ):
        batcher = AdaptiveDrop(pipeline)
        before = batcher.choose(stage, waiting(*deadlines), idle, now=0.0)
        late = batcher.choose("a", waiting(0.01), idle, now=0.0)
        after = batcher.choose(stage, waiting(*deadlines), idle, now=0.0)
        assert (list(before.drop), list(late.drop), list(after.drop)) == ([], [0], list(range(dropped)))
        assert len(after.run) == 8
    with_nothing_to_spare = AdaptiveDrop(pipeline, DropRule(spare=0.0))
    with_nothing_to_spare.choose("a", waiting(0.01), idle, now=0.0)
    assert not with_nothing_to_spare.choose("a", waiting(*scarce, *ample), idle, now=0.0).drop


def test_an_overloaded_stage_runs_the_sizes_that_serve_most() -> None:
    """Where a batch of five takes longer than one of four and one of one, four run; when nobody is late, all do."""
    steep = LatencyTable((1, 4, 5, 8), (0.02, 0.05, 0.08, 0.09), spread=0.0)
    pipeline = replace(chain("a"), profiles={"a": Profile(steep, 8, cold_s=5.0)})
    batcher = AdaptiveDrop(pipeline)
    assert len(batcher.choose("a", waiting(*[0.3] * 5), {"a": IDLE}, now=0.0).run) == 5
    batcher.choose("a", waiting(0.01), {"a": IDLE}, now=0.0)
    sizes = [len(batcher.choose("a", waiting(*[0.3] * left), {"a": IDLE}, now=0.0).run) for left in range(1, 9)]
    assert sizes == [1, 2, 3, 4, 4, 4, 7, 8]


def test_what_is_spared_is_asked_for_while_tasks_are_late() -> None:
    """An objective after the last drop the first stage lets in all that can make it."""
    pipeline = chain()
    idle = dict.fromkeys(pipeline.stages, IDLE)
    batcher = AdaptiveDrop(pipeline)
    batcher.choose("a", waiting(0.01), idle, now=0.0)
    for now, dropped in ((0.29, 1), (0.58, 1), (0.89, 0)):
        tasks = waiting(now + 0.28, *[now + 0.32] * 8)
        assert len(batcher.choose("a", tasks, idle, now=now).drop) == dropped


def test_nothing_feasible_is_dropped_while_downstream_is_idle() -> None:
    """With at most a batch queued and nothing downstream, what can make it in a batch of one is not dropped."""
    rng = random.Random(1)
    for _ in range(200):
        deadlines = [rng.uniform(0.06, 0.4) for _ in range(rng.randint(1, 8))]
        run, drop = chosen(deadlines)
        assert drop == []
        assert deadlines.index(min(deadlines)) in run


@pytest.mark.parametrize("probe_every", [100, 0])
def test_probes_correct_predictions(probe_every: int) -> None:
    """After a slow spell in which everything is dropped, one in a hundred runs, and soon all do; without, none."""
    pipeline = chain("a", objective_s=0.03)
    batcher = AdaptiveDrop(pipeline, DropRule(probe_every=probe_every))
    for _ in range(20):
        batcher.ended("a", 1, 0.2, late=1, now=0.0)
    run = 0
    for number in range(10_000):
        task = Waiting(number, 0.0, 0.0, 0.03)
        choice = batcher.choose("a", [task], {"a": IDLE}, now=0.0)
        assert len(choice.run) + len(choice.drop) == 1
        if choice.run:
            run += 1
            batcher.ended("a", 1, 0.02, late=0, now=0.0)
    if probe_every:
        assert 5 < batcher.probes < 20
        assert run > 8000
    else:
        assert run == batcher.probes == 0


def test_a_rule_that_does_not_drop_drops_nothing() -> None:
    """The switch of the ablation: tasks run in the order in which they became ready, late or not."""
    assert chosen([0.2, 0.001, 0.1], DropRule(drop=False)) == ([0, 1, 2], [])


# --- in a world ------------------------------------------------------------------------------------------------------


class Fixed:
    """Provisions the same for ever."""

    def __init__(self, provision: Provision) -> None:
        self._provision = provision

    def decide(self, window: Window) -> Provision:
        return self._provision


LAST_IS_SCARCE = {"a": Share(2, 8, 0.1), "b": Share(2, 8, 0.1), "c": Share(1, 8, 0.1)}
CAPACITY = 8 / 0.09
"""Events a second, of the last stage."""


def goodput(
    batcher: AdaptiveDrop | Greedy,
    rates: Sequence[tuple[float, float]],
    objective_s: float,
    provision: Provision = LAST_IS_SCARCE,
) -> float:
    world = PipelineWorld(chain(objective_s=objective_s), Fixed(provision), batcher, provision)
    return world.run(steps(rates, random.Random(2)), until=sum(seconds for seconds, _ in rates)).goodput()


def test_under_steady_overload_the_capacity_is_used() -> None:
    """At 1.25 times the capacity, what is answered in time is within 3 % of it; without foresight it is a fraction."""
    rates = [(20.0, 1.25 * CAPACITY)]
    assert goodput(AdaptiveDrop(chain(objective_s=0.6)), rates, 0.6) > 0.97 / 1.25
    assert goodput(Greedy(Lateness.EXPIRED), rates, 0.6) < 0.5


def test_looking_downstream_pays() -> None:
    """Where every stage is as scarce as the first, who looks at that one alone leaves the others no time."""
    rates = [(20.0, 1.25 * CAPACITY)]
    pipeline = chain(objective_s=0.5)
    alike = dict.fromkeys(pipeline.stages, LAST_IS_SCARCE["c"])
    alone = goodput(AdaptiveDrop(pipeline, DropRule(downstream=False)), rates, 0.5, alike)
    assert goodput(AdaptiveDrop(pipeline), rates, 0.5, alike) > 1.5 * alone


def test_what_is_spared_pays_where_work_comes_in_lumps() -> None:
    """A batch of the first stage leads to more than the one replica of the second takes at once: 5 % more are in time
    where what is let in need not be served on the dot.
    """
    edges = {Edge("", "a"): 1.0, Edge("a", "b"): 4.5}
    profiles = {"a": Profile(affine(0.005, 0.08), 8, cold_s=5.0), "b": Profile(affine(0.01, 0.003), 32, cold_s=5.0)}
    pipeline = Pipeline(("a", "b"), tuple(edges), edges, profiles, 0.9)
    provision = {"a": Share(5, 7, 0.6), "b": Share(1, 20, 0.3)}

    def answered(rule: DropRule) -> float:
        world = PipelineWorld(pipeline, Fixed(provision), AdaptiveDrop(pipeline, rule), provision)
        return world.run(steps([(20.0, 80.0)], random.Random(2)), until=20.0).goodput()

    assert answered(DropRule()) > 1.05 * answered(DropRule(spare=0.0))


def test_what_fits_is_not_dropped() -> None:
    """At three quarters of the capacity all but a few of a thousand are answered in time."""
    assert goodput(AdaptiveDrop(chain(objective_s=0.6)), [(20.0, 0.75 * CAPACITY)], 0.6) > 0.995

"""The scheduler's core: what each stage should get, and when."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise, product

import pytest

from covey.services.scheduler.core.budgeting import split
from covey.services.scheduler.core.choosing import AdaptiveDrop, DropRule
from covey.services.scheduler.core.estimating import CascadeEstimator, Estimator, Load, Mean, StageEstimator, visits
from covey.services.scheduler.core.planner import Plan, Planner, PlanTable
from covey.services.scheduler.core.provision import (
    Edge,
    Pipeline,
    Profile,
    Provision,
    Seen,
    Share,
    Window,
)
from covey.services.scheduler.core.provisioning import AheadOfTime, Rule
from covey.simulator.arrivals import poisson, steps
from covey.simulator.hardware import affine
from tests.pipeline_world import PipelineWorld

DROP_NOTHING = DropRule(drop=False)
PLAN_ALONE = Rule(hold=0.0, reserve=0.0)


def dag(fan_outs: Mapping[tuple[str, str], float], objective_s: float = 0.25, cold_s: float = 5.0) -> Pipeline:
    """Stages are named in the order of their edges."""
    known = {Edge(source, target): fan_out for (source, target), fan_out in fan_outs.items()}
    stages = tuple(dict.fromkeys(target for _, target in fan_outs))
    curves = (affine(0.002, 0.001), affine(0.005, 0.003), affine(0.004, 0.002))
    profiles = {stage: Profile(curves[at % 3], 32, cold_s) for at, stage in enumerate(stages)}
    return Pipeline(stages, tuple(known), known, profiles, objective_s)


def chain(stages: int, objective_s: float = 0.25, cold_s: float = 5.0) -> Pipeline:
    return dag(dict.fromkeys(pairwise(["", *"abcdefg"[:stages]]), 1.0), objective_s, cold_s)


DIAMOND = {("", "a"): 1.0, ("a", "b"): 1.0, ("a", "c"): 1.0, ("b", "d"): 0.5, ("c", "d"): 0.5}
BRIDGE = {**DIAMOND, ("b", "c"): 1.0}


def replicas(provision: Provision) -> int:
    return sum(share.replicas for share in provision.values())


# --- splitting an objective ------------------------------------------------------------------------------------------


def falling(slots: int, rng: random.Random) -> list[float]:
    """Costs by slots: infinite below some number, then falling."""
    costs = sorted((float(rng.randint(1, 20)) for _ in range(slots)), reverse=True)
    return [math.inf] * rng.randint(1, 3) + costs[: slots - 2]


def fits(edges: Sequence[Edge], slots: Mapping[str, int], most: int) -> bool:
    ends = {"": 0}
    for stage in slots:
        ends[stage] = slots[stage] + max(ends[edge.source] for edge in edges if edge.target == stage)
    return max(ends.values()) <= most


@pytest.mark.parametrize("shape", [dict.fromkeys([("", "a"), ("a", "b"), ("b", "c")], 1.0), DIAMOND])
def test_the_split_is_the_cheapest_there_is(shape: Mapping[tuple[str, str], float]) -> None:
    """In series and around a join, no other split within the slots costs less."""
    rng = random.Random(3)
    pipeline = dag(shape)
    for _ in range(20):
        costs = {stage: falling(8, rng) for stage in pipeline.stages}
        most = min(map(len, costs.values())) - 1
        costs = {stage: of[: most + 1] for stage, of in costs.items()}
        every = (dict(zip(costs, slots, strict=True)) for slots in product(range(most + 1), repeat=len(costs)))
        least = min(
            (
                sum(costs[stage][given[stage]] for stage in given)
                for given in every
                if fits(pipeline.edges, given, most)
            ),
        )
        found = split(pipeline.edges, costs)

        if math.isinf(least):
            assert found is None
        else:
            assert found is not None
            assert fits(pipeline.edges, {stage: found[stage] for stage in pipeline.stages}, most)
            assert sum(costs[stage][found[stage]] for stage in found) == least


def test_a_dag_that_is_not_series_parallel_keeps_every_path() -> None:
    """Where the DAG can't be taken apart, what is found still holds on all paths."""
    pipeline = dag(BRIDGE)
    costs = {stage: [math.inf, *(12.0 / slots for slots in range(1, 13))] for stage in pipeline.stages}
    found = split(pipeline.edges, costs)
    assert found is not None
    assert fits(pipeline.edges, {stage: found[stage] for stage in pipeline.stages}, 12)


# --- plans -----------------------------------------------------------------------------------------------------------


class Fixed:
    """Provisions the same for ever."""

    def __init__(self, provision: Provision) -> None:
        self._provision = provision

    def decide(self, window: Window) -> Provision:
        return self._provision


@pytest.mark.parametrize("rate", [20.0, 200.0, 600.0])
@pytest.mark.parametrize(
    "pipeline", [chain(3), chain(5, 0.15), dag({("", "a"): 1.0, ("a", "b"): 2.6, ("a", "c"): 0.7})]
)
def test_what_is_planned_meets_the_objective(pipeline: Pipeline, rate: float) -> None:
    """Run with the plan and nothing dropped, 99 of 100 events are answered in time."""
    plan = Planner(pipeline).plan(rate, pipeline.fan_outs)
    batcher = AdaptiveDrop(pipeline, DROP_NOTHING)
    world = PipelineWorld(pipeline, Fixed(plan.provision), batcher, plan.provision)
    world.run(poisson(rate, random.Random(4)), until=1000 / rate)

    assert plan.meets
    assert world.p99_s() <= pipeline.objective_s
    assert sum(share.budget_s for share in chain_of(pipeline, plan)) == pytest.approx(pipeline.objective_s)


def chain_of(pipeline: Pipeline, plan: Plan) -> list[Share]:
    """The stages of the longest path, where branches are single stages."""
    last = [stage for stage in pipeline.stages if not any(edge.source == stage for edge in pipeline.edges)]
    longest = max(last, key=lambda stage: plan.provision[stage].budget_s)
    return [share for stage, share in plan.provision.items() if stage not in last or stage == longest]


def test_a_tighter_objective_never_costs_less() -> None:
    """Replicas grow as the objective shrinks, and batches with them become smaller."""
    plans = [Planner(chain(3, objective_s)).plan(1500.0, chain(3).fan_outs) for objective_s in (0.4, 0.2, 0.1, 0.06)]
    costs = [replicas(plan.provision) for plan in plans]
    assert all(plan.meets for plan in plans)
    assert costs == sorted(costs)
    assert costs[-1] > costs[0]
    assert plans[-1].provision["b"].batch < plans[0].provision["b"].batch


def test_more_load_never_costs_less() -> None:
    """Replicas grow with the rate, and each stage can carry its part with the headroom."""
    planner = Planner(chain(3), headroom=1.2)
    before = 0
    for rate in (10.0, 100.0, 500.0, 1000.0, 2000.0):
        provision = planner.plan(rate, chain(3).fan_outs).provision
        assert replicas(provision) >= before
        before = replicas(provision)
        for stage, (number, batch, _) in provision.items():
            capacity = number * batch / chain(3).profiles[stage].curve.mean_s(batch)
            assert capacity >= 1.2 * rate


def test_a_stage_that_cannot_batch_is_kept_from_its_capacity() -> None:
    """Where a queue is not absorbed by larger batches, a second replica is planned though one could carry the load."""
    edge = Edge("", "a")
    alone = {"a": Profile(affine(0.01, 0.0), 1, cold_s=5.0)}
    pipeline = Pipeline(("a",), (edge,), {edge: 1.0}, alone, objective_s=0.05)
    plan = Planner(pipeline, headroom=1.0).plan(90.0, pipeline.fan_outs)
    assert plan.meets
    assert plan.provision["a"].replicas == 2


def test_bursts_need_more() -> None:
    """Where arrivals vary more than Poisson's, the same objective takes more replicas."""
    pipeline = chain(3, objective_s=0.05)
    calm, bursty = (Planner(pipeline, burstiness=of).plan(1500.0, pipeline.fan_outs) for of in (1.0, 8.0))
    assert bursty.meets
    assert replicas(bursty.provision) > replicas(calm.provision)


def test_a_plan_that_is_not_confirmed_is_made_safer() -> None:
    """The budget shrinks until the caller's own prediction meets the objective."""
    pipeline = chain(3, objective_s=0.08)
    asked: list[int] = []

    def pessimist(rate: float, fan_outs: Mapping[Edge, float], provision: Provision) -> float:
        asked.append(replicas(provision))
        return 0.1 if len(asked) < 12 else 0.07

    plan = Planner(pipeline, verify=pessimist).plan(1500.0, pipeline.fan_outs)
    assert plan.meets
    assert plan.latency_s == 0.07
    assert asked == sorted(asked)
    assert asked[-1] > asked[0]


def test_a_plan_that_is_never_confirmed_says_so() -> None:
    """After so many tries the safest plan is given, as one that does not meet the objective."""
    plan = Planner(chain(3), verify=lambda rate, fan_outs, provision: 1.0).plan(100.0, chain(3).fan_outs)
    assert not plan.meets
    assert plan.latency_s == 1.0


def test_too_few_devices_carry_what_they_can() -> None:
    """Under more load than the devices carry all are used, none of the stages is wasted on, and the plan says so."""
    pipeline = chain(3)
    plan = Planner(pipeline, devices=8).plan(5000.0, pipeline.fan_outs)
    capacities = {
        stage: share.replicas * share.batch / pipeline.profiles[stage].curve.mean_s(share.batch)
        for stage, share in plan.provision.items()
    }
    assert not plan.meets
    assert replicas(plan.provision) == 8
    assert 0.6 * min(capacities.values()) <= plan.rate <= min(capacities.values())
    # 1, 3 and 2 ms a task at the least: at most 8 / 6 ms events a second.
    assert min(capacities.values()) > 0.7 * 8 / 0.006


def test_an_objective_that_nothing_meets_is_not_worth_every_device() -> None:
    """Where even a single task takes too long, the load is carried all the same, and nothing more is spent."""
    plan = Planner(chain(3, objective_s=0.001)).plan(100.0, chain(3).fan_outs)
    assert not plan.meets
    assert replicas(plan.provision) <= 6


def test_every_stage_needs_a_device() -> None:
    """A planner refuses fewer devices than stages."""
    with pytest.raises(ValueError, match="too few"):
        Planner(chain(3), devices=2)


def test_a_stage_carries_what_comes_at_least() -> None:
    """A planner refuses a headroom that asks for less, whose latency no formula knows."""
    with pytest.raises(ValueError, match="less than what comes"):
        Planner(chain(3), headroom=0.9)


# --- the table -------------------------------------------------------------------------------------------------------


def test_a_row_of_the_table_covers_what_was_asked() -> None:
    """Whatever the fan-outs, the plan is for at least the rate at every stage, and hardly more at one of them."""
    pipeline = dag({("", "a"): 1.0, ("a", "b"): 2.6, ("b", "c"): 0.7})
    planned: list[dict[str, float]] = []

    def verify(rate: float, fan_outs: Mapping[Edge, float], provision: Provision) -> float:
        planned.append({stage: rate * tasks for stage, tasks in visits(pipeline, fan_outs).items()})
        return 0.1

    table = PlanTable(Planner(pipeline, verify=verify))
    rng = random.Random(5)
    for _ in range(20):
        rate = math.exp(rng.uniform(0, 6))
        fan_outs = {edge: fan_out * rng.uniform(0.5, 2) for edge, fan_out in pipeline.fan_outs.items()}
        table.at(rate, fan_outs)
        more = [planned[-1][stage] / (rate * tasks) for stage, tasks in visits(pipeline, fan_outs).items()]
        assert 1 - 1e-9 <= min(more) <= 1.05 + 1e-9
        assert max(more) < 1.05 * 1.1**2


def test_what_was_filled_in_is_not_planned_again() -> None:
    """Rates and fan-outs within the grid are looked up."""
    pipeline = chain(3)
    asked: list[float] = []

    def verify(rate: float, fan_outs: Mapping[Edge, float], provision: Provision) -> float:
        asked.append(rate)
        return 0.1

    table = PlanTable(Planner(pipeline, verify=verify))
    table.fill(50.0, 200.0, [pipeline.fan_outs])
    filled = len(asked)
    assert 25 < filled < 35
    for rate in (50.0, 77.0, 123.4, 199.0):
        assert table.at(rate, {edge: 1.02 * fan_out for edge, fan_out in pipeline.fan_outs.items()}).meets
    assert len(asked) == filled


def carried(pipeline: Pipeline, provision: Provision) -> float:
    """Events a second, of the scarcest stage."""
    tasks = visits(pipeline, pipeline.fan_outs)
    return min(
        share.replicas * share.batch / pipeline.profiles[stage].curve.mean_s(share.batch) / tasks[stage]
        for stage, share in provision.items()
    )


def test_where_devices_are_too_few_fan_outs_are_hardly_rounded() -> None:
    """What is carried then is within 1 % of what a plan for just these fan-outs carries, wherever these lie."""
    for fan_out in (0.31, 0.32, 0.33, 0.34, 0.35, 0.36, 0.37):
        pipeline = dag({("", "a"): 1.0, ("a", "b"): fan_out, ("b", "c"): 1 / fan_out})
        planner = Planner(pipeline, devices=64)
        exact = planner.plan(100_000.0, pipeline.fan_outs)
        planned = PlanTable(planner).at(100_000.0, pipeline.fan_outs)
        assert not planned.meets
        assert carried(pipeline, planned.provision) > 0.99 * carried(pipeline, exact.provision)


def test_a_plan_for_too_few_devices_is_remembered() -> None:
    """Asked for the same again, the table plans no more."""
    pipeline = chain(3)
    planner = Planner(pipeline, devices=10)
    table = PlanTable(planner)
    plan = table.at(10_000.0, pipeline.fan_outs)
    planner.plan = None  # type: ignore[assignment, method-assign]
    assert table.at(10_000.0, pipeline.fan_outs) is plan


# --- ahead of time ---------------------------------------------------------------------------------------------------


class Expecting:
    """An estimator that is told what to expect: events a second."""

    def __init__(self, pipeline: Pipeline, rate: float) -> None:
        self.rate = rate
        self._pipeline = pipeline

    def observe(self, window: Window) -> None:
        pass

    def load(self, ahead_s: float) -> Load:
        tasks = visits(self._pipeline, self._pipeline.fan_outs)
        return Load({stage: self.rate * tasks[stage] for stage in tasks}, self._pipeline.fan_outs)


def seen(provision: Provision, up: bool = True, now: float = 0.0) -> Window:
    """A window in which what was wanted is there, or is still coming."""
    stages = {
        stage: Seen(0, 0, 0, {}, 0, 0, share.replicas if up else 1, 0 if up else share.replicas - 1)
        for stage, share in provision.items()
    }
    return Window(now, 0.5, 0, stages)


def test_all_stages_rise_at_once_and_fall_late() -> None:
    """One decision raises every stage; they are lowered when the load has been low for so many cold starts."""
    pipeline = chain(3)
    estimator = Expecting(pipeline, 100.0)
    ahead = AheadOfTime(PlanTable(Planner(pipeline)), estimator, PLAN_ALONE._replace(hold=6.0))
    low = ahead.decide(seen(dict.fromkeys(pipeline.stages, Share(1, 1, 0.1))))
    estimator.rate = 2500.0
    high = ahead.decide(seen(low, now=1.0))
    assert all(high[stage].replicas > low[stage].replicas for stage in pipeline.stages)
    estimator.rate = 100.0
    assert replicas(ahead.decide(seen(high, now=30.0))) == replicas(high)
    assert replicas(ahead.decide(seen(high, now=32.0))) == replicas(low)


def test_nothing_is_broken_before_what_replaces_it_is_made() -> None:
    """While wanted replicas are coming, others stay up, and who waits for replicas keeps the larger batch."""
    pipeline = chain(2)
    table = PlanTable(Planner(pipeline))
    estimator = Expecting(pipeline, 1000.0)
    ahead = AheadOfTime(table, estimator, PLAN_ALONE)
    wanted = table.at(1000.0, pipeline.fan_outs).provision
    there = seen({"a": Share(9, 1, 0.1), "b": Share(1, 1, 0.1)})
    between = ahead.decide(there)
    assert between["a"].replicas == 9 > wanted["a"].replicas
    assert between["b"].replicas == wanted["b"].replicas > 1
    assert ahead.decide(seen(wanted)) == wanted


def test_where_devices_are_few_something_is_broken_first() -> None:
    """Replicas that are in the way of what is wanted are not kept."""
    pipeline = chain(2)
    table = PlanTable(Planner(pipeline, devices=10))
    ahead = AheadOfTime(table, Expecting(pipeline, 1000.0), PLAN_ALONE)
    between = ahead.decide(seen({"a": Share(9, 1, 0.1), "b": Share(1, 1, 0.1)}))
    assert replicas(between) <= 10
    assert between["b"].replicas == table.at(1000.0, pipeline.fan_outs).provision["b"].replicas > 1


def test_batches_shrink_when_the_replicas_for_it_are_up() -> None:
    """A stage whose plan has smaller batches on more replicas carries on with the larger until these have come."""
    pipeline = chain(3)
    tight = {stage: Share(20, 1, 0.05) for stage in pipeline.stages}
    loose = {stage: Share(2, 16, 0.05) for stage in pipeline.stages}
    table = PlanTable(Planner(pipeline))
    table.at = lambda rate, fan_outs: Plan(tight if rate > 50 else loose, rate, 0.1, True)  # type: ignore[method-assign]
    estimator = Expecting(pipeline, 10.0)
    ahead = AheadOfTime(table, estimator, PLAN_ALONE)
    assert ahead.decide(seen(loose)) == loose
    estimator.rate = 100.0
    assert {share.batch for share in ahead.decide(seen(loose, now=1.0)).values()} == {16}
    assert ahead.decide(seen(tight, now=2.0)) == tight


def test_the_devices_are_never_exceeded() -> None:
    """Plans for different rates at different stages, and replicas that are kept, stay within what there is."""
    pipeline = chain(3)
    ahead = AheadOfTime(PlanTable(Planner(pipeline, devices=10)), StageEstimator(pipeline, Mean), Rule(hold=0.0))
    rng = random.Random(6)
    provision: Provision = dict.fromkeys(pipeline.stages, Share(1, 1, 0.1))
    short = 0
    for tick in range(60):
        stages = {
            stage: Seen(rng.randint(0, 900), 0, 0, {}, 0, 0, rng.randint(1, share.replicas), 0)
            for stage, share in provision.items()
        }
        provision = ahead.decide(Window(tick * 0.5, 0.5, 0, stages))
        short += ahead.short
        assert replicas(provision) <= 10
    assert short > 0


CARRIES = {"a": 1 / 0.001, "b": 1 / 0.003, "c": 1 / 0.002}
"""Tasks a second that a replica approaches as batches grow, of the stages of `chain(3)`."""


def capacity(provision: Provision) -> float:
    """Events a second, at most, in the largest batches."""
    return min(share.replicas * CARRIES[stage] for stage, share in provision.items())


def test_a_share_of_what_the_devices_carry_is_kept_ready() -> None:
    """The lower the load, the more is ready for a rise, at every stage; without a reserve it is in proportion."""
    pipeline = chain(3)
    table = PlanTable(Planner(pipeline, devices=60))
    most = 60 / 0.006
    for rate in (100.0, 2000.0, 6000.0):
        provision = AheadOfTime(table, Expecting(pipeline, rate), Rule(reserve=0.3)).decide(window_at(0.0, pipeline))
        assert 0.97 * (rate + 0.3 * (most - rate)) < capacity(provision) < 1.4 * (rate + 0.3 * (most - rate))
        assert replicas(provision) <= 60
    plain = AheadOfTime(table, Expecting(pipeline, 100.0), Rule(reserve=0.0)).decide(window_at(0.0, pipeline))
    assert plain == table.at(100.0, pipeline.fan_outs).provision


def test_what_no_rise_was_seen_for_is_given_up() -> None:
    """In a steady load the reserve fades within the memory; a rise that is seen keeps as much of it as it was."""
    pipeline = chain(3)
    table = PlanTable(Planner(pipeline, devices=60))
    plain = table.at(100.0, pipeline.fan_outs).provision
    estimator = Expecting(pipeline, 100.0)
    ahead = AheadOfTime(table, estimator, Rule(memory_s=100.0))
    ready = [replicas(ahead.decide(window_at(float(now), pipeline))) for now in range(101)]
    assert ready == sorted(ready, reverse=True)
    assert ready[0] > 2 * ready[60] > 2 * ready[100]
    assert ready[100] == replicas(plain)

    estimator.rate = 1600.0
    ahead.decide(window_at(101.0, pipeline))
    estimator.rate = 100.0
    assert capacity(ahead.decide(window_at(110.0, pipeline))) > 1500
    assert replicas(ahead.decide(window_at(210.0, pipeline))) == replicas(plain)


def window_at(now: float, pipeline: Pipeline) -> Window:
    """Nothing is up yet that could be kept."""
    return Window(now, 1.0, 0, {stage: Seen(0, 0, 0, {}, 0, 0, 0, 0) for stage in pipeline.stages})


def after_a_step(pipeline: Pipeline, estimator: Estimator, rule: Rule) -> PipelineWorld:
    """Events are four times as many from one moment to the next; nothing is dropped."""
    planner = Planner(pipeline, devices=24)
    first = planner.plan(150.0, pipeline.fan_outs).provision
    provisioner = AheadOfTime(PlanTable(planner), estimator, rule)
    world = PipelineWorld(pipeline, provisioner, AdaptiveDrop(pipeline, DROP_NOTHING), first)
    return world.run(steps([(3, 150.0), (9, 600.0)], random.Random(7)), until=12.0)


def test_going_by_the_root_answers_sooner_at_less_cost() -> None:
    """After a step, the tail is shorter and the bill no higher than if each stage goes by what it sees arrive."""
    pipeline = chain(4, cold_s=2.0)
    rule = Rule(hold=5.0, reserve=0.0)
    cascade = after_a_step(pipeline, CascadeEstimator(pipeline), rule)
    by_stage = after_a_step(pipeline, StageEstimator(pipeline, Mean), rule)
    assert cascade.p99_s() < by_stage.p99_s() / 1.3
    assert cascade.replica_s <= by_stage.replica_s


def test_a_reserve_answers_sooner() -> None:
    """After the same step, what was kept ready carries more of it until the rest is up."""
    pipeline = chain(4, cold_s=2.0)
    ready = after_a_step(pipeline, CascadeEstimator(pipeline), Rule(hold=5.0, reserve=0.3))
    plain = after_a_step(pipeline, CascadeEstimator(pipeline), Rule(hold=5.0, reserve=0.0))
    assert ready.p99_s() < 0.7 * plain.p99_s()

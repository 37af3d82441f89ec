"""The InferLine-like planner and tuner."""

import pytest

from covey.services.scheduler.core.provision import Provision, Share
from covey.simulator.baselines.inferline import InferLine, envelope, plan
from tests.builders_provision import pipeline_of, profile_of, provision_of, window_of

ONE_STAGE = pipeline_of({"a": profile_of(10, 12.5, 16, 20)}, 100)
"""100, 160 and 200 tasks a second with batches of 1, 2 and 4."""


def test_the_planner_takes_the_cheapest_steps_that_stay_feasible() -> None:
    """350 a second need four replicas one by one, three in batches of two, two in fours, if these are fast enough."""

    def predict(provision: Provision) -> float:
        return 0.05 if provision["a"].batch <= 2 else 0.2

    assert plan(ONE_STAGE, 350.0, predict, 64)["a"][:2] == (3, 2)
    assert plan(ONE_STAGE, 350.0, lambda provision: 0.05, 64)["a"][:2] == (2, 4)


def test_the_planner_doubles_on_where_the_first_doubling_saves_nothing() -> None:
    """190 a second need two replicas one by one and in twos, but only one in batches of four."""
    assert plan(ONE_STAGE, 190.0, lambda provision: 0.05 if provision["a"].batch != 2 else 0.2, 64)["a"][:2] == (1, 4)


def test_the_planner_replicates_the_bottleneck_until_feasible() -> None:
    """A stage whose tasks are three for an event needs three times the replicas."""
    pipeline = pipeline_of({"a": profile_of(10), "b": profile_of(10)}, 100, [("", "a", 1.0), ("a", "b", 3.0)])
    planned = plan(pipeline, 90.0, lambda provision: 0.05, 64)
    assert [share.replicas for share in planned.values()] == [1, 3]


def test_the_planner_ends_also_where_nothing_is_feasible() -> None:
    """It gives up at so many replicas, and nothing is taken away that might not be feasible either."""
    assert plan(ONE_STAGE, 350.0, lambda provision: 1.0, 9)["a"].replicas == 9


def test_an_envelope_is_the_highest_rate_of_any_window() -> None:
    """In windows of one, two and four half seconds; where the counts end, nothing has come."""
    assert envelope([1, 5, 3, 0], [1, 2, 4], 0.5) == pytest.approx([10.0, 8.0, 4.5])
    assert envelope([4], [2], 1.0) == [2.0]


CHAIN = pipeline_of({"a": profile_of(10), "b": profile_of(10)}, 100)


def tuner() -> InferLine:
    """Planned for 100 events a second at half of what two replicas of each stage carry."""
    return InferLine(CHAIN, 64, provision_of(1, 50, "ab", replicas=2), [100] * 60, 1.0)


def replicas(system: InferLine, at: float, offered: int) -> list[int]:
    return [share.replicas for share in system.decide(window_of(at, {"a": 0, "b": 0}, offered=offered)).values()]


def test_a_window_above_the_plan_raises_all_stages_at_once() -> None:
    """300 events in a second, of which no stage has seen a task yet, need six replicas of each at half use."""
    system = tuner()
    assert replicas(system, 1.0, 100) == [2, 2]
    assert replicas(system, 2.0, 300) == [6, 6]


def test_replicas_come_down_after_a_while_of_calm() -> None:
    """For 15 s after the burst nothing changes; then the highest five seconds of the last 30 count, the burst's at
    first; and what has come down rises again as soon as that is exceeded."""
    system = tuner()
    assert replicas(system, 1.0, 300) == [6, 6]
    assert [replicas(system, 1.0 + second, 50) for second in range(1, 15)] == [[6, 6]] * 14
    assert replicas(system, 16.0, 50) == [2, 2]
    for second in range(17, 47):
        replicas(system, float(second), 50)
    assert replicas(system, 47.0, 50) == [1, 1]
    assert replicas(system, 48.0, 90) == [2, 2]


def test_batches_stay_as_planned() -> None:
    """Tuning is by replicas alone."""
    system = tuner()
    decided = system.decide(window_of(1.0, {}, offered=1000))
    assert decided["a"] == Share(20, 1, 0.05)


def test_a_stage_that_is_little_used_need_not_grow_for_one_more_event() -> None:
    """Two replicas of which five in a hundred are used: as recalled, 11 events instead of 10 take a third of each."""
    by_plan = InferLine(CHAIN, 64, provision_of(1, 50, "ab", replicas=2), [10] * 60, 1.0)
    floored = InferLine(CHAIN, 64, provision_of(1, 50, "ab", replicas=2), [10] * 60, 1.0, used_least=0.5)
    assert replicas(by_plan, 1.0, 11) == [3, 3]
    assert replicas(floored, 1.0, 11) == [2, 2]

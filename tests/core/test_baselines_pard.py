"""PARD and its ablations: what is taken to lie before a task, and who runs first."""

import pytest

from covey.services.scheduler.core.provision import Waiting
from covey.simulator.baselines.pard import Order, Pard, Rule, quantile_of_sum
from tests.builders_provision import backlogs_of, pipeline_of, profile_of, provision_of, waiting_of

FLAT = profile_of(10, 10, 10, 10)
CHAIN = pipeline_of({"a": FLAT, "b": FLAT}, 60)
BACKLOGS = backlogs_of("ab")


def pard(rule: Rule = Rule.PARD, order: Order = Order.FCFS, batch: int = 4, **options: float) -> Pard:
    policy = Pard(CHAIN, rule, order, **options)
    policy.provisioned(provision_of(batch, 30, "ab"))
    return policy


def dropped(policy: Pard, stage: str, *left_ms: float) -> list[int]:
    return list(policy.choose(stage, waiting_of(*left_ms), BACKLOGS, 0.0).drop)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule.BACK, [0]),
        (Rule.SF, [0, 1]),
        (Rule.LOWER, [0, 1]),
        (Rule.PARD, [0, 1, 2]),
        (Rule.UPPER, [0, 1, 2, 3]),
        (Rule.SPLIT, []),
        (Rule.WCL, []),
        (Rule.OC, []),
    ],
)
def test_each_rule_counts_more_of_what_is_to_come(rule: Rule, expected: list[int]) -> None:
    """Two stages of 10 ms: a task here needs 10 at least, 20 with the next, 21 with a tenth of its batch wait, 30 with
    all of that. Fixed splits and overload control do not look at deadlines."""
    assert dropped(pard(rule), "a", 9, 15, 20.5, 25, 35) == expected


def test_at_the_last_stage_nothing_is_to_come() -> None:
    """There, running is all that counts."""
    assert dropped(pard(Rule.UPPER), "b", 9, 11) == [0]


def test_what_the_next_stage_s_tasks_have_waited_counts_for_a_while() -> None:
    """Tasks that waited 10 ms at the second stage make 31 ms of 21; six seconds later that is forgotten."""
    policy = pard()
    policy.choose("b", waiting_of(90, 90, ready_at=-0.010), BACKLOGS, 0.0)
    assert dropped(policy, "a", 30, 32) == [0]
    later = [task._replace(deadline=6.030) for task in waiting_of(30)]
    assert list(policy.choose("a", later, BACKLOGS, 6.0).drop) == []


def test_simple_forecast_ignores_queues() -> None:
    """SF counts running alone, however long the next stage's tasks have waited."""
    policy = pard(Rule.SF)
    policy.choose("b", waiting_of(90, ready_at=-0.010), BACKLOGS, 0.0)
    assert dropped(policy, "a", 21) == []


def test_the_slowest_path_counts() -> None:
    """Of two stages that follow, the one of 20 ms decides."""
    edges = [("", "a", 1.0), ("a", "b", 1.0), ("a", "c", 1.0)]
    policy = Pard(pipeline_of({"a": FLAT, "b": FLAT, "c": profile_of(20)}, 60, edges), Rule.LOWER)
    policy.provisioned(provision_of(1, 20, "abc"))
    assert list(policy.choose("a", waiting_of(29, 31), backlogs_of("abc"), 0.0).drop) == [0]


def test_overload_control_drops_by_the_wait_at_this_stage() -> None:
    """Who has waited for more than 20 ms goes, however much time its event has left."""
    queue = [*waiting_of(500, ready_at=-0.021), *waiting_of(500, ready_at=-0.019)]
    queue[1] = queue[1]._replace(number=1)
    assert list(pard(Rule.OC).choose("a", queue, BACKLOGS, 0.0).drop) == [0]


@pytest.mark.parametrize(("rule", "expected"), [(Rule.SPLIT, []), (Rule.WCL, [0])])
def test_fixed_splits_are_by_provision_or_by_worst_case(rule: Rule, expected: list[int]) -> None:
    """Of 60 ms the provision gives the stage of 10 ms a half; by worst cases it has a quarter, of which 6 are gone."""
    policy = Pard(pipeline_of({"a": profile_of(10), "b": profile_of(30)}, 60), rule, Order.FCFS)
    policy.provisioned(provision_of(1, 30, "ab"))
    assert list(policy.choose("a", waiting_of(54, ready_at=-0.006), BACKLOGS, 0.0).drop) == expected


@pytest.mark.parametrize(
    ("widths", "share", "expected"),
    [
        ((1.0,), 0.1, 0.1),
        ((1.0, 1.0), 0.1, 0.2**0.5),
        ((1.0, 1.0, 1.0), 0.1, 0.6 ** (1 / 3)),
        ((2.0, 0.0), 0.5, 1.0),
        ((), 0.1, 0),
    ],
)
def test_the_quantile_of_summed_batch_waits_is_exact(widths: tuple[float, ...], share: float, expected: float) -> None:
    """Below the shortest width the sum of n unit uniforms stays below x with probability x^n / n!."""
    assert quantile_of_sum(widths, share) == pytest.approx(expected)


# --- order -----------------------------------------------------------------------------------------------------------


def first_at(order: Order, rate: int) -> int:
    """Who runs first of tasks with 50, 90 and 70 ms left, when one replica that carries 100 a second has had `rate`."""
    policy = pard(Rule.BACK, order, batch=1)
    policy.choose("a", waiting_of(50, ready_at=0.0), BACKLOGS, 0.0)
    fresh = [Waiting(number, (number + 1) / rate, 0.0, 9.0) for number in range(rate)]
    policy.choose("a", fresh, BACKLOGS, 1.0)
    ending = [Waiting(number, 1.001, 0.0, 1.001 + left / 1000) for number, left in enumerate((50, 90, 70))]
    (number,) = policy.choose("a", ending, BACKLOGS, 1.001).run
    return number


@pytest.mark.parametrize(
    ("order", "slack", "slightly_overloaded", "overloaded"),
    [
        (Order.FCFS, 0, 0, 0),
        (Order.LBF, 0, 0, 0),
        (Order.HBF, 1, 1, 1),
        (Order.INSTANT, 0, 1, 1),
        (Order.ADAPTIVE, 0, 0, 1),
    ],
)
def test_who_runs_first_is_by_load(order: Order, slack: int, slightly_overloaded: int, overloaded: int) -> None:
    """At 80, 103 and 150 % of what the replica carries; the hysteresis takes 5 % at least to be sure."""
    assert [first_at(order, rate) for rate in (80, 102, 150)] == [slack, slightly_overloaded, overloaded]


def test_the_order_stays_while_the_load_is_between_the_thresholds() -> None:
    """After an overload, at 97 % of what the replica carries, the highest budget still runs first."""
    policy = pard(Rule.BACK, Order.ADAPTIVE, batch=1)
    policy.choose("a", waiting_of(50), BACKLOGS, 0.0)
    for second, rate in enumerate((150, 97)):
        fresh = [Waiting(number, second + (number + 1) / rate, 0.0, 9.0) for number in range(rate)]
        policy.choose("a", fresh, BACKLOGS, second + 1.0)
    ending = [Waiting(number, 2.001, 0.0, 2.001 + left / 1000) for number, left in enumerate((50, 90))]
    assert policy.choose("a", ending, BACKLOGS, 2.001).run == [1]

"""Sizing, and scaling each stage by what is seen there."""

import pytest

from covey.services.scheduler.core.provision import Share
from covey.services.scheduler.core.replicas import within
from covey.simulator.baselines.reactive import Reactive
from covey.simulator.baselines.sizing import (
    alone,
    largest_batch,
    proportional_split,
    replicas_for,
    stage_deadline,
)
from tests.builders_provision import pipeline_of, profile_of, waiting_of, window_of

TWO_STAGES = pipeline_of({"a": profile_of(10), "b": profile_of(10)}, 100)
"""A replica of each carries 100 tasks a second."""


def replicas(system: Reactive, at: float, a: int, b: int = 0, queued: int = 0) -> tuple[int, int]:
    provision = system.decide(window_of(at, {"a": a, "b": b}, queued))
    return provision["a"].replicas, provision["b"].replicas


def test_a_stage_scales_by_its_own_arrivals_alone() -> None:
    """Three times the load at the first stage buys three replicas there, and the second waits until it arrives."""
    system = Reactive(TWO_STAGES, 64, smoothing=1.0, headroom=1.0)
    assert replicas(system, 1.0, 100, 100) == (1, 1)
    assert replicas(system, 2.0, 300, 100) == (3, 1)


def test_smoothing_delays_a_rise() -> None:
    """With weight 0.5 on the newest window a step from 100 to 300 a second counts as 200, then as 250."""
    system = Reactive(TWO_STAGES, 64, smoothing=0.5, headroom=1.0)
    assert [replicas(system, at, a)[0] for at, a in [(1.0, 100), (2.0, 300), (3.0, 300)]] == [1, 2, 3]


def test_a_queue_counts_as_load_where_it_is_to_be_drained() -> None:
    """The newest window of 300 in full, and 200 queued that should be gone in two seconds, make four replicas."""
    system = Reactive(TWO_STAGES, 64, smoothing=0.5, headroom=1.0, drain_s=2.0)
    replicas(system, 1.0, 100)
    assert replicas(system, 2.0, 300, queued=200)[0] == 4


def test_replicas_go_only_after_they_were_not_needed_for_a_while() -> None:
    """Thirty seconds after the peak its replicas are still held; a second later they are not."""
    system = Reactive(TWO_STAGES, 64, smoothing=1.0, headroom=1.0, hold_s=30.0)
    replicas(system, 1.0, 400)
    assert replicas(system, 31.0, 100)[0] == 4
    assert replicas(system, 32.0, 100)[0] == 1


def test_headroom_buys_more() -> None:
    """At headroom 1.2 a load of 100 a second needs two replicas that carry 100 each."""
    assert replicas(Reactive(TWO_STAGES, 64, headroom=1.2), 1.0, 100)[0] == 2


# --- sizing ----------------------------------------------------------------------------------------------------------


def test_the_largest_batch_is_found_past_a_bump() -> None:
    """Batches of 3 that take less than those of 2 are no mistake of the table: Nexus has measured such."""
    assert largest_batch(profile_of(10, 30, 20, 40), 0.020) == 3
    assert largest_batch(profile_of(10, 30), 0.005) == 1


def test_replicas_are_whole_and_at_least_one() -> None:
    """Exactly three times what one carries needs three, a little more a fourth, and nothing at all still one."""
    assert [replicas_for(rate, 0.1) for rate in (0.3, 0.31, 0.0)] == [3, 4, 1]


def test_an_objective_is_split_along_the_longest_path() -> None:
    """A stage of 10 ms leads to ones of 20 and 10: of 300 ms it has a third, and the rest of each path is spent."""
    profiles = {"a": profile_of(10), "b": profile_of(20), "c": profile_of(10)}
    tree = pipeline_of(profiles, 300, [("", "a", 1.0), ("a", "b", 1.0), ("a", "c", 1.0)])
    assert proportional_split(tree, alone(tree)) == pytest.approx({"a": 0.1, "b": 0.2, "c": 0.15})


@pytest.mark.parametrize(
    ("wanted", "devices", "granted"),
    [
        ([3, 1], 8, [3, 1]),
        ([6, 2], 4, [3, 1]),
        ([10, 1, 1], 4, [2, 1, 1]),
        ([5, 5, 5], 8, [3, 3, 2]),
        ([2, 2], 1, [1, 1]),
    ],
)
def test_too_few_devices_are_shared_in_proportion(wanted: list[int], devices: int, granted: list[int]) -> None:
    """Every stage keeps one; no device is left over while somebody wants more."""
    shares = {f"stage {at}": Share(each, 1, 0.1) for at, each in enumerate(wanted)}
    assert [share.replicas for share in within(shares, devices).values()] == granted


def test_a_stage_is_through_within_its_budget_and_the_event_in_time() -> None:
    """The earlier of the two counts."""
    (task,) = waiting_of(50)
    assert stage_deadline(task, Share(1, 1, 0.02)) == pytest.approx(0.02)
    assert stage_deadline(task, Share(1, 1, 0.08)) == pytest.approx(0.05)

"""Nexus: split, packing, epochs and early drop, as in its paper and its code."""

import pytest

from covey.simulator.baselines.nexus import EarlyDrop, Gpu, Nexus, Session, pack
from tests.builders_provision import backlogs_of, pipeline_of, profile_of, provision_of, waiting_of, window_of

FLAT = profile_of(10, 10, 10, 10)
"""Batches of four carry 400 tasks a second."""


def batches(gpus: list[Gpu]) -> list[dict[str, int]]:
    return [{turn.session.stage: turn.batch for turn in gpu.turns} for gpu in gpus]


def test_a_rate_fills_devices_and_what_remains_collects_as_long_as_it_may() -> None:
    """900 a second fill two devices; the other 100 fill a batch of four in 40 ms, in which it runs for ten."""
    gpus = pack([Session("a", 900.0, 0.1)], {"a": FLAT})
    assert batches(gpus) == [{"a": 4}] * 3
    assert [gpu.duty_s for gpu in gpus] == pytest.approx([0.01, 0.01, 0.04])
    assert gpus[2].occupancy == pytest.approx(0.25)


def test_a_tight_budget_shortens_the_duty_cycle() -> None:
    """At 100 a second and 35 ms a third task would come at 20 ms and end at 30, a fourth at 30 and end at 40: so three,
    collected for the 25 ms that remain."""
    (gpu,) = pack([Session("a", 100.0, 0.035)], {"a": FLAT})
    assert gpu.duty_s == pytest.approx(0.025)
    assert batches([gpu]) == [{"a": 3}]


def test_remains_share_a_device_at_the_shorter_duty_cycle() -> None:
    """100 and 50 a second alone collect for 40 and 80 ms; together for 40, in batches of four and two."""
    (gpu,) = pack([Session("b", 50.0, 0.1), Session("a", 100.0, 0.1)], {"a": FLAT, "b": FLAT})
    assert gpu.duty_s == pytest.approx(0.04)
    assert batches([gpu]) == [{"a": 4, "b": 2}]


def test_what_does_not_fit_beside_has_a_device_of_its_own() -> None:
    """300 a second each collect for 13 ms, too little for two batches of 10 ms."""
    sessions = [Session("a", 300.0, 0.1), Session("b", 300.0, 0.1)]
    assert batches(pack(sessions, {"a": FLAT, "b": FLAT})) == [{"a": 4}, {"b": 4}]


def test_a_third_goes_where_it_fills_most() -> None:
    """Best fit: 10 a second join the device that is used by 0.75, not the one that is used by 0.5."""
    slow = profile_of(30)
    gpus = pack(
        [Session("a", 25.0, 0.1), Session("b", 50.0, 0.1), Session("c", 10.0, 0.1)],
        {"a": slow, "b": profile_of(10), "c": profile_of(5)},
    )
    assert [list(found) for found in batches(gpus)] == [["b"], ["a", "c"]]


def test_a_stage_that_nobody_has_asked_for_has_one_device() -> None:
    """Without a rate there is a device all the same, at the largest batch."""
    assert batches(pack([Session("a", 0.0, 0.1)], {"a": FLAT})) == [{"a": 4}]


def test_the_split_gives_time_to_whom_it_saves_devices() -> None:
    """The second stage doubles its throughput with batches of four that run for 20 ms, so it has 40 ms of the 60; and
    the last stage may have all that is left, unlike in the published loop."""
    pipeline = pipeline_of({"a": profile_of(10), "b": profile_of(10, 14, 17, 20)}, 60)
    provision = Nexus(pipeline, 64, segments=6).decide(window_of(1.0, {"a": 100, "b": 100}))
    assert provision["a"].budget_s == pytest.approx(0.02)
    assert provision["b"].budget_s == pytest.approx(0.04)


def test_an_objective_too_tight_to_plan_for_is_still_split() -> None:
    """Where no single task has twice its time, budgets are in proportion to the stages' times."""
    pipeline = pipeline_of({"a": profile_of(10), "b": profile_of(30)}, 60)
    provision = Nexus(pipeline, 64).decide(window_of(1.0, {"a": 10, "b": 10}))
    assert [share.budget_s for share in provision.values()] == pytest.approx([0.015, 0.045])


def test_plans_last_for_an_epoch_unless_the_rate_has_left_them() -> None:
    """A rise to three times the load is met ten seconds after the last plan, a change within the band only after 30."""
    system = Nexus(pipeline_of({"a": profile_of(10)}, 100), 64)

    def replicas(at: float, rate: int) -> int:
        return system.decide(window_of(at, {"a": rate}))["a"].replicas

    assert [replicas(0.0, 100), replicas(9.0, 300), replicas(10.0, 300)] == [1, 1, 3]
    assert [replicas(30.0, 310), replicas(39.0, 310), replicas(40.0, 310)] == [3, 3, 4]


def test_stages_have_a_replica_on_each_device_that_they_have_turns_on() -> None:
    """Two stages that share a device have a replica each, and `gpus` says that Nexus would use one device."""
    system = Nexus(pipeline_of({"a": FLAT, "b": FLAT}, 200), 64)
    provision = system.decide(window_of(1.0, {"a": 20, "b": 20}))
    assert [share.replicas for share in provision.values()] == [1, 1]
    assert len(system.gpus) == 1


def test_early_drop_sacrifices_the_head_for_a_full_batch() -> None:
    """Four tasks would end in 40 ms: the first has 15 and goes; then three end in 30, for which the second has time."""
    policy = EarlyDrop(pipeline_of({"a": profile_of(10, 20, 30, 40)}, 100))
    policy.provisioned(provision_of(4, 100, "a"))
    choice = policy.choose("a", waiting_of(50, 15, 35, 45), backlogs_of("a"), 0.0)
    assert (list(choice.run), list(choice.drop)) == ([2, 3, 0], [1])


def test_early_drop_goes_by_the_stage_s_own_budget() -> None:
    """A task whose event has much time left has 20 ms here, and a batch of three would take 30."""
    policy = EarlyDrop(pipeline_of({"a": profile_of(10, 20, 30)}, 100))
    policy.provisioned(provision_of(3, 20, "a"))
    choice = policy.choose("a", waiting_of(500, 500, 500), backlogs_of("a"), 0.0)
    assert (list(choice.run), list(choice.drop)) == ([1, 2], [0])

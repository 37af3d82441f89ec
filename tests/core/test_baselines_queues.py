"""The estimator of the InferLine-like planner: a sample played through queues."""

import pytest

from covey.simulator.baselines.queues import predictor
from tests.builders_provision import pipeline_of, profile_of, provision_of

CHAIN = pipeline_of({"a": profile_of(10, 12), "b": profile_of(10, 12)}, 100)


def test_an_idle_chain_takes_what_its_stages_take() -> None:
    """Ten milliseconds at each of two stages, for events that never meet."""
    predict = predictor(CHAIN, [0.0, 1.0, 2.0])
    assert predict(provision_of(2, 50, "ab")) == pytest.approx(0.020)


def test_who_comes_together_waits_or_shares_a_batch() -> None:
    """Three at once on one replica: one after the other in batches of one; with two replicas only the third waits."""
    at_once = [0.0, 0.0, 0.0]
    one_stage = pipeline_of({"a": profile_of(10, 12)}, 100)
    predict = predictor(one_stage, at_once)
    assert predict(provision_of(1, 50, "a")) == pytest.approx(0.030)
    assert predict(provision_of(1, 50, "a", replicas=2)) == pytest.approx(0.020)
    assert predict(provision_of(2, 50, "a")) == pytest.approx(0.022)


def test_an_event_ends_with_the_last_of_its_tasks() -> None:
    """Two and a half tasks for each: two for the first event, three for the second, one by one."""
    pipeline = pipeline_of({"a": profile_of(10), "b": profile_of(10)}, 100, [("", "a", 1.0), ("a", "b", 2.5)])
    assert predictor(pipeline, [0.0])(provision_of(1, 50, "ab")) == pytest.approx(0.030)
    assert predictor(pipeline, [0.0, 1.0])(provision_of(1, 50, "ab")) == pytest.approx(0.040)

"""Drawn worlds in which the policy of priorities says what runs: every oracle holds, whatever goes wrong."""

import pytest

from covey.simulator.mesh import Ways
from covey.simulator.scenarios import short_world


@pytest.mark.parametrize("kept_lanes", [False, True])
def test_no_promise_is_broken_by_priorities(kept_lanes: bool) -> None:
    """HIGH and LOW events, crashes, pauses and elections: outcomes come once, and everything finishes. With lanes that
    are kept for one priority, as on CUDA, too."""
    ways = Ways(priorities=True, kept_lanes=kept_lanes)
    for seed in range(12):
        try:
            assert short_world(1_000 + seed, ways=ways).mixed == 0, "an alert of two states"
        except AssertionError as error:
            pytest.fail(f"seed {1_000 + seed}: {error}")


def test_what_waits_on_idle_lanes_is_answered() -> None:
    """Most events of a world are neither taken back nor in a hurry, and end well."""
    run = short_world(1_003, ways=Ways(priorities=True))
    assert run.statuses["OK"] > 0.8 * sum(run.statuses.values())

"""Two hundred worlds: drawn meshes, drawn faults, all oracles."""

import pytest

from covey.simulator.scenarios import short_world

SEEDS = 200
SEEDS_A_TEST = 20


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_no_promise_is_broken(first: int) -> None:
    """Whatever goes wrong, outcomes come once, in time and right; and once it is over, everything finishes."""
    for seed in range(first, first + SEEDS_A_TEST):
        try:
            assert short_world(seed).mixed == 0, "an alert of two states"
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")

"""Worlds whose workers cache what they read from other nodes: all oracles, and what the cache is asked."""

import pytest

from covey.services.worker.core.state import Limits
from covey.simulator.mesh import Ways
from covey.simulator.scenarios import short_world

SEEDS = 8


def test_a_cache_breaks_no_promise() -> None:
    """Whatever goes wrong, what tasks read is what they would have read without it; and it is of use."""
    hits = 0
    for seed in range(SEEDS):
        try:
            run = short_world(seed, ways=Ways(worker=Limits(cache_reads=True, cached_bytes_min=0)))
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")
        hits += sum(run.mesh.worker(name).core.state.counters.cache_hits for name in run.mesh.workers)
    assert hits > 0

"""Groups of a real mesh move while events come: `python -m benchmarks.moves` with few moves."""

import pytest

pytest.importorskip("torch", reason="the model needs torch: pip install 'covey[worker]'")

from benchmarks import moves  # noqa: E402 (after the test for torch)
from tests import builders_collisions as builders  # noqa: E402

pytestmark = [pytest.mark.asyncio, pytest.mark.processes, pytest.mark.timeout(180)]


@pytest.mark.parametrize("count", [20])
async def test_scenes_that_move_lose_double_and_reorder_nothing(count: int) -> None:
    """Every event is OK and whole, the alerts are those of one process, and positions are numbered in order."""
    builders.adsb_reports("quickstart")  # skips the test where the tracks are not installed

    found = await moves.run(count, rate=40.0, nodes=3)

    assert found["outcomes"] == {"OK": found["events"]}, found
    assert (found["moves"], found["lost"], found["doubled"], found["reordered"]) == (count, 0, 0, 0)
    assert found["alerts"] > 0

"""When a copy is done: one server for each direction of a device."""

import pytest

from covey.services.scheduler.core.transfer import CopyCost, CopyQueue

MB = 1_000_000


def test_bandwidth_and_set_up_are_learned_apart() -> None:
    """From copies of several sizes both are found, though they began far from what they are."""
    cost = CopyCost()
    for _ in range(100):
        for size in (MB // 10, MB, 20 * MB):
            cost.learn(size, 0.0002 + size / 2e9)
    assert cost.setup_s == pytest.approx(0.0002, rel=0.1)
    assert 1 / cost.byte_s == pytest.approx(2e9, rel=0.02)


def test_copies_of_one_size_still_teach_what_they_take() -> None:
    """Which part of it is set-up can't be told; what such a copy takes can."""
    cost = CopyCost()
    for _ in range(400):
        cost.learn(5 * MB, 0.004)
    assert cost.predict_s(5 * MB) == pytest.approx(0.004, rel=0.02)


def test_a_copy_waits_for_those_before_it() -> None:
    """Two copies that are ready together take as long as both of them."""
    queue = CopyQueue(CopyCost())
    first = queue.add(False, 8 * MB, 0.0)
    second = queue.ends_at(True, 8 * MB, 0.0)
    assert second == pytest.approx(2 * first)
    assert queue.ends_at(True, 8 * MB, 1.0) == pytest.approx(1.0 + first)


def test_high_waits_for_one_chunk_at_most_where_low_copies_are_cut() -> None:
    """Beside a LOW copy of 80 MB a HIGH one is done nearly as soon as alone, and the LOW one that much later."""
    cost = CopyCost()
    queue, alone = CopyQueue(cost, chunk_bytes=2 * MB), cost.predict_s(MB)
    low_ends = queue.add(False, 80 * MB, 0.0)
    assert alone < queue.ends_at(True, MB, 0.0) <= alone + cost.predict_s(2 * MB)
    queue.add(True, MB, 0.0)
    assert queue.starts_at(False, 0.0) == pytest.approx(low_ends + alone)


def test_high_copies_wait_for_one_another_in_any_case() -> None:
    """Chunks are for LOW copies alone."""
    queue = CopyQueue(CopyCost(), chunk_bytes=2 * MB)
    first = queue.add(True, 8 * MB, 0.0)
    assert queue.ends_at(True, 8 * MB, 0.0) == pytest.approx(2 * first)

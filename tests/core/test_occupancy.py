"""What runs on a device, when it will end, and what has run beside what."""

import pytest

from covey.model import Priority
from covey.services.scheduler.core.contention import Demand, Load, ModelProfile, Overlap, Report
from covey.services.scheduler.core.occupancy import SPANS_MAX, Fluid, Occupancy, Span, ends_of, overlaps_of
from covey.services.scheduler.core.transfer import CopyCost
from covey.simulator.hardware import LatencyTable

A, B, C = (Load(name, 1, Priority.LOW) for name in "abc")
SECONDS = {"a": 0.010, "b": 0.020, "c": 0.030}


class Doubling:
    """Each neighbour adds as much as one takes alone."""

    def solo_s(self, load: Load) -> float:
        return SECONDS[load.model]

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        return 1.0 + len(others)

    def learn(self, load: Load, overlaps: list[Overlap], seconds: float) -> None:
        raise AssertionError("an occupancy only asks")


def occupancy(size: int = 0) -> Occupancy:
    demand = Demand(0.5, 0.5, 0.5)
    profiles = {
        name: ModelProfile(LatencyTable((1,), (seconds,)), (1,), (demand,), size, size)
        for name, seconds in SECONDS.items()
    }
    return Occupancy(profiles, Doubling(), (CopyCost(0.0, 0.0), CopyCost(0.0, 0.0)), 0)


def test_two_batches_end_as_two_fluids_do() -> None:
    """The shorter takes twice its time; the longer the same, and then what is left of it alone."""
    ends = ends_of([Fluid(A, 0.0, 0.010), Fluid(B, 0.0, 0.020)], 0.0, Doubling())
    assert ends == pytest.approx([0.020, 0.030])


def test_one_that_joins_later_slows_what_is_left() -> None:
    """Until it computes it disturbs nobody."""
    ends = ends_of([Fluid(B, 0.0, 0.020), Fluid(A, 0.015, 0.010)], 0.0, Doubling())
    assert ends == pytest.approx([0.025, 0.030])


def test_four_side_by_side_all_end() -> None:
    """The last to end has done all of its work; nothing is lost among four."""
    fluids = [Fluid(A, 0.0, 0.010), Fluid(A, 0.005, 0.010), Fluid(B, 0.0, 0.020), Fluid(C, 0.001, 0.030)]
    ends = ends_of(fluids, 0.0, Doubling())
    assert max(ends) == pytest.approx(0.070)  # one device's worth of work: each neighbour adds as much as one takes
    assert sorted(ends)[0] == ends[0]


def test_fetching_from_afar_comes_first_and_is_no_copy() -> None:
    """It adds to the end, and disturbs nobody meanwhile; how long a copy takes is not learned from it."""
    device = occupancy()
    assert device.with_batch(A, 1, 0.0, 0.005) == pytest.approx([0.015])
    device.begin(1, A, 1, 1.0, 0.0, 0.0, 0.005)
    assert device.with_batch(A, 1, 0.0)[1] == pytest.approx(0.015)  # alone for 5 ms, then at half the speed
    device.end(Report(1, 0.005, 0.010, 0.0), 0.015)
    assert device.with_batch(A, 1, 0.015) == pytest.approx([0.025])


def test_work_that_is_done_is_reckoned() -> None:
    """Half-way through, what is foreseen is what was foreseen at first."""
    device = occupancy()
    device.begin(1, A, 1, 1.0, 0.0, 0.0)
    device.begin(2, B, 1, 1.0, 0.0, 0.0)
    first = device.ends(0.0)
    assert device.ends(0.012) == pytest.approx(first)
    assert device.with_batch(C, 1, 0.012)[0] > first[0]


def test_a_batch_that_is_overdue_is_expected_soon() -> None:
    """It is not done until it is reported, and not far from it."""
    device = occupancy()
    device.begin(1, A, 1, 1.0, 0.0, 0.0)
    assert 0.5 < device.ends(0.5)[0] < 0.501


def test_a_report_tells_what_ran_beside_it() -> None:
    """The parts of a batch's time are by what computed then, whether that has ended or still runs."""
    device = occupancy()
    device.begin(1, A, 1, 1.0, 0.0, 0.0)
    device.begin(2, C, 1, 1.0, 0.0, 0.0)
    ended, overlaps = device.end(Report(1, 0.0, 0.020, 0.0), 0.020)
    assert ended.load == A
    assert overlaps == [Overlap(pytest.approx(0.020), (C,))]
    _, overlaps = device.end(Report(2, 0.0, 0.040, 0.0), 0.040)
    assert overlaps == [Overlap(pytest.approx(0.020), (A,)), Overlap(pytest.approx(0.020), ())]


def test_overlaps_cover_the_whole_time() -> None:
    """Their seconds add up to it, and neighbours that only touch it do not count."""
    parts = overlaps_of(1.0, 2.0, [Span(A, 0.5, 1.2), Span(B, 1.1, 1.5), Span(C, 2.0, 3.0)])
    assert [part.others for part in parts] == [(A,), (A, B), (B,), ()]
    assert sum(part.seconds for part in parts) == pytest.approx(1.0)


def test_a_batch_that_hangs_does_not_fill_the_memory() -> None:
    """Of the thousands that ran beside it the last ones are remembered, and its neighbours are found among them."""
    device = occupancy()
    device.begin(0, C, 1, 1e9, 0.0, 0.0)
    now = 0.0
    for number in range(1, 3 * SPANS_MAX):
        now = 0.02 * number
        device.begin(number, A, 1, 1e9, 0.0, now)
        device.end(Report(number, 0.0, 0.01, 0.0), now + 0.01)
    assert len(device._spans) <= SPANS_MAX + 1
    _, overlaps = device.end(Report(0, 0.0, 0.05, 0.0), now + 0.015)
    assert sum([part.seconds for part in overlaps if part.others == (A,)]) == pytest.approx(0.025)

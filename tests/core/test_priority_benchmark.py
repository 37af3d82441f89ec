"""What the benchmark of priorities compares, and how it judges."""

import pytest

from benchmarks.priority.flood import least_share
from benchmarks.priority.plan import ABLATED, CELLS, PREDICTED, QUICK, Cell, chosen, hypercube
from benchmarks.priority.report import best_baseline, summary_of, verdicts
from benchmarks.priority.running import Done
from benchmarks.priority.systems import SYSTEMS, Order
from benchmarks.priority.tuning import Trial, best_of

FULL, EASY = Cell(1, 50, 0.9, 2), Cell(16, 50, 0.9, 2)


def run(cell: Cell, system: str, high: float, low_throughput: float, jain: float = 0.9) -> Done:
    return Done(cell, system, 1, high, 0.1, 100.0, low_throughput, jain, 0.9, 100, 20, 0.01, 1.0)


FOUND = {
    (FULL, "ours"): [run(FULL, "ours", 0.05, 90.0)],
    (FULL, "ewma"): [run(FULL, "ewma", 0.15, 100.0)],
    (FULL, "streams"): [run(FULL, "streams", 0.25, 200.0)],
    (FULL, "reef"): [run(FULL, "reef", 0.01, 10.0, 0.7)],
    (EASY, "ours"): [run(EASY, "ours", 0.003, 100.0)],
    (EASY, "ewma"): [run(EASY, "ewma", 0.002, 100.0)],
    (EASY, "reef"): [run(EASY, "reef", 0.0, 10.0, 0.95)],
}


def test_the_cells_are_few_and_cover_what_was_asked() -> None:
    """At most 40, each named once, with 1, 4 and 16 devices, mixes of 20:80 to 80:20, both arrivals."""
    assert len(CELLS) <= 40
    assert len(dict.fromkeys(cell.name for cell in CELLS)) == len(CELLS)
    assert {cell.devices for cell in CELLS} == {1, 4, 16}
    assert {20, 50, 80} <= {cell.high for cell in CELLS}
    assert {cell.bursty for cell in CELLS} == {False, True}
    assert (min(cell.utilisation for cell in CELLS), max(cell.utilisation for cell in CELLS)) == (0.7, 1.1)
    for some in (QUICK, ABLATED, PREDICTED):
        assert all(cell in CELLS for cell in some)


def test_cells_are_chosen_by_patterns() -> None:
    """A star stands for anything, and no pattern for all."""
    assert chosen([], CELLS) == list(CELLS)
    assert all(cell.devices == 16 for cell in chosen(["16/*"], CELLS))


def test_the_hypercube_meets_every_part_of_each_dimension() -> None:
    """Ten cells have ten utilisations, one in each tenth."""
    cells = hypercube(10, 3)
    assert sorted([int((cell.utilisation - 0.7) / 0.04001) for cell in cells]) == pytest.approx(list(range(10)), abs=1)
    assert all(2.0 <= cell.deadline <= 5.0 and 20 <= cell.high <= 80 for cell in cells)


def test_ours_is_judged_against_the_best_that_does_not_preempt() -> None:
    """REEF has fewer violations, and EWMA fewer than streams: EWMA it is, with its throughput."""
    assert best_baseline(FOUND, FULL) == "ewma"
    (verdict,) = verdicts(FOUND, [FULL])
    assert verdict["drop_pp"] == pytest.approx(10.0)
    assert verdict["low_cost"] == pytest.approx(0.1)
    assert verdict["jain_margin"] == pytest.approx(0.2)


def test_cells_that_the_best_baseline_manages_count_apart() -> None:
    """There is nothing to gain there; what counts is not to be worse."""
    summary = summary_of(FOUND, [FULL, EASY], {})
    assert summary["high_violation_drop_pp_min"] == summary["high_violation_drop_pp_max"] == pytest.approx(10.0)
    assert summary["high_violation_worse_pp_max"] == pytest.approx(0.1)
    assert summary["jain_vs_preemption_min"] == pytest.approx(-0.05)
    assert summary["under_prediction_at_quantile"] == pytest.approx(0.2)


def test_systems_are_of_both_kinds() -> None:
    """Two preempt, and ours does not."""
    assert [name for name, system in SYSTEMS.items() if system.preempts] == ["orion", "reef"]


def test_the_least_share_is_over_whole_windows() -> None:
    """The window in which LOW did least counts; the first, into which older batches reach, does not."""
    low = [(float(second) + 0.5, 0.2, 0.2) for second in range(10) if second not in (0, 4)]
    high = [(float(second) + 0.5, 0.8, 0.8) for second in range(10)]
    assert least_share(high, low, 0.0, 10.0, 1.0) == 0.0
    assert least_share(high, low, 0.0, 4.0, 1.0) == pytest.approx(0.2)


def test_a_baseline_is_tuned_for_high_as_long_as_low_keeps_nine_tenths() -> None:
    """The setting that misses least of HIGH would cost LOW a fifth: the next best it is."""
    found = [
        Trial("ewma", Order(), 0.20, 0.80),
        Trial("ewma", Order(slots=1), 0.10, 0.64),
        Trial("ewma", Order(margin=1.1), 0.15, 0.73),
    ]
    assert best_of(found).order == Order(margin=1.1)

"""The figures of the grouping benchmark, and that every mode gets the same traffic."""

import itertools
import json
import math
from collections import Counter
from random import Random

import pytest

from benchmarks.grouping import synthetic
from benchmarks.grouping.collisions import remember, straight_on
from benchmarks.grouping.experiment import Results
from benchmarks.grouping.figures import Summary, imbalance, paired_ratio, quantile, reduction, summary_of
from benchmarks.grouping.plan import CELLS_MAX, CONDITIONS, KEY_HASH, MAIN, MODES, described
from benchmarks.grouping.report import Findings
from benchmarks.grouping.running import Run
from benchmarks.grouping.traffic import Requests, Scenes, order_of
from examples.collisions.histories import stack
from tests import builders_collisions as builders


def test_a_reduction_is_the_share_by_which_ours_is_lower() -> None:
    """42 instead of 100 is 58 % lower, and more than before is a reduction below zero."""
    assert reduction(42.0, 100.0) == pytest.approx(0.58)
    assert reduction(120.0, 100.0) == pytest.approx(-0.2)


def test_quantiles_lie_between_values_along_a_straight_line() -> None:
    """The median of two values is halfway between them, and the ends are the extremes."""
    assert quantile([1.0, 3.0], 0.5) == 2.0
    assert (quantile([1.0, 2.0, 9.0], 0.0), quantile([1.0, 2.0, 9.0], 1.0)) == (1.0, 9.0)


def test_a_summary_of_nothing_is_not_zero() -> None:
    """A run that lost every event has no latency, rather than a good one."""
    assert math.isnan(summary_of([]).mean)
    assert summary_of([2.0, 4.0]).std == 1.0


def test_imbalance_is_the_largest_share_over_the_mean() -> None:
    """Even shares have an imbalance of 1, and one node that does everything the number of nodes."""
    assert imbalance([0.2, 0.2]) == 1.0
    assert imbalance([1.0, 0.0, 0.0, 0.0, 0.0]) == 5.0
    assert math.isnan(imbalance([0.0, 0.0]))


def test_a_paired_interval_sees_a_small_difference_through_noise_that_both_share() -> None:
    """Stretches of traffic that differ by far more than the modes still tell them apart, since they are paired."""
    rng = Random(3)
    stretches = [rng.uniform(10.0, 200.0) for _ in range(24)]
    interval = paired_ratio([(0.95 * each * rng.uniform(0.99, 1.01), each) for each in stretches], Random(1))
    assert interval.low < interval.ratio < interval.high < 1.0
    assert interval.ratio == pytest.approx(0.95, abs=0.01)


def test_a_paired_interval_of_equal_modes_holds_one() -> None:
    """Where the difference is only noise, the interval says so."""
    rng = Random(4)
    pairs = [(rng.uniform(9.0, 11.0), rng.uniform(9.0, 11.0)) for _ in range(12)]
    interval = paired_ratio([*pairs, *((theirs, ours) for ours, theirs in pairs)], Random(1))
    assert interval.low < 1.0 < interval.high


def test_the_plan_keeps_within_its_cells_and_names_them() -> None:
    """At most 40 cells, every condition has both key hash and grouping with load, and each is named once."""
    assert sum(len(condition.modes) for condition in CONDITIONS) <= CELLS_MAX
    assert all(KEY_HASH in condition.modes and MODES[-1] in condition.modes for condition in CONDITIONS)
    assert all(described(CONDITIONS).count(f"  {condition.name} ") == 1 for condition in CONDITIONS)


def test_skewed_traffic_gives_one_stream_every_other_turn() -> None:
    """Half of the events are stream 0's, and the other streams share the rest evenly."""
    turns = Counter(itertools.islice(order_of(5, True, Random(1)), 800))
    assert turns[0] == 400
    assert {turns[stream] for stream in (1, 2, 3, 4)} == {100}
    assert set(Counter(itertools.islice(order_of(5, False, Random(1)), 100)).values()) == {20}


def test_scenes_differ_in_name_by_salt_and_in_nothing_else() -> None:
    """The same salt gives the same events again; another gives the same positions under names that hash elsewhere."""
    scenes = Scenes([builders.pedestrians("sdd_gates_3")], 3)
    first, again, other = (
        scenes.arrivals(salt, 30.0, 12, heavy=False, skewed=False, check=True) for salt in ("1", "1", "2")
    )
    assert [arrival.key for arrival in first] == [arrival.key for arrival in again]
    assert not {arrival.key for arrival in first} & {arrival.key for arrival in other}
    assert [arrival.at_s for arrival in first] == [number / 30.0 for number in range(12)]
    sizes = [sorted(len(arrival.value["positions"]) for arrival in run) for run in (first, other)]
    assert sizes[0] == sizes[1]


def test_a_scene_goes_on_after_its_last_frame_with_later_ticks() -> None:
    """Ticks of a scene only grow, however long it is played."""
    (arrivals,) = [
        Scenes([builders.pedestrians("sdd_gates_3")], 1).arrivals("1", 1.0, 800, heavy=False, skewed=False, check=False)
    ]
    ticks = [int(arrival.key.rpartition("/")[2]) for arrival in arrivals]
    assert ticks == sorted(set(ticks))


def test_the_gallery_is_read_and_rewritten_only_where_frames_have_pixels() -> None:
    """Its 256 KiB change with every frame; without pixels it stays empty."""
    first = remember(None, bytes(range(256)) * 8, 1)
    second = remember(first, bytes(2048), 2)
    assert first.nbytes == second.nbytes == 256 * 1024
    assert (first[1] == second[1]).all()
    assert remember(None, b"", 1).nbytes == 0


def test_straight_on_keeps_the_last_velocity_and_stands_without_one() -> None:
    """Two positions a metre apart go on by a metre a step; a single one stays."""
    history, mask = stack([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[5.0, 5.0, 0.0]]])  # type: ignore[list-item]
    paths = straight_on(history, mask)
    assert paths[0, :, 0].tolist() == [float(step) for step in range(2, 14)]
    assert (paths[1] == [5.0, 5.0, 0.0]).all()


def test_a_request_leads_to_a_category_that_only_its_bytes_decide() -> None:
    """Requests fall into every category, and the answer is the same wherever it is computed."""
    requests = Requests()
    arrivals = requests.arrivals("1", 50.0, 60)
    categories = {next(iter(arrival.expected or ())).split("/")[2] for arrival in arrivals}
    assert len(categories) == synthetic.CATEGORIES
    assert synthetic.answer_to(arrivals[0].value, requests.data) == synthetic.answer_to(
        arrivals[0].value, dict(synthetic.data())
    )


def a_run(mode: str, mean_s: float, *, seed: int = 1, lost: int = 0, wrong: int = 0) -> Run:
    """A run in the main condition, as if all its latencies had been alike."""
    return Run(
        condition=MAIN.name, mode=mode, seed=seed, rate=30.0, events=100, lost=lost, wrong=wrong,
        latency=Summary(mean_s, mean_s, mean_s, mean_s, mean_s / 10), within=1.0, blocks=[mean_s] * 8,
        remote_gets=40.0, bytes_moved=1e5, utilisation=[0.1, 0.3], busy=[0.2, 0.6], imbalance=1.5, cpu=0.5, others=0.0,
        cpu_by_part={"proxy": 0.1}, stages={}, messages={},
    )  # fmt: skip


def test_the_last_line_has_exactly_what_was_promised() -> None:
    """Its names are fixed, reductions are of the means over seeds, and losses of all seeds are added up."""
    runs = [a_run("key_hash", 0.100), a_run("key_hash", 0.140, seed=2, lost=2), a_run("grouping_load", 0.030)]
    best = {(MAIN.name, "key_hash"): runs[0], (MAIN.name, "grouping_load"): runs[2]}
    findings = Findings(Results({MAIN.name: 40.0}, [*runs, a_run("grouping_load", 0.030, seed=2)], [], best), [MAIN])
    summary = findings.summary()
    assert list(summary) == [
        "latency_mean_reduction", "latency_p99_reduction", "latency_std_reduction", "rate_at_objective_ratio",
        "utilisation_gain", "remote_gets_per_event", "lost", "imbalance", "vs_best",
    ]  # fmt: skip
    assert summary["latency_mean_reduction"] == pytest.approx(0.75)
    assert summary["rate_at_objective_ratio"] == 1.0
    assert summary["lost"]["key_hash"] == 2
    assert json.loads(json.dumps(summary)) == summary
    assert MAIN.name in findings.tables()


def test_who_loses_events_or_answers_wrongly_is_no_rival() -> None:
    """The best other mode is the quickest of those that lost nothing and were never wrong."""
    runs = [
        a_run("grouping_load", 0.050),
        a_run("key_hash", 0.100),
        a_run("random", 0.010, lost=1),
        a_run("replication", 0.010, wrong=1),
    ]
    best, interval = Findings(Results({}, runs, [], {}), [MAIN]).versus_best()[MAIN.name]
    assert best == "key_hash"
    assert interval.ratio == pytest.approx(0.5)

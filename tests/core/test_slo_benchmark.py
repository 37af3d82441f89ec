"""The benchmark of latency objectives: its cells, its loads, and how it reads curves."""

import json
import math
import random
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.slo import own
from benchmarks.slo.__main__ import jobs_of
from benchmarks.slo.estimators import Doubling, judged
from benchmarks.slo.hypercube import settings
from benchmarks.slo.lines import key_of, line_of, runs_in
from benchmarks.slo.loads import RANDOM_S, load_of
from benchmarks.slo.plan import (
    ABLATED,
    BEYOND,
    BURSTY,
    BUYING,
    CELLS,
    OUR_HEADROOM,
    OUR_SETTINGS,
    QUICK,
    STEADY,
    Cell,
    asks_for_the_cost,
    chosen,
    headrooms_of,
    turn_of,
)
from benchmarks.slo.reading import Point, at_cost, complete, cost_of
from benchmarks.slo.report import lines_of, summary_of
from benchmarks.slo.running import Done, Job, Places
from benchmarks.slo.systems import DROPPING, UNDROPPED
from benchmarks.slo.verdicts import good_of, highest_rates, tail_of
from covey.errors import InvalidArgument
from covey.services.scheduler.core.provision import Edge, Seen, Window
from covey.simulator.serving import Figures
from tests.builders_provision import pipeline_of, profile_of

CELL = BURSTY[0]
NOWHERE = Places(Path("nowhere"))


def run_of(system: str, device_s: float, p99_s: float = 1.0, in_time: int = 100, **job: Any) -> Done:
    figures = Figures(
        offered=100,
        completed=100,
        in_time=in_time,
        p50_s=p99_s / 2,
        p99_s=p99_s,
        p99_all_s=p99_s,
        dropped={"a": 0},
        device_s=device_s,
        busy_s=device_s / 2,
        wasted_s=0.0,
        tasks=1000,
        seconds=(),
        windows=(),
    )
    asked = Job(CELL, system, OUR_HEADROOM, 1, False, NOWHERE)._replace(**job)
    return Done(asked, figures, {}, 0.06)


def test_the_cells_are_few_and_distinct() -> None:
    """At most forty, nine of them bursty, and a quick look is at some of them."""
    assert len(CELLS) == len({cell.name for cell in CELLS}) <= 40
    assert len(BURSTY) == 9
    assert all(cell in CELLS for cell in QUICK)
    assert chosen(["chain3/step/*/8"], CELLS) == [Cell("chain3", "step", devices=8)]
    assert not set(BEYOND) & set(CELLS)


@pytest.mark.parametrize("name", ["step", "surge", "mmpp", "diurnal", "overload"])
def test_loads_begin_at_the_rate_that_they_say(name: str) -> None:
    """Provisioners are told of it, so a wrong one would have them begin unprepared."""
    load = load_of(name, 1000.0, Path("nowhere"))
    until = 19.0 if name != "diurnal" else 5.0 + RANDOM_S  # before the step, a whole wave
    seconds = until - 5.0
    counts = [
        sum(1 for _ in takewhile(lambda instant: instant < until, load.arrivals(random.Random(seed), 5.0)))
        for seed in range(8)
    ]

    measured = sorted(counts)[4 if name != "mmpp" else 0]
    assert measured / seconds == pytest.approx(load.begins_at, rel=0.1)


def test_the_trace_keeps_its_bursts(tmp_path: Path) -> None:
    """At another mean rate, from a drawn second on; all that arrives in one second of ten still does."""
    (tmp_path / "arrivals").mkdir()
    stamps = [f"2023-11-16 18:17:00.{part:02d}0000" for part in range(50)] + ["2023-11-16 18:17:09.000000"]
    (tmp_path / "arrivals" / "azure_llm_2023_code.csv").write_text("TIMESTAMP\n" + "\n".join(stamps) + "\n")
    load = load_of("azure", 1000.0, tmp_path)
    instants = list(load.arrivals(random.Random(1), 0.0))

    assert len(instants) == pytest.approx(10 * load.begins_at, rel=0.15)
    busiest = max(sum(int(instant) == second for instant in instants) for second in range(10))
    assert busiest > 0.95 * len(instants)


def test_curves_are_read_between_their_points() -> None:
    """A system may choose any headroom that the cost allows; one that is dearer throughout is read at its cheapest."""
    points = [Point(100.0, 3.0), Point(200.0, 1.0), Point(300.0, 1.5)]

    assert at_cost(points, 150.0, min) == pytest.approx(2.0)
    assert at_cost(points, 300.0, min) == 1.0
    assert at_cost(points, 50.0, min) == 3.0
    assert cost_of(points, 2.0, is_tail=True) == pytest.approx(150.0)
    assert cost_of(points, 5.0, is_tail=True) == 100.0
    assert cost_of(points, 0.5, is_tail=True) == math.inf
    assert cost_of([Point(100.0, 0.9), Point(200.0, 1.0)], 0.99, is_tail=False) == pytest.approx(190.0)


def test_the_tail_is_compared_at_our_cost() -> None:
    """The best baseline is the one that is best there; ablations of ours are none."""
    runs = [
        run_of("ours", 100.0, 1.0),
        run_of("ours by stage", 90.0, 0.1),
        *(run_of("reactive", cost, p99_s, headroom=cost) for cost, p99_s in ((80.0, 4.0), (120.0, 2.0), (200.0, 0.9))),
        run_of("nexus", 95.0, 3.5),
    ]
    tail = tail_of(runs)

    assert tail is not None
    assert (tail.best, tail.is_level) == ("reactive", True)
    assert tail.p99_ratio == pytest.approx(3.0)
    assert tail.cost_saving == pytest.approx(1 - 100 / (120 + 80 / 1.1))
    assert tail.ratios["ours by stage"] == pytest.approx(0.1)
    assert tail.low < tail.p99_ratio < tail.high


def test_goodput_is_compared_at_our_cost_seed_by_seed() -> None:
    """The interval is of the ratio, and what both systems have in common of a seed is not in it."""
    runs = [
        run_of(system, 100.0, in_time=round(share * good), seed=seed, drops=True)
        for seed, share in ((1, 1.0), (2, 0.5))
        for system, good in (("ours", 90), ("nexus", 60))
    ]
    good = good_of(runs)

    assert good is not None
    assert good.vs_best == pytest.approx(1.5)
    assert good.low == pytest.approx(1.5) == good.high
    assert good.saving_at_attainment is None


def test_buying_reads_each_at_the_setting_that_costs_least() -> None:
    """Ours may be swept through its reserve, in as many settings as others have headrooms."""
    cell = Cell("chain3", "diurnal")
    runs = [
        run_of(system, cost, in_time=in_time, headroom=headroom, drops=True, cell=cell)
        for system, headroom, cost, in_time in (
            ("ours", OUR_HEADROOM, 800.0, 100),
            ("ours with 0.25 in reserve", 1.0, 500.0, 100),
            ("ours with 0.15 in reserve", 1.0, 400.0, 98),
            ("nexus", 3.0, 900.0, 99),
            ("reactive + pard", 3.0, 1000.0, 99),
        )
    ]
    good = good_of(runs)

    assert good is not None
    assert good.cost == pytest.approx(450.0)
    assert good.saving_at_attainment == pytest.approx(0.5)
    assert good.saving_on_reactive == pytest.approx(0.55)
    assert "ours with 0.25 in reserve" not in good.ratios
    assert any("whoever knows the load beforehand" in line for line in lines_of({cell: runs}))
    bought = [
        job for job in jobs_of((*CELLS, *BEYOND), [1], None, NOWHERE) if job.drops and asks_for_the_cost(job.cell)
    ]
    for each in {job.cell for job in bought}:
        ours = [job for job in bought if job.cell == each and job.system in OUR_SETTINGS]
        assert len(ours) == len(BUYING[each.load])


def test_the_last_line_has_every_name() -> None:
    """What was not measured is null, and nothing in it is infinite."""
    runs = {CELL: [run_of("ours", 100.0, 1.0), run_of("nexus", 100.0, 2.5)]}
    summary = summary_of(runs)

    assert summary["p99_ratio_bursty_max"] == summary["p99_ratio_bursty_min"] == pytest.approx(2.5)
    assert summary["goodput_vs_best_baseline_min"] is None
    assert summary["us_per_task"] == {"64": pytest.approx(60.0)}
    assert set(summary) >= {"estimator_mape", "sim_vs_live_error", "steady_overload_goodput_vs_capacity"}
    assert CELL.name in next(line for line in lines_of(runs) if line)
    json.dumps(summary, allow_nan=False)


def test_estimators_are_judged_by_what_is_offered_later() -> None:
    """Of a steady load nobody is wrong; where upstream lets half through, only the stage's own arrivals mislead."""
    pipeline = pipeline_of({"a": profile_of(10), "b": profile_of(10)}, 100)

    def window(second: int, through: int) -> Window:
        seen = {"a": Seen(100, through, 0, {"b": through}, 0, 0, 1, 0), "b": Seen(through, through, 0, {}, 0, 0, 1, 0)}
        return Window(float(second), 1.0, 100, seen)

    steady = judged(pipeline, [window(second, 100) for second in range(30)])
    held_up = judged(pipeline, [window(second, 50) for second in range(30)])

    assert steady["stage, mean"].now == 0.0
    assert held_up["stage, mean"].ahead == held_up["stage, mean"].short == pytest.approx(0.25)
    assert (held_up["stage, mean"].over, held_up["stage, mean"].late_s) == (0.0, 25.0)
    assert held_up["cascade, last window"].now == held_up["cascade, last window"].late_s == 0.0


def test_doubling_windows_say_the_highest_of_their_means() -> None:
    """20 a second in the last window, then none: the last two have 10, and all four, of which the first had 30, 15."""
    signal = Doubling()
    for count in (30, 10, 20):
        signal.observe(count, 1.0)
    assert signal.rate(5.0) == 20.0
    signal.observe(0, 1.0)
    assert signal.rate(5.0) == 15.0


def test_runs_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A file may be written to again, the last line of a run counts, and what never ended stays infinite."""
    path = tmp_path / "runs.jsonl"
    runs = [run_of("ours", 100.0), run_of("nexus", 90.0, math.inf), run_of("ours", 110.0)]
    path.write_text("".join(f"{line_of(run, 'abc')}\n" for run in runs))

    assert list(runs_in([path], NOWHERE)) == [runs[2], runs[1]]
    assert json.loads(path.read_text().splitlines()[0])["commit"] == "abc"
    path.write_text("{}\n")
    with pytest.raises(ValueError, match=r"runs\.jsonl:1 is no run"):
        list(runs_in([path], NOWHERE))


def test_only_seeds_that_everybody_was_run_with_count() -> None:
    """A run that was stopped leaves some systems with more seeds than others."""
    runs = [run_of("ours", 1.0, seed=seed) for seed in (1, 2, 3)] + [run_of("nexus", 1.0, seed=seed) for seed in (2, 3)]
    assert {run.job.seed for run in complete(runs)} == {2, 3}


def test_every_system_runs_and_the_tail_in_bursts_comes_first() -> None:
    """Ablations run where the plan says; nobody is asked for a tail under overload; the tenth seed of a tail in bursts
    is before the fourth of a diurnal load, and that after three of everything."""
    jobs = jobs_of(CELLS, range(1, 11), None, NOWHERE)
    assert len({key_of(job) for job in jobs}) == len(jobs)
    assert {job.system for job in jobs if job.cell in ABLATED and job.drops} == set(DROPPING)
    assert not any(job.cell.load == "overload" and not job.drops for job in jobs)
    ablations = {name for name, system in UNDROPPED.items() if system.is_ours} - {"ours"}
    assert {job.cell for job in jobs if job.system in ablations and not job.drops} < set(ABLATED)
    diurnal = Cell("chain3", "diurnal")
    assert turn_of(diurnal, False, 3) < turn_of(BURSTY[0], False, 4)
    assert turn_of(BURSTY[0], False, 10) < turn_of(diurnal, False, 4)
    assert all(len(headrooms_of(cell, "nexus", True)) == 1 for cell in STEADY)


def test_the_highest_rate_is_where_99_per_cent_are_in_time() -> None:
    """At 60 % all are and at 70 % ninety-eight: half way between."""
    runs = [
        run_of("ours", 100.0, in_time=in_time, drops=True, cell=Cell("chain3", f"steady{percent}", devices=8))
        for percent, in_time in ((50, 100), (60, 100), (70, 98))
    ]
    assert highest_rates(runs) == {"ours": pytest.approx(0.65)}
    assert highest_rates(runs[:2]) == {"ours": 0.6}
    assert highest_rates(runs[2:]) == {"ours": 0.0}


def test_a_hypercube_draws_from_each_stratum_once() -> None:
    """Of eight settings two are of each pipeline, and of objectives one lies in each eighth."""
    drawn = settings(8, random.Random(1))
    counts = Counter(setting.pipeline for setting in drawn)
    assert counts == dict.fromkeys(("chain3", "chain5", "traffic", "collisions"), 2)
    eighths = sorted(int(8 * math.log(setting.objective / 3) / math.log(20 / 3)) for setting in drawn)
    assert eighths == list(range(8))


def test_a_users_own_pipeline_and_arrivals_are_read(tmp_path: Path) -> None:
    """As the module's docstring writes them."""
    stage = {"sizes": [1, 8], "mean_s": [0.02, 0.1], "std_s": [0.001, 0.004], "cold_s": 5}
    written = {
        "name": "mine",
        "objective_s": 0.3,
        "stages": {"detect": stage, "classify": stage, "gather": stage},
        "edges": [["", "detect", 1], ["detect", "classify", 2.5], ["classify", "gather", 0.4]],
        "joins": ["gather"],
    }
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(written))
    workload = own.read_pipeline(path)
    rng = random.Random(1)
    drawn = [workload.led_to["detect"](rng)["classify"] for _ in range(1000)]

    assert workload.pipeline.fan_outs[Edge("detect", "classify")] == 2.5
    assert set(drawn) == {2, 3}
    assert sum(drawn) / 1000 == pytest.approx(2.5, abs=0.1)
    assert workload.led_to["classify"](rng) == {}

    path.write_text(json.dumps({**written, "edges": "none"}))
    with pytest.raises(InvalidArgument, match=r"pipeline\.json is not what"):
        own.read_pipeline(path)

    arrivals = tmp_path / "arrivals.csv"
    stamps = [f"2023-11-16 18:{minute:02d}:{second:02d}.000000" for minute in (0, 1) for second in range(60)]
    arrivals.write_text("TIMESTAMP\n" + "\n".join(stamps) + "\n")
    load = own.read_arrivals(arrivals)
    assert (load.begins_at, load.measured_s) == (1.0, 109.0)
    assert list(load.arrivals(rng, 5.0))[:2] == [5.0, 6.0]

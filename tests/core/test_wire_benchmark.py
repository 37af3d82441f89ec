"""The wire benchmark's own arithmetic: arrivals, the search for the highest rate, and what the last line says."""

import math
from array import array
from random import Random

import pytest

from benchmarks.processes import Usage
from benchmarks.wire import floor, mesh
from benchmarks.wire.core import World, fill
from benchmarks.wire.experiment import Cell, holds
from benchmarks.wire.kept import Kept, kept_in
from benchmarks.wire.load import Figures, Played, figures
from benchmarks.wire.pacing import poisson
from benchmarks.wire.plan import FULL, LOADS, QUICK, chosen
from benchmarks.wire.report import Findings
from benchmarks.wire.search import TRIES, Search
from benchmarks.wire.subject import WORKLOADS

SUBJECTS = [*floor.subjects(), *mesh.subjects()]


def played(rate: float, p50_ms: float = 1.0, p99_ms: float = 2.0, overrun: bool = False) -> Figures:
    """Figures of a run in which nothing failed."""
    cpu_us = {"gateway": 30.0, "scheduler": 20.0, "worker": 10.0, "client": 5.0}
    return Figures(100, rate, p50_ms, p99_ms, cpu_us, dict.fromkeys(cpu_us, 50.0), 0.0, {}, overrun)


def cell(name: str, rate: float, *, offered: float = 0.0, repeat: int = 0, found: bool = True) -> Cell:
    """A run of the cell of that name."""
    subject, _, load = name.rpartition("/")
    return Cell(subject, load, repeat, offered, played(rate), found)


def searched(sustained: float, start: float, resolution: float) -> tuple[float, int]:
    """What a search finds where `sustained` a second is the limit, and in how many runs."""
    search, runs = Search(start, resolution), 0
    while (rate := search.rate) is not None:
        runs += 1
        search.tell(rate <= sustained)
    return search.best, runs


@pytest.mark.parametrize("sustained", [60.0, 480.0, 500.0, 9_000.0, 70_000.0])
def test_a_search_ends_just_below_the_highest_rate(sustained: float) -> None:
    """Wherever it starts, what it finds holds, and is within the resolution of what doesn't."""
    best, runs = searched(sustained, start=500.0, resolution=0.05)

    assert best <= sustained < best * 1.05
    assert runs < 30


def test_a_rate_fails_only_when_it_failed_twice() -> None:
    """One pause of the machine does not end a search."""
    search = Search(100.0, 0.05)
    for _ in range(TRIES - 1):
        search.tell(False)
    search.tell(True)

    assert (search.best, search.rate) == (100.0, 200.0)


def test_a_search_gives_up_where_nothing_holds() -> None:
    """The best is then 0, which is a rate that nobody sustains."""
    assert searched(0.0, start=500.0, resolution=0.05)[0] == 0.0


def test_a_rate_holds_when_it_is_reached_in_time() -> None:
    """Latencies over the objective, answers that lag behind and runs that were given up don't hold."""
    assert holds(1_000.0, played(990.0, p99_ms=19.0))
    assert not holds(1_000.0, played(990.0, p99_ms=21.0))
    assert not holds(1_000.0, played(900.0))
    assert not holds(1_000.0, played(990.0, overrun=True))
    assert not holds(1_000.0, played(990.0, p99_ms=math.nan))


def test_arrivals_are_independent_and_the_same_for_a_seed() -> None:
    """As many as the rate says, with gaps as scattered as those of a Poisson process."""
    times = list(poisson(1_000.0, 20.0, Random(1)))
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))

    assert len(times) == pytest.approx(20_000, rel=0.05)
    assert spread == pytest.approx(mean, rel=0.05)
    assert times == list(poisson(1_000.0, 20.0, Random(1)))


def test_cpu_is_by_answered_request_and_what_is_left_is_others() -> None:
    """Half a second of CPU for a thousand answers is 500 µs each."""
    before = Usage({"server": 1.0}, {"server": 0}, 10.0)
    after = Usage({"server": 1.5}, {"server": 64_000_000}, 10.5)
    found = figures(Played(seconds=2.0, latencies_s=[0.001] * 1_000), before, after)

    assert found.cpu_us == {"server": pytest.approx(500.0)}
    assert (found.rate, found.others) == (500.0, 0.0)
    assert found.p50_ms == pytest.approx(1.0)
    assert found.resident_mb == {"server": 64.0}


def test_ratios_are_of_medians_over_the_rounds() -> None:
    """The steps of a search count for nothing, and what was not measured is null."""
    rates = {"covey-send/64B/closed-64": (300.0, 900.0, 400.0), "floor-unary/64B/closed-64": (100.0, 90.0, 900.0)}
    cells = [cell(name, rate, repeat=at) for name, three in rates.items() for at, rate in enumerate(three)]
    cells += [cell("together-send/64B/closed-64", 50.0), cell("covey-stream/mlp/open", 1.0, offered=2_000.0)]
    cells.append(cell("covey-stream/mlp/open", 1.0, offered=9_999.0, found=False))
    cells += [cell(f"triton-{how}/mlp/open", 1.0, offered=at) for how, at in (("single", 500.0), ("batched", 1_000.0))]
    summary = Findings(cells).summary(None, {})

    assert (summary["send_vs_unary_chain"], summary["mlp_stream_vs_triton"]) == (0.5, None)
    assert (summary["apart"]["send_vs_unary_chain"], summary["apart"]["mlp_stream_vs_triton"]) == (4.0, 2.0)
    assert summary["apart"]["mlp_stream_vs_best_python_peer"] is None
    assert summary["cpu_us_per_event"] == {"gateway": 30.0, "scheduler": 20.0, "worker": 10.0}


def test_the_quick_run_asks_what_the_last_line_says() -> None:
    """With every cell of the quick run measured, all that is not about peers has a value."""
    names = [f"{subject.id}/{load}" for subject in SUBJECTS for load in chosen(QUICK.cells, subject)]
    summary = Findings([cell(name, 100.0, offered=100.0) for name in names]).summary(None, {})
    about_peers = {name for name in summary if "peer" in name or "triton" in name or "ray" in name}
    of_the_core = {"core_us_per_stimulus", "gc_pause_ms_max", "loop_kept"}

    assert {name for name, value in summary.items() if value is None} == about_peers | of_the_core
    assert {name for name, value in summary["apart"].items() if value is None} == about_peers


def test_names_choose_whole_cells() -> None:
    """One request in flight is not sixteen, a subject's name is all of its loads, and * is anything."""
    send = next(subject for subject in SUBJECTS if subject.id == "covey-send/64B")

    assert chosen(["covey-send/64B/closed-1"], send) == ["closed-1"]
    assert chosen(["covey-send"], send) == list(LOADS)
    assert chosen(["*/closed-*"], send) == ["closed-1", "closed-16", "closed-64"]
    assert set(chosen(QUICK.cells, send)) < set(chosen(FULL.cells, send))


def test_requests_are_numbers_that_any_model_can_take() -> None:
    """A payload has the bytes that its workload says; as float32 all of it is finite."""
    for workload in WORKLOADS.values():
        assert len(workload.payload()) == workload.request_bytes
    assert all(map(math.isfinite, array("f", WORKLOADS["mlp"].payload())))


def test_the_core_answers_every_event_of_the_world_that_it_is_timed_in() -> None:
    """Nothing is left open, refused or dropped, so that what is timed is work."""
    world = World(groups_max=1_000)
    fill(world, range(300))

    assert world.core.state.finished == 300
    assert not world.core.state.tasks
    assert not world.core.state.drops
    assert world.spent_s > 0


def test_what_kept_a_loop_is_read_from_its_log() -> None:
    """Every report of the watchdog counts, and nothing else of the log."""
    log = "W: the event loop was kept for 12 ms:\n  File x\nW: the event loop was kept for 31 ms:\n kept for 99"

    assert kept_in(log) == Kept(times=2, longest_ms=31)
    assert kept_in("I: listens") == Kept(0, 0)

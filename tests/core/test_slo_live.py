"""The comparison of live and simulated: what a row says, and what is made of rows."""

import json
import math
import statistics
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.slo.live import chain, collisions
from benchmarks.slo.live.fitting import fitted, middle_mean, spread_of
from benchmarks.slo.live.report import LABELS, lines_of, summary_of
from benchmarks.slo.live.running import Part, instants, taken
from covey.errors import OK
from covey.grouping import Scope
from covey.messages import BatchReport, Beat, Emission, Get, GetDone, RunBatch, Task, TaskReport
from covey.model import Answer, KeyRead, ObjectRef, ObjectValue, Priority
from covey.simulator.measured import MeasuredNetwork, Overhead, measured_network, parts_of
from covey.simulator.world import World

LOADS = len(LABELS["chain"])


def row(piece: str, seed: int, live: float, simulated: float) -> dict[str, Any]:
    """A run whose p99 are these, with a p50 of a tenth and one answer a second."""
    parts = LOADS if piece == "chain" else 1

    def side(p99_s: float) -> list[dict[str, float]]:
        return [{"offered": 9, "answered": 9, "throughput": 1.0, "p50_s": p99_s / 10, "p99_s": p99_s}] * parts

    beside = {"cpu": 0.2, "others": 0.0, "stall_s": 0.0}
    return {"piece": piece, "seed": seed, "live": side(live), "simulated": side(simulated), **beside}


def test_an_error_is_of_medians_and_the_spread_is_the_live_runs_own() -> None:
    """Of live 1, 2 and 4 s beside 2.2 s each the error is a tenth, and live runs lie up to their median apart."""
    found = summary_of([row("chain", seed, live, 2.2) for seed, live in enumerate([1.0, 2.0, 4.0])])

    assert found["sim_vs_live_error"] == {"throughput": 0.0, "p50": 0.1, "p99": 0.1}
    assert found["live_spread"]["p99"] == 1.0
    assert found["runs"] == dict.fromkeys(LABELS["chain"], 3)
    assert found["ordering"] == {}


@pytest.mark.parametrize(("live_s", "is_same"), [(6.0, True), (2.0, False)])
def test_the_ordering_is_by_the_tail_through_the_step(live_s: float, is_same: bool) -> None:
    """By stage is worse in the simulation; whether it is so live depends on its p99 alone."""
    rows = [row("cascade", 1, 3.0, 3.0), row("stage", 1, live_s, 4.5), row("stage", 2, 9.0, 9.0)]
    found = summary_of(rows)["ordering"]

    assert found["p99_by_stage_over_cascade"] == {"live": [round(live_s / 3, 3)], "simulated": [1.5]}
    assert found["is_same"] is is_same


def test_a_line_says_what_spoilt_a_run() -> None:
    """A machine that stood still and events that were lost are told."""
    spoilt = row("cascade", 1, 3.0, 3.0)
    spoilt["stall_s"] = 2.0
    spoilt["live"] = [{**spoilt["live"][0], "answered": 7}]

    (line,) = lines_of([spoilt])
    assert "stood still for 2.0 s" in line
    assert "2 events lost" in line


def test_only_events_that_were_due_in_a_part_count() -> None:
    """What came before and after is left out, and what was not answered has no latency."""
    found = taken([(0.5, 9.0), (1.0, 0.1), (1.5, float("inf")), (2.9, 0.3), (3.0, 9.0)], Part(1.0, 3.0))

    assert (found.offered, found.answered, found.throughput) == (3, 2, 1.0)
    assert (found.p50_s, found.p99_s) == (0.3, 0.3)


def test_live_and_simulated_events_come_at_the_same_instants() -> None:
    """What a seed's simulation draws is what the client goes by."""
    course = chain.steady(20.0, 5.0)
    drawn = list(instants(course.phases, 7))

    assert drawn == list(instants(course.phases, 7)) != list(instants(course.phases, 8))
    assert drawn[0] == Random("7/arrivals").expovariate(course.phases[0][1])
    assert World(7).random("arrivals").expovariate(course.phases[0][1]) == drawn[0]
    assert drawn[-1] < course.parts[-1].end


# --- the mesh's own share --------------------------------------------------------------------------------------------


def network(cores: int, cpu_s: float = 0.001, part_s: float = 0.0) -> MeasuredNetwork:
    world = World(1)
    return measured_network(Overhead(0.002, part_s, 0.0, 0.0, cpu_s, cores))(world, world.random("network"))


class Somebody:
    """As much of a process as a network asks for."""

    def __init__(self, birth: int) -> None:
        self.birth = birth


def worked(found: MeasuredNetwork, *births: int, parts: int = 1) -> list[float]:
    return [round(found._worked(Somebody(birth), parts), 6) for birth in births]  # type: ignore[arg-type]


def test_a_process_does_one_thing_at_a_time() -> None:
    """Half a hop of 2 ms each, one after the other, whatever the number of cores."""
    assert worked(network(cores=8), 1, 1, 1) == [0.001, 0.002, 0.003]


def test_processes_share_the_cores() -> None:
    """Two at once on two cores; the third waits for one of them."""
    assert worked(network(cores=2), 1, 2, 3) == [0.001, 0.001, 0.002]


def test_what_follows_a_message_keeps_the_process_busy_and_not_the_message() -> None:
    """An end of 5 ms of CPU time lets its message go after 1 ms, and the next one after 6 ms."""
    assert worked(network(cores=8, cpu_s=0.005), 1, 1) == [0.001, 0.006]


def test_each_part_that_a_message_carries_is_work_at_both_ends() -> None:
    """Half a hop of 2 ms and half of three parts of 0.4 ms each."""
    assert worked(network(cores=1, part_s=0.0004), 1, parts=3) == [0.0016]


def test_the_parts_of_a_message_are_what_it_is_about() -> None:
    """Tasks that are to run, tasks that ran with what they emit, reads and their answers; anything else is one."""
    key, scope = KeyRead("pool", "/pool/1", "group", 0, "node", True), Scope("tenant", "pipeline")
    task = Task(1, b"", "event", None, (), (), (), 1.0)
    emission = Emission(0, ObjectValue(ObjectRef("pool", "/pool/1", "group", 1, 0), b""))

    assert parts_of(RunBatch(1, 1, scope, "", "stage", Priority.HIGH, (task, task))) == 2
    assert parts_of(BatchReport(1, 1, (TaskReport(1, OK), TaskReport(2, OK, emissions=(emission, emission))))) == 4
    assert parts_of(Get(1, scope, (key, key, key), 1.0)) == 3
    assert parts_of(GetDone(1, (Answer((), True),) * 3)) == 3
    assert parts_of(Beat()) == 1


def test_a_stage_on_the_cpu_takes_a_core_from_the_mesh() -> None:
    """With one core, a message waits until the stage has computed."""
    found = network(cores=1)
    found.occupy(0.05)
    assert worked(found, 1) == [0.051]


def test_the_spread_of_hops_gives_that_of_their_sum() -> None:
    """Latencies of ten hops, drawn with a known spread, give it back within a tenth."""
    rng, hop_s, spread = Random(1), 0.001, 0.5
    mean = statistics.fmean([rng.lognormvariate(0, spread) for _ in range(20_000)])
    latencies = [sum(rng.lognormvariate(0, spread) for _ in range(20)) * hop_s / 2 / mean for _ in range(4_000)]

    assert spread_of(latencies, hop_s, 10) == pytest.approx(spread, rel=0.1)
    assert middle_mean([0.0, 1.0, 2.0, 100.0]) == 1.5


def test_a_hop_and_a_part_are_found_from_small_events_and_large_ones() -> None:
    """Latencies of 20 hops, and 10 parts for each of an event's actors, give back hop, part and spread within a tenth,
    though every twentieth event met a stall."""
    rng, hop_s, part_s, spread = Random(2), 0.0005, 0.00005, 0.5
    sizes = [rng.randint(2, 6) for _ in range(4_000)]

    def simulate(hop_s: float, part_s: float) -> list[float]:
        return [0.001 + 20 * hop_s + 10 * size * part_s for size in sizes]

    mean = math.exp(spread**2 / 2)
    measured = [
        0.001 + sum(rng.lognormvariate(0, spread) for _ in range(40)) / mean * (latency - 0.001) / 40
        for latency in simulate(hop_s, part_s)
    ]
    found = fitted([each + 0.05 * (at % 20 == 0) for at, each in enumerate(measured)], sizes, simulate)

    assert found.hop_s == pytest.approx(hop_s, rel=0.1)
    assert found.part_s == pytest.approx(part_s, rel=0.1)
    assert found.spread == pytest.approx(spread, rel=0.1)


def test_the_overhead_of_simulated_events_is_what_they_were_simulated_with(tmp_path: Path) -> None:
    """Frames one at a time, sent through a simulated mesh, give back its hop and its part within 5 %; and all of the
    CPU time beyond these and computing comes after messages."""
    stage = {"sizes": [1, 16], "mean_s": [0.0005, 0.002], "std_s": [0.0, 0.0], "cold_s": 0.0}
    edges = [["", "track", 1.0], ["track", "predict", 4.0], ["predict", "collide", 0.25]]
    found = {"name": "collisions", "objective_s": 0.2, "edges": edges, "joins": ["collide"]}
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({**found, "stages": dict.fromkeys(("track", "predict", "collide"), stage)}))
    mesh = Overhead(0.0006, 0.00004, 0.0, 0.0012, 0.0003, cores=2)
    due = [0.1 * number for number in range(collisions.QUICK + 20)]
    played = collisions.Simulation(profile, 1, mesh, collisions.FIRST).play(due)

    overhead = collisions.overhead_of(profile, played, event_cpu_s=1.0)

    assert overhead.hop_s == pytest.approx(mesh.hop_s, rel=0.05)
    assert overhead.part_s == pytest.approx(mesh.part_s, rel=0.05)
    assert 1 / 60 < overhead.cpu_s < 1 / 30

"""Pipelines under load on the production cores, provisioned by ours and by others."""

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from benchmarks.slo.systems import DROPPING, UNDROPPED
from covey.services.scheduler.core.invariants import check_invariants
from covey.simulator import serving
from covey.simulator.arrivals import poisson, steps
from covey.simulator.bounds import capacity_of_replicas
from covey.simulator.cascades import declared
from covey.simulator.pipelines import COLLISION_TABLES, SYNTHETIC, Objective, Workload, chain3, collisions, traffic
from covey.simulator.schedulers import SchedulerProcess
from covey.simulator.serving import Figures, Load, play

DEVICES = 6


def slow(pipeline: str) -> Workload:
    """Models ten times as long as measured, that start in a second: few events fill the devices."""
    tables = {model: table.slower(10.0) for model, table in SYNTHETIC.items()}
    match pipeline:
        case "chain3":
            return chain3(tables, Objective.MEDIUM, cold_s=1.0)
        case "traffic":
            return traffic(tables, Objective.MEDIUM, cold_s=1.0)
        case _:
            slower = {stage: table.slower(4.0) for stage, table in COLLISION_TABLES.items()}
            return collisions(Objective.MEDIUM, cold_s=1.0, tables=slower)


def steady(rate: float, measured_s: float = 5.0) -> Load:
    return Load(rate, lambda rng, start: poisson(rate, rng, start), 2.0, measured_s)


@cache
def played(pipeline: str, system: str, share: float, drops: bool, seed: int = 10_001) -> Figures:
    workload = slow(pipeline)
    made = (DROPPING if drops else UNDROPPED)[system].made
    load = steady(share * capacity_of_replicas(workload.pipeline, DEVICES))
    return play(workload, DEVICES, load, lambda pipeline, devices: made(pipeline, devices, 1.1), seed, drops)


def test_a_run_repeats_itself() -> None:
    """The same workload, system and seed give the same figures, window by window."""
    first = played("chain3", "ours", 0.6, True)
    played.cache_clear()

    assert played("chain3", "ours", 0.6, True) == first


def test_every_system_sees_the_same_events() -> None:
    """What is offered in a second depends on the seed alone, and so do the cascades."""
    ours, theirs = played("traffic", "ours", 0.5, False), played("traffic", "reactive", 0.5, False)

    assert [second.offered for second in ours.seconds] == [second.offered for second in theirs.seconds]
    assert ours.tasks == theirs.tasks


@pytest.mark.parametrize("pipeline", ["chain3", "traffic", "collisions"])
def test_a_load_that_is_provisioned_for_is_answered_in_time(pipeline: str) -> None:
    """Nothing is lost, also where a join reads its members from a datastore."""
    figures = played(pipeline, "ours", 0.5, True)

    assert figures.goodput > 0.97
    assert figures.completed >= figures.in_time
    assert 0 < figures.p50_s <= figures.p99_s <= figures.p99_all_s
    assert figures.wasted_s < 0.05 * figures.busy_s
    assert figures.busy_s < figures.device_s <= 5.01 * DEVICES


def test_under_overload_dropping_keeps_most_of_the_capacity() -> None:
    """What is answered in time is near what the devices carry at most; without dropping nearly all of it is late."""
    workload = slow("chain3")
    ours, undropped = played("chain3", "ours", 1.4, True), played("chain3", "ours without dropping", 1.4, True)

    assert ours.in_time > 0.7 * 5.0 * capacity_of_replicas(workload.pipeline, DEVICES)
    assert undropped.in_time < 0.5 * ours.in_time
    assert sum(ours.dropped.values()) > 0


def test_after_a_step_all_stages_rise_at_once() -> None:
    """By the root's load the tail is shorter than by each stage's own, which is seen there a stage later."""
    workload = slow("chain3")
    capacity = capacity_of_replicas(workload.pipeline, 12)

    def rising(rng: random.Random, start: float) -> Iterator[float]:
        return steps([(4.0, 0.1 * capacity), (12.0, 0.7 * capacity)], rng, start)

    found = {
        system: play(
            workload,
            12,
            Load(0.1 * capacity, rising, 2.0, 14.0),
            lambda pipeline, devices, system=system: UNDROPPED[system].made(pipeline, devices, 1.1),  # type: ignore[misc]
            10_001,
            drops=False,
        )
        for system in ("ours", "ours by stage")
    }

    assert found["ours"].p99_s < found["ours by stage"].p99_s


def test_the_scheduler_never_contradicts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its invariants hold after every step of a run in which replicas come and go and tasks are dropped."""
    steps_seen = 0

    def stepped(self: Any, process: Any, stimuli: Any, commands: Any) -> None:
        nonlocal steps_seen
        watch(self, process, stimuli, commands)
        if isinstance(process, SchedulerProcess):
            steps_seen += 1
            check_invariants(process.core.state)

    watch = serving._Run.stepped
    monkeypatch.setattr(serving._Run, "stepped", stepped)
    workload = slow("traffic")
    rates = [(3.0, 2.0), (3.0, 12.0), (3.0, 1.0)]
    load = Load(2.0, lambda rng, start: steps(rates, rng, start), 1.0, 8.0)
    made = DROPPING["reactive + pard"].made
    figures = play(workload, DEVICES, load, lambda pipeline, devices: made(pipeline, devices, 1.1), 10_001)

    assert steps_seen > 100
    assert figures.offered > 20


def test_a_stage_that_events_and_stages_lead_to_is_refused() -> None:
    """One pool can't hold both; the message names the stage."""
    workload = slow("chain3")
    edges = (*workload.pipeline.edges, workload.pipeline.edges[0]._replace(target="identify"))
    pipeline = type(workload.pipeline)(
        workload.pipeline.stages,
        edges,
        {**workload.pipeline.fan_outs, edges[-1]: 1.0},
        workload.pipeline.profiles,
        workload.pipeline.objective_s,
    )

    with pytest.raises(ValueError, match="identify"):
        declared(Workload("mixed", pipeline, workload.led_to))

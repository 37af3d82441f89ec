"""Provisioning on the running mesh: profiles that are taken, lanes that load models, and what the leader says of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import covey
from covey.cli.measuring import measured
from covey.clock import MonotonicClock
from covey.errors import InvalidArgument, Status
from covey.model import Scope
from covey.profiles import LatencyTable, PipelineProfile, StageProfile, written
from covey.services.scheduler.app import provisioned_pipeline, provisioner_of, serving_of
from covey.services.scheduler.core.choosing import AdaptiveDrop
from covey.services.scheduler.core.policy import Policy
from covey.services.scheduler.core.served import Replica, Serving, served_by
from covey.services.scheduler.core.state import Limits, State
from covey.services.scheduler.metrics import measure
from covey.services.scheduler.settings import EstimatorKind, SchedulerSettings
from covey.services.worker.app import make_engine
from covey.services.worker.engine.base import Engine
from covey.services.worker.engine.cpu import CpuEngine
from covey.services.worker.engine.emulated import EmulatedEngine
from covey.services.worker.settings import WorkerSettings
from covey.telemetry import Attributes, Metric, NoTelemetry
from covey.testing import run_mesh

LOADED: list[str] = []
"""Models in the order in which they were loaded."""

app = covey.Pipeline("parts", objective_s=1.0)
wholes = app.pool("/wholes/{n:int}")
parts = app.pool("/parts/{n:int}/{part}", group="{n}")
sums = app.pool("/sums/{n:int}")


class Cutter:
    def load(self, device: str) -> None:
        LOADED.append("cut")

    def __call__(self, whole: float) -> float:
        return whole / 3


class Adder:
    def load(self, device: str) -> None:
        LOADED.append("add")

    def __call__(self, members: list[float]) -> float:
        return sum(members)


@app.stage(on=wholes, emits=parts, batch_max=4, model=Cutter)
def cut(batch: covey.Batch, model: Cutter) -> None:
    for task in batch:
        for part in range(3):
            task.emit(parts, model(float(task.trigger.value)), part=f"p{part}")


@app.stage(on=parts.all_of(by=["n"]), emits=sums, batch_max=2, model=Adder)
def add(batch: covey.Batch, model: Adder) -> None:
    for task in batch:
        task.emit(sums, model([member.value for member in task.members]))


def profile() -> PipelineProfile:
    table = LatencyTable((1, 4), (0.001, 0.002), 0.1)
    stages = {"cut": StageProfile(table, 0.05), "add": StageProfile(LatencyTable((1, 2), (0.001, 0.002), 0.1), 0.05)}
    return PipelineProfile("parts", "cpu", 1.0, stages, {("", "cut"): 1.0, ("cut", "add"): 1.0}, ("add",))


def serving() -> Serving:
    pipeline = provisioned_pipeline(profile(), 1.0)
    provisioner = provisioner_of(pipeline, 4, EstimatorKind.CASCADE, 1.1, 0.0)
    return Serving(Scope("default", "parts"), pipeline, provisioner, AdaptiveDrop(pipeline))


@pytest.mark.asyncio
async def test_a_profile_is_measured_on_what_events_lead_to() -> None:
    """Every power of two up to the largest batch has a time, and the three parts of a whole make one sum."""
    events = [(f"/wholes/{number}", 6.0) for number in range(8)]
    told: list[str] = []

    found = await measured(app, events, CpuEngine, lambda stage, each: told.append(stage))

    assert (found.name, found.device, found.objective_s, found.joins) == ("parts", "cpu", 1.0, ("add",))
    assert found.stages["cut"].table.sizes == (1, 2, 4)
    assert found.stages["add"].table.sizes == (1, 2)
    assert all(seconds > 0 for stage in found.stages.values() for seconds in stage.table.seconds)
    assert found.fan_outs == {("", "cut"): 1.0, ("cut", "add"): 1.0}
    assert told == ["cut", "add"]


@pytest.mark.asyncio
async def test_a_cold_start_is_what_loading_takes_beyond_a_batch() -> None:
    """A device on which loading takes a fifth of a second says so, and batches are none the slower for it."""

    def slow_to_load(clock: MonotonicClock) -> Engine:
        return EmulatedEngine(CpuEngine(clock), lambda stage, size: 0.002, clock, cold_s={"cut": 0.2})

    found = await measured(app, [("/wholes/1", 6.0)], slow_to_load, lambda stage, each: None)

    assert found.stages["cut"].cold_s > 0.19
    assert found.stages["add"].cold_s < found.stages["cut"].cold_s
    assert found.stages["cut"].table.mean_s(1) < 0.1


@pytest.mark.asyncio
async def test_events_that_reach_no_stage_are_no_sample() -> None:
    """Without any there is nothing to measure, and the error says of which stage."""
    with pytest.raises(InvalidArgument, match="0 sample events give the stage 'cut' nothing to do"):
        await measured(app, [], CpuEngine, lambda stage, each: None)


@pytest.mark.asyncio
async def test_a_provisioned_mesh_loads_what_its_plan_asks_for_and_answers() -> None:
    """Two lanes serve two stages, a model each, and events come out as they do without a plan."""
    LOADED.clear()
    async with run_mesh(app, workers=2, serving=serving()) as mesh:
        results = [await mesh.send(wholes, 9.0 + n, n=n) for n in range(5)]

    assert [result.status for result in results] == [Status.OK] * 5
    assert [result.objects(sums)[0].value for result in results] == pytest.approx([9.0, 10.0, 11.0, 12.0, 13.0])
    assert sorted(LOADED) == ["add", "cut"]


def test_an_emulated_device_takes_a_measured_profile(tmp_path: Path) -> None:
    """Of the file that `covey profile` writes, its times and its cold starts; a stage that it lacks is named."""
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(written(profile())))
    engine = make_engine(emulated(path), app, MonotonicClock())
    engine.close()
    assert engine.device == "emulated on cpu"

    lacking = written(profile())
    del lacking["stages"]["add"]
    lacking["edges"] = [["", "cut", 1]]
    path.write_text(json.dumps(lacking))
    with pytest.raises(InvalidArgument, match="no times for add"):
        make_engine(emulated(path), app, MonotonicClock())


def emulated(path: Path) -> WorkerSettings:
    return WorkerSettings("redis://nobody", "app", device="emulated", device_profile=path)


@pytest.mark.asyncio
async def test_loading_takes_an_emulated_device_as_long_as_was_measured(tmp_path: Path) -> None:
    """A cold start of a tenth of a second is slept through."""
    found = written(profile())
    found["stages"]["cut"]["cold_s"] = 0.1
    path, clock = tmp_path / "profile.json", MonotonicClock()
    path.write_text(json.dumps(found))
    engine = make_engine(emulated(path), app, clock)
    began = clock.now()
    await engine.load(app.stages["cut"])
    engine.close()

    assert clock.now() - began >= 0.099


class Gauges(NoTelemetry):
    """Keeps the last value of each metric and stage."""

    def __init__(self) -> None:
        self.values: dict[tuple[Metric, Any], float] = {}

    def measure(self, metric: Metric, value: float, attributes: Attributes = {}) -> None:  # noqa: B006
        self.values[metric, attributes.get("covey.stage")] = value


@pytest.mark.asyncio
async def test_the_leader_publishes_how_many_workers_it_wants() -> None:
    """And how many lanes each stage has; one that stands by says nothing."""
    state, gauges = State(Limits(), Policy()), Gauges()
    state.served = served_by(serving())
    state.wanted_workers = 7
    state.served.stages["cut"].up[Replica(1, 0, "node")] = None
    await told(state, gauges)
    assert gauges.values == {}

    state.epoch = 1
    await told(state, gauges)
    assert gauges.values[Metric.WANTED_WORKERS, None] == 7
    assert gauges.values[Metric.REPLICAS_UP, "cut"] == 1
    assert gauges.values[Metric.REPLICAS_UP, "add"] == 0


async def told(state: State, gauges: Gauges) -> None:
    """Have it measure once."""
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(measure(state, gauges))
        await asyncio.sleep(0)
        task.cancel()


def test_a_scheduler_takes_the_profile_of_its_environment(tmp_path: Path) -> None:
    """`covey up --profile` and compose name a file, and the scheduler serves what it names."""
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(written(profile())))
    found = serving_of(SchedulerSettings("redis://nobody", profile=path))

    assert found is not None
    assert found.scope == Scope("default", "parts")

"""The collision pipeline on the real CPU engine, live and simulated: real tracks, at steady loads.

No emulation here: stages compute, objects are put and read, and a scene's ticks wait for one another. In the
simulation devices take what `covey profile` measured, scenes have as many actors as the tracks, and events come at the
very same instants.
"""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import covey
from benchmarks.processes import CORES
from benchmarks.slo.live.chain import Course
from benchmarks.slo.live.overhead import HOPS_CLIENT, middle_mean, spread_of, used_s
from benchmarks.slo.live.running import (
    DEADLINE_S,
    Event,
    Live,
    Part,
    Taken,
    cluster_of,
    instants,
    one_at_a_time,
    play,
    taken,
)
from covey.cli.measuring import measured
from covey.cli.profile import lines_of
from covey.clock import MonotonicClock
from covey.errors import Status
from covey.messages import RunBatch, Task
from covey.profiles import read_profile, written
from covey.services.gateway.core.commands import Deliver
from covey.services.worker.app import make_engine
from covey.services.worker.settings import WorkerSettings
from covey.simulator.clients import Clients
from covey.simulator.gateways import GatewayProcess
from covey.simulator.measured import MeasuredNetwork, Overhead, measured_network
from covey.simulator.mesh import Mesh, Size, Ways
from covey.simulator.workers import WorkerProcess
from covey.simulator.workload import Inputs, Traffic
from covey.simulator.world import World
from examples.collisions.pipeline import app
from examples.collisions.tracks import Frame, load

APP = "examples.collisions.pipeline:app"
SECTORS = 4
WORKERS = 1
RATES = (8.0, 16.0, 24.0)
"""Steady loads, in events a second; the highest takes the mesh and its stages some half of two cores."""
SETTLE_S = 8.0
PROFILED = 150
"""Events that stages are measured on."""
READY_S = 3.0
ALONE, WARM = 150, 30
"""Events one at a time, and how many of them come before the mesh is warm."""
IDLE_S, PAUSE_S = 4.0, 0.02
EVERY_S = 0.1
"""In the simulation: by then the one before is answered."""
HOPS_S = (0.0002, 0.001)


@cache
def frames() -> Sequence[Frame]:
    return load(sectors=SECTORS).frames


def _event(number: int) -> Event:
    frame = frames()[number]
    return f"/observations/{frame.scene}/{frame.tick}", frame.positions


def course(measured_s: float) -> Course:
    """The steady loads, one after the other."""
    each_s = SETTLE_S + measured_s
    parts = [Part(number * each_s + SETTLE_S, (number + 1) * each_s) for number in range(len(RATES))]
    return Course([(each_s, rate) for rate in RATES], parts)


async def profiled(path: Path) -> None:
    """What `covey profile` says of the stages on this machine's CPU, as a file."""
    settings = WorkerSettings("", APP, device="cpu")
    events = (_event(number) for number in range(PROFILED))
    found = await measured(app, events, lambda clock: make_engine(settings, app, clock), lambda stage, each: None)
    path.write_text(lines_of(written(found)))


async def live(folder: Path, course: Course, seed: int) -> Live:
    """A run on a mesh of its own."""
    frames()  # read them before anything is measured
    started = cluster_of(APP, folder, {"COVEY_DEVICE": "cpu"}, WORKERS)
    async with started as cluster, covey.connect(cluster.address) as client:
        return await play(client, cluster.pids, instants(course.phases, seed), _event, course.parts)


class _Alone(NamedTuple):
    """Events that have the mesh to themselves, simulated."""

    latency_s: float
    hops: float
    """All of an event's, whether or not it waits for them."""
    compute_s: float


async def measured_overhead(folder: Path, profile: Path) -> Overhead:
    """What the mesh takes for these objects, which are more and larger than an identity's: from events that have it to
    themselves. In the simulation of the same events latency is a straight line of the hop, which two hops tell."""
    frames()
    clock = MonotonicClock()
    async with cluster_of(APP, folder, {"COVEY_DEVICE": "cpu"}, WORKERS) as cluster:
        began, before = clock.now(), used_s(cluster)
        await asyncio.sleep(IDLE_S)
        idle = (used_s(cluster) - before) / (clock.now() - began)
        began, before = clock.now(), used_s(cluster)
        latencies = await one_at_a_time(cluster, _event, ALONE, PAUSE_S)
        used = used_s(cluster) - before - idle * (clock.now() - began)
    short, long = [_alone(profile, hop_s) for hop_s in HOPS_S]
    hops = (long.latency_s - short.latency_s) / (HOPS_S[1] - HOPS_S[0])
    hop_s = max(HOPS_S[0] / 2, HOPS_S[0] + (middle_mean(latencies[WARM:]) - short.latency_s) / hops)
    cpu_s = max(0.0, used / ALONE - short.compute_s) / (2 * short.hops + HOPS_CLIENT)
    return Overhead(hop_s, spread_of(latencies[WARM:], hop_s, hops), HOPS_CLIENT * hop_s, cpu_s, CORES)


def _alone(profile: Path, hop_s: float) -> _Alone:
    simulation = _Simulation(profile, 0, Overhead(hop_s, 0.0, HOPS_CLIENT * hop_s, hop_s / 2, CORES))
    before = simulation.network.hops
    latencies = [latency for _, latency in simulation.play([EVERY_S * number for number in range(ALONE)])]
    hops = (simulation.network.hops - before) / ALONE
    return _Alone(middle_mean(latencies[WARM:]), hops, simulation.computed_s / ALONE)


# --- simulated -------------------------------------------------------------------------------------------------------


def simulated(profile: Path, course: Course, seed: int, overhead: Overhead) -> list[Taken]:
    """What the simulator says of such a run, part by part."""
    gc.disable()
    try:
        latencies = _Simulation(profile, seed, overhead).play(instants(course.phases, seed))
    finally:
        gc.enable()
        gc.collect()
    return [taken(latencies, part) for part in course.parts]


class _Simulation:
    """A mesh of one node whose pipeline nobody provisions, and its clients."""

    def __init__(self, profile: Path, seed: int, overhead: Overhead) -> None:
        counts: dict[str, list[int]] = {}
        for frame in frames():
            counts.setdefault(frame.scene, []).append(len(frame.positions))
        self.world = World(seed, is_traced=False)
        traffic = Traffic(app.declaration(), lambda scene, tick: counts[scene][tick], {})
        self.clients = Clients(traffic)
        self.client_s = overhead.client_s
        tables = {name: stage.table for name, stage in read_profile(profile).stages.items()}
        self.computed_s = 0.0
        ways = Ways(network=measured_network(overhead))
        self.mesh = Mesh(self.world, Size(nodes=1, workers=WORKERS), traffic, tables, self, ways)

    @property
    def network(self) -> MeasuredNetwork:
        assert isinstance(self.mesh.network, MeasuredNetwork)
        return self.mesh.network

    def play(self, due: Iterable[float]) -> list[tuple[float, float]]:
        """The instants at which events were due, and their latencies."""
        sent = []
        for number, at in enumerate(due):
            self.world.run(READY_S + at)
            sent.append((at, self.clients.send(self.mesh.gateway(0), frames()[number].scene, DEADLINE_S)))
        self.world.run(self.world.now + DEADLINE_S, lambda: not self.clients.open)
        ended = {each.id: at for each, at, outcome in self.clients.outcomes() if outcome.status is Status.OK}
        return [(at, ended.get(each.id, math.inf) - each.sent_at + self.client_s) for at, each in sent]

    def stepped(self, process: Any, stimuli: Sequence[Any], commands: Sequence[Any]) -> None:
        if isinstance(process, GatewayProcess):
            for command in commands:
                if isinstance(command, Deliver):
                    self.clients.answer(command.call, command.outcome, process.world.now)

    def computed(self, worker: WorkerProcess, run: RunBatch, task: Task, inputs: Inputs) -> None: ...

    def ran(self, worker: WorkerProcess, tasks: Sequence[Task], seconds: float) -> None:
        self.network.occupy(seconds)
        self.computed_s += seconds

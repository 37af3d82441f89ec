"""The collision pipeline on the real CPU engine, live and simulated: real tracks, at steady loads.

No emulation here: stages compute, objects are put and read, and a scene's ticks wait for one another. In the
simulation devices take what `covey profile` measured, scenes have as many actors as the tracks, and events come at the
very same instants.
"""

from __future__ import annotations

import asyncio
import gc
import math
import statistics
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import covey
from benchmarks.processes import CORES
from benchmarks.slo.live.chain import Course
from benchmarks.slo.live.fitting import fitted
from benchmarks.slo.live.overhead import HOPS_CLIENT, used_s
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
FIRST = 300
"""The frame with which events one at a time begin: from there on scenes are small and large at the same time."""
QUICK, APART = 80, 160
"""First so many soon after one another, for what is slow at first; then those that are measured."""
SOON_S, APART_S = 0.01, 1 / RATES[0]
"""Between an answer and the next event: the latter is as at the lowest load."""
IDLE_S = 4.0
DRAWS = 5
"""Odd, so that a median is one of them."""


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


async def measured_overhead(folder: Path, profile: Path) -> Overhead:
    """What the mesh takes for these objects, from events that have it to themselves and come as far apart as they do
    at the lowest load: who has slept for a tenth of a second takes a sixth longer than who has slept for 20 ms."""
    frames()
    clock = MonotonicClock()
    pauses = [SOON_S] * QUICK + [APART_S] * APART
    async with cluster_of(APP, folder, {"COVEY_DEVICE": "cpu"}, WORKERS) as cluster:
        began, before = clock.now(), used_s(cluster)
        await asyncio.sleep(IDLE_S)
        idle = (used_s(cluster) - before) / (clock.now() - began)
        began, before = clock.now(), used_s(cluster)
        played = await one_at_a_time(cluster, lambda number: _event(FIRST + number), pauses)
        used = used_s(cluster) - before - idle * (clock.now() - began)
    return overhead_of(profile, played, used / len(played))


def overhead_of(profile: Path, played: Sequence[tuple[float, float]], event_cpu_s: float) -> Overhead:
    """That at which these events, simulated from the instants at which they were sent, have these latencies and take
    so much CPU time each."""
    due, latencies = zip(*played, strict=True)

    def simulation(hop_s: float, part_s: float) -> Simulation:
        return Simulation(profile, 0, Overhead(hop_s, part_s, 0.0, HOPS_CLIENT * hop_s, hop_s / 2, CORES), FIRST)

    def simulate(hop_s: float, part_s: float) -> list[float]:
        return [latency for _, latency in simulation(hop_s, part_s).play(due)][QUICK:]

    sizes = [len(frame.positions) for frame in frames()[FIRST + QUICK : FIRST + len(due)]]
    hop_s, part_s, spread = fitted(latencies[QUICK:], sizes, simulate)
    alone = simulation(hop_s, part_s)
    hops, worked_s = alone.network.hops, alone.network.worked_s
    alone.play(due)
    known_s = (alone.computed_s + alone.network.worked_s - worked_s) / len(due) + HOPS_CLIENT * hop_s / 2
    ends = 2 * (alone.network.hops - hops) / len(due) + HOPS_CLIENT
    cpu_s = hop_s / 2 + max(0.0, event_cpu_s - known_s) / ends
    return Overhead(hop_s, part_s, spread, HOPS_CLIENT * hop_s, cpu_s, CORES)


# --- simulated -------------------------------------------------------------------------------------------------------


def simulated(profile: Path, course: Course, seed: int, overhead: Overhead) -> list[Taken]:
    """What the simulator says of such a run, part by part: medians over draws of all that these instants leave open."""
    drawn = []
    gc.disable()
    try:
        for draw in range(DRAWS):
            simulation = Simulation(profile, DRAWS * seed + draw, overhead)
            drawn.append(simulation.play(instants(course.phases, seed)))
            gc.collect()
    finally:
        gc.enable()
    parts = [[taken(latencies, part) for latencies in drawn] for part in course.parts]
    return [Taken._make(map(statistics.median, zip(*part, strict=True))) for part in parts]


class Simulation:
    """A mesh of one node whose pipeline nobody provisions, and its clients, who send the frames from `first` on."""

    def __init__(self, profile: Path, seed: int, overhead: Overhead, first: int = 0) -> None:
        counts: dict[str, list[int]] = {}
        for frame in frames()[first:]:
            counts.setdefault(frame.scene, []).append(len(frame.positions))
        self._first = first
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
            sent.append((at, self.clients.send(self.mesh.gateway(0), frames()[self._first + number].scene, DEADLINE_S)))
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

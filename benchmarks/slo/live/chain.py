"""The three-stage chain on emulated devices, live and simulated: at steady loads, and through a step.

Live, the scheduler has the profile that `covey profile` took of an emulated device; in the simulation devices take
their times from that same file, messages what was measured of the mesh, and events come at the very same instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import covey
from benchmarks.slo.live.pipelines import PAYLOAD, chain, events
from benchmarks.slo.live.running import Event, Live, Part, Phases, Taken, cluster_of, instants, play
from benchmarks.slo.own import read_pipeline
from covey.cli.measuring import measured
from covey.cli.profile import lines_of
from covey.profiles import written
from covey.services.scheduler.app import provisioner_of
from covey.services.scheduler.core.choosing import AdaptiveDrop
from covey.services.scheduler.core.provision import Batcher, Pipeline, Provisioner
from covey.services.scheduler.settings import EstimatorKind
from covey.services.worker.app import make_engine
from covey.services.worker.settings import WorkerSettings
from covey.simulator import serving
from covey.simulator.arrivals import steps
from covey.simulator.bounds import capacity_of_replicas
from covey.simulator.measured import Overhead, measured_network
from covey.simulator.serving import Load

APP = "benchmarks.slo.live.pipelines:chain"
DEVICE = Path(__file__).with_name("device.json")
WORKERS = 9
HEADROOM = 1.1
RESERVE = 0.0
"""None: which estimator is better shows where everything is started by what it says."""
SHARES = (0.3, 0.5, 0.7)
"""Steady loads, by what the devices carry at most."""
SETTLE_S = 10.0
"""Of each: the plan follows, models are loaded."""
LOW, HIGH = 0.1, 0.7
STEP = ((6.0, LOW), (24.0, HIGH), (10.0, LOW))
"""Seconds and shares, after it has settled at the first share."""


async def profiled(path: Path) -> None:
    """What `covey profile` says of an emulated device, as a file."""
    settings = WorkerSettings("", APP, device="emulated", device_profile=DEVICE)
    found = await measured(chain, events(), lambda clock: make_engine(settings, chain, clock), lambda stage, each: None)
    path.write_text(lines_of(written(found)))


def capacity_of(path: Path) -> float:
    """Events a second that the devices carry at most."""
    return capacity_of_replicas(read_pipeline(path).pipeline, WORKERS)


class Course(NamedTuple):
    """A load, and what of it is measured."""

    phases: Phases
    parts: Sequence[Part]


def steady(capacity: float, measured_s: float) -> Course:
    """The steady loads, one after the other."""
    each_s = SETTLE_S + measured_s
    parts = [Part(number * each_s + SETTLE_S, (number + 1) * each_s) for number in range(len(SHARES))]
    return Course([(each_s, share * capacity) for share in SHARES], parts)


def stepping(capacity: float) -> Course:
    """Up and down again."""
    phases = [(seconds, share * capacity) for seconds, share in ((SETTLE_S, LOW), *STEP)]
    return Course(phases, [Part(SETTLE_S, sum(seconds for seconds, _ in phases))])


def course(piece: str, profile: Path, measured_s: float) -> tuple[Course, EstimatorKind]:
    """What a piece of the benchmark asks: `chain` for steady loads, else the estimator that a step is played under."""
    capacity = capacity_of(profile)
    if piece == "chain":
        return steady(capacity, measured_s), EstimatorKind.CASCADE
    return stepping(capacity), EstimatorKind(piece)


async def live(folder: Path, profile: Path, course: Course, seed: int, kind: EstimatorKind) -> Live:
    """A run on a mesh of its own, whose plan follows the load."""
    settings = {
        "COVEY_DEVICE": "emulated",
        "COVEY_DEVICE_PROFILE": str(DEVICE),
        "COVEY_PROFILE": str(profile),
        "COVEY_LOAD_AT_START": "0",
        "COVEY_ESTIMATOR": kind,
        "COVEY_HEADROOM": str(HEADROOM),
        "COVEY_RESERVE": str(RESERVE),
        "COVEY_REPLICAS_MAX": str(WORKERS),
    }
    async with cluster_of(APP, folder, settings, WORKERS) as cluster, covey.connect(cluster.address) as client:
        return await play(client, cluster.pids, instants(course.phases, seed), _event, course.parts)


def _event(number: int) -> Event:
    return f"/events/{number}", PAYLOAD


def simulated(profile: Path, course: Course, seed: int, kind: EstimatorKind, overhead: Overhead) -> list[Taken]:
    """What the simulator says of such a run, part by part."""

    def system(pipeline: Pipeline, devices: int) -> tuple[Provisioner, Batcher]:
        return provisioner_of(pipeline, devices, kind, HEADROOM, RESERVE), AdaptiveDrop(pipeline)

    def played(part: Part) -> Taken:
        load = Load(
            course.phases[0][1], lambda rng, start: steps(course.phases, rng, start), part.begin, part.end - part.begin
        )
        figures = serving.play(
            read_pipeline(profile), WORKERS, load, system, seed, drops=False, network=measured_network(overhead)
        )
        rate = figures.completed / load.measured_s
        p50_s, p99_s = figures.p50_s + overhead.client_s, figures.p99_s + overhead.client_s
        return Taken(figures.offered, figures.completed, rate, p50_s, p99_s)

    return [played(part) for part in course.parts]

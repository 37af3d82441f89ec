"""A pipeline under load, provisioned by one system or another: the production cores on devices in virtual time.

Every system of a workload and seed sees the same events at the same moments, and the same cascades. A run begins with
a mesh that has been told of a steady load at the rate that its arrivals begin with, so that nobody is measured while
scaling up from nothing.
"""

from __future__ import annotations

import gc
import math
import random
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from covey.edge import NewEvent
from covey.errors import Status
from covey.messages import RunBatch, Task
from covey.model import Priority
from covey.services.gateway.core.commands import Deliver
from covey.services.gateway.core.stimuli import EventReceived
from covey.services.scheduler.core.estimating import visits
from covey.services.scheduler.core.provision import Batcher, Pipeline, Provision, Provisioner, Seen, Window
from covey.services.scheduler.core.served import Serving
from covey.services.scheduler.core.state import Limits as SchedulerLimits
from covey.services.worker.core.state import Limits as WorkerLimits
from covey.simulator.cascades import Cascades
from covey.simulator.gateways import GatewayProcess
from covey.simulator.hardware import LatencyTable
from covey.simulator.mesh import Mesh, Size, Ways
from covey.simulator.network import Network
from covey.simulator.pipelines import Workload
from covey.simulator.workers import WorkerProcess
from covey.simulator.workload import Inputs
from covey.simulator.world import World

DEVICES_PER_NODE = 16
PRIMED = 16
"""Windows of steady load that a provisioner has seen when a run begins."""
READY_S = 2.0
"""Beyond a cold start: by then everyone knows everyone, and the first models are loaded."""
BEAT_S = 1.0
"""Nobody is lost here; heartbeats at production's pace would be a quarter of all messages."""
UNDROPPED_S = 120.0
"""A deadline that only what has collapsed can miss, for questions in which nothing is to be dropped."""

System = Callable[[Pipeline, int], tuple[Provisioner, Batcher]]
"""Makes one of those that are compared, for a pipeline on so many devices."""
MakeNetwork = Callable[[World, random.Random], Network]


@dataclass(frozen=True, slots=True)
class Load:
    """What arrives. `begins_at`: events a second at the beginning. Times in seconds."""

    begins_at: float
    arrivals: Callable[[random.Random, float], Iterator[float]]
    """Instants, from the given one on."""
    settle_s: float
    measured_s: float


class Second(NamedTuple):
    """One window of a run."""

    ends_at: float
    offered: int
    queued: int
    up: int
    coming: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One run, of the events that were offered while it was measured. Latencies in seconds; inf where there is none."""

    offered: int
    completed: int
    in_time: int
    p50_s: float
    p99_s: float
    """Of what completed."""
    p99_all_s: float
    """Of all, what was dropped counted as infinite."""
    dropped: Mapping[str, int]
    """Stage -> tasks that waited there and never ran."""
    device_s: float
    """Of replicas that were up or starting: what it cost."""
    busy_s: float
    wasted_s: float
    """Of `busy_s`: for events that were not answered in time."""
    tasks: int
    """That ran, in the whole run."""
    seconds: tuple[Second, ...]
    windows: tuple[Window, ...]
    """As the provisioner saw them, in the whole run."""

    @property
    def goodput(self) -> float:
        """The share of the events that were answered in time."""
        return self.in_time / self.offered if self.offered else 1.0


def play(
    workload: Workload,
    devices: int,
    load: Load,
    system: System,
    seed: int,
    drops: bool = True,
    network: MakeNetwork = Network,
) -> Figures:
    """One run. Without `drops` events have no deadline that matters, so that nothing but the batcher can drop."""
    gc.disable()  # a run is short, and ends with everything that it has made
    try:
        return _Run(workload, devices, load, system, seed, drops, network).play()
    finally:
        gc.enable()
        gc.collect()


class Watched:
    """A provisioner, and what it saw.

    It is not asked before a window has been full of arrivals, so that it does not take for calm that nothing comes
    while the mesh starts; until then its first decision stands.
    """

    def __init__(self, provisioner: Provisioner, first: Provision, asked_from: float) -> None:
        self.windows: list[Window] = []
        self._provisioner = provisioner
        self._first = first
        self._asked_from = asked_from

    def decide(self, window: Window) -> Provision:
        if window.ends_at - window.seconds < self._asked_from - 1e-6:
            return self._first
        self.windows.append(window)
        return self._provisioner.decide(window)


def prime(provisioner: Provisioner, pipeline: Pipeline, rate: float, until: float) -> Provision:
    """Have a provisioner see a steady load that ends at this instant, on what it then decides."""
    tasks = {stage: round(rate * each) for stage, each in visits(pipeline, pipeline.fan_outs).items()}
    led_to: dict[str, dict[str, int]] = {stage: {} for stage in ("", *pipeline.stages)}
    for (source, target), fan_out in pipeline.fan_outs.items():
        led_to[source][target] = round(tasks.get(source, rate) * fan_out)
    replicas = dict.fromkeys(pipeline.stages, 1)
    provision: Provision = {}
    for number in range(PRIMED):
        seen = {
            stage: Seen(tasks[stage], tasks[stage], 0, led_to[stage], 0, 0, replicas[stage], 0)
            for stage in pipeline.stages
        }
        provision = provisioner.decide(Window(until + number + 1.0 - PRIMED, 1.0, round(rate), seen))
        replicas = {stage: share.replicas for stage, share in provision.items()}
    return provision


class _Run:
    """A mesh whose pipeline is provisioned, and its clients."""

    def __init__(
        self,
        workload: Workload,
        devices: int,
        load: Load,
        system: System,
        seed: int,
        drops: bool,
        network: MakeNetwork,
    ) -> None:
        pipeline = workload.pipeline
        self.world = world = World(seed, is_traced=False)
        self.load = load
        self.objective_s = pipeline.objective_s
        self.budget_s = pipeline.objective_s if drops else UNDROPPED_S
        self.cascades = Cascades(workload, seed)
        provisioner, batcher = system(pipeline, devices)
        self.start = READY_S + max(profile.cold_s for profile in pipeline.profiles.values())
        first = prime(provisioner, pipeline, load.begins_at, self.start)
        self.watched = Watched(provisioner, first, self.start)
        serving = Serving(self.cascades.scope, pipeline, self.watched, batcher)
        tables: dict[str, LatencyTable] = {}
        for stage, profile in pipeline.profiles.items():
            assert isinstance(profile.curve, LatencyTable)
            tables[stage] = profile.curve
        nodes = -(-devices // DEVICES_PER_NODE)
        self.mesh = Mesh(
            world,
            Size(nodes, devices, nodes),
            self.cascades,
            tables,
            self,
            Ways(
                worker=WorkerLimits(beat_s=BEAT_S),
                network=network,
                serving=serving,
                scheduler=SchedulerLimits(beat_s=BEAT_S),
            ),
        )
        self.start = READY_S + max(profile.cold_s for profile in pipeline.profiles.values())
        self.sent_at = array("d")
        self.ended_at = array("d")
        """Infinite for what was not answered."""
        self.device_s: defaultdict[int, float] = defaultdict(float)
        """Event -> what its tasks have cost."""
        self.tasks = 0
        self.open = 0
        self._arrivals = load.arrivals(world.random("arrivals"), self.start)

    def play(self) -> Figures:
        begin = self.start + self.load.settle_s
        end = begin + self.load.measured_s
        self.world.at(next(self._arrivals), self._offer, end)
        self.world.run(end)
        self.world.run(end + self.budget_s + 1, lambda: not self.open)
        return self._figures(begin, end)

    def _offer(self, end: float) -> None:
        """A client sends; the next one will."""
        world, number = self.world, len(self.sent_at)
        self.sent_at.append(world.now)
        self.ended_at.append(math.inf)
        self.open += 1
        event = str(number)
        new = NewEvent(self.cascades.scope, self.cascades.key(event), b"", event, Priority.HIGH, self.budget_s)
        self.mesh.gateway(number % len(self.mesh.gateways)).post(EventReceived(number + 1, new))
        following = next(self._arrivals, math.inf)
        if following < end:
            world.at(following, self._offer, end)

    # --- watching ----------------------------------------------------------------------------------------------------

    def stepped(self, process: Any, stimuli: Sequence[Any], commands: Sequence[Any]) -> None:
        if isinstance(process, GatewayProcess):
            for command in commands:
                if isinstance(command, Deliver):
                    self.open -= 1
                    if command.outcome.status is Status.OK:
                        self.ended_at[command.call - 1] = process.world.now

    def computed(self, worker: WorkerProcess, run: RunBatch, task: Task, inputs: Inputs) -> None:
        self.tasks += 1

    def ran(self, worker: WorkerProcess, tasks: Sequence[Task], seconds: float) -> None:
        each = seconds / len(tasks)
        for task in tasks:
            self.device_s[int(task.event_id)] += each

    # --- figures -----------------------------------------------------------------------------------------------------

    def _figures(self, begin: float, end: float) -> Figures:
        measured = [number for number, sent_at in enumerate(self.sent_at) if begin <= sent_at < end]
        latencies = sorted([self.ended_at[number] - self.sent_at[number] for number in measured])
        completed = [latency for latency in latencies if latency < math.inf]
        late = [number for number in measured if self.ended_at[number] - self.sent_at[number] > self.objective_s]
        windows = [window for window in self.watched.windows if begin < window.ends_at - window.seconds / 2 < end]
        stages = list(windows[0].stages)
        seconds = [_second(window) for window in windows]
        return Figures(
            offered=len(measured),
            completed=len(completed),
            in_time=len(measured) - len(late),
            p50_s=quantile(completed, 0.5),
            p99_s=quantile(completed, 0.99),
            p99_all_s=quantile(latencies, 0.99),
            dropped={stage: sum(window.stages[stage].dropped for window in windows) for stage in stages},
            device_s=sum(
                window.seconds * (second.up + second.coming) for window, second in zip(windows, seconds, strict=True)
            ),
            busy_s=sum(self.device_s[number] for number in measured),
            wasted_s=sum(self.device_s[number] for number in late),
            tasks=self.tasks,
            seconds=tuple(seconds),
            windows=tuple(self.watched.windows),
        )


def _second(window: Window) -> Second:
    stages = window.stages.values()
    return Second(
        window.ends_at,
        window.offered,
        sum(seen.queued for seen in stages),
        sum(seen.replicas for seen in stages),
        sum(seen.coming for seen in stages),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of ascending values; infinite of none."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else math.inf

"""The cells of the comparison of modes, and one run of a mode in a cell: the collision traffic, open loop.

Every mode of a cell and seed sees the same events at the same moments. Latency is the client's: from its sending to
the outcome's arrival, with the hop to the gateway both ways. Scenes take their names, and so their hashes, from the
seed. What one run may not do is lose an event: deadlines are far beyond the objective, so that what is late is measured
and not dropped.
"""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from covey.errors import Status
from covey.messages import RunBatch, Task
from covey.services.gateway.core.commands import Deliver
from covey.simulator.arrivals import paced, turns
from covey.simulator.baselines.modes import Mode
from covey.simulator.clients import Clients
from covey.simulator.gateways import GatewayProcess
from covey.simulator.hardware import LatencyTable, affine
from covey.simulator.mesh import Mesh, Size, Ways
from covey.simulator.schedulers import SchedulerProcess
from covey.simulator.transfer import MeteredNetwork, Rates
from covey.simulator.workers import WorkerProcess
from covey.simulator.workload import Inputs, Traffic, collisions, drawn_actors
from covey.simulator.world import World

READY_S = 3.0
"""By then everyone knows everyone, also on 64 nodes."""
DEADLINE_S = 10.0
"""What an event that is lost counts with."""
ACTORS = 7.0
"""In a scene, on average: as in the Stanford Drone Dataset's little, hyang and gates (6.3 to 9.0)."""
SCENES_PER_NODE = 2.4
"""Twelve scenes on five nodes."""
NODES_PER_GATEWAY = 16

TABLES: dict[str, LatencyTable] = {
    "track": affine(0.012, 0.004),
    "predict": affine(0.032, 0.0024),
    "collide": affine(0.008, 0.0032),
}
"""Seconds by batch size: eight times what the example's own stages take on one core, so that an event is worth some
75 ms of a device, as with a detector, and five devices are full at the 60 frames a second of 24 cameras."""

SIZES: dict[str, dict[str, int]] = {
    "small": {"observations": 500, "tracks": 2_000, "positions": 100, "predictions": 250},
    "large": {"observations": 150_000, "tracks": 256 * 1024, "positions": 100, "predictions": 250},
}
"""Bytes by pool: plain small objects; frames of 150 KB and a tracker's state of 256 KB."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What modes are compared under, at several loads."""

    nodes: int
    """With a datastore and a device each."""
    delay_ms: float
    """Per hop between hosts, one way."""
    sizes: str
    skewed: bool
    """Half of the events are one scene's."""

    @property
    def name(self) -> str:
        return f"{self.nodes} nodes, {self.sizes}, {'skewed' if self.skewed else 'even'}, {self.delay_ms:g} ms"


class Period(NamedTuple):
    """Part of a run: events at a rate per second, for a while to settle and then measured. Times in seconds."""

    rate: float
    settle_s: float
    measured_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of a mode. Times in milliseconds, of the events that were sent while it was measured."""

    events: int
    lost: int
    """Without an outcome, or with one that is not OK, those before it was measured included. Counts with the deadline
    as its latency."""
    mean_ms: float
    std_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    remote_gets: float
    """Per event."""
    bytes_moved: float
    """Per event, by its tasks, to and from other nodes."""
    line_bytes: float
    """Per event, all that went from host to host: the event's own object and groups that moved, too."""
    utilisation: tuple[float, ...]
    """By node: the share of the time that its device was busy."""
    finished_per_s: float
    """Outcomes that came while events were sent, per second: what the mode carries, when more is offered. Where half of
    the events are one scene's, no more than twice the outcomes of that one, whose ticks run one after the other."""
    moves: int
    """Of groups, while it was measured."""

    @property
    def imbalance(self) -> float:
        """The busiest node's utilisation over the mean."""
        mean = statistics.fmean(self.utilisation)
        return max(self.utilisation) / mean if mean else 1.0


class Meter:
    """Watches the gateways for outcomes."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def stepped(self, process: Any, stimuli: Sequence[Any], commands: Sequence[Any]) -> None:
        if isinstance(process, GatewayProcess):
            for command in commands:
                if isinstance(command, Deliver):
                    self._clients.answer(command.call, command.outcome, process.world.now)

    def computed(self, worker: WorkerProcess, run: RunBatch, task: Task, inputs: Inputs) -> None:
        """What tasks read is the other simulations' to check."""

    def ran(self, worker: WorkerProcess, tasks: Sequence[Task], seconds: float) -> None:
        """Devices know how busy they were."""


def play(condition: Condition, mode: Mode, periods: Sequence[Period], seed: int, drain: bool = True) -> list[Figures]:
    """One run of a mode, a period after the other; the figures of each.

    Without `drain` it ends with its last period: what is open then counts as lost.
    """
    gc.disable()  # a run is short, and ends with everything that it has made
    try:
        return _Run(condition, mode, seed).play(periods, drain)
    finally:
        gc.enable()
        gc.collect()


class Usage(NamedTuple):
    """What was used: seconds of each device, bytes on the lines, moves of groups."""

    busy_s: tuple[float, ...]
    line_bytes: int
    moves: int

    def until(self, later: Usage) -> Usage:
        """What was used from here on."""
        busy_s = tuple([after - before for before, after in zip(self.busy_s, later.busy_s, strict=True)])
        return Usage(busy_s, later.line_bytes - self.line_bytes, later.moves - self.moves)


class _Run:
    """A mesh in a mode, and its clients."""

    def __init__(self, condition: Condition, mode: Mode, seed: int) -> None:
        self.world = world = World(seed)
        self.hop_s = condition.delay_ms / 1000
        sizes = SIZES[condition.sizes]
        traffic = Traffic(collisions(mode.grouped), drawn_actors(ACTORS, world.random("actors")), {}, sizes)
        self.clients = Clients(traffic)
        size = Size(condition.nodes, condition.nodes, -(-condition.nodes // NODES_PER_GATEWAY))
        ways = Ways(mode.policy, mode.worker, partial(MeteredNetwork, hop_s=self.hop_s))
        self.mesh = Mesh(world, size, traffic, TABLES, Meter(self.clients), ways)
        count = round(SCENES_PER_NODE * condition.nodes)
        self.scenes = [f"s{seed}x{number}" for number in range(count)]
        self.hot = self.scenes[0] if condition.skewed else ""
        self.turns = turns(count, condition.skewed, world.random("turns"))
        self.up_s = self.hop_s + Rates().packet_s + sizes["observations"] / Rates().line_bytes_per_s
        self.down_s = self.hop_s + Rates().packet_s

    def play(self, periods: Sequence[Period], drain: bool) -> list[Figures]:
        world, start = self.world, READY_S
        arrivals = world.random("arrivals")
        windows: list[tuple[float, float, float]] = []
        """When a period starts, is measured, and ends."""
        for rate, settle_s, measured_s in periods:
            for instant in islice(paced(rate, arrivals, start), round(rate * (settle_s + measured_s))):
                world.at(instant, self._send)
            windows.append((start, start + settle_s, start + settle_s + measured_s))
            start = windows[-1][2]
        usages: list[Usage] = []
        for _, begin, end in windows:
            world.run(begin)
            before = self._usage()
            world.run(end)
            usages.append(before.until(self._usage()))
        if drain:
            world.run(start + DEADLINE_S + 1, lambda: not self.clients.open)
        return [self._figures(*window, used) for window, used in zip(windows, usages, strict=True)]

    def _send(self) -> None:
        """A client sends; the event is at the gateway a hop later."""
        self.world.after(self.up_s, self._reach, self.scenes[next(self.turns)])

    def _reach(self, scene: str) -> None:
        gateway = self.mesh.gateway(len(self.clients.sent) % len(self.mesh.gateways))
        self.clients.send(gateway, scene, DEADLINE_S)

    def _usage(self) -> Usage:
        busy = tuple([self.mesh.worker(name).device.busy_s for name in self.mesh.workers])
        leader, network = self.mesh.processes[self.mesh.leader], self.mesh.network
        assert isinstance(leader, SchedulerProcess)
        assert isinstance(network, MeteredNetwork)
        return Usage(busy, network.bytes, leader.core.state.balance.moves)

    def _figures(self, start: float, begin: float, end: float, used: Usage) -> Figures:
        latencies, gets, moved, lost = [], 0, 0, 0
        ended = {sent.id: (at, outcome) for sent, at, outcome in self.clients.outcomes() if outcome.status is Status.OK}
        finished = [self.clients.sent[id_].scene for id_, (at, _) in ended.items() if begin <= at < end]
        for sent in self.clients.sent.values():
            sent_at = sent.sent_at - self.up_s
            if start <= sent_at < end:
                lost += sent.id not in ended
            if begin <= sent_at < end:
                at, outcome = ended.get(sent.id, (sent_at + DEADLINE_S - self.down_s, None))
                latencies.append(1000 * (at + self.down_s - sent_at))
                gets += outcome.remote_gets if outcome is not None else 0
                moved += outcome.bytes_moved if outcome is not None else 0
        latencies.sort()
        count = max(len(latencies), 1)
        return Figures(
            events=len(latencies),
            lost=lost,
            mean_ms=statistics.fmean(latencies) if latencies else 0.0,
            std_ms=statistics.pstdev(latencies) if latencies else 0.0,
            p50_ms=quantile(latencies, 0.5),
            p95_ms=quantile(latencies, 0.95),
            p99_ms=quantile(latencies, 0.99),
            remote_gets=gets / count,
            bytes_moved=moved / count,
            line_bytes=used.line_bytes / count,
            utilisation=tuple([busy_s / (end - begin) for busy_s in used.busy_s]),
            finished_per_s=min(len(finished), 2 * finished.count(self.hot) if self.hot else math.inf) / (end - begin),
            moves=used.moves,
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of ascending values; 0 of none."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0

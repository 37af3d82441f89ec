"""A mesh in the simulation: its processes, and the registry and the supervisor that production has around them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from covey.messages import RunBatch, Task
from covey.model import Priority
from covey.services.scheduler.core.policy import Policy
from covey.services.scheduler.core.served import Serving
from covey.services.scheduler.core.state import Limits as SchedulerLimits
from covey.services.worker.core.state import Identity
from covey.services.worker.core.state import Limits as WorkerLimits
from covey.simulator.datastores import DatastoreProcess
from covey.simulator.gateways import GatewayProcess
from covey.simulator.hardware import Device, LatencyTable
from covey.simulator.network import Network
from covey.simulator.schedulers import SchedulerProcess
from covey.simulator.storage import Storage
from covey.simulator.workers import WorkerProcess
from covey.simulator.workload import Inputs, StageCode
from covey.simulator.world import Process, World

ELECTION_S = 0.1


@dataclass(frozen=True, slots=True)
class Size:
    """How many of each there are. Workers are spread over the nodes."""

    nodes: int = 2
    workers: int = 2
    gateways: int = 1
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Ways:
    """How a mesh decides, and what its messages go through."""

    policy: Policy = Policy()
    worker: WorkerLimits = WorkerLimits()
    network: Callable[[World, random.Random], Network] = Network
    serving: Serving | None = None
    """The pipeline is provisioned, and so."""
    scheduler: SchedulerLimits = SchedulerLimits()
    priorities: bool = False
    """What runs where is said by the policy of priorities."""
    kept_lanes: bool = False
    """A worker's first lane is kept for HIGH and the others for LOW, as on CUDA."""


class Watcher(Protocol):
    """Who watches every process, and what tasks read."""

    def stepped(self, process: Any, stimuli: Sequence[Any], commands: Sequence[Any]) -> None: ...

    def computed(self, worker: WorkerProcess, run: RunBatch, task: Task, inputs: Inputs) -> None: ...

    def ran(self, worker: WorkerProcess, tasks: Sequence[Task], seconds: float) -> None: ...


class Mesh:
    """All processes of one world. The registry is always right about who leads, and about nothing else."""

    def __init__(
        self,
        world: World,
        size: Size,
        traffic: StageCode,
        tables: dict[str, LatencyTable],
        watcher: Watcher,
        ways: Ways | None = None,
    ) -> None:
        self.world = world
        self.size = size
        self.ways = ways or Ways()
        self.network = self.ways.network(world, world.random("network"))
        self.storage = Storage(world.random("storage"))
        self.watcher = watcher
        self.traffic = traffic
        self.epoch = 0
        self._tables = tables
        profiles = self.ways.serving.pipeline.profiles if self.ways.serving is not None else {}
        self._cold_s = {stage: profile.cold_s for stage, profile in profiles.items()}
        self.nodes = [f"node-{number}" for number in range(size.nodes)]
        self.workers = [f"worker-{number}" for number in range(size.workers)]
        self.gateways = [f"gateway-{number}" for number in range(size.gateways)]
        self.processes: dict[str, Process[Any, Any]] = self.network.processes
        self._starts: dict[str, Callable[[str], Process[Any, Any]]] = {
            **dict.fromkeys(self.nodes, self._node),
            **dict.fromkeys(self.workers, self._worker),
            **dict.fromkeys(self.gateways, self._gateway),
        }
        for name in (*self.nodes, *self.workers):
            self.start(name)
        self.elect()
        for name in self.gateways:
            self.start(name)

    @property
    def leader(self) -> str:
        return f"scheduler-{self.epoch}"

    def gateway(self, number: int) -> GatewayProcess:
        found = self.processes[self.gateways[number]]
        assert isinstance(found, GatewayProcess)
        return found

    def node(self, name: str) -> DatastoreProcess:
        found = self.processes[name]
        assert isinstance(found, DatastoreProcess)
        return found

    def worker(self, name: str) -> WorkerProcess:
        found = self.processes[name]
        assert isinstance(found, WorkerProcess)
        return found

    # --- the supervisor ----------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a process, unless one of that name is alive."""
        known = self.processes.get(name)
        if known is None or not known.alive:
            if known is not None:
                self.network.unearth(known)
            self.processes[name] = self._starts[name](name)

    def crash(self, name: str, back_after_s: float, told: bool = True) -> None:
        """Kill a process and have it restarted. `told`: its kernel lives, and closes its links."""
        process = self.processes[name]
        if process.alive:
            self.network.bury(process, told)
            self.world.after(back_after_s, self.start, name)

    def elect(self) -> None:
        """A scheduler starts, and leads in the next epoch."""
        self.epoch += 1
        roster = [*[("lead", name) for name in self.nodes], *[("run", name) for name in self.workers]]
        self.processes[self.leader] = SchedulerProcess(
            self.world,
            self.network,
            self.epoch,
            (self.traffic.scope, self.traffic.declaration),
            roster,
            self._superseded,
            self.watcher,
            self.ways.policy,
            self.ways.serving,
            self.ways.scheduler,
            self.ways.priorities,
        )

    def crash_leader(self, back_after_s: float, told: bool = True) -> None:
        process = self.processes[self.leader]
        if process.alive:
            self.network.bury(process, told)
            self.world.after(back_after_s, self.elect)
            self.world.after(back_after_s, self.network.unearth, process)

    def fail_over(self, pause_s: float, election_s: float, notices_s: float) -> None:
        """The leader hangs for longer than its lease; another is elected, and the old one goes on until it notices."""
        process = self.processes[self.leader]
        process.pause(pause_s)
        self.world.after(election_s, self.elect)
        self.world.after(max(pause_s, election_s) + notices_s, self.network.bury, process, True)

    def _superseded(self, scheduler: SchedulerProcess, epoch: int) -> None:
        """A peer knows a later epoch than this scheduler, which ends; if it has the lease, another one takes it."""
        has_the_lease = scheduler.name == self.leader
        self.epoch = max(self.epoch, epoch)
        self.network.bury(scheduler, told=True)
        if has_the_lease:
            self.world.after(ELECTION_S, self.elect)

    # --- processes ---------------------------------------------------------------------------------------------------

    def _node(self, name: str) -> DatastoreProcess:
        return DatastoreProcess(self.world, name, self.network, self.storage, self.watcher)

    def _gateway(self, name: str) -> GatewayProcess:
        return GatewayProcess(self.world, name, self.network, lambda: self.leader, self.watcher)

    def _worker(self, name: str) -> WorkerProcess:
        node = self.nodes[self.workers.index(name) % len(self.nodes)]
        lanes: tuple[Priority | None, ...] = (None,) * self.size.lanes
        if self.ways.kept_lanes:
            lanes = (Priority.HIGH, *[Priority.LOW] * max(1, self.size.lanes - 1))
        identity = Identity(name, node, "simulated", lanes, (self.traffic.declaration,))
        device = Device(self._tables, self.world.random(f"{name} at {self.world.now}"), self._cold_s)
        return WorkerProcess(
            self.world,
            identity,
            self.network,
            device,
            self.traffic,
            self.watcher,
            lambda: self.crash(name, back_after_s=1.0),
            self.ways.worker,
        )

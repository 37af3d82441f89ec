"""The oracles together: what must be true of a mesh, judged from outside its cores.

They look at what goes in and out of processes; the one exception is the scheduler's state lines and cascades, which
say which report was accepted. A broken promise raises Violation at once, so that the trace ends where it happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covey.messages import LeaderJoined, RunBatch, SubmitEvent, Task
from covey.services.datastore.core.state import check_invariants as check_datastore
from covey.services.gateway.core.commands import Deliver
from covey.services.gateway.core.state import check_invariants as check_gateway
from covey.services.scheduler.core.invariants import check_invariants as check_scheduler
from covey.services.scheduler.core.stimuli import PeerSaid
from covey.services.worker.core.stimuli import Received
from covey.simulator.clients import Clients
from covey.simulator.datastores import DatastoreProcess
from covey.simulator.execution_checker import ExecutionChecker
from covey.simulator.gateways import GatewayProcess
from covey.simulator.outcome_checker import Leeway, OutcomeChecker
from covey.simulator.schedulers import SchedulerProcess
from covey.simulator.violation import Violation
from covey.simulator.workers import WorkerProcess
from covey.simulator.workload import Inputs, Traffic
from covey.simulator.world import Process

DATASTORE_EVERY = 8
"""A datastore's state is large: it is looked at so many times less often than the others'."""


class Checkers:
    """Watches every process. `invariants_every`: in how many steps a state is looked at once."""

    def __init__(self, clients: Clients, traffic: Traffic, invariants_every: int = 1) -> None:
        self.leeway = Leeway()
        self.outcomes = OutcomeChecker(clients, traffic, self.leeway)
        self.executions = ExecutionChecker(self.leeway)
        self._invariants_every = invariants_every
        self._steps = 0
        self._epochs: dict[int, int] = {}
        """Process (by its number of birth) -> the newest epoch that it has heard of."""

    def stepped(self, process: Process[Any, Any], stimuli: Sequence[Any], commands: Sequence[Any]) -> None:
        """A core has taken a step."""
        self._steps += 1
        every = self._invariants_every * (DATASTORE_EVERY if isinstance(process, DatastoreProcess) else 1)
        if self._steps % every == 0:
            _check_invariants(process)
        if isinstance(process, GatewayProcess):
            for command in commands:
                if isinstance(command, Deliver):
                    sent = self.outcomes.delivered(process, command.call, command.outcome)
                    if not sent.is_open:
                        self.executions.forget(sent.id)
        elif isinstance(process, SchedulerProcess):
            for stimulus in stimuli:
                if isinstance(stimulus, PeerSaid) and isinstance(stimulus.message, SubmitEvent):
                    self.outcomes.submitted(process, stimulus.message.event.id)
            self.executions.scheduled(process, stimuli, commands)
        elif isinstance(process, WorkerProcess):
            for stimulus in stimuli:
                if isinstance(stimulus, Received) and isinstance(stimulus.message, LeaderJoined):
                    known = self._epochs.get(process.birth, 0)
                    self._epochs[process.birth] = max(known, stimulus.message.epoch)

    def computed(self, worker: WorkerProcess, run: RunBatch, task: Task, inputs: Inputs) -> None:
        """A task starts on a device."""
        now = worker.world.now
        if now >= task.deadline:
            raise Violation(f"a task of {run.stage} for {task.event_id} starts {now - task.deadline:.6f} s too late")
        if run.epoch < self._epochs.get(worker.birth, 0):
            raise Violation(f"{worker.name} runs a batch of epoch {run.epoch}, and knows a later one")
        self.executions.computed(worker, run, task, inputs)

    def ran(self, worker: WorkerProcess, tasks: Sequence[Task], seconds: float) -> None:
        """How long things take is promised nowhere."""


def _check_invariants(process: Process[Any, Any]) -> None:
    try:
        match process:
            case GatewayProcess():
                check_gateway(process.core.state)
            case SchedulerProcess():
                check_scheduler(process.core.state)
            case WorkerProcess():
                process.core.check_invariants()
            case DatastoreProcess():
                check_datastore(process.core.state)
    except (AssertionError, LookupError) as error:
        raise Violation(f"the state of {process.name} contradicts itself: {error}") from error

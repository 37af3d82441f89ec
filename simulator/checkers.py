"""The oracles: what must be true of a mesh, judged from outside its cores.

Each looks at what goes in and out of the processes; the one exception is the scheduler's state lines, which say which
report was accepted. A broken promise raises Violation at once, so that the trace ends where it happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covey.errors import Reason, Status
from covey.messages import BatchReport, LeaderJoined, RunBatch, SubmitEvent, Task, TaskReport
from covey.model import Outcome, event_identity
from covey.services.datastore.core.state import check_invariants as check_datastore
from covey.services.gateway.core.commands import Deliver
from covey.services.gateway.core.state import check_invariants as check_gateway
from covey.services.scheduler.core.commands import Send, StoreAgain
from covey.services.scheduler.core.state import check_invariants as check_scheduler
from covey.services.scheduler.core.stimuli import PeerLost, PeerSaid
from covey.services.worker.core.stimuli import Received
from covey.simulator.clients import Clients, Sent
from covey.simulator.datastores import DatastoreProcess
from covey.simulator.gateways import GatewayProcess
from covey.simulator.schedulers import SchedulerProcess
from covey.simulator.workers import WorkerProcess
from covey.simulator.workload import HISTORY, Inputs, Traffic, actors_of, members_of, state_read
from covey.simulator.world import Process, World

OUTCOME_LATE_S = 0.05
EPSILON_S = 1e-6
"""Sums of floats are compared with this much room."""

ALLOWED = (Status.OK, Status.DEADLINE_EXCEEDED, Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED)


class Violation(AssertionError):
    """A promise of the mesh is broken."""

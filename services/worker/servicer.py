"""What a worker serves: the leader's stream, as a link for the shell."""

from __future__ import annotations

from covey.clock import Clock
from covey.services.worker.shell import WorkerShell
from covey.wire.endpoints import worker_servicer
from covey.wire.server import Service


def services(shell: WorkerShell, clock: Clock) -> list[Service]:
    return [worker_servicer(shell.serve_leader, clock)]

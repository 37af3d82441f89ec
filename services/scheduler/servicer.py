"""What the scheduler serves: gateways' streams, as links for the shell."""

from __future__ import annotations

from covey.clock import Clock
from covey.services.scheduler.shell import SchedulerShell
from covey.wire.endpoints import scheduler_servicer
from covey.wire.server import Service


def services(shell: SchedulerShell, clock: Clock) -> list[Service]:
    return [scheduler_servicer(shell.serve_gateway, clock)]

"""Builds a scheduler and joins its parts; the only place that does."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from random import Random

from covey.clock import MonotonicClock
from covey.registry import Member
from covey.runtime import run
from covey.services.scheduler.core.machine import Scheduler
from covey.services.scheduler.metadata import ValkeyMetadata
from covey.services.scheduler.servicer import services
from covey.services.scheduler.settings import SchedulerSettings
from covey.services.scheduler.shell import SchedulerShell
from covey.settings import read_settings
from covey.telemetry import Tracer
from covey.telemetry_export import exporting
from covey.valkey import ValkeyRegistry, valkey_client
from covey.wire.endpoints import LEAD, RUN
from covey.wire.neighbours import Neighbours
from covey.wire.server import serve


async def run_scheduler(settings: SchedulerSettings, neighbours: Neighbours | None = None) -> None:
    """Serve until cancelled; then finish what is open, for as long as the grace lasts."""
    clock = MonotonicClock()
    name = settings.id or f"scheduler-{secrets.token_hex(4)}"
    trace_to = Path(settings.trace_to) if settings.trace_to else None
    async with exporting("scheduler", name, trace_to) as telemetry, valkey_client(settings.redis_url) as client:
        shell = SchedulerShell(
            name,
            Scheduler(settings.limits, name, settings.policy, Random()),
            RUN.dialer(neighbours),
            LEAD.dialer(neighbours),
            ValkeyRegistry(client),
            ValkeyMetadata(client),
            clock,
            Tracer(telemetry, Random()),
            lease_s=settings.lease_s,
            watch_s=settings.watch_s,
        )
        async with (
            serve(
                services(shell, clock),
                settings.listen,
                advertise=settings.advertise,
                neighbours=neighbours,
                reflect=settings.reflection,
                grace_s=settings.grace_s,
            ) as address,
            asyncio.TaskGroup() as group,
        ):
            running = group.create_task(shell.run(Member("scheduler", name, address)))
            try:
                await asyncio.Event().wait()
            finally:
                await shell.drain(settings.grace_s)
                running.cancel()


def main() -> None:
    """Run a scheduler by the environment's settings."""
    sys.exit(run(lambda: run_scheduler(read_settings(SchedulerSettings, service="scheduler"))))

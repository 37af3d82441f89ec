"""Builds a gateway and joins its parts; the only place that does."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from random import Random, SystemRandom
from uuid import uuid4

from covey.clock import Clock, MonotonicClock
from covey.registry import Member, Registry, stay_registered
from covey.runtime import run
from covey.services.gateway.core.machine import GatewayCore
from covey.services.gateway.core.state import Limits
from covey.services.gateway.servicer import service
from covey.services.gateway.settings import GatewaySettings
from covey.services.gateway.shell import DialLeader, Gateway
from covey.settings import read_settings
from covey.telemetry import NoTelemetry, Tracer
from covey.telemetry_export import exporting
from covey.valkey import ValkeyRegistry, valkey_client
from covey.wire.datastore_client import DatastoreClient
from covey.wire.endpoints import EXCHANGE, SUBMIT
from covey.wire.neighbours import Neighbours
from covey.wire.server import serve
from covey.wire.sharing import SharedRing

log = logging.getLogger(__name__)


def main() -> None:
    """Run a gateway as a process of its own."""
    sys.exit(run(lambda: run_gateway(read_settings(GatewaySettings, service="gateway"))))


def make_gateway(
    name: str,
    dial_leader: DialLeader,
    datastores: DatastoreClient,
    registry: Registry,
    clock: Clock,
    *,
    limits: Limits | None = None,
    tracer: Tracer | None = None,
) -> Gateway:
    """A gateway, as a process or within one; `run` it. Ids that it mints are those of no other gateway."""
    rng = Random(SystemRandom().getrandbits(128))
    core = GatewayCore(name, limits or Limits(), rng, clock.now())
    return Gateway(core, dial_leader, datastores, registry, clock, tracer or Tracer(NoTelemetry(), rng), rng)


async def run_gateway(settings: GatewaySettings, neighbours: Neighbours | None = None) -> None:
    """Serve until cancelled; then answer what is open, for as long as the grace lasts."""
    clock = MonotonicClock()
    name = settings.id or f"gateway-{uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(exporting("gateway", name, settings.trace_to))
        client = await stack.enter_async_context(valkey_client(settings.redis_url))
        folder = settings.shared_folder
        ring = stack.enter_context(SharedRing(folder, settings.shared_bytes_max)) if folder else None
        datastores = await stack.enter_async_context(DatastoreClient(EXCHANGE.dialer(neighbours), clock, ring=ring))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        registry = ValkeyRegistry(client)
        tracer = Tracer(telemetry, Random(), settings.trace_share)
        dial = SUBMIT.dialer(neighbours)
        gateway = make_gateway(name, dial, datastores, registry, clock, limits=settings.limits, tracer=tracer)
        running = group.create_task(gateway.run())
        try:
            async with serve(
                [service(gateway, clock)],
                settings.listen,
                advertise=settings.advertise,
                neighbours=neighbours,
                reflect=settings.reflection,
                grace_s=settings.grace_s,
            ) as address:
                log.info("%s listens at %s", name, address)
                await stay_registered(registry, Member("gateway", name, address))
        finally:
            running.cancel()

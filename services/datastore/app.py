"""Builds a datastore and joins its parts; the only place that does."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from random import Random
from uuid import uuid4

from covey.clock import Clock, MonotonicClock, wall_time_ns
from covey.link import Dial
from covey.messages import FromDatastore, ToDatastore
from covey.registry import Member, stay_registered
from covey.runtime import run
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.state import Limits
from covey.services.datastore.metrics import measure
from covey.services.datastore.servicer import services
from covey.services.datastore.settings import DatastoreSettings
from covey.services.datastore.sharing import SharedObjects
from covey.services.datastore.shell import Shell
from covey.services.datastore.storage.base import Storage
from covey.services.datastore.storage.valkey import ValkeyStorage
from covey.settings import read_settings
from covey.telemetry import Tracer
from covey.telemetry_export import exporting
from covey.valkey import ValkeyRegistry, valkey_client
from covey.wire.endpoints import EXCHANGE, dial_datastore
from covey.wire.neighbours import Neighbours
from covey.wire.server import serve

log = logging.getLogger(__name__)

STORAGE_TIMEOUT_S = 5.0
"""How long storage may take over one command: longer than the registry, for what it carries may be large."""


def main() -> None:
    """Run a datastore as a process of its own."""
    sys.exit(run(lambda: run_datastore(read_settings(DatastoreSettings, service="datastore"))))


def make_datastore(
    node: str,
    address: str,
    storage: Storage,
    clock: Clock,
    limits: Limits | None = None,
    tracer: Tracer | None = None,
    sharing: SharedObjects | None = None,
    dial: Dial[ToDatastore, FromDatastore] = dial_datastore,
) -> Shell:
    """A datastore, as a process or within one; `run` it, and offer `serve_exchange` and `serve_lead`.

    Versions begin beyond the microseconds of the wall clock, so that those of an earlier life of the node, which a
    task may still name, are never given again.
    """
    core = DatastoreCore(node, address, limits or Limits(), wall_time_ns() // 1_000)
    return Shell(core, storage, dial, clock, tracer, sharing)


async def run_datastore(settings: DatastoreSettings, neighbours: Neighbours | None = None) -> None:
    """Serve until cancelled. What is volatile goes with the process; what is durable was safe when acknowledged."""
    clock = MonotonicClock()
    name = settings.id or f"datastore-{uuid4().hex[:8]}"
    async with (
        AsyncExitStack() as stack,
        exporting("datastore", name, settings.trace_to) as telemetry,
        valkey_client(settings.redis_url) as registry_client,
        valkey_client(settings.redis_url, STORAGE_TIMEOUT_S) as storage_client,
        asyncio.TaskGroup() as group,
    ):
        storage = ValkeyStorage(storage_client)
        tracer = Tracer(telemetry, Random())
        folder = settings.shared_folder
        sharing = stack.enter_context(SharedObjects(folder, settings.shared_bytes_max)) if folder else None
        shell = make_datastore(
            settings.node,
            settings.advertise,
            storage,
            clock,
            settings.limits,
            tracer,
            sharing,
            EXCHANGE.dialer(neighbours),
        )
        running = [group.create_task(shell.run()), group.create_task(measure(shell.core.state, telemetry))]
        try:
            async with serve(
                services(shell, clock),
                settings.listen,
                advertise=settings.advertise,
                neighbours=neighbours,
                reflect=settings.reflection,
                grace_s=settings.grace_s,
            ) as address:
                log.info("%s, node %s, listens at %s", name, settings.node, address)
                registry = ValkeyRegistry(registry_client)
                await stay_registered(registry, Member("datastore", name, address, settings.node))
        finally:
            for task in running:
                task.cancel()

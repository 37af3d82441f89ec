"""Servers: what listens, how it says that it is well, and how it stops.

Stopping has an order: say that we are not serving, refuse new calls and hang up the inner streams, wait until no call
is in flight or the grace is over, then stop, and wait for the handlers' `finally` clauses (`stop` alone doesn't).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from covey.errors import Unavailable
from covey.wire.guard import Guard
from covey.wire.neighbours import Accepts, Neighbours
from covey.wire.options import SERVER

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1:0"
GRACE_S = 5.0
FLUSH_S = 0.5
"""How long the last answers may take to leave, where a watcher of our health keeps the server from ending by itself."""

ABORT_S = 2.0
"""How long handlers that were cut off may take to clean up."""


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a server: its full name, how it is added, how its long-lived streams are ended, and who accepts
    links to which of its methods."""

    name: str
    add_to: Callable[[grpc.aio.Server], None]
    hang_up: Callable[[], None] = _nothing
    accepting: Mapping[str, Accepts] = field(default_factory=dict)


@asynccontextmanager
async def serve(
    services: Sequence[Service],
    address: str = LOOPBACK,
    *,
    advertise: str = "",
    neighbours: Neighbours | None = None,
    credentials: grpc.ServerCredentials | None = None,
    reflect: bool = False,
    grace_s: float = GRACE_S,
) -> AsyncIterator[str]:
    """Serve until the body ends; gives the address that others dial: `advertise`, or what was bound (port 0 takes a
    free one). Neighbours find the services there through memory.

    Raises Unavailable when the address can't be bound.
    """
    guard = Guard()
    server = grpc.aio.server(options=SERVER)
    wellness = health.aio.HealthServicer()
    for service in services:
        service.add_to(guard.before(server))
        await wellness.set(service.name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(wellness, server)  # last, for it is asked for seldom
    if reflect:
        names = [service.name for service in services]
        reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    bound = _bind(server, address, credentials)
    await server.start()
    dialed = advertise or bound
    near = {(path, dialed): links for service in services for path, links in service.accepting.items()}
    try:
        with neighbours.listening(near) if neighbours else nullcontext():
            yield dialed
    finally:
        await wellness.enter_graceful_shutdown()
        await _stop(server, guard, services, grace_s)


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> str:
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise Unavailable(f"can't listen at {address}: {error}") from None
    host, _, _ = address.rpartition(":")
    return address if address.startswith("unix:") else f"{host}:{port}"


async def _stop(server: grpc.aio.Server, guard: Guard, services: Sequence[Service], grace_s: float) -> None:
    guard.draining = True
    for service in services:
        service.hang_up()
    try:
        async with asyncio.timeout(grace_s):
            await guard.idle()
    except TimeoutError:
        log.warning("calls were still in flight after %g s; they are cut off", grace_s)
    await server.stop(FLUSH_S)
    try:
        async with asyncio.timeout(ABORT_S):
            await guard.idle()
    except TimeoutError:
        log.error("handlers did not end %g s after they were cut off", ABORT_S)

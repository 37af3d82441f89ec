"""The servers that durable objects and metadata live in: embedded Valkey, Debian's Redis, and a cluster of three."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from covey.embedded_valkey import embedded_valkey

REDIS = shutil.which("redis-server")
SERVERS = [
    "valkey",
    pytest.param("redis", marks=pytest.mark.skipif(REDIS is None, reason="Debian's redis-server is not installed")),
    "cluster",
]
"""The kinds, as parameters of a fixture."""

SLOTS = 16384
PRIMARIES = 3
READY_S_MAX = 20.0


@asynccontextmanager
async def running_server(kind: str) -> AsyncIterator[str]:
    """The URL of a fresh `valkey`, `redis` or `cluster`, which ends with the body."""
    if kind == "cluster":
        server = valkey_cluster()
    else:
        server = embedded_valkey(program=Path(REDIS) if kind == "redis" and REDIS else None)
    async with server as url:
        yield url


@asynccontextmanager
async def valkey_cluster() -> AsyncIterator[str]:
    """Three primaries that share the slots; the URL is that of the first."""
    async with AsyncExitStack() as stack:
        urls: list[str] = []
        for number in range(PRIMARIES):
            bus = _free_port()
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            urls.append(await stack.enter_async_context(embedded_valkey(options=options)))
            async with Redis.from_url(urls[-1]) as node:
                bounds = SLOTS * number // PRIMARIES, SLOTS * (number + 1) // PRIMARIES - 1
                await node.execute_command("CLUSTER", "ADDSLOTSRANGE", *bounds)
            async with Redis.from_url(urls[0]) as first:
                if number:
                    port = urls[-1].rpartition(":")[2]
                    await first.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        async with asyncio.timeout(READY_S_MAX):
            for url in urls:
                await _until_it_knows_all(url)
        yield urls[0]


async def _until_it_knows_all(url: str) -> None:
    """Wait until a node takes commands and knows every primary."""
    async with Redis.from_url(url) as node:
        while True:
            info = bytes(await node.execute_command("CLUSTER", "INFO")).decode()
            if "cluster_state:ok" in info and f"cluster_size:{PRIMARIES}\r" in info:
                return
            await asyncio.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""Five nodes, a scheduler, a gateway and Valkey as processes of their own, everyone behind the proxy.

Only two ways avoid it: a worker to the datastore of its own node, since they share a host, and everyone's to Valkey,
which no event waits for.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from benchmarks.grouping.plan import NODES
from benchmarks.processes import cpu_s, machine_s
from covey.clock import MonotonicClock
from covey.cluster import GATEWAY, SCHEDULER, LocalCluster
from covey.errors import Unavailable
from covey.services.worker.engine.profile import Work, read_ledger
from covey.tether import tethered

LOOPBACK = "127.0.0.1"
PORT_MIN = 10_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What has been used up to an instant: CPU seconds by process and of the whole machine (time that a hypervisor took
    away included), and by node what its device was busy with."""

    at: float
    cpu_s: dict[str, float]
    machine_s: float
    work: tuple[Work, ...]


class ProxyProcess:
    """The proxy as a process of its own, and the line to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.pid = process.pid
        self._reader = reader
        self._writer = writer

    async def front(self, address: str) -> str:
        """The address where the server at `address` is reached through the proxy."""
        return await self._ask(f"front {address}")

    async def set_delay(self, seconds: float) -> None:
        await self._ask(f"delay {seconds}")

    async def _ask(self, request: str) -> str:
        self._writer.write(f"{request}\n".encode())
        answer = (await self._reader.readline()).decode().strip()
        if not answer:
            raise Unavailable("the proxy has ended")
        return answer


@asynccontextmanager
async def proxy_process() -> AsyncIterator[ProxyProcess]:
    """Run the proxy for as long as the body runs."""
    process = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", "benchmarks.grouping.proxy"]), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None, "it is a pipe"
        host, _, port = (await process.stdout.readline()).decode().strip().rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        yield ProxyProcess(process, reader, writer)
        writer.close()
    finally:
        process.terminate()
        await process.wait()


class Mesh:
    """A running mesh; made by `running_mesh`."""

    def __init__(self, cluster: LocalCluster, proxy: ProxyProcess, ledgers: list[Path]) -> None:
        self.address = cluster.address
        self.set_delay = proxy.set_delay
        self._cluster = cluster
        self._proxy = proxy
        self._ledgers = ledgers

    def usage(self) -> Usage:
        """What was used until now, by this process (the client), the proxy and everyone else."""
        pids = {**self._cluster.pids, "proxy": self._proxy.pid, "client": os.getpid()}
        work = tuple(read_ledger(path) for path in self._ledgers)
        return Usage(MonotonicClock().now(), {name: cpu_s(pid) for name, pid in pids.items()}, machine_s(), work)


@asynccontextmanager
async def running_mesh(
    app: str, settings: Mapping[str, str], folder: Path, profile: Path | None, nodes: int = NODES
) -> AsyncIterator[Mesh]:
    """Start it all and wait until it takes events. With a `profile` the devices are emulated, else they are CPUs."""
    names = [f"{kind}-{number}" for kind in ("datastore", "worker") for number in range(1, nodes + 1)]
    names += [SCHEDULER, GATEWAY]
    own = {name: f"{LOOPBACK}:{port}" for name, port in zip(names, free_ports(len(names)), strict=True)}
    device = {"COVEY_DEVICE": "cpu"}
    if profile is not None:
        device = {"COVEY_DEVICE": "emulated", "COVEY_DEVICE_PROFILE": str(profile.absolute())}
    common = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **device, **settings}
    folder.mkdir(parents=True, exist_ok=True)
    ledgers = [(folder / f"worker-{number}.ledger").absolute() for number in range(1, nodes + 1)] if profile else []
    async with proxy_process() as proxy:
        settings_of = {
            name: {"COVEY_LISTEN": address, "COVEY_ADVERTISE": await proxy.front(address)}
            for name, address in own.items()
        }
        for number in range(1, nodes + 1):
            settings_of[f"worker-{number}"]["COVEY_LOCAL_DATASTORE"] = own[f"datastore-{number}"]
            if profile is not None:
                settings_of[f"worker-{number}"]["COVEY_DEVICE_LEDGER"] = str(ledgers[number - 1])
        cluster = LocalCluster(app, folder=folder, nodes=nodes, workers=nodes, settings=common, settings_of=settings_of)
        async with cluster:
            yield Mesh(cluster, proxy, ledgers)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different, and below those that the kernel gives to connections."""
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    for port in SystemRandom().sample(range(PORT_MIN, ephemeral), ephemeral - PORT_MIN):
        if len(found) == count:
            return found
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
    raise Unavailable(f"there are not {count} free ports below {ephemeral}")

"""The whole mesh on this machine, as child processes: what `covey up`, `make run` and the end-to-end tests start and stop.

    async with LocalCluster("examples.quickstart.pipeline:app", folder=Path("runs/now")) as cluster:
        async with covey.connect(cluster.address) as client: ...

Nothing outlives the `async with`. Children are stopped in the order in which work flows through them, so that what is
under way can still be answered, and killed when they take too long; if this process itself is killed, the kernel stops
them. A child that dies is reported and not started again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from covey.children import Child, Death, start_child, stop_children, tail
from covey.embedded_valkey import valkey_process
from covey.errors import Unavailable
from covey.healthcheck import check_health
from covey.loading import load_pipeline
from covey.registry import Member
from covey.settings import environment_with
from covey.tether import tethered
from covey.valkey import ValkeyRegistry, valkey_client

TENANT = "default"
START_S_MAX = 60.0
"""Until everyone is there: the slowest part is a worker that imports torch on a busy machine."""
POLL_S = 0.05
GRACE_S = {"gateway": 1.2, "scheduler": 0.7, "worker": 0.9, "datastore": 0.7}
"""How long each kind may take to stop, in this order; with Valkey's share it stays below 5 s."""


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the cluster, for people. Valkey and the services have an address each."""

    name: str
    kind: str
    pid: int
    address: str
    node: str
    device: str
    log: Path


class LocalCluster:
    """An async context manager; `address` is the gateway's once it is entered."""

    def __init__(
        self,
        app: str,
        *,
        nodes: int = 2,
        workers: int = 2,
        listen: str = "127.0.0.1:0",
        redis_url: str = "",
        folder: Path,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`listen` is the gateway's; logs go to `folder`; `settings` are more COVEY_* variables for every service.

        Without a `redis_url` the cluster has a Valkey of its own, which forgets everything at the end.
        """
        self.app = app
        self.folder = folder
        self.redis_url = redis_url
        self.address = ""
        self._nodes = nodes
        self._workers = workers
        self._listen = listen
        self._settings = dict(settings or {})
        self._children: dict[str, Child] = {}
        self._deaths: asyncio.Queue[Death] = asyncio.Queue()
        self._stopping = False
        self._members: dict[str, Member] = {}

    @property
    def pids(self) -> dict[str, int]:
        """The running processes by name: valkey, datastore-1, scheduler, worker-1, gateway and so on."""
        return {name: child.pid for name, child in self._children.items() if child.running}

    async def death(self) -> Death:
        """Wait until a child dies that nobody has asked to stop; each death is told once."""
        return await self._deaths.get()

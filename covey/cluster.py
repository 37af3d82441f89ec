"""The whole mesh on this machine, as child processes: what `covey up`, `make run` and the end-to-end tests start.

    async with LocalCluster("examples.quickstart.pipeline:app", folder=Path("runs/now")) as cluster:
        async with covey.connect(cluster.address) as client: ...

Nothing outlives the `async with`. Children are stopped in the order in which work flows through them, so that what is
under way can still be answered, and killed when they take too long; if this process itself is killed, the kernel stops
them. A child that dies is reported and not started again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from covey.children import Child, Death, start_child, stop_children, tail
from covey.embedded_valkey import valkey_process
from covey.errors import NotFound, Unavailable
from covey.loading import load_pipeline
from covey.registry import Member, Registry
from covey.settings import PREFIX, environment_with, variable_of
from covey.tether import tethered
from covey.valkey import ValkeyRegistry, valkey_client
from covey.wire.gateway_client import gateway_at

TENANT = "default"
VALKEY = "valkey"
GATEWAY = "gateway"
SCHEDULER = "scheduler"
START_S_MAX = 60.0
"""Until everyone is there: the slowest part is a worker that imports torch on a busy machine."""
POLL_S = 0.05
GRACE_S = {GATEWAY: 1.2, SCHEDULER: 0.7, "worker": 0.9, "datastore": 0.7}
"""How long each kind may take to stop, in this order; with Valkey's share it stays below 5 s."""
SHARED_MEMORY = Path("/dev/shm")
"""Where datastores hand large payloads to the workers beside them, below a folder of the user's own."""
KILL_AFTER_S = 0.2
"""A process that has not ended so long after its grace is killed."""


@dataclass(frozen=True, slots=True)
class Part:
    """A running process of the cluster, for people."""

    name: str
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
        folder: Path,
        nodes: int = 2,
        workers: int = 2,
        listen: str = "127.0.0.1:0",
        redis_url: str = "",
        settings: Mapping[str, str] | None = None,
        settings_of: Mapping[str, Mapping[str, str]] | None = None,
        together: bool = False,
    ) -> None:
        """`listen` is the gateway's; logs go to `folder`; `settings` are more COVEY_* variables for every service, and
        `settings_of` for single ones (datastore-1, scheduler, worker-1, gateway), whatever they would have otherwise.
        `together` has a process for each node, in which its services share a loop (see `covey.together`): host-1 has
        the scheduler as well. The gateway, and a node's second worker, have processes of their own in any case.

        Without a `redis_url` the cluster has a Valkey of its own, which forgets everything at the end.
        """
        self.address = ""
        self._app = app
        self._folder = folder.absolute()
        self._redis_url = redis_url
        self._suffix = f"-{uuid4().hex[:6]}" if redis_url else ""  # others may share that Valkey
        self._settings = dict(settings or {})
        self._settings_of = dict(settings_of or {})
        self._homes = [f"node-{number}{self._suffix}" for number in range(1, nodes + 1)]
        self._plan = self._planned(workers, listen)
        self._hosts = self._shared(nodes) if together else {name: [name] for name in self._plan}
        self._children: dict[str, Child] = {}
        self._members: dict[str, Member] = {}
        self._deaths: asyncio.Queue[Death] = asyncio.Queue()
        self._stopping = False
        self._watchers = asyncio.TaskGroup()
        self._stack = AsyncExitStack()

    @property
    def pids(self) -> dict[str, int]:
        """The running processes by name: valkey, datastore-1, scheduler, worker-1, gateway and so on; or valkey, host-1
        and so on."""
        return {name: child.pid for name, child in self._children.items() if child.running}

    @property
    def parts(self) -> list[Part]:
        """What runs, with where it listens and logs."""
        running = [(name, child) for name, child in self._children.items() if child.running]
        return [self._part(part, child) for name, child in running for part in self._hosts.get(name, [name])]

    async def death(self) -> Death:
        """Wait until a child dies that nobody has asked to stop; each death is told once."""
        return await self._deaths.get()

    async def __aenter__(self) -> LocalCluster:
        """Start everything and wait until the mesh takes events.

        Raises DeclarationError for a mistake in the pipeline, Unavailable when a part dies or does not get ready.
        """
        declaration = load_pipeline(self._app).declaration()
        self._folder.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            await self._watchers.__aenter__()
            stack.push_async_callback(self._watchers.__aexit__, None, None, None)  # errors come through unwrapped
            await self._start_valkey(stack)
            registry = ValkeyRegistry(await stack.enter_async_context(valkey_client(self._redis_url)))
            await registry.publish(TENANT, declaration)
            stack.push_async_callback(self._stop)
            for process, services in self._hosts.items():
                await self._start(process, services)
            await self._wait_until_ready(registry, declaration.pipeline)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    # --- starting ----------------------------------------------------------------------------------------------------

    def _planned(self, workers: int, listen: str) -> dict[str, dict[str, str]]:
        """Each service's own settings by its name, in the order of starting."""
        plan: dict[str, dict[str, str]] = {}
        for number, home in enumerate(self._homes, 1):
            plan[f"datastore-{number}"] = {"COVEY_NODE": home}
        plan[SCHEDULER] = {}
        for number in range(workers):
            plan[f"worker-{number + 1}"] = {
                "COVEY_NODE": self._homes[number % len(self._homes)],
                "COVEY_APP": self._app,
            }
        plan[GATEWAY] = {"COVEY_LISTEN": listen}
        return plan

    async def _start_valkey(self, stack: AsyncExitStack) -> None:
        if self._redis_url:
            return
        log = self._folder / f"{VALKEY}.log"
        started = valkey_process(options=("--logfile", str(log)))
        self._redis_url, process = await stack.enter_async_context(started)
        stack.callback(self._expect_ends)
        self._watch(Child(VALKEY, log, process))

    def _shared(self, nodes: int) -> dict[str, list[str]]:
        """Processes by name, each with its services: one for each node, and one for whatever else there is.

        Between the gateway and the rest two cores share the work best, and no stage's code keeps clients waiting.
        """
        hosts: dict[str, list[str]] = {}
        for number in range(1, nodes + 1):
            own = [f"datastore-{number}", f"worker-{number}", *((SCHEDULER,) if number == 1 else ())]
            hosts[f"host-{number}"] = [name for name in own if name in self._plan]
        placed = [name for services in hosts.values() for name in services]
        return hosts | {name: [name] for name in self._plan if name not in placed}

    async def _start(self, process: str, services: Sequence[str]) -> None:
        settings = {**self._settings, "COVEY_REDIS_URL": self._redis_url}
        for name in services:
            kind = _kind(name)
            common = {
                "COVEY_ID": self._id(name),
                "COVEY_LISTEN": "127.0.0.1:0",
                "COVEY_ADVERTISE": "",
                "COVEY_GRACE_S": str(GRACE_S[kind]),
            }
            own = {**common, **self._plan[name], **self._settings_of.get(name, {})}
            settings |= {variable_of(variable.removeprefix(PREFIX), kind): text for variable, text in own.items()}
        kinds = [_kind(name) for name in services]
        program = ["covey.together", *kinds] if len(kinds) > 1 else [f"covey.services.{kinds[0]}"]
        command = tethered([sys.executable, "-m", *program])
        environment = environment_with(settings, _shared_folder())
        self._watch(await start_child(process, command, environment, self._folder))

    def _watch(self, child: Child) -> None:
        self._children[child.name] = child
        self._watchers.create_task(self._report_death(child))

    async def _report_death(self, child: Child) -> None:
        death = await child.ended()
        if not self._stopping:
            self._deaths.put_nowait(death)

    # --- getting ready -----------------------------------------------------------------------------------------------

    async def _wait_until_ready(self, registry: Registry, pipeline: str) -> None:
        missing = ""
        try:
            async with asyncio.timeout(START_S_MAX):
                while missing := await self._missing(registry, pipeline):
                    if not self._deaths.empty():
                        death = self._deaths.get_nowait()
                        raise Unavailable(f"{death} while starting; {death.log} ends with\n{tail(death.log)}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise Unavailable(
                f"the mesh was not ready within {START_S_MAX:g} s: {missing}; the logs are in {self._folder}"
            ) from None

    async def _missing(self, registry: Registry, pipeline: str) -> str:
        """What the mesh still lacks to take events; empty when it lacks nothing."""
        try:
            found = [member for kind in GRACE_S for member in await registry.members(kind)]
            if (leader := await registry.leader()) is not None:
                found.append(Member(SCHEDULER, leader.scheduler, leader.address))
            self._members = {member.id: member for member in found}
            absent = [name for name in self._plan if self._id(name) not in self._members and name != SCHEDULER]
            if absent:  # a scheduler that stands by, since another leads a shared Valkey's mesh, is no member
                return f"{', '.join(absent)} did not register"
            self.address = self._members[self._id(GATEWAY)].address
            async with gateway_at(self.address) as gateway:
                description = await gateway.describe(TENANT, pipeline)
        except (Unavailable, NotFound) as error:
            return error.message
        ready = [node.id for node in description.nodes]
        away = [home for home in self._homes if home not in ready]
        if away:
            return f"{', '.join(away)} did not become a home"
        idle = ", ".join(stage for _, stage in description.unserved)
        return f"no worker runs {idle}" if idle else ""

    def _id(self, name: str) -> str:
        return f"{name}{self._suffix}"

    def _part(self, name: str, child: Child) -> Part:
        unregistered = Member("", name, self._redis_url if name == VALKEY else "")
        member = self._members.get(self._id(name), unregistered)
        return Part(name, child.pid, member.address, member.node, member.device, child.log)

    # --- stopping ----------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Stop kind after kind. Whatever interrupts it, no service runs any more when it ends."""
        self._expect_ends()
        running = [child for child in self._children.values() if child.name in self._hosts]
        try:
            for first in GRACE_S:  # what has a scheduler stops before what has none, and so on
                stopping = {child: self._graces_s(child) for child in running if self._stops_first(child) == first}
                await stop_children(list(stopping), max(stopping.values(), default=0.0) + KILL_AFTER_S)
        finally:
            for child in running:
                child.kill()

    def _stops_first(self, child: Child) -> str:
        """The kind of the child's services that is the first to stop."""
        kinds = {_kind(name): None for name in self._hosts[child.name]}
        return next(kind for kind in GRACE_S if kind in kinds)

    def _graces_s(self, child: Child) -> float:
        """How long the child may take: its services stop one after the other."""
        return sum(GRACE_S[_kind(name)] for name in self._hosts[child.name])

    def _expect_ends(self) -> None:
        self._stopping = True


def _shared_folder() -> dict[str, str]:
    return {"COVEY_SHARED_FOLDER": str(SHARED_MEMORY / f"covey-{os.getuid()}")} if SHARED_MEMORY.is_dir() else {}


def _kind(name: str) -> str:
    return name.partition("-")[0]

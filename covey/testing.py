"""The whole mesh in one process, for a unit test: the real shells and cores, over memory instead of sockets.

    async with app.test_client(nodes=2, workers=2) as mesh:
        outcome = await mesh.send(readings, 21.5, sensor="kitchen", minute=1)
        (verdict,) = outcome.objects(verdicts)

Nothing listens on a port and nothing is left behind: registry, metadata and durable objects are in memory. Stages run
on the CPU, in a thread for each worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from covey.batch import Object
from covey.client import Client, Found
from covey.clock import MonotonicClock
from covey.declare import Pipeline, Pool
from covey.errors import InvalidArgument, NotFound, Status, Unavailable
from covey.link import MemoryNetwork
from covey.model import ObjectRef, Outcome, Priority, Scope, TaskReads
from covey.registry import Member, MemoryRegistry
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.state import Limits as DatastoreLimits
from covey.services.datastore.shell import Shell as DatastoreShell
from covey.services.datastore.storage.memory import MemoryStorage
from covey.services.gateway.app import make_gateway
from covey.services.gateway.shell import Gateway
from covey.services.scheduler.core.machine import Scheduler
from covey.services.scheduler.core.served import Serving
from covey.services.scheduler.core.state import Limits as SchedulerLimits
from covey.services.scheduler.metadata import MemoryMetadata
from covey.services.scheduler.shell import SchedulerShell
from covey.services.worker.app import make_worker
from covey.services.worker.engine.base import Engine
from covey.services.worker.engine.cpu import CpuEngine
from covey.telemetry import NoTelemetry, Tracer
from covey.wire.datastore_client import DatastoreClient

DEADLINE_S = 10.0
"""The deadline of an event that names none: a test asks what comes out, not whether a busy machine was fast."""

TENANT = "default"
SCHEDULER = "scheduler"
MakeEngine = Callable[[MonotonicClock], Engine]
REGISTERED_S = 1e9
WATCH_S = 0.01
START_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """An event's outcome, with its objects decoded."""

    outcome: Outcome
    results: tuple[Object, ...]

    @property
    def status(self) -> Status:
        return self.outcome.status

    @property
    def incomplete(self) -> bool:
        return self.outcome.incomplete

    def objects(self, pool: Pool | str) -> list[Object]:
        """What the event led to in a pool that no stage is triggered by or needs, in key order."""
        name = _name(pool)
        found = [each for each, value in zip(self.results, self.outcome.results, strict=True) if value.ref.pool == name]
        return sorted(found, key=lambda each: each.key)


class Mesh:
    """A mesh within this process, spoken to by pool and fields; by key, as `covey.connect` does, through `client`."""

    def __init__(self, pipeline: Pipeline, client: Client, reads: Callable[[], Awaitable[list[TaskReads]]]) -> None:
        self.client = client
        self._pipeline = pipeline
        self._reads = reads

    async def send(
        self,
        pool: Pool | str,
        value: Any,
        /,
        *,
        deadline_s: float = DEADLINE_S,
        priority: Priority = Priority.HIGH,
        id: str = "",
        group: str = "",
        **fields: str | int,
    ) -> Result:
        """Send an event and wait for its outcome, which is OK: any other is raised as the CoveyError that it is."""
        key = self._key(pool, fields)
        outcome = await self.client.send(key, value, id=id, deadline_s=deadline_s, priority=priority, group=group)
        return Result(outcome, await self.client.results(outcome))

    async def put(
        self,
        pool: Pool | str,
        value: Any,
        /,
        *,
        group: str = "",
        previous_version: int | None = None,
        **fields: str | int,
    ) -> ObjectRef:
        """Store an object, and trigger nothing."""
        key = self._key(pool, fields)
        return await self.client.put(key, value, group=group, previous_version=previous_version)

    async def get(
        self, pool: Pool | str, /, *, version: int = 0, group: str = "", **fields: str | int
    ) -> Object | None:
        """One object: the version, or the latest; None if there is none."""
        return await self.client.get(self._key(pool, fields), version=version, group=group)

    async def last(self, pool: Pool | str, count: int, /, **fields: str | int) -> Found:
        """The objects with the `count` greatest indices, whose other fields are these."""
        series = self._pipeline.pools[_name(pool)].declaration.compiled.series(fields)
        return await self.client.last(series, count)

    async def reads(self) -> list[TaskReads]:
        """What the tasks of every event so far have read together: the evidence for `covey.suggesting.suggest`."""
        return await self._reads()

    async def cancel(self, id: str) -> bool:
        """Take an event back; whether it was open."""
        return await self.client.cancel(id)

    def subscribe(self, pool: Pool | str) -> AbstractAsyncContextManager[AsyncIterator[Object]]:
        """The objects put into a pool from now on, at least once."""
        return self.client.subscribe(_name(pool))

    def _key(self, pool: Pool | str, fields: dict[str, str | int]) -> str:
        template = self._pipeline.pools[_name(pool)].declaration.compiled
        unknown = [name for name in fields if name not in template.names]
        if unknown:
            raise InvalidArgument(f"{template.text!r} has no field {unknown[0]!r}")
        return template.render(fields)


@asynccontextmanager
async def run_mesh(
    pipeline: Pipeline,
    *,
    nodes: int = 1,
    workers: int = 1,
    make_engine: MakeEngine = CpuEngine,
    serving: Serving | None = None,
) -> AsyncIterator[Mesh]:
    """A mesh of so many datastore nodes and workers, which share the nodes; it ends with the context.

    `make_engine` makes each worker's device. With `serving` the pipeline is provisioned, and models are loaded when the
    plan asks for them.
    """
    failure: BaseException | None = None
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        parts = _Parts(stack, tasks, pipeline, make_engine, serving)
        stack.callback(parts.stop)
        await parts.registry.publish(TENANT, pipeline.declaration())
        for number in range(nodes):
            await parts.add_datastore(f"node-{number}")
        for number in range(workers):
            await parts.add_worker(f"worker-{number}", f"node-{number % nodes}")
        scheduler = parts.add_scheduler()
        client = Client(await parts.add_gateway(), pipeline.name, TENANT)
        async with asyncio.timeout(START_S_MAX):
            while len(scheduler.state.workers) < workers or not await _is_ready(client, nodes):  # noqa: ASYNC110
                await asyncio.sleep(WATCH_S)
        try:
            yield Mesh(pipeline, client, parts.reads)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  set aside: task groups would wrap it
            failure = error
    if failure is not None:
        raise failure


async def _is_ready(client: Client, nodes: int) -> bool:
    """Whether events would be taken: every node is a home, and every stage has a worker."""
    try:
        description = await client.describe()
    except (NotFound, Unavailable):
        return False
    return len(description.nodes) == nodes and not description.unserved


class _Parts:
    """Builds the services of one mesh; they find each other as they would between machines."""

    def __init__(
        self,
        stack: AsyncExitStack,
        tasks: asyncio.TaskGroup,
        pipeline: Pipeline,
        make_engine: MakeEngine,
        serving: Serving | None,
    ) -> None:
        self.registry = MemoryRegistry()
        self._stack = stack
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []
        self._pipeline = pipeline
        self._make_engine = make_engine
        self._serving = serving
        self._clock = MonotonicClock()
        self._network = MemoryNetwork()
        self._exchanges = MemoryNetwork()
        """Of datastores, which serve a leader at the same address."""
        self._storage = MemoryStorage(self._clock)
        self._metadata = MemoryMetadata()
        self._scheduler: SchedulerShell | None = None

    async def add_datastore(self, node: str) -> None:
        core = DatastoreCore(node, node, DatastoreLimits())
        shell = DatastoreShell(core, self._storage, self._exchanges.dial, self._clock)
        self._network.listen(node, shell.serve_lead)
        self._exchanges.listen(node, shell.serve_exchange)
        self._run(shell.run())
        await self.registry.register(Member("datastore", node, node, node), REGISTERED_S)

    async def add_worker(self, name: str, node: str) -> None:
        engine = self._make_engine(self._clock)
        self._stack.callback(engine.close)
        shell = make_worker(name, node, self._pipeline, engine, await self._datastores(), self._clock)
        if self._serving is None:
            await shell.load()
        self._network.listen(name, shell.serve_leader)
        self._run(shell.run())
        await self.registry.register(Member("worker", name, name, node, engine.device), REGISTERED_S)

    def add_scheduler(self) -> Scheduler:
        core = Scheduler(SchedulerLimits(suggest_sample=1), SCHEDULER, served=self._serving)
        dial, tracer = self._network.dial, Tracer(NoTelemetry(), Random())
        shell = SchedulerShell(
            SCHEDULER, core, dial, dial, self.registry, self._metadata, self._clock, tracer, watch_s=WATCH_S
        )
        self._scheduler = shell
        self._network.listen(SCHEDULER, shell.serve_gateway)
        self._run(shell.run(Member("scheduler", SCHEDULER, SCHEDULER)))
        return core

    async def add_gateway(self) -> Gateway:
        gateway = make_gateway("gateway", self._network.dial, await self._datastores(), self.registry, self._clock)
        self._run(gateway.run())
        return gateway

    async def reads(self) -> list[TaskReads]:
        if self._scheduler is not None:
            await self._scheduler.write_reads()
        return await self._metadata.reads(Scope(TENANT, self._pipeline.name))

    def stop(self) -> None:
        for task in self._running:
            task.cancel()

    def _run(self, shell: Coroutine[Any, Any, None]) -> None:
        self._running.append(self._tasks.create_task(shell))

    async def _datastores(self) -> DatastoreClient:
        return await self._stack.enter_async_context(DatastoreClient(self._exchanges.dial, self._clock))


def _name(pool: Pool | str) -> str:
    return pool if isinstance(pool, str) else pool.name

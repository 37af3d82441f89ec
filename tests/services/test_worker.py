"""A worker with a real CPU engine, between a leader and a datastore at the other ends of its links."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import pytest

import covey
from covey.beside import beside
from covey.clock import MonotonicClock
from covey.codec import decode, encode
from covey.declaration import Codec
from covey.errors import CoveyError, Reason, StageFailed, Status
from covey.grouping import rendezvous
from covey.link import Link, LinkClosed, MemoryNetwork
from covey.messages import (
    AssignLane,
    BatchReport,
    Beat,
    FromDatastore,
    Get,
    GetDone,
    LaneReady,
    LeaderJoined,
    Prefetch,
    Put,
    PutDone,
    RunBatch,
    SchedulerToWorker,
    Task,
    TaskReport,
    ToDatastore,
    View,
    WorkerJoined,
    WorkerToScheduler,
)
from covey.model import Answer, KeyRead, Node, ObjectRef, ObjectValue, Placement, Priority, Scope
from covey.services.datastore.core.answering import without_known
from covey.services.worker.app import make_worker
from covey.services.worker.core.machine import WorkerCore
from covey.services.worker.core.state import Identity, Limits
from covey.services.worker.engine.base import Coming, DeviceLost, Job, Ran
from covey.services.worker.engine.cpu import CpuEngine
from covey.services.worker.engine.emulated import EmulatedEngine
from covey.services.worker.metrics import counts, measure
from covey.services.worker.servicer import services
from covey.telemetry import NOTHING, Attributes, Metric, Span, SpanName, Tracer, mint_traceparent
from covey.wire.datastore_client import DatastoreClient
from covey.wire.endpoints import dial_worker
from covey.wire.server import serve

M = TypeVar("M", bound=WorkerToScheduler)
SCOPE = Scope("default", "sums")
CLOCK = MonotonicClock()
LOOP_THREAD = threading.get_ident()

app = covey.Pipeline("sums", objective_s=1.0)
numbers = app.pool("/numbers/{series}/{n:int}", group="{series}")
totals = app.pool("/totals/{series}", group="{series}")
seen = app.pool("/seen/{series}/{n:int}", group="{series}")
released = threading.Event()


@app.stage(on=numbers, needs=totals.latest(), emits=[totals, seen], batch_max=8)
def add(batch: Any) -> None:
    assert threading.get_ident() != LOOP_THREAD
    for task in batch:
        value = task.trigger.value
        if value == "hang":
            released.wait()
        if value == "fail":
            task.fail("no number")
        elif isinstance(value, str):
            raise ValueError(f"secret {value}")
        else:
            known = task.needs[totals]
            task.emit(totals, value + (known.value if known is not None else 0))
            task.emit(seen, value)


@app.stage(on=numbers, emits=seen, name="look", batch_max=8)
async def look(batch: Any) -> None:
    for task in batch:
        known = await task.get(totals)
        task.emit(seen, None if known is None else known.value)


class Scale:
    """A model that says where it was loaded."""

    def load(self, device: str) -> None:
        self.device = device

    def __call__(self, values: Any) -> Any:
        assert self.device == "cpu"
        return values * 10


odd = covey.pattern("/(?P<group>[0-9]*[13579])$")
scaled = app.pool("/scaled/{series}/{n:int}", group=odd, codec=Codec.ARRAY)


@app.stage(on=seen, emits=scaled, model=Scale, batch_max=8)
def scale(batch: Any, model: Any) -> None:
    values, _ = batch.stack(seen)
    for task, value in zip(batch, model(values), strict=True):
        task.emit("scaled", value)


class TinyDatastore:
    """Versions, nothing else. A node that has `moved` says so."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], list[bytes]] = {}
        self.puts: list[Put] = []
        self.gets: list[Get] = []
        self.moved = False
        self.was_put = asyncio.Event()

    async def serve(self, link: Link[FromDatastore, ToDatastore]) -> None:
        with suppress(LinkClosed):
            while True:
                for message in await link.receive():
                    link.send(self.answer_to(message))

    def answer_to(self, message: ToDatastore) -> FromDatastore:
        match message:
            case Put():
                return self.put(message)
            case Get():
                self.gets.append(message)
                answers = [self.answer(read) for read in message.reads]
                return GetDone(message.request, tuple(without_known(answers, message.known)))
            case _:
                raise AssertionError(message)

    def put(self, put: Put) -> PutDone:
        self.puts.append(put)
        self.was_put.set()
        if self.moved:
            return PutDone(put.request, None, Status.UNAVAILABLE, Reason.MOVED, "elsewhere")
        versions = self.objects.setdefault((put.ref.group, put.ref.key), [])
        versions.append(put.payload)
        return PutDone(put.request, replace(put.ref, version=len(versions)))

    def answer(self, read: Any) -> Answer:
        assert isinstance(read, KeyRead)
        versions = self.objects.get((read.group, read.key), [])
        version = read.version or len(versions)
        if not 0 < version <= len(versions):
            return Answer(status=Status.NOT_FOUND if read.required else Status.OK)
        payload = versions[version - 1]
        return Answer((ObjectValue(ObjectRef(read.pool, read.key, read.group, version, len(payload)), payload),))


class Leader:
    """The scheduler's end of the link."""

    def __init__(self, link: Link[SchedulerToWorker, WorkerToScheduler]) -> None:
        self.link = link
        self.waiting: list[WorkerToScheduler] = []
        self.number = 0

    def lead(self, *nodes: str, epoch: int = 1, number: int = 1) -> None:
        self.link.send(LeaderJoined(epoch, "s1"))
        self.link.send(View(epoch, number, Placement(1, tuple(Node(node, node) for node in nodes))))

    def run(self, *values: Any, stage: str = "add", pool: str = "numbers", **changes: Any) -> None:
        """Send a batch with a task for each value, all of one series."""
        self.number += 1
        tasks = []
        for n, value in enumerate(values):
            payload = encode(Codec.MSGPACK, value)
            trigger = ObjectValue(ObjectRef(pool, f"/{pool}/a/{n}", "a", 1, len(payload)), payload)
            identity = self.number.to_bytes(8, "big") + n.to_bytes(8, "big")
            state = changes.get("state", KeyRead("totals", "/totals/a", "a", 0, "n1", required=False))
            needs = (("totals", (state,)),) if stage == "add" else ()
            fields = (("series", "a"), ("n", n))
            deadline = CLOCK.now() + 20.0
            trace = changes.get("traceparent", "")
            tasks.append(Task(n, identity, "e", trigger, (), needs, fields, deadline, traceparent=trace))
        version = app.declaration().version
        self.link.send(RunBatch(self.number, 1, SCOPE, version, stage, Priority.HIGH, tuple(tasks)))

    async def next(self, kind: type[M]) -> M:
        """The next message of this kind."""
        async with asyncio.timeout(10):
            while True:
                for message in self.waiting:
                    if isinstance(message, kind):
                        self.waiting.remove(message)
                        return message
                self.waiting += await self.link.receive()

    async def report(self) -> BatchReport:
        return await self.next(BatchReport)


class Recorder:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: list[Metric] = []

    def span(self, span: Span) -> None:
        self.spans.append(span)

    def measure(self, metric: Metric, value: float, attributes: Attributes = NOTHING) -> None:
        self.metrics.append(metric)


@asynccontextmanager
async def a_worker(
    stores: dict[str, TinyDatastore],
    recorder: Recorder | None = None,
    slow_s: float = 0.0,
    over_grpc: bool = False,
    limits: Limits | None = None,
) -> AsyncIterator[Leader]:
    """A running worker near node n1, and the leader that speaks with it."""
    network = MemoryNetwork()
    for node, store in stores.items():
        network.listen(node, store.serve)
    cpu = CpuEngine(CLOCK, lanes=1)
    engine = EmulatedEngine(cpu, lambda stage, size: slow_s, CLOCK) if slow_s else cpu
    tracer = Tracer(recorder, Random(1)) if recorder is not None else None
    try:
        async with DatastoreClient(network.dial, CLOCK) as client:
            shell = make_worker("w1", "n1", app, engine, client, CLOCK, limits=limits, tracer=tracer)
            await shell.load()
            async with asyncio.TaskGroup() as group:
                running = group.create_task(shell.run())
                if over_grpc:
                    async with serve(services(shell, CLOCK)) as address, dial_worker(address) as link:
                        yield Leader(link)
                else:
                    network.listen("w1", shell.serve_leader)
                    async with network.dial("w1") as link:
                        yield Leader(link)
                running.cancel()
    finally:
        engine.close()


def values_in(task: TaskReport) -> dict[str, Any]:
    """Pool -> value, of the emissions that travelled with the report."""
    inline = [each.value for each in task.emissions if each.value.payload is not None]
    return {each.ref.pool: decode(Codec.MSGPACK, each.payload or b"") for each in inline}


def statuses(report: BatchReport) -> list[Status]:
    return [task.status for task in report.tasks]


@pytest.mark.asyncio
@pytest.mark.parametrize("over_grpc", [False, True])
async def test_a_batch_runs_and_what_it_emits_is_stored(over_grpc: bool) -> None:
    """The report comes after the home's acknowledgement, with versions, and with the payloads that are used next."""
    store = TinyDatastore()
    async with a_worker({"n1": store}, over_grpc=over_grpc) as leader:
        leader.lead("n1")
        joined = await leader.next(WorkerJoined)
        leader.run(3)
        report = await leader.report()

    assert joined == WorkerJoined("w1", "n1", "cpu", 1, ("sums/add", "sums/look", "sums/scale"), 1)
    (task,) = report.tasks
    assert task.status is Status.OK
    assert [(each.value.ref.pool, each.value.ref.version) for each in task.emissions] == [("totals", 1), ("seen", 1)]
    assert values_in(task) == {"seen": 3}
    assert store.objects["a", "/totals/a"] == [encode(Codec.MSGPACK, 3)]


@pytest.mark.asyncio
@pytest.mark.parametrize("over_grpc", [False, True])
async def test_a_lane_serves_the_stage_that_the_leader_assigns(over_grpc: bool) -> None:
    """A batch of another stage waits until the lane is free again, and the model comes and goes with the stage."""
    store = TinyDatastore()
    async with a_worker({"n1": store}, over_grpc=over_grpc) as leader:
        leader.lead("n1")
        leader.link.send(AssignLane(1, 0, "sums/scale"))
        ready = await leader.next(LaneReady)
        leader.run(3)
        leader.run([1.0, 1.0], stage="scale", pool="seen")
        scaled = await leader.report()
        leader.link.send(AssignLane(1, 0, "sums/add"))
        added = await leader.report()

    assert ready == LaneReady(1, 0, "sums/scale")
    assert (scaled.number, added.number) == (2, 1)
    assert statuses(scaled) == statuses(added) == [Status.OK]


@pytest.mark.asyncio
async def test_the_engine_is_told_what_has_been_read_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its payload, before the batch has a lane; for a stage without a model there is nothing to bring ahead."""
    told: list[Coming] = []
    monkeypatch.setattr(CpuEngine, "prefetch", lambda engine, coming: told.append(coming))
    store, payload = TinyDatastore(), encode(Codec.MSGPACK, [1.0, 1.0])
    store.objects["a", "/seen/a/0"] = [payload]
    async with a_worker({"n1": store}) as leader:
        leader.lead("n1")
        leader.run(3)
        await leader.report()
        trigger = ObjectValue(ObjectRef("seen", "/seen/a/0", "a", 1, len(payload)))
        task = Task(0, bytes(16), "e", trigger, (), (), (("series", "a"), ("n", 0)), CLOCK.now() + 20.0)
        leader.link.send(RunBatch(2, 1, SCOPE, app.declaration().version, "scale", Priority.LOW, (task,)))
        report = await leader.report()

    assert statuses(report) == [Status.OK]
    (coming,) = told
    assert (coming.stage, coming.scope, coming.priority) == (app.stages["scale"], SCOPE, Priority.LOW)
    assert [value.payload for value in coming.objects] == [payload]


@pytest.mark.asyncio
async def test_state_that_the_worker_wrote_comes_from_its_memory() -> None:
    """The next task of a stateful stage reads its predecessor's version without a round trip."""
    store = TinyDatastore()
    async with a_worker({"n1": store}) as leader:
        leader.lead("n1")
        for version, value in enumerate((3, 4, 5)):
            leader.run(value, state=KeyRead("totals", "/totals/a", "a", version, "n1", required=version > 0))
            await leader.report()

    assert [decode(Codec.MSGPACK, payload) for payload in store.objects["a", "/totals/a"]] == [3, 7, 12]
    assert len([get for get in store.gets if get.reads]) == 1


@pytest.mark.asyncio
async def test_a_stage_that_raises_costs_only_the_task_that_it_raised_for(caplog: pytest.LogCaptureFixture) -> None:
    """The batch is retried in halves; the exception is in the log, and not in the message."""
    async with a_worker({"n1": TinyDatastore()}) as leader:
        leader.lead("n1")
        leader.run(1, 2, "password", "fail")
        report = await leader.report()

    assert statuses(report) == [Status.OK, Status.OK, Status.FAILED_PRECONDITION, Status.FAILED_PRECONDITION]
    assert [task.message for task in report.tasks[2:]] == ["stage 'add' failed", "no number"]
    assert "secret password" in caplog.text


@pytest.mark.asyncio
async def test_an_async_stage_reads_what_it_could_not_name() -> None:
    """It runs on its thread's loop, its reads on the worker's; a read of another node is counted."""
    near, far = TinyDatastore(), TinyDatastore()
    async with a_worker({"n1": near, "n2": far}) as leader:
        leader.lead("n1", "n2")
        leader.run(1, stage="look")
        empty = await leader.report()
        for store in (near, far):
            store.objects["a", "/totals/a"] = [encode(Codec.MSGPACK, 42)]
        leader.run(1, stage="look")
        report = await leader.report()

    assert values_in(empty.tasks[0]) == {"seen": None}
    assert values_in(report.tasks[0]) == {"seen": 42}
    assert report.tasks[0].remote_gets == int(rendezvous(SCOPE, "a", ("n1", "n2")) == "n2")


@pytest.mark.asyncio
@pytest.mark.parametrize("over_grpc", [False, True])
async def test_what_the_leader_hints_at_is_read_ahead(over_grpc: bool) -> None:
    """The task finds it in memory, its home is asked once, and the report says what the read cost."""
    near, far = TinyDatastore(), TinyDatastore()
    far.objects["a", "/totals/a"] = [encode(Codec.MSGPACK, 40)]
    async with a_worker({"n1": near, "n2": far}, over_grpc=over_grpc) as leader:
        leader.lead("n1", "n2")
        read = KeyRead("totals", "/totals/a", "a", 0, "n2", required=False, as_of=CLOCK.now())
        leader.link.send(Prefetch(1, SCOPE, "e", (read,), CLOCK.now() + 20.0))
        leader.run(2, state=read)
        report = await leader.report()

    assert len(far.gets) == 1
    assert [put.payload for put in (*near.puts, *far.puts) if put.ref.pool == "totals"] == [encode(Codec.MSGPACK, 42)]
    assert (report.tasks[0].remote_gets, report.tasks[0].bytes_moved >= 1) == (1, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("cache_reads", [False, True])
async def test_a_cache_spares_the_payload_and_never_the_question(cache_reads: bool) -> None:
    """What another node still has in the version that is here does not travel again, and what is new there is seen."""
    far = TinyDatastore()
    read = KeyRead("totals", "/totals/b", "b", 0, "n2", required=False, as_of=1.0)
    read_bytes, totals = [], []
    async with a_worker({"n2": far}, limits=Limits(cache_reads=cache_reads, cached_bytes_min=0)) as leader:
        leader.lead("n2")
        for version, known in ((1, 1000), (1, 1000), (2, 2000), (2, 2000)):
            far.objects["b", "/totals/b"] = [encode(Codec.MSGPACK, known)] * version
            far.puts.clear()
            leader.run(1, state=read)
            (task,) = (await leader.report()).tasks
            assert task.remote_gets == 1
            read_bytes.append(task.bytes_moved - sum(put.ref.size for put in far.puts))
            totals += [decode(Codec.MSGPACK, put.payload) for put in far.puts if put.ref.pool == "totals"]

    assert totals == [1001, 1001, 2001, 2001]
    assert read_bytes == ([3, 0, 3, 0] if cache_reads else [3, 3, 3, 3])


@pytest.mark.asyncio
async def test_what_a_stage_gets_by_itself_is_cached_too() -> None:
    """The second get of a version moves nothing but the question."""
    far = TinyDatastore()
    far.objects["a", "/totals/a"] = [encode(Codec.MSGPACK, 1000)]
    moved, values = [], []
    async with a_worker({"n2": far}, limits=Limits(cache_reads=True, cached_bytes_min=0)) as leader:
        leader.lead("n2")
        for _ in range(3):
            leader.run(1, stage="look")
            (task,) = (await leader.report()).tasks
            moved.append(task.bytes_moved)
            values.append(values_in(task)["seen"])

    put_bytes = 3
    assert values == [1000] * 3
    assert moved == [3 + put_bytes, put_bytes, put_bytes]


@pytest.mark.asyncio
async def test_a_model_is_loaded_and_given_tensors() -> None:
    """A stage with a model stacks onto the lane's device, and emits what the model answers."""
    store = TinyDatastore()
    async with a_worker({"n1": store}) as leader:
        leader.lead("n1")
        leader.run(1.5, 2.5, stage="scale", pool="seen")
        report = await leader.report()

    assert statuses(report) == [Status.OK, Status.OK]
    assert [float(decode(Codec.ARRAY, put.payload)) for put in store.puts] == [15.0, 25.0]


@pytest.mark.asyncio
async def test_keys_that_no_rule_matches_are_counted() -> None:
    """An emission whose key the pool's group rule leaves alone is a group of its own, and counts."""
    recorder = Recorder()
    async with a_worker({"n1": TinyDatastore()}, recorder) as leader:
        leader.lead("n1")
        leader.run(*[1.5] * 5, stage="scale", pool="seen")
        await leader.report()

    assert recorder.metrics.count(Metric.KEYS_UNGROUPED) == 3


@pytest.mark.asyncio
async def test_a_moved_home_is_found_again() -> None:
    """A put that was refused with MOVED goes to the home of the next view, under the same id."""
    old, new = TinyDatastore(), TinyDatastore()
    old.moved = True
    async with a_worker({"old": old, "new": new}) as leader:
        leader.lead("old")
        leader.run(3, state=KeyRead("totals", "/totals/a", "a", 0, "old", required=False))
        await old.was_put.wait()
        leader.link.send(View(1, 2, Placement(2, (Node("new", "new"),))))
        report = await leader.report()

    assert statuses(report) == [Status.OK]
    assert {put.emission for put in new.puts} == {put.emission for put in old.puts}


@pytest.mark.asyncio
async def test_a_stage_that_hangs_stops_neither_the_heartbeat_nor_the_worker() -> None:
    """The loop goes on, the age of the batch tells on it, and the worker stops without waiting for it."""
    released.clear()
    try:
        async with a_worker({"n1": TinyDatastore()}) as leader:
            leader.lead("n1")
            leader.run("hang")
            beats = [await leader.next(Beat) for _ in range(3)]
    finally:
        released.set()

    assert beats[-1].oldest_s > beats[0].oldest_s > 0
    assert beats[-1].finished == 0


@pytest.mark.asyncio
async def test_an_emulated_device_is_busy_for_its_profiled_time_and_says_that_it_is_emulated() -> None:
    """What it emits is real, how long it takes is not."""
    async with a_worker({"n1": TinyDatastore()}, slow_s=0.05) as leader:
        leader.lead("n1")
        joined = await leader.next(WorkerJoined)
        leader.run(3)
        report = await leader.report()

    assert joined.device == "emulated on cpu"
    assert report.compute_s >= 0.05
    assert values_in(report.tasks[0]) == {"seen": 3}


@pytest.mark.asyncio
async def test_a_batch_is_told_to_telemetry() -> None:
    """Each sampled task has the phases that its batch went through, under its own span."""
    recorder = Recorder()
    parent = mint_traceparent(Random(7))
    async with a_worker({"n1": TinyDatastore()}, recorder) as leader:
        leader.lead("n1")
        leader.run(3, traceparent=parent)
        await leader.report()

    phases = [span.name for span in recorder.spans if span.parent == parent]
    assert phases == [SpanName.STORE, SpanName.COMPUTE, SpanName.FETCH]
    (batch,) = [span for span in recorder.spans if span.name is SpanName.BATCH]
    assert batch.links == (parent,)
    assert Metric.COMPUTE_TIME in recorder.metrics


class Broken:
    def load(self, device: str) -> None:
        raise FileNotFoundError("weights")

    def __call__(self, values: Any) -> Any:
        return values


@pytest.mark.asyncio
async def test_a_model_that_does_not_load_is_said_at_the_start() -> None:
    """The stage is named; why is in the log."""
    pipeline = covey.Pipeline("broken", objective_s=1.0)
    things = pipeline.pool("/things/{n:int}")

    @pipeline.stage(on=things, model=Broken)
    def use(batch: Any, model: Any) -> None: ...

    engine = CpuEngine(CLOCK)
    async with DatastoreClient(MemoryNetwork().dial, CLOCK) as client:
        shell = make_worker("w1", "n1", pipeline, engine, client, CLOCK)
        with pytest.raises(StageFailed, match="'use'"):
            await shell.load()
    engine.close()


class DyingEngine(CpuEngine):
    async def run(self, job: Job, lane: int) -> Ran:
        raise DeviceLost("an illegal memory access was encountered")


@pytest.mark.asyncio
async def test_a_worker_that_lost_its_device_reports_and_ends() -> None:
    """The leader hears it before the process ends, so that the tasks go elsewhere at once."""
    network = MemoryNetwork()
    engine = DyingEngine(CLOCK)
    async with DatastoreClient(network.dial, CLOCK) as client:
        shell = make_worker("w1", "n1", app, engine, client, CLOCK)
        network.listen("w1", shell.serve_leader)
        async with asyncio.TaskGroup() as group, network.dial("w1") as link:
            running = group.create_task(ended(shell.run()))
            leader = Leader(link)
            leader.lead("n1")
            leader.run(1, stage="look")
            report = await leader.report()
            lost = await running
    engine.close()

    assert [(task.status, task.reason) for task in report.tasks] == [(Status.UNAVAILABLE, Reason.WORKER_LOST)]
    assert "illegal memory access" in lost


async def ended(running: Awaitable[None]) -> str:
    """What the one error says that this ended with, however deep in groups."""
    said = ""
    try:
        await running
    except* CoveyError as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            (error,) = error.exceptions
        said = str(error)
    return said


@pytest.mark.asyncio
async def test_the_memory_of_a_worker_is_told_to_telemetry() -> None:
    """Hits and misses as amounts since the last time, bytes as they are."""
    core = WorkerCore(Identity("w1", "n1", "cpu", (None,), ()), Limits())
    core.state.counters.prefetch_hits = 3
    recorder = Recorder()
    async with beside(measure(core.state, recorder, "w1")):
        while Metric.CACHE_BYTES not in recorder.metrics:  # noqa: ASYNC110
            await asyncio.sleep(0)

    assert {metric for metric in Metric if metric.name.startswith("CACHE_")} <= set(recorder.metrics)
    assert counts(core.state)["prefetch"][Metric.CACHE_HITS] == 3

"""Links over real gRPC on loopback."""

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from covey.clock import MonotonicClock
from covey.errors import Reason, Unavailable
from covey.grouping import Scope
from covey.link import Link, LinkClosed
from covey.messages import (
    Beat,
    CancelEvent,
    FromDatastore,
    Get,
    GetDone,
    LeaderJoined,
    NodeJoined,
    Put,
    SchedulerToWorker,
    ToDatastore,
    WorkerJoined,
    WorkerToScheduler,
)
from covey.model import Answer, KeyRead, ObjectRef, ObjectValue
from covey.wire.channel import open_channel
from covey.wire.endpoints import (
    EXCHANGE,
    RUN,
    SUBMIT,
    datastore_servicer,
    dial_datastore,
    dial_datastore_lead,
    dial_scheduler,
    dial_worker,
    scheduler_servicer,
    worker_servicer,
)
from covey.wire.server import serve

pytestmark = pytest.mark.asyncio

SCOPE = Scope("tenant", "pipeline")


async def echo_beats(link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
    while True:
        for message in await link.receive():
            if isinstance(message, Beat):
                link.send(message)


async def receive(link: Link[object, object], count: int) -> list[object]:
    """Exactly as many messages, however they come."""
    found: list[object] = []
    while len(found) < count:
        found.extend(await link.receive())
    return found


@asynccontextmanager
async def worker_at() -> AsyncIterator[str]:
    async with serve([worker_servicer(echo_beats)]) as address:
        yield address


async def test_messages_go_both_ways_in_order() -> None:
    """What is sent on a link comes out at the other end, whole and in order."""
    beats = [Beat(queued=number) for number in range(5_000)]
    async with worker_at() as address, dial_worker(address) as link:
        for beat in beats:
            link.send(beat)

        assert await receive(link, len(beats)) == beats


async def test_pending_messages_travel_together() -> None:
    """Thousands of messages that are sent at once arrive in a few receives."""
    async with worker_at() as address, dial_worker(address) as link:
        for number in range(5_000):
            link.send(Beat(queued=number))

        receives, found = 0, 0
        while found < 5_000:
            receives, found = receives + 1, found + len(await link.receive())

    assert receives < 50


async def serve_store(link: Link[FromDatastore, ToDatastore]) -> None:
    """A datastore that knows one object: the one that was put last."""
    kept = ObjectValue(ObjectRef("pool", "/k", "g"), b"")
    while True:
        for message in await link.receive():
            match message:
                case Put():
                    kept = ObjectValue(message.ref, message.payload)
                case Get():
                    link.send(GetDone(message.request, (Answer((kept,)),)))


async def join_node(link: Link[object, object]) -> None:
    await link.receive()
    link.send(NodeJoined("node", "address"))
    await link.receive()


async def test_a_large_object_goes_there_and_back() -> None:
    """8 MiB are cut into parts and joined again, in both directions."""
    payload = bytes(range(256)) * (8 * 4096)
    async with (
        serve([datastore_servicer(exchange=serve_store, lead=join_node)]) as address,
        dial_datastore(address) as link,
    ):
        link.send(Put(1, SCOPE, ObjectRef("pool", "/k", "g"), payload))
        link.send(Get(2, SCOPE, (KeyRead("pool", "/k", "g", 0, "node", True),), MonotonicClock().now() + 5))

        (done,) = await receive(link, 1)

    assert isinstance(done, GetDone)
    assert done.answers[0].objects[0].payload == payload


async def test_one_server_has_all_streams_of_its_service() -> None:
    """The leader's stream of a datastore stands beside the one for objects."""
    async with (
        serve([datastore_servicer(exchange=serve_store, lead=join_node)]) as address,
        dial_datastore_lead(address) as link,
    ):
        link.send(LeaderJoined(1, "scheduler"))

        assert await link.receive() == [NodeJoined("node", "address")]


@pytest.mark.parametrize("method", [RUN, SUBMIT, EXCHANGE])
async def test_malformed_bytes_are_the_callers_mistake(method: object) -> None:
    """Bytes that are no message end the stream with INVALID_ARGUMENT, and the server goes on serving."""

    async def listen(link: Link[object, object]) -> None:
        while True:
            await link.receive()

    servicers = [worker_servicer(listen), scheduler_servicer(listen), datastore_servicer(listen, listen)]
    async with serve(servicers) as address, open_channel(address) as channel:
        call = channel.stream_stream(method.path)()  # type: ignore[attr-defined]
        await call.write(b"\x0a\xff\xff\xff")

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details().startswith("MALFORMED: ")
        async with dial_scheduler(address) as link:
            link.send(CancelEvent(SCOPE, "e"))


async def test_nobody_there_is_unavailable() -> None:
    """Dialing an address where nobody listens fails in time."""
    async with asyncio.timeout(3):
        with pytest.raises(Unavailable):
            async with dial_worker("127.0.0.1:1"):
                pass


async def test_what_the_body_raises_leaves_as_it_is() -> None:
    """An error inside `async with dial(...)` comes out unchanged, not in a group."""
    async with worker_at() as address:
        with pytest.raises(KeyError, match="mine"):
            async with dial_worker(address):
                raise KeyError("mine")


async def test_closing_tells_the_other_end() -> None:
    """A link that its dialer leaves is closed for who serves it, without an error, and what was queued arrives."""
    seen: list[object] = []
    ended = asyncio.Event()

    async def listen(link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
        try:
            while True:
                seen.extend(await link.receive())
        except LinkClosed:
            ended.set()

    async with serve([worker_servicer(listen)]) as address:
        async with dial_worker(address) as link:
            for number in range(100):
                link.send(Beat(queued=number))
        async with asyncio.timeout(2):
            await ended.wait()

    assert seen == [Beat(queued=number) for number in range(100)]


async def test_a_served_link_that_ends_tells_the_dialer() -> None:
    """When whoever serves returns, the dialer receives what was sent, and then that the link is closed."""

    async def greet(link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
        link.send(WorkerJoined("w", "n", "cpu", 1, ()))

    async with serve([worker_servicer(greet)]) as address, dial_worker(address) as link:
        assert await link.receive() == [WorkerJoined("w", "n", "cpu", 1, ())]
        with pytest.raises(LinkClosed):
            await link.receive()


async def test_a_failure_of_who_serves_is_our_bug() -> None:
    """An exception of a shell reaches the dialer as an opaque BUG, not as its text."""

    async def stumble(link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
        await link.receive()
        raise ZeroDivisionError("secret")

    async with serve([worker_servicer(stumble)]) as address, dial_worker(address) as link:
        link.send(Beat())
        with pytest.raises(LinkClosed) as caught:
            await link.receive()

    assert caught.value.reason is Reason.BUG
    assert "secret" not in caught.value.message


async def test_a_server_that_stops_hangs_up() -> None:
    """Stopping a server closes its links at once, however idle they are, and leaves no serving task."""
    ended: list[str] = []

    async def listen(link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
        try:
            while True:
                await link.receive()
                link.send(Beat())
        finally:
            ended.append(link.peer)

    async with asyncio.timeout(3):
        server = serve([worker_servicer(listen)])
        address = await server.__aenter__()
        async with dial_worker(address) as link:
            link.send(Beat())
            await link.receive()
            await server.__aexit__(None, None, None)

            assert len(ended) == 1
            with pytest.raises(LinkClosed):
                await link.receive()


async def test_a_full_queue_closes_the_link() -> None:
    """A peer that does not read is cut off instead of filling our memory."""

    async def flood(link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
        for _ in range(100_001):
            link.send(Beat())
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        reasons.append(caught.value.reason)

    reasons: list[Reason] = []
    async with serve([worker_servicer(flood)]) as address, dial_worker(address) as link:
        link.send(Beat())
        with pytest.raises(LinkClosed):
            await receive(link, 100_001)

    assert reasons == [Reason.SLOW_READER]


async def test_what_cannot_be_written_closes_the_link() -> None:
    """A message with a number that no field holds is our bug: the link breaks, and nobody waits for an answer."""
    async with worker_at() as address, dial_worker(address) as link:
        link.send(Beat(queued=2**70))

        async with asyncio.timeout(1):
            with pytest.raises(LinkClosed) as caught:
                await link.receive()

    assert caught.value.reason is Reason.BUG


async def test_a_slow_reader_slows_its_writer() -> None:
    """While nobody receives, the other end can write no more than windows and bounds let it."""
    written = 0

    async def pour(link: Link[FromDatastore, ToDatastore]) -> None:
        nonlocal written
        answer = Answer((ObjectValue(ObjectRef("pool", "/k", "g"), bytes(200_000)),))
        for number in range(500):  # 100 MB
            link.send(GetDone(number, (answer,)))
        previous = -1
        while link.queued != previous:  # until it stands still
            previous = link.queued
            await asyncio.sleep(0.2)
        written = 500 - link.queued
        stalled.set()
        await link.receive()

    stalled = asyncio.Event()
    async with (
        serve([datastore_servicer(exchange=pour, lead=join_node)]) as address,
        dial_datastore(address) as link,
    ):
        await stalled.wait()
        assert written < 250
        assert len(await receive(link, 500)) == 500


def worker_process(connection: "multiprocessing.connection.Connection") -> None:
    """A worker in a process of its own that says where it listens."""

    async def main() -> None:
        async with worker_at() as address:
            connection.send(address)
            await asyncio.Event().wait()

    asyncio.run(main())


@pytest.mark.parametrize("reading", [True, False])
async def test_a_killed_peer_closes_the_link(reading: bool) -> None:
    """kill -9 of the peer ends the link within a second, whether or not something was under way."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=worker_process, args=(there,))
    process.start()
    try:
        address = await asyncio.to_thread(here.recv)
        async with dial_worker(address) as link:
            link.send(Beat(queued=1))
            assert await link.receive() == [Beat(queued=1)]
            if not reading:
                link.send(Beat(queued=2))
            assert process.pid is not None
            process.kill()

            async with asyncio.timeout(1):
                with pytest.raises(LinkClosed):
                    await receive(link, 1_000)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL


def caller_process(address: str) -> None:
    """A leader in a process of its own that says one thing and waits."""

    async def main() -> None:
        async with dial_worker(address) as link:
            link.send(Beat(queued=1))
            await asyncio.Event().wait()

    asyncio.run(main())


async def test_a_killed_caller_closes_the_link() -> None:
    """kill -9 of the caller ends the link for who serves it, by LinkClosed and not by being cancelled."""
    endings: asyncio.Queue[BaseException] = asyncio.Queue()
    heard = asyncio.Event()

    async def listen(link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
        try:
            while True:
                await link.receive()
                heard.set()
        except BaseException as error:
            endings.put_nowait(error)
            raise

    async with serve([worker_servicer(listen)]) as address:
        process = multiprocessing.get_context("spawn").Process(target=caller_process, args=(address,))
        process.start()
        try:
            await heard.wait()
            process.kill()
            async with asyncio.timeout(1):
                assert isinstance(await endings.get(), LinkClosed)
        finally:
            process.kill()
            process.join()

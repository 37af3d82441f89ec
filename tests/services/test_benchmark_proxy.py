"""The delaying proxy in front of real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from benchmarks.grouping.proxy import IN_FLIGHT_BYTES_MAX, Proxy, running_proxy
from covey.clock import MonotonicClock

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def served(handler: Handler, port: int = 0) -> AsyncIterator[int]:
    """A server with this handler; gives its port, and ends when its connections have."""
    open_handlers: list[asyncio.Event] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_handlers.append(ended := asyncio.Event())
        with contextlib.suppress(ConnectionError):
            await handler(reader, writer)
        await closed(writer)
        ended.set()

    async with await asyncio.start_server(handle, "127.0.0.1", port) as server:
        yield int(server.sockets[0].getsockname()[1])
        for ended in open_handlers:
            await ended.wait()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def fronted(
    handler: Handler, delay_s: float
) -> AsyncIterator[tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A server, the proxy before it, and one connection through both."""
    async with served(handler) as port, running_proxy() as proxy:
        proxy.wire.delay_s = delay_s
        reader, writer = await connection(await proxy.front("127.0.0.1", port))
        yield proxy, reader, writer
        await closed(writer)


async def connection(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.asyncio
async def test_bytes_take_at_least_the_delay_each_way() -> None:
    """An echo is back no earlier than twice the delay, and earlier once the delay is taken away."""
    now = MonotonicClock().now
    async with fronted(echo, 0.05) as (proxy, reader, writer):
        started = now()
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        assert now() - started >= 0.1
        assert await proxy.answer("delay 0") == "ok"
        assert proxy.wire.delay_s == 0.0
        writer.write(b"pong")
        assert await reader.readexactly(4) == b"pong"


@pytest.mark.asyncio
async def test_every_byte_arrives_once_and_in_order_while_the_delay_changes() -> None:
    """What is sent before the delay is shortened stays ahead of what is sent after."""
    sent = Random(1).randbytes(2_000_000)
    async with fronted(echo, 0.02) as (proxy, reader, writer), asyncio.TaskGroup() as tasks:

        async def send() -> None:
            for number in range(0, len(sent), 50_000):
                proxy.wire.delay_s = (0.02, 0.0, 0.001)[number // 50_000 % 3]
                writer.write(sent[number : number + 50_000])
                await writer.drain()

        tasks.create_task(send())
        assert await reader.readexactly(len(sent)) == sent


@pytest.mark.asyncio
async def test_the_end_of_a_connection_comes_after_its_last_bytes() -> None:
    """A server that answers and hangs up is heard to the end, through a delay."""

    async def farewell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 100_000)
        await writer.drain()

    async with fronted(farewell, 0.01) as (_, reader, _writer):
        assert len(await reader.read(-1)) == 100_000


@pytest.mark.asyncio
async def test_a_client_that_leaves_is_told_to_the_server() -> None:
    """The server's side is closed, too, after the delay."""
    left = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        left.set()

    async with fronted(wait, 0.01) as (_, _reader, writer):
        writer.write(b"bye")
        writer.close()
        async with asyncio.timeout(5):
            await left.wait()


@pytest.mark.asyncio
async def test_a_sender_is_not_read_from_while_the_receiver_does_not_read() -> None:
    """What the proxy holds for a receiver that reads nothing stays bounded."""
    release = asyncio.Event()
    stalled = asyncio.Event()
    written = 0

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()

    async with fronted(never, 0.0) as (_, _reader, writer), asyncio.TaskGroup() as tasks:

        async def push() -> None:
            nonlocal written
            while True:
                writer.write(bytes(1 << 20))
                try:
                    async with asyncio.timeout(1.0):
                        await writer.drain()
                except TimeoutError:
                    stalled.set()
                    return
                written += 1 << 20
                assert written < 8 * IN_FLIGHT_BYTES_MAX, "the proxy holds whatever it is sent"

        tasks.create_task(push())
        async with asyncio.timeout(20):
            await stalled.wait()
        release.set()


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_refuses_through_the_proxy() -> None:
    """The connection ends at once, and a server that comes up later is reached."""
    async with served(echo) as port:
        pass
    async with running_proxy() as proxy:
        address = await proxy.front("127.0.0.1", port)
        reader, writer = await connection(address)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        await closed(writer)
        async with served(echo, port):
            reader, writer = await connection(address)
            writer.write(b"here")
            assert await reader.readexactly(4) == b"here"
            await closed(writer)


@pytest.mark.asyncio
async def test_connections_end_with_the_proxy() -> None:
    """Neither side is left with a connection that nobody carries."""
    async with served(echo) as port:
        async with running_proxy() as proxy:
            reader, writer = await connection(await proxy.front("127.0.0.1", port))
            writer.write(b"here")
            assert await reader.readexactly(4) == b"here"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        await closed(writer)


@pytest.mark.asyncio
async def test_what_it_is_asked_on_a_line_it_answers_on_a_line() -> None:
    """`front`, `delay` and `cpu` are known; anything else is asked back."""
    async with running_proxy() as proxy:
        assert (await proxy.answer("front 127.0.0.1:9")).startswith("127.0.0.1:")
        assert await proxy.answer("delay 0.002") == "ok"
        assert float(await proxy.answer("cpu")) > 0.0
        assert "what is" in await proxy.answer("dance")

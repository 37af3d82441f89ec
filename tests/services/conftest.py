"""Real servers that the tests of a session share, one of each kind; each test finds its own empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from covey.valkey import Client, valkey_client
from tests.worlds_valkey import SERVERS, running_server

StartServer = Callable[[str], str]


@pytest.fixture(scope="session")
def start_server() -> Iterator[StartServer]:
    """The URL of the session's server of a kind, which is started when it is first asked for."""
    urls: dict[str, str] = {}
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack = AsyncExitStack()

        def start(kind: str) -> str:
            if kind not in urls:
                urls[kind] = runner.run(stack.enter_async_context(running_server(kind)))
            return urls[kind]

        try:
            yield start
        finally:
            runner.run(stack.aclose())


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, start_server: StartServer) -> str:
    """The URL of a server of each kind in turn."""
    return start_server(request.param)


@pytest_asyncio.fixture
async def client(server: str) -> AsyncIterator[Client]:
    """A client of the server, which is empty."""
    async with valkey_client(server) as client:
        await client.flushall()
        yield client

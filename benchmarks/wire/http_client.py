"""The least of an HTTP/1.1 client: POST over connections that stay, one request on each at a time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from benchmarks.wire.subject import Failed

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 200 "


class _Connection(asyncio.Protocol):
    """Answers come whole, and with a length."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answer.set_result(b"")
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none, but does what one does

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if not self._answer.done():
            self._answer.set_exception(Failed(f"the connection ended: {error}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is None or not head.startswith(_OK):
            self.transport.abort()
            self._settle(Failed(head.partition(b"\r\n")[0].decode(errors="replace")))
        elif len(body) == int(length[1]):
            self._received = b""
            self._settle(body)

    def _settle(self, answer: bytes | Failed) -> None:
        if self._answer.done():  # whoever asked was cancelled
            return
        if isinstance(answer, Failed):
            self._answer.set_exception(answer)
        else:
            self._answer.set_result(answer)

    async def ask(self, request: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


class HttpClient:
    """Opens a connection when all others are waiting for answers."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._all: list[_Connection] = []
        self._idle: list[_Connection] = []

    async def post(self, path: str, body: bytes) -> bytes:
        """The answer's body. Raises Failed when there is none, or its status is not 200."""
        head = f"POST {path} HTTP/1.1\r\nHost: {self._address}\r\nContent-Type: application/octet-stream\r\n"
        while self._idle and not self._idle[-1].open:  # the server ended it meanwhile
            self._idle.pop()
        connection = self._idle.pop() if self._idle else await self._connected()
        answer = await connection.ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if connection.open:
            self._idle.append(connection)
        return answer

    async def _connected(self) -> _Connection:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        except OSError as error:
            raise Failed(str(error)) from None
        self._all.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._all:
            connection.transport.abort()


@asynccontextmanager
async def http_client(address: str) -> AsyncIterator[HttpClient]:
    """A client whose connections end with the body."""
    client = HttpClient(address)
    try:
        yield client
    finally:
        client.close()

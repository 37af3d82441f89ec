"""What the commands that call a gateway share: where it is, what they send, and how they end.

The exit code is 0 when it went well, 1 when the mesh said no (with its status, reason and sentence on stderr), and 2
when the command line itself was wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from covey.client import ADDRESS, TENANT, Client, connect
from covey.declaration import Codec
from covey.errors import CoveyError, InvalidArgument

Gateway = Annotated[str, typer.Option(envvar="COVEY_GATEWAY", help="Where the gateway listens.")]
Tenant = Annotated[str, typer.Option(envvar="COVEY_TENANT", help="Whose pipelines.")]
Pipeline = Annotated[str, typer.Argument(help="The pipeline's name, as it was declared.")]
RedisUrl = Annotated[
    str,
    typer.Option(
        envvar="COVEY_REDIS_URL", help="The mesh's Valkey or Redis, such as the valkey address that `covey up` prints."
    ),
]
Json = Annotated[str | None, typer.Option("--json", help="The value, as JSON.")]
File = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A file that holds the value.")]

VALUE_CHARS_MAX = 400
"""Of a value, as the commands print it."""

__all__ = [
    "ADDRESS", "TENANT", "File", "Gateway", "Json", "Pipeline", "RedisUrl", "Tenant",
    "call", "console", "leave", "refused", "shown", "value_of",
]  # fmt: skip

console = Console(highlight=False)


def call(gateway: str, pipeline: str, tenant: str, work: Callable[[Client], Awaitable[int]]) -> None:
    """Do `work` with a client and leave with its exit code."""
    leave(_called(gateway, pipeline, tenant, work))


def leave(work: Coroutine[Any, Any, int]) -> None:
    """Do `work` and leave with its exit code, or with 1 and the sentence of a CoveyError."""
    try:
        code = asyncio.run(work)
    except CoveyError as error:
        refused(error)
        code = 1
    raise typer.Exit(code)


def refused(error: CoveyError) -> None:
    """Say on stderr why not."""
    Console(stderr=True, highlight=False).print(
        f"[red]{error.status}[/] {error.reason}: {error.message}", soft_wrap=True
    )


async def _called(gateway: str, pipeline: str, tenant: str, work: Callable[[Client], Awaitable[int]]) -> int:
    async with connect(gateway, pipeline, tenant) as client:
        return await work(client)


def value_of(codec: Codec, text: str | None, file: Path | None) -> Any:
    """The value to send: `--json`, the file, or stdin. For a pool of bytes it is taken as it is, else read as JSON."""
    data = text.encode() if text is not None else file.read_bytes() if file is not None else sys.stdin.buffer.read()
    if codec is Codec.BYTES:
        return data
    try:
        return json.loads(data)
    except ValueError as error:
        raise InvalidArgument(f"the value is not JSON: {error}") from None


def shown(value: Any) -> str:
    """A value for a person, cut short."""
    text = str(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}… ({len(text):,} characters)"

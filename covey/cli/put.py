"""`covey put`: store an object."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from covey.cli.calling import ADDRESS, TENANT, File, Gateway, Json, Pipeline, Tenant, call, console, value_of
from covey.client import Client


def put(
    pipeline: Pipeline,
    key: Annotated[str, typer.Argument(help="The object's key, which says the pool.")],
    json: Json = None,
    file: File = None,
    group: Annotated[str, typer.Option(help="A group, instead of the one that the pool's rule names.")] = "",
    previous_version: Annotated[
        int | None, typer.Option(min=0, help="Put only if this is the current version; 0: only if there is none.")
    ] = None,
    gateway: Gateway = ADDRESS,
    tenant: Tenant = TENANT,
) -> None:
    """Store an object and trigger nothing. The value comes from --json, --file or stdin."""

    async def work(client: Client) -> int:
        value = value_of(await client.codec_of(key), json, file)
        ref = await client.put(key, value, group=group, previous_version=previous_version)
        console.print(f"{escape(ref.key)} version {ref.version} in group {escape(ref.group)}, {ref.size:,} bytes")
        return 0

    call(gateway, pipeline, tenant, work)

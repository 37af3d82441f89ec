"""`covey get`: read objects."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from covey.cli.calling import ADDRESS, TENANT, Gateway, Pipeline, Tenant, call, console, shown
from covey.client import Client, Found


def get(
    pipeline: Pipeline,
    key: Annotated[str, typer.Argument(help="The object's key.")] = "",
    version: Annotated[int, typer.Option(min=0, help="With a key: this version; 0: the latest.")] = 0,
    group: Annotated[str, typer.Option(help="With a key: the group that it was put with.")] = "",
    series: Annotated[str, typer.Option(help="A key with * for its index: the last objects.")] = "",
    prefix: Annotated[str, typer.Option(help="The current objects under this prefix.")] = "",
    count: Annotated[int, typer.Option(min=1, help="How many, of a series or under a prefix.")] = 10,
    gateway: Gateway = ADDRESS,
    tenant: Tenant = TENANT,
) -> None:
    """Read one object by its KEY, the last of a --series, or what is under a --prefix."""
    if sum(bool(one) for one in (key, series, prefix)) != 1:
        raise typer.BadParameter("say one of KEY, --series and --prefix")

    async def work(client: Client) -> int:
        if key:
            found = await client.get(key, version=version, group=group)
            return _show(Found(() if found is None else (found,), complete=True), key)
        if series:
            return _show(await client.last(series, count), series)
        return _show(await client.scan(prefix, count), prefix)

    call(gateway, pipeline, tenant, work)


def _show(found: Found, what: str) -> int:
    """Print what was found; the exit code says whether there was anything."""
    if not found.complete:
        console.print("[yellow]something that was there has been lost or evicted[/]")
    if not found:
        console.print(f"nothing at {escape(what)}")
        return 1
    table = Table("key", "version", "value", box=None)
    for one in found:
        table.add_row(escape(one.key), str(one.version), escape(shown(one.value)))
    console.print(table)
    return 0

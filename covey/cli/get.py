"""`covey get`: read objects."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from covey.cli.calling import ADDRESS, TENANT, Gateway, Pipeline, Tenant, call, console, shown
from covey.cli.spans import seconds_of
from covey.client import Client, Found
from covey.clock import wall_time_ns


def get(
    pipeline: Pipeline,
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="The objects' keys.")] = None,
    version: Annotated[int, typer.Option(min=0, help="With one key: this version; 0: the latest.")] = 0,
    at: Annotated[
        str,
        typer.Option(help="With keys: what was current then: seconds since 1970, an ISO time, or `30s` ago."),
    ] = "",
    group: Annotated[
        str, typer.Option(help="With keys: the group that they were put with. Alone: everything of this group.")
    ] = "",
    pool: Annotated[str, typer.Option(help="With a group alone: of this pool only.")] = "",
    last: Annotated[str, typer.Option("--last", "--series", help="A key with * for its index: the last objects.")] = "",
    prefix: Annotated[str, typer.Option(help="The current objects under this prefix.")] = "",
    count: Annotated[int, typer.Option(min=1, help="How many, but for keys.")] = 10,
    gateway: Gateway = ADDRESS,
    tenant: Tenant = TENANT,
) -> None:
    """Read objects by their KEYs, the --last of a series, what is under a --prefix, or a whole --group."""
    keys = keys or []
    if sum(map(bool, (keys or group, last, prefix))) != 1:
        raise typer.BadParameter("say one of KEY, --last, --prefix and --group")
    if version and (len(keys) != 1 or at):
        raise typer.BadParameter("a --version is of one KEY, and stands without --at")
    if (at and not keys) or (pool and (keys or not group)):
        raise typer.BadParameter("--at goes with KEYs, and --pool with a --group alone")
    instant = _instant(at) if at else None

    async def work(client: Client) -> int:
        if version:
            found = await client.get(keys[0], version=version, group=group)
            return _show(Found(() if found is None else (found,), complete=True), keys[0])
        if keys:
            return _show(await client.get_many(keys, at=instant, group=group), ", ".join(keys))
        if group:
            members = client.members(pool, group, count) if pool else client.whole_group(group, count)
            return _show(await members, f"group {group}")
        if last:
            return _show(await client.last(last, count), last)
        return _show(await client.scan(prefix, count), prefix)

    call(gateway, pipeline, tenant, work)


def _instant(text: str) -> float:
    """Seconds since 1970. Raises typer.BadParameter."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return wall_time_ns() / 1e9 - seconds_of(text)


def _show(found: Found, what: str) -> int:
    """Print what was found; the exit code says whether there was anything."""
    if not found.complete:
        console.print("[yellow]something that was there has been lost, evicted, or kept no longer[/]")
    if not found:
        console.print(f"nothing at {escape(what)}")
        return 1
    table = Table("key", "version", "value", box=None)
    for one in found:
        table.add_row(escape(one.key), str(one.version), escape(shown(one.value)))
    console.print(table)
    return 0

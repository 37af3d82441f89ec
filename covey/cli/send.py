"""`covey send`: one event, its outcome, and where the time went."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from covey.cli.calling import ADDRESS, TENANT, File, Gateway, Json, Pipeline, Tenant, call, console, shown, value_of
from covey.cli.spans import seconds_of
from covey.client import Client
from covey.errors import Status
from covey.model import Outcome, Priority


def send(
    pipeline: Pipeline,
    key: Annotated[str, typer.Argument(help="The key of the event's object, which says the pool.")],
    json: Json = None,
    file: File = None,
    deadline: Annotated[str, typer.Option(help="Such as 200ms or 1.5s; without it, the pipeline's objective.")] = "",
    priority: Annotated[str, typer.Option(help="high or low.")] = "high",
    id: Annotated[str, typer.Option(help="An id that makes it safe to send the event again.")] = "",
    group: Annotated[str, typer.Option(help="A group, instead of the one that the pool's rule names.")] = "",
    gateway: Gateway = ADDRESS,
    tenant: Tenant = TENANT,
) -> None:
    """Send an event and print its outcome. The value comes from --json, --file or stdin."""
    deadline_s = seconds_of(deadline) if deadline else None
    if priority.upper() not in Priority.__members__:
        raise typer.BadParameter(f"a priority is high or low, not {priority!r}")

    async def work(client: Client) -> int:
        value = value_of(await client.codec_of(key), json, file)
        async with client.stream() as stream:
            pending = await stream.send(
                key, value, id=id, deadline_s=deadline_s, priority=Priority[priority.upper()], group=group
            )
            outcome = await pending
        await _show(client, outcome)
        return 0 if outcome.status is Status.OK else 1

    call(gateway, pipeline, tenant, work)


async def _show(client: Client, outcome: Outcome) -> None:
    colour = "green" if outcome.status is Status.OK else "red"
    incomplete = " [yellow]incomplete[/]" if outcome.incomplete else ""
    console.print(
        f"[bold {colour}]{outcome.status}[/] {outcome.reason} in {outcome.elapsed_s * 1e3:.1f} ms{incomplete}"
        f"   event {escape(outcome.event_id)}"
    )
    if outcome.message:
        console.print(escape(outcome.message), soft_wrap=True)
    results = await client.results(outcome) if outcome.status is Status.OK else ()
    if results:
        table = Table("result", "version", "value", box=None)
        for result in results:
            table.add_row(escape(result.key), str(result.version), escape(shown(result.value)))
        console.print(table)
    if outcome.stages:
        console.print(_stages(outcome))
        console.print(f"{outcome.remote_gets} remote gets, {outcome.bytes_moved:,} bytes moved between nodes")


def _stages(outcome: Outcome) -> Table:
    """Mean times of each stage's tasks, in milliseconds."""
    table = Table("stage", "tasks", "batch", "queue ms", "fetch ms", "wait ms", "compute ms", "store ms", box=None)
    for stage in outcome.stages:
        count = max(stage.tasks, 1)
        times = (stage.queue_s, stage.fetch_s, stage.wait_s, stage.compute_s, stage.store_s)
        means = [f"{1e3 * time / count:.2f}" for time in times]
        table.add_row(escape(stage.stage), str(stage.tasks), f"{stage.batch_size_sum / count:.1f}", *means)
    return table

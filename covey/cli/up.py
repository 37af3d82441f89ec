"""`covey up`: the whole mesh on this machine, until Ctrl-C."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from covey.children import Death, tail
from covey.clock import wall_time_ns
from covey.cluster import LocalCluster
from covey.runtime import run


def up(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The pipeline, such as pipeline:app.")],
    workers: Annotated[int, typer.Option(min=1, help="How many workers.")] = 2,
    nodes: Annotated[int, typer.Option(min=1, help="How many datastore nodes.")] = 2,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The gateway's port on loopback; 0: a free one.")] = 7700,
    redis_url: Annotated[
        str, typer.Option(envvar="COVEY_REDIS_URL", help="A Valkey or Redis to use, instead of one of its own.")
    ] = "",
    together: Annotated[
        bool, typer.Option("--together", help="One process for each node's services, beside the gateway: less latency.")
    ] = False,
    trace_to: Annotated[Path | None, typer.Option(help="Append every span to this file, as JSON lines.")] = None,
) -> None:
    """Run a pipeline on this machine: datastores, a scheduler, workers and a gateway, until Ctrl-C."""
    folder = Path("runs") / f"{datetime.fromtimestamp(wall_time_ns() / 1e9, UTC):%Y%m%d-%H%M%S}" / "logs"
    cluster = LocalCluster(
        app,
        folder=folder,
        nodes=nodes,
        workers=workers,
        listen=f"127.0.0.1:{port}",
        redis_url=redis_url,
        together=together,
        settings={} if trace_to is None else {"COVEY_TRACE_TO": str(trace_to.absolute())},
    )
    raise typer.Exit(run(lambda: _keep_up(cluster, folder), log_level="WARNING"))


async def _keep_up(cluster: LocalCluster, folder: Path) -> None:
    """Start the mesh, say what runs where, and report each death until this is cancelled."""
    console = Console(highlight=False)
    console.print(f"starting the mesh; logs are in {folder}")
    async with cluster:
        console.print(_table(cluster))
        console.print(f"the gateway listens at [bold]{cluster.address}[/]; Ctrl-C stops everything")
        try:
            while True:
                _report(console, await cluster.death())
        finally:
            console.print("stopping")


def _table(cluster: LocalCluster) -> Table:
    table = Table("process", "pid", "address", "node", "device", box=None)
    for part in cluster.parts:
        table.add_row(part.name, str(part.pid), part.address, part.node, part.device)
    return table


def _report(console: Console, death: Death) -> None:
    console.print(f"[bold red]{death}[/]; the others go on without it. {death.log.name} ends with", soft_wrap=True)
    console.print(tail(death.log), markup=False, soft_wrap=True)

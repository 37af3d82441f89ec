"""`covey up`: the whole mesh on this machine, until Ctrl-C."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from covey.children import Death, tail
from covey.cli.spans import seconds_of
from covey.clock import wall_time_ns
from covey.cluster import LocalCluster
from covey.declare import Pipeline
from covey.errors import InvalidArgument
from covey.loading import load_pipeline
from covey.profiles import read_profile
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
    profile: Annotated[
        Path | None,
        typer.Option(help="What `covey profile` has measured: stages get lanes of their own, by load and objective."),
    ] = None,
    objective: Annotated[str, typer.Option(help="With a profile: such as 200ms, instead of the pipeline's own.")] = "",
    priorities: Annotated[
        bool,
        typer.Option(
            "--priorities", help="Devices are shared by HIGH and LOW events, by what they are predicted to do."
        ),
    ] = False,
) -> None:
    """Run a pipeline on this machine: datastores, a scheduler, workers and a gateway, until Ctrl-C."""
    if objective and profile is None:
        raise typer.BadParameter("--objective is what a pipeline with a --profile is provisioned for")
    if priorities and profile is not None:
        raise typer.BadParameter("--priorities shares devices, and with a --profile each stage has its own lanes")
    objective_s = seconds_of(objective) if objective else 0.0
    folder = Path("runs") / f"{datetime.fromtimestamp(wall_time_ns() / 1e9, UTC):%Y%m%d-%H%M%S}" / "logs"
    traced = {} if trace_to is None else {"COVEY_TRACE_TO": str(trace_to.absolute())}
    shared = {"COVEY_PRIORITIES": "true"} if priorities else {}

    async def keep_up() -> None:
        provisioned = {} if profile is None else _provisioned(load_pipeline(app), profile, objective_s)
        cluster = LocalCluster(
            app,
            folder=folder,
            nodes=nodes,
            workers=workers,
            listen=f"127.0.0.1:{port}",
            redis_url=redis_url,
            together=together,
            settings={**traced, **provisioned, **shared},
        )
        await _keep_up(cluster, folder)

    raise typer.Exit(run(keep_up, log_level="WARNING"))


def _provisioned(pipeline: Pipeline, profile: Path, objective_s: float) -> dict[str, str]:
    """What services are told so that the pipeline is provisioned. Raises InvalidArgument for another's profile."""
    measured = read_profile(profile)
    if measured.name != pipeline.name or measured.stages.keys() != pipeline.stages.keys():
        raise InvalidArgument(
            f"{profile} is of the pipeline {measured.name!r} with the stages {', '.join(measured.stages)}; this one is "
            f"{pipeline.name!r} with {', '.join(pipeline.stages)}: measure it with `covey profile`"
        )
    return {
        "COVEY_PROFILE": str(profile.absolute()),
        "COVEY_LOAD_AT_START": "0",
        **({"COVEY_OBJECTIVE_S": str(objective_s)} if objective_s else {}),
    }


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

"""`covey profile`: how long each stage of a pipeline takes on this device, by the size of its batch."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from covey.cli.calling import console, leave
from covey.cli.measuring import Event, measured
from covey.errors import InvalidArgument
from covey.loading import load_pipeline
from covey.profiles import PipelineProfile, written
from covey.services.worker.app import make_engine
from covey.services.worker.settings import WorkerSettings


def profile(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The pipeline, such as pipeline:app.")],
    events: Annotated[
        str,
        typer.Option(
            help='Sample events, in their order: a file with a line of JSON for each, {"key": ..., "value": ...}, or '
            "module:function, which gives pairs of key and value."
        ),
    ],
    device: Annotated[str, typer.Option(help="cpu, cuda, auto or emulated.")] = "auto",
    device_profile: Annotated[
        Path | None, typer.Option(help="What an emulated device takes its times from, as COVEY_DEVICE_PROFILE.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Events at most.")] = 200,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("profile.json"),
) -> None:
    """Measure the stages of a pipeline on this device, for the scheduler (COVEY_PROFILE), the simulator and the
    planner: seconds by batch size, cold starts, and how many tasks lead to how many others."""
    leave(_measure(app, events, WorkerSettings("", app, device=device, device_profile=device_profile), most, out))


async def _measure(app: str, events: str, settings: WorkerSettings, most: int, out: Path) -> int:
    pipeline = load_pipeline(app)
    found = await measured(
        pipeline,
        islice(_events(events), most),
        lambda clock: make_engine(settings, pipeline, clock),
        lambda stage, each: console.print(f"measured {escape(stage)}: {len(each.table.sizes)} sizes"),
    )
    _report(found, out)
    return 0


def _report(found: PipelineProfile, out: Path) -> None:
    out.write_text(lines_of(written(found)))
    console.print(_table(found))
    console.print(f"wrote {out}")


def _events(named: str) -> Iterator[Event]:
    """Raises InvalidArgument for what is neither a file of events nor the name of a function that gives them."""
    path = Path(named)
    if path.is_file():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                found = json.loads(line)
                yield str(found["key"]), found["value"]
            except (ValueError, TypeError, KeyError):
                raise InvalidArgument(f'line {number} of {path} is not {{"key": ..., "value": ...}}') from None
        return
    module, colon, function = named.partition(":")
    if not colon:
        raise InvalidArgument(f"there is no file {named!r}; a function that gives events is named module:function")
    try:
        given = getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise InvalidArgument(f"{named!r} gives no events: {error}") from None
    yield from given()


def lines_of(found: dict[str, Any]) -> str:
    """JSON that a person reads: a line for each stage and edge."""
    stages = ",\n".join(f"    {json.dumps(name)}: {json.dumps(each)}" for name, each in found["stages"].items())
    rest = {name: value for name, value in found.items() if name != "stages"}
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in rest.items()]
    return "{\n" + ",\n".join([*lines, f'  "stages": {{\n{stages}\n  }}']) + "\n}\n"


def _table(found: PipelineProfile) -> Table:
    table = Table("stage", "batch", "ms", "± %", "tasks a second", "cold start s", box=None)
    for name, stage in found.stages.items():
        for size, seconds in zip(stage.table.sizes, stage.table.seconds, strict=True):
            first = size == stage.table.sizes[0]
            table.add_row(
                escape(name) if first else "",
                str(size),
                f"{seconds * 1e3:.3f}",
                f"{stage.table.spread * 100:.1f}" if first else "",
                f"{size / seconds:,.0f}",
                f"{stage.cold_s:.3f}" if first else "",
            )
    for (source, target), mean in found.fan_outs.items():
        table.add_row(escape(f"{source or 'event'} → {target}"), "", "", "", "", f"× {mean:.3g}")
    return table

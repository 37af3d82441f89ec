"""`covey plan pipeline`: the cheapest devices with which a pipeline meets its objective, and what limits it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from covey.cli.calling import console, refused
from covey.cli.spans import seconds_of
from covey.errors import CoveyError, InvalidArgument
from covey.profiles import PipelineProfile, read_profile
from covey.simulator.own import provision_profiles, read_instants, workload_of
from covey.simulator.planning import Kind, Planned, Prediction, Question, busiest, peak, planned
from covey.simulator.tails import Term, limit_of

plan = typer.Typer(add_completion=False, no_args_is_help=True)


@plan.callback()
def _plan() -> None:
    """Plan what to buy, by simulation."""


@plan.command()
def pipeline(
    profile: Annotated[Path, typer.Option("--pipeline", metavar="FILE", help="As `covey profile` writes it.")],
    trace: Annotated[
        Path, typer.Option(metavar="FILE", help="When events came: a CSV with a column TIMESTAMP, or seconds by line.")
    ],
    price: Annotated[str, typer.Option(metavar="KIND=PRICE,...", help="Of one device of each kind, an hour.")],
    objective: Annotated[str, typer.Option(help="Such as 200ms; the pipeline's own, unless set.")] = "",
    profiles: Annotated[
        str, typer.Option(metavar="KIND=FILE,...", help="What `covey profile` measured on each kind.")
    ] = "",
    share: Annotated[float, typer.Option(min=0.5, max=1.0, help="Of events, to be answered in time.")] = 0.99,
    seeds: Annotated[int, typer.Option(min=1, help="How many runs a set-up has to pass.")] = 3,
    events: Annotated[int, typer.Option(min=2, help="So many of the trace, where it is busiest.")] = 5000,
    drop: Annotated[
        bool, typer.Option("--drop", help="Drop what can't be in time, for the sake of the others.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Write OUT.png, the picture, and OUT.csv, its points.")] = Path("plan"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as one JSON object.")] = False,
) -> None:
    """Find the cheapest devices that meet an objective on recorded arrivals, by playing them in the simulator."""
    try:
        asked = read_profile(profile)
        if objective:
            asked = replace(asked, objective_s=seconds_of(objective))
        whole = read_instants(trace)
        question = Question(
            workload_of(asked),
            _kinds(asked, _numbers(price), _pairs(profiles, "--profiles", "a10=a10.json")),
            busiest(whole, events),
            share,
            range(1, seeds + 1),
            drop,
        )
        with Console(stderr=True).status("playing set-ups …") as status:
            found = planned(question, lambda each: status.update(f"played {_devices(each)} at {each.price:g} …"))
    except CoveyError as error:
        refused(error)
        raise typer.Exit(1) from None
    _write_points(found, out.with_suffix(".csv"))
    written = [out.with_suffix(".csv"), *_draw(question, found, out.with_suffix(".png"))]
    if as_json:
        print(json.dumps(_as_json(question, found)))
    else:
        _show(question, len(whole), found)
        console.print(f"wrote {', '.join(str(path) for path in written)}", markup=False, soft_wrap=True)
    raise typer.Exit(0 if found.cheapest else 1)


# --- what was asked --------------------------------------------------------------------------------------------------


def _pairs(text: str, option: str, example: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    found = {kind.strip(): value.strip() for kind, _, value in pairs}
    if not all(found) or not all(found.values()) or len(found) < len(pairs):
        raise typer.BadParameter(f"{option} names each kind once, as in {example}; not {text!r}")
    return found


def _numbers(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind, value in _pairs(text, "--price", "a10=1.0,h100=4.2").items():
        try:
            found[kind] = float(value)
        except ValueError:
            found[kind] = math.nan
        if not 0 < found[kind] < math.inf:
            raise typer.BadParameter(f"the price of {kind} is a number above zero, not {value!r}")
    if not found:
        raise typer.BadParameter("--price names a kind of device at least, as in a10=1.0,h100=4.2")
    return found


def _kinds(asked: PipelineProfile, prices: Mapping[str, float], files: Mapping[str, str]) -> list[Kind]:
    """Raises BadParameter for a kind that has a price or a profile and not both; InvalidArgument for a wrong file."""
    if not files and len(prices) == 1:
        return [Kind(name, price, provision_profiles(asked.stages)) for name, price in prices.items()]
    for name in prices:
        if name not in files:
            known = f"profiles are there for {', '.join(files)}" if files else "give one for each: --profiles KIND=FILE"
            raise typer.BadParameter(f"nothing is known of the kind {name!r}: {known}")
    for name in files:
        if name not in prices:
            raise typer.BadParameter(f"the kind {name!r} has a profile and no price: --price {name}=...")
    kinds = []
    for name, price in prices.items():
        stages = read_profile(Path(files[name])).stages
        if missing := [stage for stage in asked.stages if stage not in stages]:
            raise InvalidArgument(f"{files[name]} has no times for {', '.join(missing)}")
        kinds.append(Kind(name, price, provision_profiles({stage: stages[stage] for stage in asked.stages})))
    return kinds


# --- the answer ------------------------------------------------------------------------------------------------------


def _show(question: Question, events: int, found: Planned) -> None:
    instants, asked = question.instants, question.workload.pipeline
    part = "" if len(instants) == events else f" (the busiest of {events:,})"
    console.print(
        escape(
            f"{question.workload.name}: {len(instants):,} events{part} in {instants[-1]:,.0f} s, "
            f"{len(instants) / max(instants[-1], 1):.3g} a second and {peak(instants, 1.0):.3g} in the busiest; "
            f"{100 * question.share:g} % are to be answered within {_ms(asked.objective_s)}"
        ),
        soft_wrap=True,
    )
    if found.cheapest is None:
        console.print(f"\n[bold red]nothing meets the objective[/]{'; the nearest:' if found.nearest else ''}")
    shown = found.cheapest or found.nearest
    if shown is None:
        console.print("no set-up within reach carries what comes", soft_wrap=True)
        return
    console.print(f"\n[bold]{_devices(shown)}[/], {shown.price:g} an hour")
    console.print(_stages(question, shown))
    console.print(_answers(shown), soft_wrap=True)
    console.print(_limit(shown), soft_wrap=True)
    console.print(_tail(shown))
    if found.cheapest is not None and found.nearest is not None:
        near = found.nearest
        console.print(f"the nearest that is cheaper: {_line(near)}", soft_wrap=True)
    if found.scaled is not None:
        console.print(f"devices that the mesh starts and stops: {_line(found.scaled)}", soft_wrap=True)
    elif found.cheapest is not None:
        told = "to let the mesh start and stop devices saves nothing here, or misses the objective"
        console.print(told, soft_wrap=True)


def _stages(question: Question, shown: Prediction) -> Table:
    table = Table("stage", "kind", box=None)
    for heading in ("devices", "batch up to", "tasks a second at most"):
        table.add_column(heading, justify="right")
    for stage, share in shown.setup.provision.items():
        kind = shown.setup.kinds[stage]
        carried = share.replicas * share.batch / kind.stages[stage].curve.mean_s(share.batch)
        table.add_row(escape(stage), escape(kind.name), str(share.replicas), str(share.batch), f"{carried:,.0f}")
    return table


def _answers(shown: Prediction) -> str:
    return (
        f"p50 {_ms(shown.p50_s)}, p99 {_ms(shown.p99_s)}, {100 * shown.in_time:.2f} % in time "
        "(predicted; the worst of the seeds)"
    )


def _limit(shown: Prediction) -> str:
    stage, term = limit_of(shown.terms)
    whole = sum(sum(terms.values()) for terms in shown.terms.values())
    return escape(
        f"limited by {stage}, {term}: {_ms(shown.terms[stage][term])} of the slowest hundredth's {_ms(whole)}"
    )


def _tail(shown: Prediction) -> Table:
    table = Table("of it, ms", box=None)
    for term in Term:
        table.add_column(term, justify="right")
    for stage, terms in shown.terms.items():
        table.add_row(escape(stage), *[f"{1000 * terms[term]:.1f}" for term in Term])
    return table


def _line(shown: Prediction) -> str:
    stage, term = limit_of(shown.terms)
    fewest, most = shown.devices
    told = _devices(shown)
    if shown.scaling is not None:
        headroom, reserve = shown.scaling
        told = f"{fewest} to {most} (COVEY_HEADROOM={headroom:g} COVEY_RESERVE={reserve:g})"
    return escape(
        f"{told}, {shown.price:.4g} an hour: p99 {_ms(shown.p99_s)}, {100 * shown.in_time:.2f} % in time, "
        f"limited by {stage}, {term}"
    )


def _devices(shown: Prediction) -> str:
    return " + ".join(f"{count} {escape(kind)}" for kind, count in sorted(shown.setup.devices.items()))


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if math.isfinite(seconds) else "never"


def _as_json(question: Question, found: Planned) -> dict[str, Any]:
    return {
        "pipeline": question.workload.name,
        "objective_s": question.workload.pipeline.objective_s,
        "events": len(question.instants),
        "cheapest": _told(found.cheapest),
        "nearest": _told(found.nearest),
        "scaled": _told(found.scaled),
    }


def _told(shown: Prediction | None) -> dict[str, Any] | None:
    if shown is None:
        return None
    stage, term = limit_of(shown.terms)
    return {
        "price": shown.price,
        "devices": dict(shown.setup.devices),
        "stages": {
            stage: {"kind": shown.setup.kinds[stage].name, "replicas": share.replicas, "batch": share.batch}
            for stage, share in shown.setup.provision.items()
        },
        "p50_s": _finite(shown.p50_s),
        "p99_s": _finite(shown.p99_s),
        "in_time": shown.in_time,
        "limit": {"stage": stage, "term": term, "seconds": shown.terms[stage][term]},
        "tail_s": {stage: dict(terms) for stage, terms in shown.terms.items()},
        "scaling": shown.scaling and shown.scaling._asdict(),
        "devices_min": shown.devices[0],
        "devices_max": shown.devices[1],
    }


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def _write_points(found: Planned, path: Path) -> None:
    """Every set-up that was played, by price."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("price", "p50_s", "p99_s", "in_time", "scales", "devices", "stages", "limit"))
        for each in sorted(found.tried, key=lambda each: each.price):
            stages = [f"{stage}: {kind} x{n} batch {b}" for stage, (kind, n, b) in _by_stage(each)]
            told = (f"{each.price:g}", f"{each.p50_s:.6g}", f"{each.p99_s:.6g}", f"{each.in_time:.6g}")
            scales = "" if each.scaling is None else f"{each.devices[0]}-{each.devices[1]}"
            rows.writerow((*told, scales, _devices(each), "; ".join(stages), ", ".join(limit_of(each.terms))))


def _by_stage(each: Prediction) -> Sequence[tuple[str, tuple[str, int, int]]]:
    return list(zip(each.setup.provision, each.setup.key, strict=True))


def _draw(question: Question, found: Planned, path: Path) -> list[Path]:
    """The picture, if what draws it is installed."""
    try:
        from covey.cli.plan_picture import draw
    except ImportError:
        console.print("no picture: that takes matplotlib, pip install 'covey[example]'", markup=False)
        return []
    draw(question, found, path)
    return [path]

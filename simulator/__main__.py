"""`python -m covey.simulator`: hours of traffic in seconds, with the oracles watching; exits 1 on a violation."""

from __future__ import annotations

import enum
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from covey.simulator.arrivals import trace
from covey.simulator.hardware import read_profile
from covey.simulator.mesh import Size
from covey.simulator.recorded import recorded_actors
from covey.simulator.report import summarise
from covey.simulator.scenarios import Load, long_world, moving_world
from covey.simulator.violation import Violation


class Faults(enum.StrEnum):
    """How much goes wrong."""

    NONE = "none"
    SOME = "some"
    MANY = "many"


AN_HOUR = {Faults.NONE: 0, Faults.SOME: 20, Faults.MANY: 400}
FAULTY_BUDGET_S = 60.0


def main(
    seed: Annotated[int, typer.Option(help="Repeats a run at the same commit.")] = 1,
    hours: Annotated[float, typer.Option(help="How long the traffic lasts, in virtual time.")] = 1.0,
    rate: Annotated[float, typer.Option(help="Events a second.")] = 1.5,
    actors: Annotated[float, typer.Option(help="Actors in a scene, on average.")] = 10.0,
    devices: Annotated[int, typer.Option(help="Workers; a node for every two of them.")] = 4,
    faults: Annotated[Faults, typer.Option(help="How much goes wrong.")] = Faults.NONE,
    data: Annotated[Path, typer.Option(envvar="COVEY_DATA", help="Where profiles/ and arrivals/ are.")] = Path(
        "../shared/data"
    ),
    profile: Annotated[str, typer.Option(help="A profile in DATA for the stage predict, such as titanx_vgg_s.")] = "",
    arrivals: Annotated[str, typer.Option(help="A trace in DATA for the arrivals, instead of RATE.")] = "",
    tracks: Annotated[str, typer.Option(help="Tracks whose scenes say how many actors there are: quickstart.")] = "",
    moving: Annotated[int, typer.Option(help="Instead: so many short worlds, from SEED on, in which groups move.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Run the production cores of all four services on the collision traffic, in virtual time."""
    if moving:
        _move(seed, moving)
        return
    load = Load(
        seconds=3600 * hours,
        rate=rate,
        actors=actors,
        budget_s=FAULTY_BUDGET_S if faults is not Faults.NONE else 10.0,
        faults_an_hour=AN_HOUR[faults],
        size=Size(nodes=max(1, devices // 2), workers=devices),
    )
    started = time.perf_counter()
    try:
        run = long_world(
            seed,
            load,
            trace(data / "arrivals" / f"{arrivals}.csv") if arrivals else None,
            recorded_actors(tracks) if tracks else None,
            {"predict": read_profile(data / "profiles" / f"{profile}.txt")} if profile else None,
        )
    except Violation as violation:
        typer.echo(f"violation: {violation}", err=True)
        typer.echo(f"repeat it with: python -m covey.simulator {' '.join(sys.argv[1:]) or '--seed 1'}", err=True)
        raise typer.Exit(1) from violation
    summary = summarise(run, seed, time.perf_counter() - started)
    typer.echo(summary.as_json() if as_json else summary.as_text())


def _move(first: int, count: int) -> None:
    """Short worlds in which groups move while traffic runs; the last line says what they came to, as JSON."""
    started = time.perf_counter()
    broken: list[int] = []
    moves = handed_over = events = mixed = 0
    for seed in range(first, first + count):
        try:
            world = moving_world(seed)
        except Violation as violation:
            broken.append(seed)
            typer.echo(f"violation: seed {seed}: {violation}", err=True)
            continue
        moves += world.moves
        handed_over += world.handed_over
        events += len(world.run.clients.sent)
        mixed += world.run.mixed
        if (seed - first + 1) % 100 == 0:
            typer.echo(f"{seed - first + 1} worlds, {len(broken)} broken", err=True)
    figures = {
        "worlds": count,
        "broken": broken,
        "events": events,
        "moves": moves,
        "groups_handed_over": handed_over,
        "mixed": mixed,
    }
    typer.echo(json.dumps({**figures, "seconds": round(time.perf_counter() - started, 1)}))
    if broken:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

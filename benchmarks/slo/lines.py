"""Runs as lines of JSON, and back: so that a long run can be interrupted, taken up again, and merged from pieces."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.slo.estimators import Judged
from benchmarks.slo.plan import Cell
from benchmarks.slo.running import Done, Job, Places
from covey.simulator.pipelines import Objective
from covey.simulator.serving import Figures, Second

_FIGURES = [name for name in Figures.__slots__ if name not in ("seconds", "windows")]
_NOTHING = ("p50_s", "p99_s", "p99_all_s")
"""Of these null is infinite."""


class Key(NamedTuple):
    """What makes a run that run; a cell's name, not the cell, since a user's own is not among ours."""

    cell: str
    system: str
    headroom: float
    seed: int
    drops: bool


def key_of(job: Job) -> Key:
    return Key(job.cell.name, job.system, job.headroom, job.seed, job.drops)


def line_of(run: Done, commit: str) -> str:
    """One run. Every window of it is kept for the first seeds only: they make most of a file."""
    figures = run.figures
    row = {
        **key_of(run.job)._asdict(),
        **{"commit": commit, "cpu_s": run.cpu_s},
        **{"estimators": {name: judged._asdict() for name, judged in run.estimators.items()}},
        **{name: getattr(figures, name) for name in _FIGURES},
        **{"seconds": [list(second) for second in figures.seconds] if run.job.seed % 100 == 1 else []},
    }
    return json.dumps(finite(row))


def runs_in(paths: Iterable[Path], places: Places) -> Iterator[Done]:
    """What these files have, one run for each key: the last. Raises ValueError, naming the line, for what is no run."""
    found: dict[Key, Done] = {}
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                run = _done_of(json.loads(line), places)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}:{number} is no run: {type(error).__name__}: {error}") from error
            found[key_of(run.job)] = run
    return iter(found.values())


def _done_of(row: Mapping[str, Any], places: Places) -> Done:
    cell = cell_named(row["cell"])
    job = Job(cell, row["system"], float(row["headroom"]), row["seed"], row["drops"], places)
    known: dict[str, Any] = {name: row[name] for name in _FIGURES}
    known.update((name, math.inf) for name in _NOTHING if known[name] is None)
    figures = Figures(**known, seconds=tuple([Second(*each) for each in row["seconds"]]), windows=())
    return Done(job, figures, {name: Judged(**each) for name, each in row["estimators"].items()}, row["cpu_s"])


def cell_named(name: str) -> Cell:
    """Raises ValueError for what is no cell's name."""
    pipeline, load, objective, devices = name.split("/")
    return Cell(pipeline, load, Objective[objective.upper()], int(devices))


def finite(value: object) -> object:
    """JSON has no infinity."""
    match value:
        case bool() | int():
            return value
        case float():
            return round(value, 5) if math.isfinite(value) else None
        case Mapping():
            return {key: finite(each) for key, each in value.items()}
        case list():
            return [finite(each) for each in value]
        case _:
            return value

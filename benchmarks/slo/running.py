"""One run of a system in a cell, and many of them side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import CORES
from benchmarks.slo import own
from benchmarks.slo.estimators import Judged, judged
from benchmarks.slo.loads import load_of
from benchmarks.slo.plan import Cell, slowness_of
from benchmarks.slo.systems import DROPPING, UNDROPPED
from covey.simulator import bounds, pipelines
from covey.simulator.pipelines import SYNTHETIC, Workload
from covey.simulator.serving import Figures, Load, play


class Places(NamedTuple):
    """Where measured things are; without them the tables are made up, and the trace is missing."""

    data: Path
    arrivals: Path | None = None
    pipeline: Path | None = None


class Job(NamedTuple):
    """One run."""

    cell: Cell
    system: str
    headroom: float
    seed: int
    drops: bool
    places: Places


class Done(NamedTuple):
    """What a run came to."""

    job: Job
    figures: Figures
    estimators: dict[str, Judged]
    """By name: how well each did on the load of this run."""
    cpu_s: float


def workload_of(cell: Cell, places: Places) -> Workload:
    """The pipeline of a cell."""
    if places.pipeline is not None:
        return own.read_pipeline(places.pipeline)
    slowness = slowness_of(cell)
    known = places.data / "profiles"
    tables = pipelines.nexus_tables(places.data) if known.is_dir() else SYNTHETIC
    slow = {model: table.slower(slowness) for model, table in tables.items()}
    match cell.pipeline:
        case "chain3":
            return pipelines.chain3(slow, cell.objective)
        case "chain5":
            return pipelines.chain5(slow, cell.objective)
        case "traffic":
            return pipelines.traffic(slow, cell.objective)
        case "collisions":
            tables = {stage: table.slower(slowness) for stage, table in pipelines.COLLISION_TABLES.items()}
            return pipelines.collisions(cell.objective, tables=tables)
    raise ValueError(f"no pipeline is named {cell.pipeline!r}")


def capacity_of(cell: Cell, workload: Workload) -> float:
    """Events a second that the cell's devices carry at most."""
    return bounds.capacity_of_replicas(workload.pipeline, cell.devices)


def arrivals_of(cell: Cell, workload: Workload, places: Places) -> Load:
    if places.arrivals is not None:
        return own.read_arrivals(places.arrivals)
    return load_of(cell.load, capacity_of(cell, workload), places.data)


def done(job: Job) -> Done:
    """Run one."""
    cell = job.cell
    workload = workload_of(cell, job.places)
    system = (DROPPING if job.drops else UNDROPPED)[job.system]
    load = arrivals_of(cell, workload, job.places)
    started = time.process_time()
    figures = play(
        workload,
        cell.devices,
        load,
        lambda pipeline, devices: system.made(pipeline, devices, job.headroom),
        job.seed,
        job.drops,
    )
    spent = time.process_time() - started
    is_judged = job.system == "ours" and not job.drops
    estimators = judged(workload.pipeline, figures.windows) if is_judged else {}
    return Done(job, replace(figures, windows=()), estimators, spent)


def all_done(jobs: Iterator[Job], processes: int = CORES) -> Iterator[Done]:
    """Run them side by side, in the order in which they end. A job is taken when somebody is free for it."""
    with ProcessPoolExecutor(processes, initializer=os.nice, initargs=(5,)) as pool:
        running = {pool.submit(done, job) for job in islice(jobs, processes)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(done, job) for job in islice(jobs, len(ended))}
            yield from (future.result() for future in ended)

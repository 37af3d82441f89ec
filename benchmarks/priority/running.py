"""One run of a system in a cell, and many of them side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

from benchmarks.priority.plan import Cell
from benchmarks.priority.systems import ABLATIONS, SYSTEMS
from benchmarks.processes import CORES
from covey.simulator.sharing import Figures, play


class Job(NamedTuple):
    """One run."""

    cell: Cell
    system: str
    seed: int


class Done(NamedTuple):
    """What a run came to. Shares of what was offered; throughput in requests in time for each second."""

    cell: Cell
    system: str
    seed: int
    high_violations: float
    low_violations: float
    high_throughput: float
    low_throughput: float
    jain: float
    utilisation: float
    promised: int
    broken: int
    high_p99_s: float
    cpu_s: float


def done(job: Job) -> Done:
    """Run one."""
    system = (SYSTEMS | ABLATIONS)[job.system]
    started = time.process_time()
    figures = play(job.cell.traffic(), job.cell.devices, system.sharing, system.make, job.seed)
    return _figures(job, figures, time.process_time() - started)


def _figures(job: Job, figures: Figures, cpu_s: float) -> Done:
    high, low = figures.high, figures.low
    latencies = sorted(high.latencies)
    return Done(
        *job,
        high.violations,
        low.violations,
        high.in_time / figures.seconds,
        low.in_time / figures.seconds,
        figures.jain,
        figures.utilisation,
        figures.promised,
        figures.broken,
        latencies[int(0.99 * len(latencies))] if latencies else 0.0,
        cpu_s,
    )


def all_done(jobs: Iterable[Job], processes: int = CORES) -> Iterator[Done]:
    """Run them side by side, in the order in which they end."""
    with ProcessPoolExecutor(processes, initializer=os.nice, initargs=(5,)) as pool:
        for future in as_completed([pool.submit(done, job) for job in jobs]):
            yield future.result()

"""Runs what was chosen: round after round, servers in a drawn order, each subject with a client of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.wire.client import ClientProcess, client_process
from benchmarks.wire.load import Figures, Load
from benchmarks.wire.plan import HALF, OPEN, P99_MS_MAX, Effort
from benchmarks.wire.search import Search
from benchmarks.wire.subject import Running, Subject
from covey.errors import CoveyError

START_RATE = 500.0
"""Where the search for the highest rate starts, unless a closed loop has said what there is: then at half of it."""
REACHED_MIN = 0.95


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: whose, under which load, in which round. `offered` is 0 for a closed loop."""

    subject: str
    load: str
    repeat: int
    offered: float
    figures: Figures
    found: bool
    """It says what the load asks for; the other runs of a search only lead there."""


def holds(offered: float, figures: Figures) -> bool:
    """Whether a rate was reached with its latencies within the objective and nothing lost."""
    reached = not figures.overrun and not figures.failures and figures.rate >= REACHED_MIN * offered
    return reached and figures.p99_ms <= P99_MS_MAX


class Experiment:
    """Every chosen load of every chosen subject, `effort.repeats` times. Servers that don't start are told of."""

    def __init__(
        self,
        chosen: Sequence[tuple[Subject, Sequence[str]]],
        effort: Effort,
        seed: int,
        folder: Path,
        tell: Callable[[Cell | str], None],
    ) -> None:
        self._chosen = chosen
        self._effort = effort
        self._seed = seed
        self._folder = folder
        self._tell = tell

    async def run(self) -> None:
        for repeat in range(self._effort.repeats):
            rng = Random(f"{self._seed}/{repeat}")
            by_servers: dict[str, list[tuple[Subject, Sequence[str]]]] = {}
            for subject, loads in self._chosen:
                by_servers.setdefault(subject.servers.name, []).append((subject, loads))
            for name in rng.sample(list(by_servers), len(by_servers)):
                try:
                    await self._visit(name, rng.sample(by_servers[name], len(by_servers[name])), repeat)
                except CoveyError as error:
                    self._tell(f"FAILED {name}: {error.message}")

    async def _visit(self, name: str, sharing: Sequence[tuple[Subject, Sequence[str]]], repeat: int) -> None:
        """One round of all subjects that share these servers. Raises CoveyError when something doesn't start."""
        folder = self._folder / f"{name}-{repeat}".replace("/", "-").replace(" ", "-")
        folder.mkdir(parents=True)
        async with sharing[0][0].servers.start(folder) as running:
            for subject, loads in sharing:
                async with client_process(subject, running.address) as client:
                    await self._measure(subject, loads, repeat, running, client)

    async def _measure(
        self, subject: Subject, loads: Sequence[str], repeat: int, running: Running, client: ClientProcess
    ) -> None:
        """All loads of one subject in one round."""
        seeds = itertools.count(self._seed * 1_000_000 + repeat * 1_000)
        start, best = START_RATE, 0.0

        async def play(load: str, in_flight: int, offered: float, seconds: float) -> Cell:
            figures = await client.play(Load(in_flight, offered, seconds, next(seeds)), running.pids)
            return Cell(subject.id, load, repeat, offered, figures, load not in (OPEN, HALF))

        for load in loads:
            if load.startswith("closed-"):
                cell = await play(load, int(load.partition("-")[2]), 0.0, self._effort.closed_s)
                self._tell(cell)
                start = max(start, cell.figures.rate / 2)
        if OPEN in loads or HALF in loads:
            search, found = Search(start, self._effort.resolution), None
            while (rate := search.rate) is not None:
                cell = await play(OPEN, 0, rate, self._effort.open_s)
                held = holds(rate, cell.figures)
                self._tell(cell)
                found = cell if held else found
                search.tell(held)
            best = search.best
            if found is not None:
                self._tell(Cell(subject.id, OPEN, repeat, best, found.figures, found=True))
        if HALF in loads and best:
            half = await play(HALF, 0, best / 2, self._effort.open_s)
            self._tell(Cell(subject.id, HALF, repeat, best / 2, half.figures, found=True))

"""The order of the runs: what key hash sustains, then every mode in every cell, then what each mode sustains.

A mesh is started once for a mode, an app and a seed, and delays and rates change while it runs. The modes of one seed
run one right after the other, in a drawn order, and all of them see the same events: scenes of the same names at the
same times.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import covey
from benchmarks.grouping.mesh import Mesh, running_mesh
from benchmarks.grouping.plan import KEY_HASH, LOAD, STREAMS, SYNTHETIC, Condition, Effort, Mode
from benchmarks.grouping.running import Run, play, run_of
from benchmarks.grouping.traffic import Arrival, Requests, Scenes
from covey.client import Client
from covey.loading import load_pipeline

WITHIN = 0.99
"""A rate is sustained when this share of the events is answered within the objective, and none is lost."""
STEP = 1.5
"""A sweep goes up (or down) by this factor, then halves what is left."""
CALIBRATION_TRIES = 2
"""All figures hang on the rates that key hash sustains, so that a hiccup must not decide them."""
DOWN_MAX = 4
"""A mode that does not even sustain a fifth of what was expected is given up."""
RATE_FIRST = 30.0
RATE_LEAST = 1.0
PROFILE = Path(__file__).with_name("device.json")


@dataclass(slots=True)
class Results:
    """Everything that was measured."""

    sustained: dict[str, float] = field(default_factory=dict)
    """Condition -> the rate that key hash sustains."""
    runs: list[Run] = field(default_factory=list)
    sweeps: list[Run] = field(default_factory=list)
    best: dict[tuple[str, str], Run] = field(default_factory=dict)
    """(condition, mode) -> its run at the highest rate that it sustains."""


@dataclass(frozen=True, slots=True)
class Start:
    """A running mesh of one mode."""

    mesh: Mesh
    client: Client
    mode: Mode


def slowed(path: Path, slowdown: float) -> Path:
    """Write the measured profile to `path`, every time multiplied."""
    measured = json.loads(PROFILE.read_text())
    tables = {stage: pairs for stage, pairs in measured.items() if not stage.startswith("_")}
    path.write_text(
        json.dumps({stage: [[size, each * slowdown] for size, each in pairs] for stage, pairs in tables.items()})
    )
    return path


class Experiment:
    """Runs the plan; `tell` is handed every run as it ends, and what kind it is."""

    def __init__(
        self,
        conditions: Sequence[Condition],
        effort: Effort,
        tracks: Sequence[str | Path],
        folder: Path,
        tell: Callable[[str, Run], None],
    ) -> None:
        self.results = Results()
        self._conditions = conditions
        self._effort = effort
        self._folder = folder
        self._tell = tell
        self._scenes = Scenes(tracks, STREAMS)
        self._requests = Requests()
        self._salts = itertools.count(1)

    async def run(self) -> None:
        """All of it; `results` grows on the way."""
        together: dict[tuple[str, float], list[Condition]] = {}
        for condition in self._conditions:
            together.setdefault(condition.start, []).append(condition)
        for conditions in together.values():
            await self._calibrate(conditions)
        for seed in self._effort.seeds:
            for conditions in together.values():
                await self._compare(conditions, seed)

    async def _calibrate(self, conditions: Sequence[Condition]) -> None:
        """Find what key hash sustains in each condition."""
        async with self._started(conditions[0], KEY_HASH, 0) as start:
            rate = RATE_FIRST
            for condition in conditions:
                best = await self._highest(start, condition, rate, CALIBRATION_TRIES)
                rate = self.results.sustained[condition.name] = best.rate if best is not None else RATE_LEAST

    async def _compare(self, conditions: Sequence[Condition], seed: int) -> None:
        """Run every cell of these conditions once."""
        rng = Random(seed)
        modes = list(dict.fromkeys(mode.name for condition in conditions for mode in condition.modes))
        by_name = {mode.name: mode for condition in conditions for mode in condition.modes}
        for name in rng.sample(modes, len(modes)):
            mode = by_name[name]
            concerned = [condition for condition in conditions if mode in condition.modes]
            async with self._started(concerned[0], mode, seed) as start:
                await self._warm_up(start, concerned[0])  # the first events of all find nothing compiled or connected
                for condition in concerned:
                    rate = LOAD * self.results.sustained[condition.name]
                    salt = f"{seed}-{condition.name.replace('/', '-')}"
                    run = await self._run(start, condition, rate, self._effort.seconds, seed, salt)
                    self.results.runs.append(run)
                    self._tell("cell", run)
                if seed == self._effort.seeds[0]:
                    for condition in concerned:
                        await self._sweep(start, condition)

    async def _warm_up(self, start: Start, condition: Condition) -> None:
        rate = LOAD * self.results.sustained[condition.name]
        await self._run(start, condition, rate, self._effort.warm_up_seconds, 0, self._salt())

    async def _sweep(self, start: Start, condition: Condition) -> None:
        if not condition.swept:
            return
        best = await self._highest(start, condition, self.results.sustained[condition.name], self._effort.tries)
        if best is not None:
            self.results.best[condition.name, start.mode.name] = best

    async def _highest(self, start: Start, condition: Condition, guess: float, tries: int) -> Run | None:
        """The run at the highest rate that is sustained, as closely as effort has it; None if not even the least is."""
        sustained: Run | None = None
        failed, rate = 0.0, guess
        while rate >= max(RATE_LEAST, guess / STEP**DOWN_MAX):
            run = await self._sustains(start, condition, rate, tries)
            if run is not None:
                sustained = run
            else:
                failed = rate
            if sustained is None:
                rate /= STEP
            elif not failed:
                rate *= STEP
            elif failed / sustained.rate <= self._effort.near:
                break
            else:
                rate = (sustained.rate * failed) ** 0.5
        return sustained

    async def _sustains(self, start: Start, condition: Condition, rate: float, tries: int) -> Run | None:
        for _ in range(tries):
            run = await self._run(start, condition, rate, self._effort.sweep_seconds, 0, self._salt())
            self.results.sweeps.append(run)
            self._tell("sweep", run)
            if run.within >= WITHIN and not run.lost:
                return run
        return None

    async def _run(self, start: Start, condition: Condition, rate: float, seconds: float, seed: int, salt: str) -> Run:
        await start.mesh.set_delay(condition.delay_s)
        arrivals = self._arrivals(condition, salt, rate, max(3, round(rate * seconds)))
        objective_s = (await start.client.describe()).declarations[0].objective_s
        played = await play(start.mesh, start.client, arrivals)
        return run_of(played, condition.name, start.mode.name, seed, rate, objective_s, self._effort.blocks)

    def _arrivals(self, condition: Condition, salt: str, rate: float, count: int) -> list[Arrival]:
        if condition.app == SYNTHETIC:
            return self._requests.arrivals(salt, rate, count)
        return self._scenes.arrivals(
            salt, rate, count, heavy=condition.heavy, skewed=condition.skewed, check=condition.slowdown > 0
        )

    def _salt(self) -> str:
        return f"x{next(self._salts)}"

    @asynccontextmanager
    async def _started(self, condition: Condition, mode: Mode, seed: int) -> AsyncIterator[Start]:
        app = f"{condition.app}:{'grouped' if mode.grouped else 'ungrouped'}"
        folder = self._folder / f"{condition.name.replace('/', '-')}-{mode.name}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        profile = slowed(folder / "device.json", condition.slowdown) if condition.slowdown else None
        async with (
            running_mesh(app, mode.settings, folder, profile) as mesh,
            covey.connect(mesh.address, load_pipeline(f"{condition.app}:grouped").name) as client,
        ):
            if condition.app == SYNTHETIC:
                for key, value in self._requests.data.items():
                    await client.put(key, value)
            yield Start(mesh, client, mode)

"""How long does each stage take, by the size of its batch? Measured on what real events lead to.

Sample events go through the whole mesh in this process, and what every stage is given on the way is kept; the same
inputs are then run again through an engine of its own, in batches of each size. So a stage sees what it sees in
operation, histories and members of joins included, and the fan-outs are measured along with the times.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from covey.clock import MonotonicClock
from covey.declaration import Declaration, graph
from covey.declare import Pipeline, Stage
from covey.errors import InvalidArgument, StageFailed
from covey.model import Priority
from covey.profiles import LatencyTable, PipelineProfile, StageProfile
from covey.services.worker.engine.base import Coming, Engine, Job, Ran, StageRaised
from covey.testing import MakeEngine, run_mesh

KEPT = 256
"""Inputs of each stage that are kept to make batches of."""
DEADLINE_S = 60.0
WARM = 2
"""Runs of each size that don't count."""
RUNS_MIN, RUNS_MAX, SECONDS_EACH = 5, 40, 1.5
"""For each size: at least so many runs, then more until they have taken so long or are so many."""
COLD_STARTS = 3

Event = tuple[str, Any]
"""Key and value."""
Tell = Callable[[str, StageProfile], None]


@dataclass(slots=True)
class Seen:
    """What a stage was given, and what came of it."""

    jobs: list[Job] = field(default_factory=list)
    """Of one task each."""
    tasks: int = 0
    emitted: Counter[str] = field(default_factory=Counter)
    """By pool."""


class Recording:
    """An engine that keeps what it is given."""

    def __init__(self, inner: Engine, seen: dict[str, Seen]) -> None:
        self._inner = inner
        self._seen = seen

    @property
    def device(self) -> str:
        return self._inner.device

    @property
    def lanes(self) -> tuple[Priority | None, ...]:
        return self._inner.lanes

    async def load(self, stage: Stage) -> None:
        await self._inner.load(stage)

    def prefetch(self, coming: Coming) -> None:
        self._inner.prefetch(coming)

    async def run(self, job: Job, lane: int) -> Ran:
        ran = await self._inner.run(job, lane)
        seen = self._seen[job.stage.declaration.name]
        seen.tasks += len(job.inputs)
        seen.emitted.update([each.pool for output in ran.outputs for each in output.emissions])
        room = KEPT - len(seen.jobs)
        seen.jobs += [Job(job.declaration, job.stage, (inputs,), job.read) for inputs in job.inputs[:room]]
        return ran

    async def unload(self, stage: Stage) -> None:
        await self._inner.unload(stage)

    def close(self) -> None:
        self._inner.close()


async def measured(pipeline: Pipeline, events: Iterable[Event], make_engine: MakeEngine, tell: Tell) -> PipelineProfile:
    """What the pipeline takes on a device; `tell` hears of each stage as it is done.

    Raises InvalidArgument when a stage gets nothing to do by these events, and what an event fails with.
    """
    declaration, clock = pipeline.declaration(), MonotonicClock()
    order = graph(declaration).order
    seen = {stage: Seen() for stage in order}
    sent = 0
    recordings: list[Recording] = []

    def recording(clock: MonotonicClock) -> Recording:
        recordings.append(Recording(make_engine(clock), seen))
        return recordings[-1]

    async with run_mesh(pipeline, make_engine=recording) as mesh:
        for key, value in events:
            await mesh.client.send(key, value, deadline_s=DEADLINE_S)
            sent += 1
        idle = [stage for stage in order if not seen[stage].tasks]
        if idle:
            raise InvalidArgument(f"the {sent} sample events give the stage {idle[0]!r} nothing to do")
        stages: dict[str, StageProfile] = {}
        for name in order:
            try:
                stages[name] = await _stage_measured(pipeline.stages[name], seen[name].jobs, make_engine, clock)
            except StageRaised as raised:
                raise StageFailed(f"stage {name!r} raised while it was measured: {raised.__cause__}") from raised
            tell(name, stages[name])
    fan_outs = dict(_fan_outs(declaration, seen, sent))
    joins = tuple([stage.name for stage in declaration.stages if stage.join is not None])
    return PipelineProfile(pipeline.name, recordings[0].device, declaration.objective_s, stages, fan_outs, joins)


async def _stage_measured(
    stage: Stage, jobs: list[Job], make_engine: MakeEngine, clock: MonotonicClock
) -> StageProfile:
    starts: list[float] = []
    for _ in range(COLD_STARTS - 1):
        engine = make_engine(clock)
        starts.append(await _cold_start(engine, stage, jobs[0], clock))
        engine.close()
    engine = make_engine(clock)
    starts.append(await _cold_start(engine, stage, jobs[0], clock))
    rng = Random(0)
    seconds = {size: await _runs(engine, jobs, size, rng) for size in _sizes(stage.declaration.batch_max)}
    engine.close()
    medians = [statistics.median(runs) for runs in seconds.values()]
    spread = statistics.fmean([_spread(runs) for runs in seconds.values()])
    # A cold start ends when the first batch runs as fast as any: what it takes longer belongs to it. The quickest of
    # few, for what else the machine was doing is none of the model's.
    cold_s = max(0.0, min(starts) - medians[0])
    return StageProfile(LatencyTable(tuple(seconds), tuple(medians), spread), cold_s)


async def _cold_start(engine: Engine, stage: Stage, job: Job, clock: MonotonicClock) -> float:
    """Seconds to load the model and to run a first batch of one."""
    started = clock.now()
    await engine.load(stage)
    await engine.run(job, 0)
    return clock.now() - started


async def _runs(engine: Engine, jobs: list[Job], size: int, rng: Random) -> list[float]:
    """Seconds of single runs of batches of a size."""
    found: list[float] = []
    while len(found) < WARM + RUNS_MAX and (len(found) < WARM + RUNS_MIN or sum(found) < SECONDS_EACH):
        drawn = rng.choices(jobs, k=size)
        batch = tuple([job.inputs[0] for job in drawn])
        ran = await engine.run(Job(drawn[0].declaration, drawn[0].stage, batch, drawn[0].read), 0)
        found.append(ran.seconds)
    return found[WARM:]


def _spread(runs: list[float]) -> float:
    """The standard deviation by the median, from the middle half: a hiccup of the machine is none of the stage's."""
    low, _, high = statistics.quantiles(runs, n=4)
    return (high - low) / 1.349 / statistics.median(runs)  # of a normal distribution: quartiles are 1.349 apart


def _sizes(most: int) -> Iterator[int]:
    """Powers of two, and the largest batch."""
    size = 1
    while size < most:
        yield size
        size *= 2
    yield most


def _fan_outs(declaration: Declaration, seen: dict[str, Seen], events: int) -> Iterator[tuple[tuple[str, str], float]]:
    """Each edge with its mean: what a task of the source emits there, by how many of these make a task."""
    for name in graph(declaration).order:
        pool = declaration.stage(name).on
        sources = [source for source in graph(declaration).upstream[name] if pool in declaration.stage(source).emits]
        emitted = sum(seen[source].emitted[pool] for source in sources)
        for source in sources:
            each = seen[source].emitted[pool] / seen[source].tasks
            yield (source, name), each * seen[name].tasks / max(emitted, 1)
        if not sources:
            yield ("", name), seen[name].tasks / events

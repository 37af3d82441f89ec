"""What models cost on two lanes of this machine's cores: alone, and beside each other. Real runs of the real engine.

A *script* is a list of batches for each lane. Both lanes begin at once and work through theirs, so that every batch
runs beside whatever the other lane has then. Each script is played twice, at moments far apart, in drawn order: by how
much the second time differs from the first is the error that no predictor can be below, the *floor*.

Everything is kept as lines of JSON: a `profile` for each model and size, measured alone, then a `corun` for each batch,
in order of ending, with what ran beside it and for how long.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch

from benchmarks.priority.lane_models import MODELS, SIZES, Dense, Jobs, a_pipeline, work_of
from benchmarks.priority.quiet import Quiet
from covey.clock import Clock
from covey.services.worker.engine.cpu import CpuEngine

Batch = tuple[str, int]
"""A model, and how many tasks."""

SCRIPT_S = 0.15
"""How long each lane's part of a script takes, if nothing interferes."""
SPELL_S = 0.04
SPELL_BATCHES_MAX = 20
"""A lane runs the same batch again and again for so long, so that every model has about as much time."""
SLOW = 6.0
"""A script that takes so many times what it should was stopped, or robbed of its cores: it is played again."""
TRIES = 3
WARM_RUNS, RUNS = 3, 7
NEW_PASSES = 4
"""Of the last layer of `dense`, in its new version: it takes about twice as long."""


class Timed(NamedTuple):
    """One batch of a script, as it ran: instants in seconds from the script's begin."""

    lane: int
    batch: Batch
    started: float
    ended: float


class Profile(NamedTuple):
    """One model at one size, alone: the median, and the shares that it uses of what lanes have in common.

    Cores are not among that, one being each lane's own, and so `compute` is the share of the interpreter.
    """

    batch: Batch
    solo_s: float
    compute: float
    bandwidth: float
    cache: float


Script = tuple[tuple[Batch, ...], tuple[Batch, ...]]


class Lanes:
    """Two lanes of the CPU engine, with every model loaded."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.app = a_pipeline()
        self.jobs = Jobs(self.app)
        self.engine = CpuEngine(clock, lanes=2)

    async def load(self) -> None:
        for stage in self.app.stages.values():
            await self.engine.load(stage)

    async def run(self, lane: int, batch: Batch, zero: float = 0.0) -> Timed:
        ran = await self.engine.run(self.jobs.of(*batch), lane)
        return Timed(lane, batch, ran.started - zero, ran.started + ran.seconds - zero)

    async def play(self, script: Script) -> list[Timed]:
        """Both lanes from the same instant on; what ran, in order of ending."""
        zero = self.clock.now()

        async def part(lane: int) -> list[Timed]:
            return [await self.run(lane, batch, zero) for batch in script[lane]]

        parts = await asyncio.gather(part(0), part(1))
        return sorted([each for part in parts for each in part], key=lambda each: each.ended)


async def profiles(lanes: Lanes, turns: int = 5) -> list[Profile]:
    """Every model at every size, alone in a lane, in turns of several runs each, of which the first ones warm up."""
    batches = [(model, size) for model in MODELS for size in SIZES]
    seen: dict[Batch, list[float]] = {batch: [] for batch in batches}
    for _ in range(turns):
        for batch in batches:
            ran = [await lanes.run(0, batch) for _ in range(WARM_RUNS + RUNS)]
            seen[batch] += [each.ended - each.started for each in ran[WARM_RUNS:]]
    solo = {batch: statistics.median(times) for batch, times in seen.items()}
    copied = _best_bandwidth(lanes.clock)
    found = []
    for batch, seconds in solo.items():
        work = work_of(*batch, lanes.clock)
        interpreter = max(0.0, 1.0 - work.operators_s / seconds)
        bandwidth = min(1.0, work.bytes_moved / seconds / copied)
        found.append(Profile(batch, seconds, interpreter, bandwidth, min(1.0, work.bytes_touched / L2)))
    return found


L2 = 2 * 1024 * 1024
"""Bytes of a core's own cache, on most servers of these years; a working set of this size counts as 1."""


def _best_bandwidth(clock: Clock) -> float:
    source, target = torch.randn(16 * 1024 * 1024), torch.empty(16 * 1024 * 1024)
    return 2 * source.nbytes / _least_s(clock, lambda: target.copy_(source))


def _least_s(clock: Clock, work: Any) -> float:
    torch.set_num_threads(1)
    times = []
    for _ in range(7):
        began = clock.now()
        work()
        times.append(clock.now() - began)
    return min(times)


def a_script(rng: Random, solo: dict[Batch, float], batches: Sequence[Batch]) -> Script:
    """Spells of one batch each: what a lane has is mostly more of the same, as under load."""

    def part() -> tuple[Batch, ...]:
        chosen: list[Batch] = []
        spent = 0.0
        while spent < SCRIPT_S:
            batch = rng.choice(batches)
            spell = [batch] * max(1, min(SPELL_BATCHES_MAX, round(SPELL_S / solo[batch])))
            chosen += spell
            spent += len(spell) * max(solo[batch], SPELL_S / SPELL_BATCHES_MAX)
        return tuple(chosen)

    return part(), part()


async def record(lanes: Lanes, path: Path, scripts: int, seed: int) -> None:
    """Profile, play every script twice, write it all. Half of the scripts come when a model is a new version."""
    rng = Random(seed)
    known = await profile_rows(lanes)
    solo = {(row["model"], row["size"]): row["solo_s"] for row in known}
    drawn = [a_script(rng, solo, list(solo)) for _ in range(scripts)]
    with path.open("w") as file:
        for profile in known:
            file.write(json.dumps(profile) + "\n")
        for passes, numbers in ((1, range(scripts // 2)), (NEW_PASSES, range(scripts // 2, scripts))):
            Dense.passes = passes
            for repeat, number in [(turn, each) for turn in range(2) for each in rng.sample(numbers, len(numbers))]:
                played = await _played(lanes, drawn[number], solo)
                if played is not None:
                    timed, others = played
                    for row in corun_rows(timed, lanes.clock.now() - timed[-1].ended):
                        mark = {"script": number, "repeat": repeat, "new": passes > 1, "others": others}
                        file.write(json.dumps({**row, **mark}) + "\n")
    Dense.passes = 1


async def profile_rows(lanes: Lanes) -> list[dict[str, Any]]:
    """The profiles as they are kept."""
    return [_profile_row(each) for each in await profiles(lanes)]


async def _played(lanes: Lanes, script: Script, solo: dict[Batch, float]) -> tuple[list[Timed], float] | None:
    """A script as it ran undisturbed, and the share of the machine that others had; None after some tries."""
    wanted = max(sum([solo[batch] for batch in part]) for part in script)
    for _ in range(TRIES):
        quiet = Quiet(lanes.clock)
        timed = await lanes.play(script)
        if timed[-1].ended < SLOW * wanted:
            return timed, round(quiet.others(), 3)
    return None


def _profile_row(each: Profile) -> dict[str, Any]:
    model, size = each.batch
    shares = {name: round(getattr(each, name), 4) for name in ("compute", "bandwidth", "cache")}
    return {"kind": "profile", "model": model, "size": size, "solo_s": each.solo_s, **shares}


def corun_rows(timed: Sequence[Timed], at: float) -> Iterable[dict[str, Any]]:
    """A row per batch; `at` is the script's begin."""
    for index, each in enumerate(timed):
        model, size = each.batch
        place = sum(other.lane == each.lane for other in timed[:index])
        yield {
            "kind": "corun", "model": model, "size": size, "priority": each.lane, "seconds": each.ended - each.started,
            "overlaps": overlaps(each, timed), "at": at + each.ended, "place": place,
        }  # fmt: skip


def overlaps(mine: Timed, timed: Sequence[Timed]) -> list[tuple[float, list[tuple[str, int, int]]]]:
    """The parts of a batch's time, each with what the other lane ran then."""
    parts: list[tuple[float, list[tuple[str, int, int]]]] = []
    now = mine.started
    beside = sorted([each for each in timed if each.lane != mine.lane], key=lambda each: each.started)
    for other in beside:
        begins, ends = max(now, other.started), min(mine.ended, other.ended)
        if begins < ends:
            if begins > now:
                parts.append((begins - now, []))
            parts.append((ends - begins, [(*other.batch, other.lane)]))
            now = ends
    if now < mine.ended:
        parts.append((mine.ended - now, []))
    return parts

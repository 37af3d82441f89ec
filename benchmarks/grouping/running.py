"""One run: events sent open loop at their time, latencies on this process's clock, everything counted."""

from __future__ import annotations

import asyncio
import functools
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.grouping.figures import Summary, imbalance, summary_of
from benchmarks.grouping.mesh import Mesh, Usage
from benchmarks.grouping.traffic import Arrival
from covey.client import Client
from covey.clock import MonotonicClock
from covey.errors import Status
from covey.model import Outcome

CORES = os.cpu_count() or 1
_NAMES = re.compile(r"'[^']*'|/\S+|\bnode-\d+\b")
PARTS = ("queue_s", "fetch_s", "wait_s", "compute_s", "store_s", "batch_size_sum")
DEADLINE_S = 10.0
"""Far beyond the objective: what is late is measured, not dropped."""


@dataclass(slots=True)
class Played:
    """What became of the events of one run; `latencies_s` has None for one that was lost."""

    latencies_s: list[float | None]
    wrong: int = 0
    """Events whose results are not those of one plain process."""
    gets: int = 0
    moved: int = 0
    stages: dict[str, list[float]] = field(default_factory=dict)
    """Stage -> the sums of what `PARTS` names, and then the number of tasks."""
    messages: dict[str, int] = field(default_factory=dict)
    """Why events were lost, in sentences without the names of keys and nodes."""
    begun: Usage | None = None
    ended: Usage | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run of one cell, as it is written down. Times are of what was measured: the last two thirds of the events."""

    condition: str
    mode: str
    seed: int
    rate: float
    """Offered, events per second."""
    events: int
    lost: int
    """Of all events, the dropped third included: without an outcome, or with one that is not OK."""
    wrong: int
    latency: Summary
    within: float
    """The share of events that were answered within the objective."""
    blocks: list[float]
    """Mean latencies, in seconds, of successive parts of the run."""
    remote_gets: float
    """Per event."""
    bytes_moved: float
    """Per event."""
    utilisation: list[float]
    """By node: the share of the time that its device did useful work, by its profile."""
    busy: list[float]
    """By node: the share of the time that its device was busy, the price of small batches included."""
    imbalance: float
    cpu: float
    """The share of the machine that this benchmark used, all processes together."""
    others: float
    """The share of the machine that others used: a run beside which much else ran is not worth much."""
    cpu_by_part: dict[str, float]
    """Cores, by kind of process."""
    stages: dict[str, dict[str, float]]
    """Stage -> where the time of one of its tasks goes on average, in seconds, and the size of its batch."""
    messages: dict[str, int]


async def play(mesh: Mesh, client: Client, arrivals: Sequence[Arrival]) -> Played:
    """Send every event at its time and wait for all outcomes. The first third is not measured, but never lost."""
    clock = MonotonicClock()
    played = Played([None] * len(arrivals))
    warm = len(arrivals) // 3
    async with client.stream(in_flight_max=len(arrivals) + 1) as stream:
        started = clock.now() + 0.05
        for number, arrival in enumerate(arrivals):
            due = started + arrival.at_s
            if (ahead := due - clock.now()) > 0:
                await asyncio.sleep(ahead)
            if number == warm:
                played.begun = mesh.usage()
            pending = await stream.send(arrival.key, arrival.value, deadline_s=DEADLINE_S)
            pending.add_done_callback(functools.partial(_take, played, number, arrival, due, clock))
        played.ended = mesh.usage()
        await stream.answered()
    await asyncio.sleep(0)  # the last callback
    return played


def _take(
    played: Played, number: int, arrival: Arrival, due: float, clock: MonotonicClock, done: asyncio.Future[Outcome]
) -> None:
    outcome = done.result()
    if outcome.status is not Status.OK:
        why = f"{outcome.status.name} {outcome.reason.name}: {_NAMES.sub('…', outcome.message)}"
        played.messages[why] = played.messages.get(why, 0) + 1
        return
    played.latencies_s[number] = clock.now() - due
    played.wrong += arrival.expected not in (None, frozenset(value.ref.key for value in outcome.results))
    if number >= len(played.latencies_s) // 3:
        played.gets += outcome.remote_gets
        played.moved += outcome.bytes_moved
        for stage in outcome.stages:
            sums = played.stages.setdefault(stage.stage, [0.0] * (len(PARTS) + 1))
            for place, value in enumerate([*(getattr(stage, part) for part in PARTS), stage.tasks]):
                sums[place] += value


def run_of(played: Played, condition: str, mode: str, seed: int, rate: float, objective_s: float, blocks: int) -> Run:
    """The figures of a run."""
    warm = len(played.latencies_s) // 3
    measured = [latency for latency in played.latencies_s[warm:] if latency is not None]
    count = len(played.latencies_s) - warm
    begun, ended = played.begun, played.ended
    if begun is None or ended is None:
        raise ValueError("a run has three events at least")
    seconds = max(ended.at - begun.at, 1e-9)
    spent = {name: (cpu_s - begun.cpu_s.get(name, 0.0)) / seconds for name, cpu_s in ended.cpu_s.items()}
    work = list(zip(begun.work, ended.work, strict=True))
    useful = [(after.useful_s - before.useful_s) / seconds for before, after in work]
    return Run(
        condition=condition,
        mode=mode,
        seed=seed,
        rate=rate,
        events=len(played.latencies_s),
        lost=played.latencies_s.count(None),
        wrong=played.wrong,
        latency=summary_of(measured),
        within=sum(latency <= objective_s for latency in measured) / max(1, count),
        blocks=_blocks(played.latencies_s[warm:], blocks),
        remote_gets=played.gets / max(1, len(measured)),
        bytes_moved=played.moved / max(1, len(measured)),
        utilisation=useful,
        busy=[(after.busy_s - before.busy_s) / seconds for before, after in work],
        imbalance=imbalance(useful),
        cpu=sum(spent.values()) / CORES,
        others=max(0.0, (ended.machine_s - begun.machine_s) / seconds - sum(spent.values())) / CORES,
        cpu_by_part=_by_kind(spent),
        stages={
            stage: {part: total / max(1.0, sums[-1]) for part, total in zip(PARTS, sums, strict=False)}
            for stage, sums in played.stages.items()
        },
        messages=played.messages,
    )


def _blocks(latencies_s: Sequence[float | None], count: int) -> list[float]:
    """Mean latencies of `count` stretches of as many events each, so that those of two runs are of the same events; NaN
    where all of a stretch were lost."""
    size = max(1, len(latencies_s) // count)
    parts = [[each for each in latencies_s[at * size : (at + 1) * size] if each is not None] for at in range(count)]
    return [math.fsum(part) / len(part) if part else math.nan for part in parts]


def _by_kind(spent: dict[str, float]) -> dict[str, float]:
    kinds: dict[str, float] = {}
    for name, cores in spent.items():
        kind = name.partition("-")[0]
        kinds[kind] = kinds.get(kind, 0.0) + cores
    return kinds

"""One run on the live mesh: events sent open loop at their instants, and how long each took."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import covey
from benchmarks.processes import CORES, cpu_s, machine_s, with_descendants
from benchmarks.wire.pacing import Alarm
from covey.beside import beside
from covey.client import Client
from covey.clock import MonotonicClock
from covey.cluster import LocalCluster
from covey.errors import Status
from covey.model import Outcome
from covey.simulator.arrivals import steps
from covey.simulator.serving import quantile

DEADLINE_S = 120.0
"""Nothing is late: what is measured is how long it takes."""
LEAD_S = 0.2


STALL_S_MAX = 0.25
"""A machine that does not come round to us for longer spoils what is measured."""
TICK_S = 0.02


class Part(NamedTuple):
    """What is measured of a run. Seconds from its beginning."""

    begin: float
    end: float


class Taken(NamedTuple):
    """What became of the events that were due in a part. Latencies in seconds, of what was answered."""

    offered: int
    answered: int
    throughput: float
    """Answers a second."""
    p50_s: float
    p99_s: float


class Live(NamedTuple):
    """One run on the live mesh."""

    parts: list[Taken]
    cpu: float
    """The share of the machine that the mesh and its client used."""
    others: float
    """... and everybody else: a run beside which much else ran is not worth much."""
    stall_s: float
    """The longest that this process was not let run."""
    failures: dict[str, int]

    @property
    def is_spoilt(self) -> bool:
        return self.stall_s > STALL_S_MAX


Event = tuple[str, Any]
Phases = Sequence[tuple[float, float]]
"""Seconds and events a second, in turn."""


def taken(latencies: Iterable[tuple[float, float]], part: Part) -> Taken:
    """The figures of a part, from the instants at which events were due and their latencies: infinite for what was not
    answered."""
    ordered = sorted([latency for at, latency in latencies if part.begin <= at < part.end])
    answered = [latency for latency in ordered if latency < math.inf]
    rate = len(answered) / (part.end - part.begin)
    return Taken(len(ordered), len(answered), rate, quantile(answered, 0.5), quantile(answered, 0.99))


def instants(phases: Phases, seed: int) -> Iterator[float]:
    """When events are due, from 0: as the simulation of this seed draws it."""
    return steps(phases, Random(f"{seed}/arrivals"))


async def play(
    client: Client,
    pids: Mapping[str, int],
    due: Iterable[float],
    event: Callable[[int], Event],
    parts: Sequence[Part],
) -> Live:
    """Send an event at each of these instants, whether or not earlier ones are answered; all of them are waited for.

    A latency counts from when its event was due, so that a client that falls behind shows as latency.
    """
    clock = MonotonicClock()
    found = _Found(clock)
    processes = with_descendants({**pids, "client": os.getpid()})

    def used() -> tuple[float, float]:
        return sum(cpu_s(pid) for each in processes.values() for pid in each), machine_s()

    async with client.stream(in_flight_max=100_000) as stream, beside(found.watch()):
        with Alarm() as alarm:
            before, began = used(), clock.now() + LEAD_S
            for number, at in enumerate(due):
                await alarm.wait_until(began + at, clock.now())
                pending = await stream.send(*event(number), deadline_s=DEADLINE_S)
                pending.add_done_callback(partial(found.take, began, at))
            seconds, after = clock.now() - began, used()
        await stream.answered()
        await asyncio.sleep(0)  # the last callback
    mine, machine = after[0] - before[0], after[1] - before[1]
    return Live(
        [taken(found.latencies, part) for part in parts],
        mine / seconds / CORES,
        max(0.0, machine - mine) / seconds / CORES,
        found.stall_s,
        found.failures,
    )


class _Found:
    """What has come back so far."""

    def __init__(self, clock: MonotonicClock) -> None:
        self.latencies: list[tuple[float, float]] = []
        self.failures: dict[str, int] = {}
        self.stall_s = 0.0
        self._clock = clock

    def take(self, began: float, at: float, done: asyncio.Future[Outcome]) -> None:
        outcome = done.result()
        if outcome.status is Status.OK:
            self.latencies.append((at, self._clock.now() - began - at))
            return
        why = f"{outcome.status.name} {outcome.reason.name}: {outcome.message}"
        self.failures[why] = self.failures.get(why, 0) + 1
        self.latencies.append((at, math.inf))

    async def watch(self) -> None:
        """Note for how long this process was kept from running, until cancelled."""
        while True:
            slept_at = self._clock.now()
            await asyncio.sleep(TICK_S)
            self.stall_s = max(self.stall_s, self._clock.now() - slept_at - TICK_S)


def cluster_of(app: str, folder: Path, settings: Mapping[str, str], workers: int, nodes: int = 1) -> LocalCluster:
    """A mesh as `covey up` starts it."""
    common = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return LocalCluster(app, folder=folder, nodes=nodes, workers=workers, settings={**common, **settings})


async def one_at_a_time(
    cluster: LocalCluster, event: Callable[[int], Event], pauses: Iterable[float]
) -> list[tuple[float, float]]:
    """Events that have the mesh to themselves, each so long after the answer to the one before: when they were sent,
    counted from the beginning, and their latencies in seconds."""
    clock = MonotonicClock()
    found: list[tuple[float, float]] = []
    async with covey.connect(cluster.address) as client, client.stream() as stream:
        began = clock.now()
        for number, pause_s in enumerate(pauses):
            await asyncio.sleep(pause_s)
            sent_at = clock.now()
            await (await stream.send(*event(number), deadline_s=DEADLINE_S))
            found.append((sent_at - began, clock.now() - sent_at))
    return found

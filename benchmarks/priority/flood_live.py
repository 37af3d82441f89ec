"""The flood of `flood.py` on the live mesh: does HIGH keep its tail, and LOW its floor?

    python -m benchmarks.priority.flood_live [--seconds 60] [--lanes N] [--ordinary] [--out FOLDER]

One worker with a CPU lane less than there are cores, whose scheduler has the policy of priorities, or (`--ordinary`)
goes by urgency alone. HIGH asks for so much that the lanes are a seventh busy; first alone, then beside ten times as
much LOW as the lanes carry. Both clients are processes of their own and send open loop. HIGH's 99th percentile may grow
by one LOW batch and a tenth; in every window LOW has its floor of the work. The last line is one JSON object. Nothing
else should run: `others` is the share of the machine that other processes had.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import covey
from benchmarks.priority.flood import HIGH, TIMES, Flood, least_share
from benchmarks.processes import CORES, cpu_s, machine_s, with_descendants
from benchmarks.slo.live.running import cluster_of
from benchmarks.wire.pacing import Alarm, poisson
from covey.clock import MonotonicClock
from covey.model import Outcome, Priority
from covey.services.scheduler.core.prioritising import Rules

APP = "benchmarks.priority.flood_app:app"
OUT = Path("runs/priority/flood")
LANES = max(1, CORES - 1)
"""The mesh, its clients included, keeps a core: an event waits for one at each process otherwise."""
WARM = 60
"""Events of each priority, one after the other, before anything is measured: the scheduler learns, and so do we."""
HIGH_DEADLINE_S, LOW_DEADLINE_S = 2.0, 4.0
"""So long that HIGH is not dropped, and that LOW's queue is long."""
PARTS = ("queue", "fetch", "wait", "compute", "store", "mesh")
"""As the outcome tells, and the rest: client, gateway, scheduler, and the ways between."""
KEYS = {Priority.HIGH: "/questions/{}", Priority.LOW: "/jobs/{}"}


class Ended(NamedTuple):
    """An event that has its outcome. Instants and durations in seconds, by the machine's monotonic clock."""

    at: float
    latency_s: float
    """From when it was due; infinite for one that was not answered."""
    status: str
    parts: tuple[float, ...]
    """What of it was spent where, by `PARTS`."""

    @property
    def compute_s(self) -> float:
        return self.parts[3]


class Load(NamedTuple):
    """What one client sends."""

    priority: Priority
    rate: float
    seconds: float
    deadline_s: float
    seed: int


async def measured(address: str, lanes: int, seconds: float, pool: Executor) -> tuple[Flood, dict[str, Any]]:
    """The figures that count, and what else there is to tell."""
    alone_s = await _warm(address)
    high = Load(Priority.HIGH, HIGH * lanes / alone_s[Priority.HIGH], seconds, HIGH_DEADLINE_S, 1)
    low = Load(Priority.LOW, TIMES * lanes / alone_s[Priority.LOW], seconds, LOW_DEADLINE_S, 2)
    (calm,) = await _sent(pool, address, high)
    began = MonotonicClock().now()
    beside, flood = await _sent(pool, address, high._replace(seed=3), low)
    answered = [each for each in flood if each.status == "OK"]
    ends = [
        [(each.at, alone_s[priority], each.latency_s) for each in found if each.status == "OK"]
        for priority, found in ((Priority.HIGH, beside), (Priority.LOW, flood))
    ]
    found = Flood(
        quantile([each.latency_s for each in beside]),
        quantile([each.latency_s for each in calm]),
        quantile([each.compute_s for each in answered]),
        least_share(ends[0], ends[1], began, began + seconds, Rules().window_s),
    )
    return found, {
        "high_alone_ms": 1e3 * alone_s[Priority.HIGH],
        "low_alone_ms": 1e3 * alone_s[Priority.LOW],
        "high_rate": high.rate,
        "low_rate": low.rate,
        "slowest_high_unloaded_ms": _of_the_slowest(calm),
        "slowest_high_ms": _of_the_slowest(beside),
        "high": dict(Counter([each.status for each in beside])),
        "low": dict(Counter([each.status for each in flood])),
        "low_answered_rate": len(answered) / seconds,
    }


def quantile(seconds: Sequence[float], share: float = 0.99) -> float:
    """Within so long this share of them ended; infinite if too many never did, or there are none."""
    return sorted(seconds)[int(share * len(seconds))] if seconds else math.inf


async def _warm(address: str) -> dict[Priority, float]:
    """Seconds that a task of each priority computes for, alone."""
    found = {}
    async with covey.connect(address) as client:
        for priority, key in KEYS.items():
            outcomes = [
                await client.send(key.format(number), b"", deadline_s=10.0, priority=priority) for number in range(WARM)
            ]
            found[priority] = statistics.median([outcome.stages[0].compute_s for outcome in outcomes])
    return found


async def _sent(pool: Executor, address: str, *loads: Load) -> list[list[Ended]]:
    """What became of the events of clients that send at the same time."""
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*[loop.run_in_executor(pool, _client, address, load) for load in loads])


def _client(address: str, load: Load) -> list[Ended]:
    """A process: sends an event at each of its instants, whether or not earlier ones are answered."""
    return asyncio.run(_send(address, load))


async def _send(address: str, load: Load) -> list[Ended]:
    clock = MonotonicClock()
    found: list[Ended] = []

    def take(due_at: float, done: asyncio.Future[Outcome]) -> None:
        outcome, now = done.result(), clock.now()
        is_answered = outcome.status is covey.Status.OK
        status = "OK" if is_answered else f"{outcome.status} {outcome.reason}"
        spent = _spent(outcome)
        parts = (*spent, now - due_at - sum(spent))
        found.append(Ended(now, now - due_at if is_answered else math.inf, status, parts))

    async with covey.connect(address) as client, client.stream(in_flight_max=100_000) as stream:
        with Alarm() as alarm:
            began = clock.now()
            for number, at in enumerate(poisson(load.rate, load.seconds, Random(load.seed))):
                await alarm.wait_until(began + at, clock.now())
                pending = await stream.send(
                    KEYS[load.priority].format(number), b"", deadline_s=load.deadline_s, priority=load.priority
                )
                pending.add_done_callback(partial(take, began + at))
        await stream.answered()
        await asyncio.sleep(0)  # the last callback
    return found


def _spent(outcome: Outcome) -> tuple[float, ...]:
    """Of the one stage that an event has here, if it came so far."""
    stage = outcome.stages[0] if outcome.stages else None
    if stage is None:
        return (0.0,) * 5
    return stage.queue_s, stage.fetch_s, stage.wait_s, stage.compute_s, stage.store_s


def _of_the_slowest(ended: Sequence[Ended]) -> dict[str, float]:
    """What the slowest hundredth spent where, on average, in ms."""
    slowest = sorted(ended, key=lambda each: -each.latency_s)[: max(1, len(ended) // 100)]
    return {
        name: round(1e3 * statistics.fmean([each.parts[at] for each in slowest]), 1) for at, name in enumerate(PARTS)
    }


async def run(lanes: int, seconds: float, ordinary: bool, folder: Path) -> dict[str, Any]:
    """A mesh, and what it is measured to do."""
    settings = {"COVEY_LANES": str(lanes), "COVEY_PRIORITIES": str(int(not ordinary)), "COVEY_DEVICE": "cpu"}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        async with cluster_of(APP, folder, settings, workers=1) as cluster:
            began, before = MonotonicClock().now(), _used()
            flood, more = await measured(cluster.address, lanes, seconds, pool)
            (ours, machine), took_s = _used(), MonotonicClock().now() - began
            others = (machine - before[1] - (ours - before[0])) / took_s / CORES
    return {
        "high_p99_ms": 1e3 * flood.high_p99_s,
        "unloaded_p99_ms": 1e3 * flood.unloaded_p99_s,
        "low_batch_p99_ms": 1e3 * flood.low_batch_s,
        "bound_ms": 1e3 * flood.bound_s,
        "high_keeps_its_tail": flood.high_p99_s <= flood.bound_s,
        "low_least_share": flood.low_least,
        "low_floor": Rules().floor,
        "low_keeps_its_floor": flood.low_least >= Rules().floor,
        "policy": not ordinary,
        "lanes": lanes,
        "seconds": seconds,
        **more,
        "others": others,
    }


def _used() -> tuple[float, float]:
    """CPU seconds of ours, and of the whole machine."""
    (ours,) = with_descendants({"ours": os.getpid()}).values()
    return sum([cpu_s(pid) for pid in ours]), machine_s()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each part: HIGH alone, and the flood")
    parser.add_argument("--lanes", type=int, default=LANES, help="of the worker; a core fewer than there are")
    parser.add_argument("--ordinary", action="store_true", help="without the policy of priorities")
    parser.add_argument("--out", type=Path, default=OUT, help="a folder for the services' logs")
    options = parser.parse_args()
    found = asyncio.run(run(options.lanes, options.seconds, options.ordinary, options.out))
    for name, value in found.items():
        print(f"{name:20} {value:.4g}" if isinstance(value, float) else f"{name:20} {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()

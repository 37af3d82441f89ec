"""The two clients: a closed loop, whose requests wait for one another, and an open one, whose requests don't.

An open loop's arrivals are independent (Poisson), whether or not earlier ones are answered; a latency counts from the
instant at which its request was due, so that a client that falls behind shows as latency and not as a lower rate.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from benchmarks.grouping.figures import quantile
from benchmarks.processes import CORES, Usage
from benchmarks.wire.pacing import Alarm, poisson
from benchmarks.wire.subject import Call, Failed
from covey.clock import MonotonicClock

WARM_SHARE = 0.25
"""So much of a run's seconds goes by before anything is measured."""
BACKLOG_S = 0.25
"""An open loop is given up when this many seconds' arrivals are unanswered: by Little's law that is the latency."""
BACKLOG_MIN = 200
ANSWERED_S_MAX = 12.0
"""How long what was sent last may take."""


class Load(NamedTuple):
    """`in_flight` requests at a time, or, where that is 0, `rate` of them a second."""

    in_flight: int
    rate: float
    seconds: float
    seed: int = 0


@dataclass(slots=True)
class Played:
    """What came of a run, within the seconds that were measured."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    overrun: bool = False
    """An open loop was given up: more came than was answered."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A run as it is reported. Latencies in ms, of what was answered; CPU in µs per answered request."""

    answered: int
    rate: float
    """Answers a second."""
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]
    """By role, the client among them."""
    resident_mb: dict[str, float]
    others: float
    """The share of the machine that other processes used: a run beside which much else ran is not worth much."""
    failures: dict[str, int]
    overrun: bool


def figures(played: Played, before: Usage, after: Usage) -> Figures:
    """What a run came to."""
    ordered = sorted(played.latencies_s)
    answered = len(ordered)
    spent_s = {role: cpu_s - before.cpu_s[role] for role, cpu_s in after.cpu_s.items()}
    machine_s = after.machine_s - before.machine_s
    p50, p99 = (quantile(ordered, share) * 1e3 if ordered else math.nan for share in (0.50, 0.99))
    return Figures(
        answered=answered,
        rate=answered / played.seconds,
        p50_ms=p50,
        p99_ms=p99,
        cpu_us={role: spent * 1e6 / max(1, answered) for role, spent in spent_s.items()},
        resident_mb={role: size / 1e6 for role, size in after.resident_bytes.items()},
        others=max(0.0, machine_s - sum(spent_s.values())) / (played.seconds * CORES),
        failures=dict(played.failures),
        overrun=played.overrun,
    )


async def play(call: Call, payload: bytes, load: Load, used: Callable[[], Usage]) -> Figures:
    """One run."""
    if load.in_flight:
        return await _closed(call, payload, load, used)
    return await _open(call, payload, load, used)


class _Requests:
    """Sends requests and notes what becomes of those that fall within what is measured."""

    def __init__(self, call: Call, payload: bytes) -> None:
        self.played = Played()
        self.unanswered = 0
        self.measured_from = math.inf
        self.measured_until = math.inf
        self.clock = MonotonicClock()
        self._call = call
        self._payload = payload

    async def one(self, due: float, *, by_end: bool = False) -> None:
        """Send one request. It counts by when it was due, or by its end."""
        self.unanswered += 1
        why = ""
        try:
            await self._call(self._payload)
        except Failed as failure:
            why = str(failure)
        finally:
            self.unanswered -= 1
        now = self.clock.now()
        if not self.measured_from <= (now if by_end else due) < self.measured_until:
            return
        if why:
            self.played.failures[why] += 1
        else:
            self.played.latencies_s.append(now - due)


async def _closed(call: Call, payload: bytes, load: Load, used: Callable[[], Usage]) -> Figures:
    requests = _Requests(call, payload)
    played, clock = requests.played, requests.clock

    async def one_after_the_other() -> None:
        while requests.measured_until == math.inf:
            await requests.one(clock.now(), by_end=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(load.in_flight):
            group.create_task(one_after_the_other())
        await asyncio.sleep(load.seconds * WARM_SHARE)
        before, requests.measured_from = used(), clock.now()
        await asyncio.sleep(load.seconds)
        requests.measured_until, after = clock.now(), used()
    played.seconds = requests.measured_until - requests.measured_from
    return figures(played, before, after)


async def _open(call: Call, payload: bytes, load: Load, used: Callable[[], Usage]) -> Figures:
    requests = _Requests(call, payload)
    played, clock = requests.played, requests.clock
    warm_s = load.seconds * WARM_SHARE
    backlog_max = max(BACKLOG_MIN, load.rate * BACKLOG_S)
    before = after = used()
    began = clock.now()
    requests.measured_from = began + warm_s
    try:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            with Alarm() as alarm:
                warm = False
                for at in poisson(load.rate, warm_s + load.seconds, Random(load.seed)):
                    await alarm.wait_until(began + at, clock.now())
                    if at >= warm_s and not warm:
                        warm, before = True, used()
                    group.create_task(requests.one(began + at))
                    if requests.unanswered > backlog_max:
                        played.overrun = True
                        break
            played.seconds, after = max(clock.now() - requests.measured_from, load.seconds), used()
            limit.reschedule(asyncio.get_running_loop().time() + ANSWERED_S_MAX)
    except TimeoutError:
        played.failures["never answered"] += requests.unanswered
    return figures(played, before, after)

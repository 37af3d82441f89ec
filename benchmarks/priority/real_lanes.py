"""A priority policy in charge of two real lanes: requests arrive, batches run, and the clock on the wall counts.

The policy is the one that is simulated, behind the same seam. Arrivals are open loop, the same at the same instants for
every policy; nothing else is in their way, so that what is late is late by the policy or by the lanes. How fast lanes
are changes from second to second, so policies take short turns: each keeps what it has learned, and its clock stands
still in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from benchmarks.priority.coruns import Lanes
from covey.model import Priority
from covey.services.scheduler.core.contention import Launch, ModelProfile, PriorityPolicy, Report, Request

LEAD_S = 0.5
"""What comes at the begin of a turn is not counted: queues are empty then."""
TAIL_S = 1.0
"""What comes at its end is neither: its deadline is when no more comes."""


class Traffic(NamedTuple):
    """What arrives, at random. Shares are of the two lanes' time, each request by itself and alone."""

    high: Mapping[str, float]
    """Model -> share."""
    low: Mapping[str, float]
    high_deadline: float
    """In times of a batch of one alone, ..."""
    low_deadline: float
    slack_s: float
    """... and so much more: what the loop and the lanes take to hand a batch over."""


class Counted(NamedTuple):
    """What became of a turn's requests. Late is what was dropped, too."""

    high: int
    high_late: int
    low: int
    low_late: int
    low_in_time_s: float
    """Seconds that LOW requests take alone which ended in time, ..."""
    counted_s: float
    """... and in which they came."""
    busy_s: float
    """Of both lanes, ..."""
    lasted_s: float
    """... in a turn that lasted so long."""


class Figures(NamedTuple):
    """What became of a run's requests. Violations are shares, of what was late or dropped."""

    high_violations: float
    low_violations: float
    high: int
    low_in_time_rate: float
    """LOW requests a second that ended in time, each weighed by what it takes alone: seconds per second."""
    busy: float
    """Share of the lanes' time."""


def arrivals(traffic: Traffic, profiles: Mapping[str, ModelProfile], seconds: float, rng: Random) -> list[Request]:
    """In order of arrival; instants from 0 on."""
    found = []
    for priority, shares, times in (
        (Priority.HIGH, traffic.high, traffic.high_deadline),
        (Priority.LOW, traffic.low, traffic.low_deadline),
    ):
        for model, share in shares.items():
            alone_s = profiles[model].curve.mean_s(1)
            at = rng.expovariate(2.0 * share / alone_s)
            while at < seconds:
                found.append((at, model, priority, at + times * alone_s + traffic.slack_s))
                at += rng.expovariate(2.0 * share / alone_s)
    found.sort()
    return [Request(number, model, priority, at, end) for number, (at, model, priority, end) in enumerate(found)]


def figures_of(turns: Sequence[Counted]) -> Figures:
    """A run's, of its turns."""
    high, high_late, low, low_late, low_in_time_s, counted_s, busy_s, lasted_s = map(sum, zip(*turns, strict=True))
    return Figures(high_late / high, low_late / low, high, low_in_time_s / counted_s, busy_s / (2 * lasted_s))


class Turn:
    """One turn of a policy, whose clock says `begins` by then."""

    def __init__(self, lanes: Lanes, policy: PriorityPolicy, requests: Sequence[Request], begins: float = 0.0) -> None:
        self._lanes = lanes
        self._policy = policy
        self._begins = begins
        self._requests = [
            each._replace(ready_at=each.ready_at + begins, deadline=each.deadline + begins) for each in requests
        ]
        self._zero = 0.0
        self._free = [1, 0]
        self._changed = asyncio.Event()
        self._ended: list[tuple[Launch, float]] = []
        self._done_at: dict[int, float] = {}
        self._busy_s = 0.0

    async def play(self, profiles: Mapping[str, ModelProfile]) -> Counted:
        """To the end of the last request."""
        self._zero = self._lanes.clock.now() - self._begins
        arrived = 0
        async with asyncio.TaskGroup() as group:
            while len(self._done_at) < len(self._requests):
                now = self.now()
                while arrived < len(self._requests) and self._requests[arrived].ready_at <= now:
                    self._policy.arrived(self._requests[arrived], now)
                    arrived += 1
                self._report(now)
                again_at = self._decide(group, now)
                if arrived < len(self._requests):
                    again_at = min(again_at, self._requests[arrived].ready_at)
                await self._wait(again_at)
        self._report(self.now())
        return self._counted(profiles)

    def now(self) -> float:
        """By the policy's clock."""
        return self._lanes.clock.now() - self._zero

    def _report(self, now: float) -> None:
        for launch, seconds in self._ended:
            self._policy.ended(Report(launch.batch, 0.0, seconds, 0.0), now)
        self._ended.clear()

    def _decide(self, group: asyncio.TaskGroup, now: float) -> float:
        choice = self._policy.choose(now)
        for drop in choice.drops:
            self._done_at[drop.request] = float("inf")
        for launch in choice.launches:
            group.create_task(self._run(launch))
        waiting = len(self._done_at) < len(self._requests)
        return choice.again_at if choice.again_at is not None else now + (LOOK_S if waiting else 0.0)

    async def _run(self, launch: Launch) -> None:
        lane = self._free.pop()
        ran = await self._lanes.run(lane, (launch.load.model, launch.load.size))
        self._free.append(lane)
        self._busy_s += ran.ended - ran.started
        now = self.now()
        self._done_at.update(dict.fromkeys(launch.requests, now))
        self._ended.append((launch, ran.ended - ran.started))
        self._changed.set()

    async def _wait(self, until: float) -> None:
        """For a batch to end, or the instant."""
        try:
            async with asyncio.timeout(max(0.0, until - self.now())):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def _counted(self, profiles: Mapping[str, ModelProfile]) -> Counted:
        since, until = self._begins + LEAD_S, self._requests[-1].ready_at - TAIL_S
        counted = [each for each in self._requests if since <= each.ready_at < until]
        high = [each for each in counted if each.priority is Priority.HIGH]
        low = [each for each in counted if each.priority is Priority.LOW]
        late = {each.number for each in counted if self._done_at[each.number] > each.deadline}
        return Counted(
            len(high),
            sum([each.number in late for each in high]),
            len(low),
            sum([each.number in late for each in low]),
            sum([profiles[each.model].curve.mean_s(1) for each in low if each.number not in late]),
            until - since,
            self._busy_s,
            self.now() - self._begins,
        )


LOOK_S = 0.01
"""How long a policy that waits is left alone at most."""

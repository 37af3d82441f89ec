"""Priorities on shared devices in virtual time: requests arrive, a policy starts batches, devices run them.

The policy is the production one, or one that it is compared with, behind the same seam (`PriorityPolicy`); devices and
what batches do to one another are the simulation's (`shared_device.py`, `contention.py`).
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from covey.model import Priority
from covey.services.scheduler.core.contention import (
    Launch,
    Load,
    ModelProfile,
    Overlap,
    PriorityPolicy,
    Report,
    Request,
    Rule,
)
from covey.simulator.arrivals import gamma, poisson
from covey.simulator.contention import NOISE, NONE, Drift, ModelTruth, Truth, paired_gain, profiles_of
from covey.simulator.shared_device import Job, SharedDevice, Sharing
from covey.values import dataclass as value

WARM = 0.1
"""Share of the requests that come first and are not counted: everyone learns."""


@value(frozen=True, slots=True)
class Traffic:
    """What arrives. Shares of requests by model are such that each model brings the same work."""

    models: Mapping[str, ModelTruth]
    high_share: float
    """Of the work."""
    utilisation: float
    """Of the devices, were each always to run two requests side by side, in batches of one."""
    deadline: float
    """Of HIGH, in times of a batch of one alone."""
    low_deadline: float
    requests: int
    """Their number, about, unless `lasts_s` says how long they come."""
    burst: float = 1.0
    """Coefficient of variation of the gaps between requests of a model and priority; 1: Poisson."""
    drift: Drift = NONE
    flood: float = 1.0
    """Times the LOW rate, from a third to two thirds of the run."""
    lasts_s: float = 0.0


class Arrival(NamedTuple):
    at: float
    model: str
    priority: Priority


def arrivals_of(traffic: Traffic, devices: int, rng: random.Random) -> list[Arrival]:
    """As many as the traffic says, in order."""
    found: list[Arrival] = []
    total = 0.0
    each = traffic.utilisation * paired_gain(traffic.models) * devices / len(traffic.models)
    sources = []
    for priority, share in ((Priority.HIGH, traffic.high_share), (Priority.LOW, 1.0 - traffic.high_share)):
        for name, model in traffic.models.items():
            rate = share * each / model.solo_s(1)
            total += rate
            if rate > 0.0:
                sources.append((name, priority, rate))
    lasts_s = traffic.lasts_s or traffic.requests / total
    for name, priority, rate in sources:
        flooded = traffic.flood if priority is Priority.LOW else 1.0
        for at in _instants(rate, traffic.burst, flooded, lasts_s, rng):
            found.append(Arrival(at, name, priority))
    return sorted(found)


def _instants(rate: float, burst: float, flood: float, lasts_s: float, rng: random.Random) -> list[float]:
    """Until the end; the middle third at `flood` times the rate, by a clock that runs so much faster."""
    found: list[float] = []
    for warped in poisson(rate, rng) if burst == 1.0 else gamma(rate, burst, rng):
        third = lasts_s / 3
        if warped < third:
            at = warped
        elif warped < third * (1 + flood):
            at = third + (warped - third) / flood
        else:
            at = warped - third * (flood - 1)
        if at >= lasts_s:
            return found
        found.append(at)
    return found


class Corun(NamedTuple):
    """A batch that has computed: what predictors are judged by. Seconds."""

    load: Load
    overlaps: tuple[Overlap, ...]
    seconds: float
    noise: float
    """What of it nobody can foretell, as a factor."""
    at: float


@dataclass(slots=True)
class Class:
    """One priority in one run."""

    offered: int = 0
    in_time: int = 0
    late: int = 0
    dropped: int = 0
    latencies: list[float] = field(default_factory=list)
    """Seconds, of what was run."""

    @property
    def violations(self) -> float:
        """Share of what was offered that was not answered in time."""
        return 1.0 - self.in_time / self.offered if self.offered else 0.0

    @property
    def attainment(self) -> float:
        return 1.0 - self.violations


@dataclass(slots=True)
class Figures:
    """What a run came to."""

    high: Class
    low: Class
    seconds: float
    utilisation: float
    """Share of the time that devices computed."""
    rules: dict[Rule, int]
    promised: int = 0
    """Batches, ..."""
    broken: int = 0
    """... and those that took longer than promised."""
    coruns: list[Corun] = field(default_factory=list)
    low_ends: list[tuple[float, float, float]] = field(default_factory=list)
    """(instant, seconds of work alone, seconds from launch to end) of LOW batches as they end, and ..."""
    high_ends: list[tuple[float, float, float]] = field(default_factory=list)
    """... of HIGH ones."""

    @property
    def jain(self) -> float:
        """Jain's index of the two classes' attainment."""
        one, other = self.high.attainment, self.low.attainment
        squares = 2 * (one * one + other * other)
        return (one + other) ** 2 / squares if squares else 1.0


@value(frozen=True, slots=True)
class Devices:
    """What a policy is made for."""

    count: int
    profiles: Mapping[str, ModelProfile]
    history: list[Corun]
    """Pairs that were measured beforehand, side by side: the offline profile of regressions."""


PolicyMaker = Callable[[Devices, random.Random], PriorityPolicy]


def play(traffic: Traffic, devices: int, sharing: Sharing, make: PolicyMaker, seed: int, keep: bool = False) -> Figures:
    """Run to the end. The same seed brings the same arrivals, quirks and noise, whatever the policy.

    `keep`: the record of what ran beside what, for predictors.
    """
    truth_rng, arrival_rng, noise_rng, policy_rng = (random.Random(f"{seed}/{part}") for part in "tanp")
    arrivals = arrivals_of(traffic, devices, arrival_rng)
    truth = Truth(traffic.models, traffic.drift, arrivals[-1].at, truth_rng)
    profiles = profiles_of(traffic.models, truth_rng)
    history = measured_pairs(truth, truth_rng)
    world = _World(traffic, truth, profiles, [SharedDevice(truth, sharing, noise_rng) for _ in range(devices)], keep)
    world.policy = make(Devices(devices, profiles, history), policy_rng)
    return world.run(arrivals)


PAIRS_MEASURED = 120


def measured_pairs(truth: Truth, rng: random.Random) -> list[Corun]:
    """Pairs of measured models, run side by side before traffic began, without priorities: the offline profile."""
    names = [name for name, model in truth.models.items() if model.measured]
    found = []
    for _ in range(PAIRS_MEASURED):
        mine, other = (_drawn(truth, rng.choice(names), rng) for _ in range(2))
        noise = rng.lognormvariate(0.0, NOISE)
        seconds = truth.solo_s(mine, 0.0) * truth.slowdowns([mine, other], 0, True, 0.0)[0] * noise
        found.append(Corun(mine, (Overlap(seconds, (other,)),), seconds, noise, 0.0))
    return found


def _drawn(truth: Truth, name: str, rng: random.Random) -> Load:
    return Load(name, rng.choice(truth.models[name].sizes), rng.choice((Priority.HIGH, Priority.LOW)))


class _World:
    """The heap of events, the devices and the policy."""

    def __init__(
        self,
        traffic: Traffic,
        truth: Truth,
        profiles: Mapping[str, ModelProfile],
        devices: list[SharedDevice],
        keep: bool,
    ) -> None:
        self.policy: PriorityPolicy
        self._traffic = traffic
        self._truth = truth
        self._profiles = profiles
        self._devices = devices
        self._keep = keep
        self._heap: list[tuple[float, int, int]] = []
        self._numbers = count()
        self._scheduled = [math.inf] * len(devices)
        self._wake_at = math.inf
        self._requests: dict[int, Request] = {}
        self._launched: dict[int, tuple[Launch, float]] = {}
        self._counted: set[int] = set()
        self.figures = Figures(Class(), Class(), 0.0, 0.0, dict.fromkeys(Rule, 0))

    def run(self, arrivals: list[Arrival]) -> Figures:
        warm = int(WARM * len(arrivals))
        at = 0
        now = 0.0
        while at < len(arrivals) or self._heap:
            if at < len(arrivals) and (not self._heap or arrivals[at].at <= self._heap[0][0]):
                now = arrivals[at].at
                self._arrive(arrivals[at], at, at >= warm, now)
                at += 1
            else:
                now, _, device = heapq.heappop(self._heap)
                if not self._carry_on(device, now):
                    continue
            self._choose(now)
            if at == len(arrivals) and not self._requests and not self._launched:
                break
        self.figures.seconds = now
        self.figures.utilisation = sum(device.busy_s for device in self._devices) / (now * len(self._devices))
        return self.figures

    def _arrive(self, arrival: Arrival, number: int, counts: bool, now: float) -> None:
        model = self._truth.models[arrival.model]
        times = self._traffic.deadline if arrival.priority is Priority.HIGH else self._traffic.low_deadline
        request = Request(number, arrival.model, arrival.priority, now, now + times * model.solo_s(1))
        self._requests[number] = request
        if counts:
            self._counted.add(number)
            self._class(request).offered += 1
        self.policy.arrived(request, now)

    def _class(self, request: Request) -> Class:
        return self.figures.high if request.priority is Priority.HIGH else self.figures.low

    def _carry_on(self, device: int, now: float) -> bool:
        """Something ends on a device, or (-1) the policy wanted to be asked; False: it was meant for earlier."""
        if device < 0:
            if now < self._wake_at:
                return False
            self._wake_at = math.inf
            return True
        if now < self._scheduled[device]:
            return False
        self._scheduled[device] = math.inf
        ended = False
        for job in self._devices[device].step(now):
            self._end(job, now)
            ended = True
        self._schedule(device)
        return ended

    def _schedule(self, device: int) -> None:
        at = self._devices[device].next_at()
        if at < self._scheduled[device] or at > self._scheduled[device]:
            self._scheduled[device] = at
            if at < math.inf:
                heapq.heappush(self._heap, (at, next(self._numbers), device))

    def _choose(self, now: float) -> None:
        choice = self.policy.choose(now)
        for drop in choice.drops:
            request = self._requests.pop(drop.request)
            self.figures.rules[drop.why.rule] += 1
            if request.number in self._counted:
                self._class(request).dropped += 1
        for launch in choice.launches:
            self.figures.rules[launch.why.rule] += 1
            self._launched[launch.batch] = (launch, now)
            self._devices[launch.device].launch(launch.batch, launch.load, len(launch.requests), now)
            self._schedule(launch.device)
        if choice.again_at is not None and choice.again_at < self._wake_at:
            self._wake_at = max(choice.again_at, now + 1e-6)
            heapq.heappush(self._heap, (self._wake_at, next(self._numbers), -1))

    def _end(self, job: Job, now: float) -> None:
        launch, began_at = self._launched.pop(job.batch)
        if launch.why.promised_s > 0.0:
            self.figures.promised += 1
            self.figures.broken += now - began_at > launch.why.promised_s
        for number in launch.requests:
            request = self._requests.pop(number)
            if number in self._counted:
                counted = self._class(request)
                counted.latencies.append(now - request.ready_at)
                if now <= request.deadline:
                    counted.in_time += 1
                else:
                    counted.late += 1
        if self._keep:
            self.figures.coruns.append(
                Corun(job.load, tuple(job.overlaps), job.computed_at - job.computes_at, job.noise, now)
            )
        ends = self.figures.high_ends if job.load.priority is Priority.HIGH else self.figures.low_ends
        ends.append((now, self._truth.solo_s(job.load, now), now - began_at))
        copied_s, computed_s = job.computes_at - job.began_at, job.computed_at - job.computes_at
        report = Report(job.batch, copied_s, computed_s, now - job.computed_at)
        self.policy.ended(report, now)

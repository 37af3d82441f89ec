"""What should each stage get, at some rate?

Ahead of time, a table of plans over root rates and fan-outs: for each the batches, replicas and budgets that cost least
among those whose end-to-end latency meets the objective. Ours, in the spirit of SLOpt ("ahead-of-time tuning").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from covey.services.scheduler.core.budgeting import depths, split
from covey.services.scheduler.core.estimating import visits
from covey.services.scheduler.core.provision import SPARE, Edge, Pipeline, Profile, Provision, Share

Floats = NDArray[np.float64]

SLOTS = 80
"""That the objective is cut into, to be split among stages."""
SHRINK = 0.95
TRIES = 20
"""Times that the budget is shrunk by this for a plan that `verify` does not confirm ..."""
RELAXED = 1.3
"""... starting from so many objectives: the formula errs on the safe side, and `verify` says when it does."""
FINER = 5
"""Steps of fan-outs, where there are too few devices, in one where there are enough."""


class Plan(NamedTuple):
    """What a pipeline should get at some rate."""

    provision: Provision
    rate: float
    """Events a second that it carries; less than what was asked for where there are too few devices."""
    latency_s: float
    """Predicted, at the planner's `tail`: what it takes by the formula, or by `verify` where there is one."""
    meets: bool
    """All that was asked for is carried within the objective; otherwise this is the best that could be done."""


class _Found(NamedTuple):
    """The cheapest that keeps within a budget, and what it takes by the formula."""

    provision: Provision
    latency_s: float


Verify = Callable[[float, Mapping[Edge, float], Provision], float]
"""(events a second, fan-outs, provision) -> end-to-end latency in seconds at the tail, as simulated or measured."""


class Planner:
    """Least replicas for an objective, on at most so many devices of one replica each.

    `headroom`: what a stage can carry over what it gets. `burstiness`: the variance of arrivals over their mean, 1 for
    Poisson's. `tail`: the share of events that are to meet the objective.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        devices: int = 1024,
        headroom: float = 1.1,
        burstiness: float = 1.0,
        tail: float = 0.99,
        verify: Verify | None = None,
    ) -> None:
        if devices < len(pipeline.stages):
            raise ValueError(f"{devices} devices are too few for {len(pipeline.stages)} stages: each needs one")
        if headroom < 1:
            raise ValueError(f"a headroom of {headroom:g} is less than what comes: it is 1 or more")
        self.pipeline = pipeline
        self.devices = devices
        self._headroom = headroom
        self._verify = verify
        # A sum of n independent parts reaches its tail when each is at 1/sqrt(n) of the tail's standard deviations.
        deepest = max(depths(pipeline.stages, pipeline.edges).values())
        share = NormalDist().cdf(NormalDist().inv_cdf(tail) / math.sqrt(deepest))
        self._stages = {
            stage: _Stage(profile, share, headroom, burstiness) for stage, profile in pipeline.profiles.items()
        }

    def plan(self, rate: float, fan_outs: Mapping[Edge, float]) -> Plan:
        """The cheapest plan for so many events a second; the one that carries most where none meets the objective."""
        rates = {stage: rate * tasks for stage, tasks in visits(self.pipeline, fan_outs).items()}
        budget_s = self.pipeline.objective_s * (RELAXED if self._verify else 1)
        plan: Plan | None = None
        for _ in range(TRIES):
            found = self._cheapest(rates, budget_s, queueing=True)
            if found is None:
                break
            latency_s = self._verify(rate, fan_outs, found.provision) if self._verify else found.latency_s
            plan = Plan(found.provision, rate, latency_s, latency_s <= self.pipeline.objective_s)
            if plan.meets:
                return plan
            budget_s *= SHRINK
        return plan or self._best_effort(rate, rates)

    def most(self, tasks: Mapping[str, float]) -> float:
        """Events a second that the devices carry in the batches that carry most, at so many tasks of each stage."""
        return self.devices / sum(tasks[stage] * self._stages[stage].least_s for stage in tasks)

    def carrying(self, rates: Mapping[str, float]) -> dict[str, int]:
        """Replicas that carry so many tasks a second of each stage, with the headroom, in the batches that carry most.

        However batches are cut at present, so that who asks for more does not hear of fewer.
        """
        return {
            stage: math.ceil(rate * self._headroom * self._stages[stage].least_s - 1e-9)
            for stage, rate in rates.items()
        }

    def _cheapest(self, rates: Mapping[str, float], budget_s: float, queueing: bool) -> _Found | None:
        """None if there is no such thing, or none on these devices. Budgets add up to the objective."""
        slot_s = budget_s / SLOTS
        options = {stage: self._stages[stage].options(rates[stage], self.devices, queueing) for stage in rates}
        costs = {stage: _replicas_by_slots(latencies.min(axis=0), slot_s) for stage, latencies in options.items()}
        slots = split(self.pipeline.edges, costs)
        if slots is None or sum(costs[stage][slots[stage]] for stage in slots) > self.devices:
            return None
        share_of = {stage: number / self._longest(slots) for stage, number in slots.items()}
        provision: dict[str, Share] = {}
        latencies_s: dict[str, float] = {}
        for stage, share in share_of.items():
            replicas = int(costs[stage][slots[stage]])
            # A batch is a limit: the largest that keeps within the budget carries most in a burst, and costs nothing.
            latencies = options[stage][:, replicas - 1]
            batch = int(np.flatnonzero(latencies <= share * budget_s + 1e-9)[-1]) + 1
            provision[stage] = Share(replicas, batch, share * self.pipeline.objective_s)
            latencies_s[stage] = float(latencies[batch - 1])
        return _Found(provision, self._longest(latencies_s))

    def _best_effort(self, rate: float, rates: Mapping[str, float]) -> Plan:
        """What carries the largest part of the rate at the largest batches that fit the objective, queues left aside.

        What is spared of the objective is for them. One that can't be met at all is stretched until it can.
        """
        budget_s = self.pipeline.objective_s * (1 - SPARE)
        low, high = 1e-3 / max(rate, 1.0), 1.0
        while (found := self._part(rates, low, budget_s)) is None:
            budget_s *= 1.25
        for _ in range(12):
            middle = math.sqrt(low * high)
            better = self._part(rates, middle, budget_s)
            low, high, found = (middle, high, better) if better else (low, middle, found)
        shares = dict(found.provision)
        while replicas_in(shares) < self.devices:
            carried = {stage: self._stages[stage].capacity(shares[stage]) / max(rates[stage], 1e-9) for stage in shares}
            scarcest = min(carried, key=carried.__getitem__)
            if carried[scarcest] >= self._headroom:
                break
            shares[scarcest] = shares[scarcest]._replace(replicas=shares[scarcest].replicas + 1)
        return Plan(shares, low * rate, found.latency_s, False)

    def _part(self, rates: Mapping[str, float], part: float, budget_s: float) -> _Found | None:
        return self._cheapest({stage: rate * part for stage, rate in rates.items()}, budget_s, queueing=False)

    def _longest(self, lengths: Mapping[str, float]) -> float:
        """What the stages of the longest path add up to."""
        ends = {"": 0.0}
        for stage in self.pipeline.stages:
            before = max(ends[edge.source] for edge in self.pipeline.edges if edge.target == stage)
            ends[stage] = before + lengths[stage]
        return max(ends.values())


class _Stage:
    """What a stage can be given, from its curve."""

    def __init__(self, profile: Profile, share: float, headroom: float, burstiness: float) -> None:
        sizes = range(1, profile.batch_max + 1)
        self._sizes: Floats = np.array(sizes, dtype=float)[:, None]
        self._mean_s: Floats = np.array([profile.curve.mean_s(size) for size in sizes])[:, None]
        self._run_s: Floats = np.array([profile.curve.quantile_s(size, share) for size in sizes])[:, None]
        self._beyond = 1 - share
        self._headroom = headroom
        self._burstiness = burstiness
        self.least_s = float((self._mean_s / self._sizes).min())
        """Of a device, for a task in the batches that carry most."""

    def capacity(self, share: Share) -> float:
        """Tasks a second."""
        return share.replicas * share.batch / float(self._mean_s[share.batch - 1, 0])

    def options(self, rate: float, devices: int, queueing: bool) -> Floats:
        """Seconds at the tail by batch (row) and replicas (column, from 1), infinite where the load is too high.

        Waiting for a batch (until it is full, or one before has ended) and running it; with `queueing`, waiting behind
        other batches besides, by the approximation of Allen and Cunneen: who has to wait does so for an exponential
        time, of a mean that grows with the variance of arrivals and shrinks with what the replicas have left.
        """
        most = math.ceil(rate * self._headroom * float((self._mean_s / self._sizes).max())) + 8
        replicas: Floats = np.arange(1, min(most, devices) + 1, dtype=float)[None, :]
        busy = rate * self._mean_s / (replicas * self._sizes)
        latency: Floats = self._run_s + np.minimum(self._run_s, self._sizes / max(rate, 1e-9))
        if not queueing:
            return np.where(busy <= 1, latency, np.inf)
        too_busy = busy * self._headroom > 1
        busy = np.where(too_busy, 0.5, np.clip(busy, 1e-9, 1 - 1e-9))  # any number that has a logarithm
        waits = busy ** (np.sqrt(2 * (replicas + 1)) - 1)
        wait_s = self._mean_s * self._burstiness / (2 * self._sizes * replicas * (1 - busy))
        latency = latency + wait_s * np.maximum(np.log(waits / self._beyond), 0)
        return np.where(too_busy, np.inf, latency)


def _replicas_by_slots(latencies: Floats, slot_s: float) -> list[float]:
    """The least replicas whose latency (by replicas, from 1) is within 0, 1, ... slots; infinite if there are none."""
    least = np.minimum.accumulate(latencies)
    budgets = np.arange(SLOTS + 1) * slot_s * (1 + 1e-9)
    enough = (least[None, :] > budgets[:, None]).sum(axis=1)
    return [float(number) + 1 if number < len(least) else math.inf for number in enough]


class PlanTable:
    """Plans by root rate and fan-outs, each rounded to a step of a geometric grid.

    What was not filled in beforehand is planned when it is asked for: milliseconds, unless there is a `verify`.
    """

    def __init__(self, planner: Planner, rate_step: float = 1.05, fan_out_step: float = 1.1) -> None:
        self.planner = planner
        self._rate_step = math.log(rate_step)
        self._fan_out_step = math.log(fan_out_step)
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._last_short: tuple[tuple[int, ...], Plan] = ((), Plan({}, 0.0, math.inf, False))

    def fill(self, lowest: float, highest: float, fan_outs: Iterable[Mapping[Edge, float]]) -> None:
        """Plan for every rate between these, at each of these fan-outs."""
        steps = math.ceil(math.log(highest / lowest) / self._rate_step)
        for known in fan_outs:
            for step in range(steps + 1):
                self.at(lowest * math.exp(step * self._rate_step), known)

    def at(self, rate: float, fan_outs: Mapping[Edge, float]) -> Plan:
        """The plan of the grid's point that has at least this rate at every stage.

        Where there are too few devices, what a stage has for more than it gets is what another lacks: fan-outs are then
        rounded less. Of such plans the last is remembered.
        """
        key, carried, points = self._point(rate, fan_outs, self._fan_out_step)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self.planner.plan(carried, points)
        if plan.rate >= carried:
            return plan
        key, carried, points = self._point(rate, fan_outs, self._fan_out_step / FINER)
        if key != self._last_short[0]:
            self._last_short = (key, self.planner.plan(carried, points))
        return self._last_short[1]

    def _point(
        self, rate: float, fan_outs: Mapping[Edge, float], fan_out_step: float
    ) -> tuple[tuple[int, ...], float, dict[Edge, float]]:
        """The grid's point for these: what names it, its rate, and its fan-outs."""
        edges = self.planner.pipeline.edges
        grid = {edge: round(math.log(max(fan_outs[edge], 1e-3)) / fan_out_step) for edge in edges}
        points = {edge: math.exp(step * fan_out_step) for edge, step in grid.items()}
        asked, planned = visits(self.planner.pipeline, fan_outs), visits(self.planner.pipeline, points)
        covering = max(rate, 1e-3) * max(asked[stage] / planned[stage] for stage in asked)
        step = math.ceil(math.log(covering) / self._rate_step - 1e-9)
        return (step, *grid.values()), math.exp(step * self._rate_step), points


def replicas_in(provision: Provision) -> int:
    """Of all stages."""
    return sum(share.replicas for share in provision.values())

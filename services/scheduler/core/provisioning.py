"""What should each stage get, and when?

In operation, the plan (`planner.py`) for the rate that is expected one cold start from now, for all stages at once; up
at once, down late, and nothing is taken away before what replaces it is up.

What a burst costs is decided before it comes: until a cold start has passed, it is carried by what is there. So a share
of what the devices could carry beyond the present rate is kept ready, in the same proportion at every stage, unless no
such rise was seen for long. Unlike headroom, which is in proportion to the rate, this is much when the load is low and
little when it is high: there a burst can add much, here it can't. What is here is ours, in the spirit of SLOpt
("ahead-of-time tuning").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from covey.services.scheduler.core.estimating import Estimator, Load, visits
from covey.services.scheduler.core.planner import PlanTable, replicas_in
from covey.services.scheduler.core.provision import Edge, Provision, Share, Window


class Rule(NamedTuple):
    """How much is kept beyond the plan for what is expected; each can be switched off, for the ablation."""

    hold: float = 1.0
    """What was expected in the last so many cold starts is provisioned for, too: what is given up sooner than it could
    be had back is missed more often than it is spared. 0: what is expected now alone."""
    reserve: float = 0.35
    """Of what the devices carry beyond the expected rate: the rise within a cold start to reckon with. 0: none."""
    memory_s: float = 300.0
    """In which the reserve falls to the highest rise that was seen, and in which a rise is forgotten."""


class AheadOfTime:
    """The plan for what is expected one cold start from now, and what a burst needs beyond it.

    An estimator that expects different root rates at different stages gets each stage's share from the plan for that
    stage's; ours expects one, and all stages rise together.
    """

    def __init__(self, table: PlanTable, estimator: Estimator, rule: Rule | None = None) -> None:
        self._table = table
        self._pipeline = table.planner.pipeline
        self._estimator = estimator
        self._rule = rule or Rule()
        self._ahead_s = max(profile.cold_s for profile in self._pipeline.profiles.values())
        self._expected: deque[_Expected] = deque()
        self._rises = _Rises(self._ahead_s, self._rule.memory_s)
        self._provision: Provision = {}
        self.short = False
        """There are too few devices for what is expected."""

    def decide(self, window: Window) -> Provision:
        self._estimator.observe(window)
        load = self._estimator.load(self._ahead_s)
        roots, fan_outs = self._needed(load, window.ends_at)
        plans = {stage: self._table.at(roots[stage], fan_outs) for stage in self._pipeline.stages}
        planned = {stage: plan.provision[stage] for stage, plan in plans.items()}
        if replicas_in(planned) > self._table.planner.devices:
            # Each plan fits, but not what is picked from several.
            highest = self._table.at(max(roots.values()), fan_outs)
            plans, planned = dict.fromkeys(plans, highest), dict(highest.provision)
        self.short = not all(plan.meets for plan in plans.values())
        wanted = self._beyond(planned, self._table.planner.carrying(self._bursts(load, roots, window.ends_at)))
        self._provision = self._made_before_broken(wanted, window)
        return self._provision

    def _needed(self, load: Load, now: float) -> tuple[dict[str, float], dict[Edge, float]]:
        """Stage -> the root rate that its load stands for, and fan-outs: the most that was expected lately."""
        tasks = visits(self._pipeline, load.fan_outs)
        roots = {stage: load.rates[stage] / max(tasks[stage], 1e-9) for stage in self._pipeline.stages}
        self._expected.append(_Expected(now, roots, load.fan_outs))
        while self._expected[0].at < now - self._rule.hold * self._ahead_s:
            self._expected.popleft()
        return (
            {stage: max(expected.roots[stage] for expected in self._expected) for stage in roots},
            {edge: max(expected.fan_outs[edge] for expected in self._expected) for edge in self._pipeline.edges},
        )

    def _bursts(self, load: Load, roots: Mapping[str, float], now: float) -> dict[str, float]:
        """Stage -> tasks a second that it should carry if there were a rise, be it in more time than the objective."""
        tasks = visits(self._pipeline, load.fan_outs)
        self._rises.observe(now, max(load.rates[stage] / max(tasks[stage], 1e-9) for stage in tasks))
        most = self._table.planner.most(tasks)
        rises = {
            stage: self._rises.expected(self._rule.reserve * max(most - root, 0.0)) for stage, root in roots.items()
        }
        # Without a rise the plan alone counts: it has a headroom of its own.
        return {stage: (roots[stage] + rise) * tasks[stage] if rise else 0.0 for stage, rise in rises.items()}

    def _beyond(self, planned: Provision, bursts: Mapping[str, int]) -> Provision:
        """As many replicas as bursts take where that is more than planned, as far as the plan leaves devices."""
        more = {stage: max(bursts[stage] - share.replicas, 0) for stage, share in planned.items()}
        left = self._table.planner.devices - replicas_in(planned)
        granted = min(1.0, left / max(sum(more.values()), 1))
        return {
            stage: share._replace(replicas=share.replicas + int(more[stage] * granted))
            for stage, share in planned.items()
        }

    def _made_before_broken(self, wanted: Provision, window: Window) -> Provision:
        """While replicas that are wanted are not up, keep what there is, as far as the devices allow.

        A stage that waits for replicas keeps the larger of its two batches: it has to carry the load with what it has.
        """
        seen = window.stages
        if all(seen[stage].replicas >= share.replicas for stage, share in wanted.items()):
            return wanted
        kept: dict[str, Share] = {}
        for stage, share in wanted.items():
            before = self._provision.get(stage, share)
            batch = share.batch if seen[stage].replicas >= share.replicas else max(share.batch, before.batch)
            replicas = max(share.replicas, seen[stage].replicas + seen[stage].coming)
            kept[stage] = share._replace(replicas=replicas, batch=batch)
        if replicas_in(kept) <= self._table.planner.devices:
            return kept
        return {stage: share._replace(replicas=wanted[stage].replicas) for stage, share in kept.items()}


class _Rises:
    """By how much a rate has risen within so many seconds, at most, in so many that are remembered."""

    def __init__(self, within_s: float, memory_s: float) -> None:
        self._within_s = within_s
        self._memory_s = memory_s
        self._began: float | None = None
        self._now = 0.0
        self._rates: deque[tuple[float, float]] = deque()
        self._highest: deque[tuple[float, float]] = deque()
        """Instants and rises; those that an earlier and smaller one can't outlive are gone, so the first is highest."""

    def observe(self, now: float, rate: float) -> None:
        self._began, self._now = now if self._began is None else self._began, now
        self._rates.append((now, rate))
        while self._rates[0][0] < now - self._within_s:
            self._rates.popleft()
        rise = rate - min(each for _, each in self._rates)
        while self._highest and self._highest[-1][1] <= rise:
            self._highest.pop()
        self._highest.append((now, rise))
        while self._highest[0][0] < now - self._memory_s:
            self._highest.popleft()

    def expected(self, presumed: float) -> float:
        """What is presumed, or less: it fades as the memory fills, down to the highest that was seen."""
        assert self._began is not None
        unseen = max(0.0, 1 - (self._now - self._began) / self._memory_s)
        return min(max(self._highest[0][1], unseen * presumed), presumed)


class _Expected(NamedTuple):
    """What was expected at some instant."""

    at: float
    roots: Mapping[str, float]
    fan_outs: Mapping[Edge, float]

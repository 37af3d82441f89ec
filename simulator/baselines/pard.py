"""PARD: dropping proactively, by what a task still has before it; with the ablations of its evaluation.

After arXiv 2602.08747 (EuroSys 2026), whose method is known here through its abstract and an independent description:

    L = L_pre + L_cur + L_sub; drop iff L > objective
    L_pre: since the event; L_cur: of this stage; L_sub: over the downstream paths, the greatest sum of queueing and
    running, and the lambda-quantile of the sum of their batch waits, each uniform between 0 and a batch's time

Tasks run in the order of what remains of their budget: the highest first (HBF) while a stage is overloaded, so that
full batches go to those that can still be answered; else the lowest first (LBF). Input by throughput, mu, decides, with
a hysteresis of mu's own variability.

Ours to fill in, where the description is silent: queueing is the mean wait of what a stage has started in the last
`recent_s`; decisions are taken when a replica is free, so that what a task has waited here is in L_pre; OC is a bound
on the wait at one stage, WCL a split in proportion to a batch's worst case, which is twice its time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from functools import cache
from itertools import combinations

from covey.services.scheduler.core.provision import Backlog, Choice, Pipeline, Provision, Waiting
from covey.simulator.baselines.sizing import proportional_split, throughput


class Rule(Enum):
    """What is taken to lie before a task when it is judged."""

    PARD = auto()
    """Queueing, running, and the quantile of batch waits."""
    BACK = auto()
    """Nothing: what has passed, and this stage."""
    SF = auto()
    """Running alone."""
    OC = auto()
    """Overload control: whoever has waited too long here goes, whatever lies before."""
    SPLIT = auto()
    """Each stage has its share of the objective, as provisioned ..."""
    WCL = auto()
    """... or in proportion to its worst case."""
    LOWER = auto()
    """As PARD, with no batch waits."""
    UPPER = auto()
    """As PARD, with the longest batch waits."""


class Order(Enum):
    """Who runs first."""

    ADAPTIVE = auto()
    """HBF or LBF, by load and with hysteresis."""
    INSTANT = auto()
    """HBF or LBF, by load alone."""
    HBF = auto()
    LBF = auto()
    FCFS = auto()


EPS_MIN, EPS_MAX = 0.05, 0.5
"""The hysteresis, as the independent description clamps it."""


class Pard:
    """Drops what, by `rule`, will not be answered in time."""

    def __init__(
        self,
        pipeline: Pipeline,
        rule: Rule = Rule.PARD,
        order: Order = Order.ADAPTIVE,
        *,
        quantile: float = 0.1,
        queued_s_max: float = 0.020,
        recent_s: float = 5.0,
        smoothing: float = 0.2,
    ) -> None:
        """`quantile`: lambda. `queued_s_max`: what OC allows. `smoothing`: weight of the newest second's input rate."""
        self._pipeline = pipeline
        self._rule = rule
        self._order = order
        self._quantile = quantile
        self._queued_s_max = queued_s_max
        self._paths = {stage: _paths_after(pipeline, stage) for stage in pipeline.stages}
        self._queueing = {stage: RecentMean(recent_s) for stage in pipeline.stages}
        self._inputs = {stage: InputRate(smoothing) for stage in pipeline.stages}
        self._is_overloaded = dict.fromkeys(pipeline.stages, False)
        self._provision: Provision = {}
        self._run_s: dict[str, float] = {}
        self._budget_s: dict[str, float] = {}

    def provisioned(self, provision: Provision) -> None:
        profiles = self._pipeline.profiles
        self._provision = provision
        self._run_s = {stage: profiles[stage].curve.mean_s(share.batch) for stage, share in provision.items()}
        self._budget_s = {stage: share.budget_s for stage, share in provision.items()}
        if self._rule is Rule.WCL:
            self._budget_s = proportional_split(self._pipeline, self._run_s)

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        batch = self._provision[stage].batch
        self._inputs[stage].saw(waiting, now)
        run_s = self._pipeline.profiles[stage].curve.mean_s(min(batch, len(waiting)))
        before_s = run_s + self._after_s(stage, now)
        drop = [task.number for task in waiting if not self._can_make_it(stage, task, now, run_s, before_s)]
        kept = [task for task in waiting if self._can_make_it(stage, task, now, run_s, before_s)] if drop else waiting
        run = self._ordered(stage, kept, backlogs[stage].replicas)[:batch]
        for task in run:
            self._queueing[stage].add(now - task.ready_at, now)
        return Choice([task.number for task in run], drop)

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        pass

    # --- dropping ----------------------------------------------------------------------------------------------------

    def _can_make_it(self, stage: str, task: Waiting, now: float, run_s: float, before_s: float) -> bool:
        match self._rule:
            case Rule.OC:
                return now - task.ready_at <= self._queued_s_max
            case Rule.SPLIT | Rule.WCL:
                return now + run_s <= task.ready_at + self._budget_s[stage]
            case _:
                return now + before_s <= task.deadline

    def _after_s(self, stage: str, now: float) -> float:
        """L_sub."""
        match self._rule:
            case Rule.PARD | Rule.LOWER | Rule.UPPER | Rule.SF:
                return max(self._path_s(path, now) for path in self._paths[stage])
            case _:
                return 0.0

    def _path_s(self, path: tuple[str, ...], now: float) -> float:
        runs = tuple([self._run_s[stage] for stage in path])
        if self._rule is Rule.SF:
            return sum(runs)
        waits = {Rule.LOWER: 0.0, Rule.UPPER: sum(runs)}.get(self._rule)
        batch_wait_s = quantile_of_sum(runs, self._quantile) if waits is None else waits
        return sum(runs) + sum([self._queueing[stage].mean(now) for stage in path]) + batch_wait_s

    # --- order -------------------------------------------------------------------------------------------------------

    def _ordered(self, stage: str, tasks: Sequence[Waiting], replicas: int) -> list[Waiting]:
        highest_first = self._order is Order.HBF
        if self._order in (Order.ADAPTIVE, Order.INSTANT):
            highest_first = self._judge_load(stage, replicas)
        if self._order is Order.FCFS:
            return list(tasks)
        return sorted(tasks, key=lambda task: task.deadline, reverse=highest_first)

    def _judge_load(self, stage: str, replicas: int) -> bool:
        """Whether the stage is overloaded; between the two thresholds it stays what it was."""
        rate = self._inputs[stage]
        capacity = max(1, replicas) * throughput(self._pipeline.profiles[stage], self._provision[stage].batch)
        eps = rate.variability if self._order is Order.ADAPTIVE else 0.0
        mu = rate.recent / capacity
        if mu > 1 + eps:
            self._is_overloaded[stage] = True
        elif mu < 1 - eps or not eps:
            self._is_overloaded[stage] = False
        return self._is_overloaded[stage]


class RecentMean:
    """The mean of what was added in the last `seconds`; 0 of nothing, so that what is old does not drop what is new."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._added: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def add(self, value: float, now: float) -> None:
        self._forget(now)
        self._added.append((now, value))
        self._sum += value

    def mean(self, now: float) -> float:
        self._forget(now)
        return self._sum / len(self._added) if self._added else 0.0

    def _forget(self, now: float) -> None:
        while self._added and self._added[0][0] < now - self._seconds:
            self._sum -= self._added.popleft()[1]


class InputRate:
    """Tasks a second that become ready at a stage, counted second by second."""

    def __init__(self, smoothing: float) -> None:
        self.recent = 0.0
        self._smoothing = smoothing
        self._smoothed = 0.0
        self._count = 0
        self._since: float | None = None
        self._seen_until = -math.inf

    @property
    def variability(self) -> float:
        """How far the newest second is from the smoothed rate, relative to it and clamped."""
        if not self._smoothed:
            return EPS_MIN
        return min(max(abs(self.recent - self._smoothed) / self._smoothed, EPS_MIN), EPS_MAX)

    def saw(self, waiting: Sequence[Waiting], now: float) -> None:
        """Count those that have become ready since the last time: they are at the end."""
        fresh = 0
        for task in reversed(waiting):
            if task.ready_at <= self._seen_until:
                break
            fresh += 1
        self._seen_until = waiting[-1].ready_at
        self._count += fresh
        if self._since is None:
            self._since = waiting[0].ready_at
        if now - self._since >= 1.0:
            self.recent = self._count / (now - self._since)
            before = self._smoothed or self.recent
            self._smoothed = before + self._smoothing * (self.recent - before)
            self._count, self._since = 0, now


def _paths_after(pipeline: Pipeline, stage: str) -> list[tuple[str, ...]]:
    """The paths that lead on from a stage, each without the stage itself; the one that ends there is empty."""
    found = [
        (edge.target, *path)
        for edge in pipeline.edges
        if edge.source == stage
        for path in _paths_after(pipeline, edge.target)
    ]
    return found or [()]


@cache
def quantile_of_sum(widths: tuple[float, ...], share: float) -> float:
    """What the sum of independent uniforms, each from 0 to its width, stays below with this probability.

    The exact distribution, F(x) = sum over subsets S of (-1)^|S| max(0, x - sum S)^n / (n! product of widths), inverted
    by bisection: 2^n terms, and n is the length of a pipeline.
    """
    positive = [width for width in widths if width > 0]
    subsets = [
        ((-1) ** chosen, sum(subset))
        for chosen in range(len(positive) + 1)
        for subset in combinations(positive, chosen)
    ]
    scale = math.factorial(len(positive)) * math.prod(positive)
    low, high = 0.0, sum(positive)
    for _ in range(50):
        middle = (low + high) / 2
        below = sum(sign * max(0.0, middle - offset) ** len(positive) for sign, offset in subsets) / scale
        low, high = (middle, high) if below < share else (low, middle)
    return high

"""What does a free replica run next, and what is not worth running any more?

A task is dropped when it can't finish through the rest of its pipeline, by what is queued there *now*: a mean of past
waits is wrong when it matters, and once everything is dropped upstream nothing refreshes it. Where there is time to
spare, a batch is shrunk rather than a task dropped. Who has least time left is first, overloaded or not.

Where not all can make it, the first stage chooses who does: nothing has been spent on anybody yet. As long as a full
batch is left, it drops who would have next to nothing to spare, so that what it lets in is not dropped later, after
others have worked for it; and batches have the sizes that serve most a second. (To put those first who have most time
left was tried: 12 % less in bursts, and 10 % less where tasks have siblings.) What is here is ours, in the spirit of
SLOpt ("adaptive batch drop").

What falls with a dropped task (its siblings, before a join that needs them all) is for the caller, who knows cascades.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from covey.services.scheduler.core.estimating import ROOT
from covey.services.scheduler.core.provision import SPARE, Backlog, Choice, Pipeline, Provision, Waiting


class DropRule(NamedTuple):
    """What can be switched, for the ablation; the defaults are ours."""

    drop: bool = True
    """Without it nothing is dropped, and batches are as large as they may be."""
    downstream: bool = True
    """Without it only the stage itself is looked at, not what comes after."""
    shrink: bool = True
    """A batch that would be late is halved, where nothing else is queued."""
    spare: float = SPARE
    """Of the objective: what a task must have left where more wait at the first stage than a batch takes; 0: none."""
    probe_every: int = 100
    """One in so many tasks that are not worth running runs all the same, so that predictions are corrected; 0: none."""


WEIGHT = 0.2
"""Of the last batch, in the mean of how much longer than measured beforehand batches take."""

_deadline = attrgetter("deadline")


class AdaptiveDrop:
    """Implements `Batcher`. `probes` counts tasks that ran though they were predicted to be late."""

    def __init__(self, pipeline: Pipeline, rule: DropRule | None = None) -> None:
        self.probes = 0
        self._pipeline = pipeline
        self._rule = rule or DropRule()
        self._stages = {stage: _Stage(pipeline, stage) for stage in pipeline.stages}
        self._spare_s = {
            edge.target: self._rule.spare * pipeline.objective_s for edge in pipeline.edges if edge.source == ROOT
        }
        self._short_until = -math.inf
        """Somebody was dropped within the last objective: not all can make it."""
        self._condemned = 0

    def provisioned(self, provision: Provision) -> None:
        for name, share in provision.items():
            self._stages[name].batch = min(share.batch, self._pipeline.profiles[name].batch_max)

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        self._stages[stage].ended(size, seconds)

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        batch = self._stages[stage].batch
        size = min(batch, len(waiting))
        if not self._rule.drop:
            return Choice([task.number for task in waiting[:size]])
        tasks = sorted(waiting, key=_deadline)
        finish = now + self._needs_s(stage, size, backlogs)
        if self._rule.shrink and len(tasks) <= batch:
            while size > 1 and tasks[0].deadline < finish:
                size //= 2
                finish = now + self._needs_s(stage, size, backlogs)
        late = 0
        while late < len(tasks) and tasks[late].deadline < finish:
            late += 1
            if 0 < len(tasks) - late < size:
                size = len(tasks) - late
                finish = now + self._needs_s(stage, size, backlogs)
        spare_s = self._spare_s.get(stage, 0.0) if now < self._short_until else 0.0
        while len(tasks) - late > batch and tasks[late].deadline < finish + spare_s:
            late += 1
        if late:
            self._short_until = now + self._pipeline.objective_s
        if now < self._short_until:
            size = self._stages[stage].best_size[size]
        # A probe is the one that has least to make up for, and takes the place of none that can make it.
        has_room = len(tasks) - late < batch
        dropped = late - (late > 0 and has_room and self._is_probe_due(late))
        return Choice([task.number for task in tasks[dropped : late + size]], [task.number for task in tasks[:dropped]])

    def _is_probe_due(self, late: int) -> bool:
        """At most one at a time, and one in `probe_every`."""
        self._condemned += late
        if not self._rule.probe_every or self._condemned < self._rule.probe_every:
            return False
        self._condemned = 0
        self.probes += 1
        return True

    def _needs_s(self, stage: str, size: int, backlogs: Mapping[str, Backlog]) -> float:
        """Seconds until the events of a batch that starts now are answered, on the longest path.

        At a stage downstream that is busy, a task waits for all that is there and for all that is on its way there and
        ahead of it, less what has been served until it comes.
        """
        here = self._stages[stage]
        ended = {stage: here.run_s(size)}
        if not self._rule.downstream:
            return ended[stage]
        ahead = {stage: 0.0}
        tasks = {stage: float(size)}
        for name, edges in here.downstream:
            there, backlog = self._stages[name], backlogs[name]
            tasks[name] = sum(tasks[source] * fan_out for source, fan_out in edges)
            coming = sum((ahead[source] + backlogs[source].running) * fan_out for source, fan_out in edges)
            ahead[name] = backlog.queued + coming
            comes = max(ended[source] for source, _ in edges)
            replicas = max(backlog.replicas, 1)
            # Those who come together share a batch; with those ahead of them all replicas do.
            shared = max(tasks[name], (tasks[name] + ahead[name]) / replicas)
            run_s = there.run_s(min(there.batch, math.ceil(shared)))
            served_s = ahead[name] * there.run_s(there.batch) / (there.batch * replicas)
            if backlog.free_in_s > 0:
                # Replicas that are busy end at moments that nobody knows yet: on average, the first of n at 1/(n + 1).
                comes += run_s / (replicas + 1)
            ended[name] = max(comes, backlog.free_in_s + served_s) + run_s
        return max(ended.values())


class _Stage:
    """What is known of one stage."""

    def __init__(self, pipeline: Pipeline, name: str) -> None:
        profile = pipeline.profiles[name]
        self._mean_s = [0.0, *(profile.curve.mean_s(size) for size in range(1, profile.batch_max + 1))]
        self.best_size = [0]
        """By how many there are: the batch of at most so many that serves most a second. Measured curves have steps."""
        for size in range(1, profile.batch_max + 1):
            best = self.best_size[-1] or 1
            self.best_size.append(size if self._mean_s[size] / size <= self._mean_s[best] / best else best)
        self._slowness = 1.0
        self.batch = profile.batch_max
        self.downstream = _downstream(pipeline, name)

    def ended(self, size: int, seconds: float) -> None:
        self._slowness += WEIGHT * (seconds / self._mean_s[size] - self._slowness)

    def run_s(self, size: int) -> float:
        return self._mean_s[size] * self._slowness


def _downstream(pipeline: Pipeline, name: str) -> list[tuple[str, list[tuple[str, float]]]]:
    """The stages that follow, in topological order, each with those that lead to it and their fan-outs."""
    reached = {name}
    found: list[tuple[str, list[tuple[str, float]]]] = []
    for stage in pipeline.stages:
        into = [
            (edge.source, pipeline.fan_outs[edge])
            for edge in pipeline.edges
            if edge.target == stage and edge.source in reached
        ]
        if into:
            reached.add(stage)
            found.append((stage, into))
    return found

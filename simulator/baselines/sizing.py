"""Arithmetic that the baselines share: batches that fit a time, replicas that carry a rate, an objective split."""

from __future__ import annotations

import math
from collections.abc import Mapping

from covey.services.scheduler.core.provision import Pipeline, Profile, Share, Waiting


def largest_batch(profile: Profile, limit_s: float, share: float = 0.5) -> int:
    """The largest batch of which this share ends within the limit; at least 1, also where not even that does."""
    fitting = [size for size in range(1, profile.batch_max + 1) if profile.curve.quantile_s(size, share) <= limit_s]
    return fitting[-1] if fitting else 1


def throughput(profile: Profile, batch: int) -> float:
    """Tasks a second of one replica with full batches."""
    return batch / profile.curve.mean_s(batch)


def replicas_for(rate: float, each: float) -> int:
    """How many replicas that carry `each` carry the rate: one at least, since a stage without any never recovers."""
    return max(1, math.ceil(rate / each - 1e-9))


def stage_deadline(task: Waiting, share: Share) -> float:
    """Until when a stage with a budget of its own has to be through with a task."""
    return min(task.deadline, task.ready_at + share.budget_s)


def alone(pipeline: Pipeline) -> dict[str, float]:
    """Seconds of each stage for a task in a batch of its own."""
    return {stage: profile.curve.mean_s(1) for stage, profile in pipeline.profiles.items()}


def proportional_split(pipeline: Pipeline, weights: Mapping[str, float]) -> dict[str, float]:
    """A budget in seconds for each stage, by its share of the weights along the heaviest path that it lies on.

    Along no path do budgets come to more than the objective, and along the heaviest to no less.
    """
    before, after = {"": 0.0}, dict.fromkeys(pipeline.stages, 0.0)
    for stage in pipeline.stages:
        before[stage] = weights[stage] + max(before[edge.source] for edge in pipeline.edges if edge.target == stage)
    for stage in reversed(pipeline.stages):
        for source, target in pipeline.edges:
            if source == stage:
                after[stage] = max(after[stage], weights[target] + after[target])
    return {stage: pipeline.objective_s * weights[stage] / (before[stage] + after[stage]) for stage in pipeline.stages}

"""Clipper++: Clipper's batching at every stage of a pipeline, with lazy drop.

Clipper (Crankshaw et al., NSDI 2017) lets a batch limit grow by one while batches stay within their time and cuts it by
a tenth when one does not. The published code leaves 8 % of the time as slack, which is kept here. The extension to
pipelines is that of the PARD paper's comparison, as far as it is known: budgets are split, and a task is dropped only
when it has already expired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from covey.services.scheduler.core.provision import Backlog, Choice, Pipeline, Provision, Waiting


class Clipper:
    """Batch limits by additive increase and multiplicative decrease."""

    def __init__(
        self, pipeline: Pipeline, *, increase: float = 1.0, decrease: float = 0.9, budget_used: float = 0.92
    ) -> None:
        """`increase`: what a full batch that was in time adds; `decrease`: what one that was not multiplies by.

        `budget_used`: the share of a stage's budget in which a batch should end.
        """
        self._profiles = pipeline.profiles
        self._limits = dict.fromkeys(pipeline.stages, 1.0)
        self._increase = increase
        self._decrease = decrease
        self._budget_used = budget_used
        self._provision: Provision = {}

    def provisioned(self, provision: Provision) -> None:
        self._provision = provision

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        late = [task.number for task in waiting if task.deadline <= now]
        kept = [task.number for task in waiting if task.deadline > now]
        return Choice(run=kept[: int(self._limits[stage])], drop=late)

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        limit = self._limits[stage]
        if late or seconds > self._budget_used * self._provision[stage].budget_s:
            self._limits[stage] = max(1.0, limit * self._decrease)
        elif size >= int(limit):
            # What a batch that was not full took says nothing about one that is.
            self._limits[stage] = min(limit + self._increase, float(self._profiles[stage].batch_max))

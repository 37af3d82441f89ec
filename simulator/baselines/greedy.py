"""Batchers that look at one queue only: who is free takes what waits, up to the batch size.

With `Lateness.KEEP` nothing is ever dropped, for questions about provisioning alone; with `EXPIRED` what is past its
event's deadline goes, which is what a system without a drop policy of its own does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto

from covey.services.scheduler.core.provision import Backlog, Choice, Provision, Waiting


class Lateness(Enum):
    """What becomes of tasks that are late."""

    KEEP = auto()
    EXPIRED = auto()


class Greedy:
    """Runs the tasks that have been ready longest."""

    def __init__(self, lateness: Lateness) -> None:
        self._lateness = lateness
        self._provision: Provision = {}

    def provisioned(self, provision: Provision) -> None:
        self._provision = provision

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        late = [task.number for task in waiting if task.deadline <= now] if self._lateness is Lateness.EXPIRED else []
        kept = [task.number for task in waiting if task.deadline > now] if late else [task.number for task in waiting]
        return Choice(run=kept[: self._provision[stage].batch], drop=late)

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        pass

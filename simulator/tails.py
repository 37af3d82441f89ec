"""What is the tail made of: which stage, and what did its tasks wait for there?

A batcher that is watched sees every task when it waits and when it runs, and so what each event spent at each stage:

* *batch wait*, until a replica was free: those that there are had a batch each to end;
* *queueing*, from then on: replicas took others first;
* *cold start*, instead of queueing, while replicas were wanted that had not come yet;
* *compute*, what the batch takes by its profile.

What an event takes is the longest way through its cascade: at the stage that ended last, and back from there each time
by the sibling and the stage that ended last. The mesh's own hops are in none of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from covey.services.scheduler.core.provision import Backlog, Batcher, Choice, Pipeline, Provision, Waiting

TAIL = 0.01
"""The share of events, the slowest, that are taken apart."""


class Term(StrEnum):
    """What time at a stage goes to."""

    BATCH_WAIT = "batch wait"
    QUEUEING = "queueing"
    COLD_START = "cold start"
    COMPUTE = "compute"


Terms = Mapping[str, Mapping[Term, float]]
"""Stage -> term -> seconds."""


class _Event(NamedTuple):
    """Events that come in one message are offered at the same instant; their deadlines tell them apart."""

    offered_at: float
    deadline: float


class _Passed(NamedTuple):
    """An event's last task at a stage."""

    ends_at: float
    batch_wait_s: float
    wait_s: float
    is_cold: bool
    compute_s: float

    def terms(self) -> dict[Term, float]:
        return {
            Term.BATCH_WAIT: self.batch_wait_s,
            Term.QUEUEING: 0.0 if self.is_cold else self.wait_s,
            Term.COLD_START: self.wait_s if self.is_cold else 0.0,
            Term.COMPUTE: self.compute_s,
        }


class WatchedBatcher:
    """Implements `Batcher`: another's choices, and what they say of each event."""

    def __init__(self, batcher: Batcher, pipeline: Pipeline) -> None:
        self._batcher = batcher
        self._pipeline = pipeline
        self._wanted: Provision = {}
        self._free_at: dict[int, float] = {}
        """Task -> when a replica of its stage was first free for it."""
        self._events: dict[_Event, dict[str, _Passed]] = {}
        """Event -> stage -> what its last task there went through."""

    def provisioned(self, provision: Provision) -> None:
        self._wanted = provision
        self._batcher.provisioned(provision)

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        self._batcher.ended(stage, size, seconds, late, now)

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        for task in reversed(waiting):
            if task.number in self._free_at:
                break
            self._free_at[task.number] = now
        choice = self._batcher.choose(stage, waiting, backlogs, now)
        for number in choice.drop:
            self._free_at.pop(number, None)
        if choice.run:
            is_cold = self._wanted[stage].replicas > backlogs[stage].replicas
            compute_s = self._pipeline.profiles[stage].curve.mean_s(len(choice.run))
            left = set(choice.run)
            for task in waiting:
                if task.number in left:
                    left.remove(task.number)
                    self._runs(stage, task, now, is_cold, compute_s)
                if not left:
                    break
        return choice

    def _runs(self, stage: str, task: Waiting, now: float, is_cold: bool, compute_s: float) -> None:
        free_at = self._free_at.pop(task.number, now)
        passed = _Passed(now + compute_s, free_at - task.ready_at, now - free_at, is_cold, compute_s)
        stages = self._events.setdefault(_Event(task.event_at, task.deadline), {})
        if stage not in stages or stages[stage].ends_at < passed.ends_at:
            stages[stage] = passed

    def terms(self) -> Terms:
        """Seconds by stage and term, as means over the slowest events. Empty if nothing ran."""
        slowest = sorted(self._events, key=lambda event: event.offered_at - _last_end(self._events[event]))
        tail = slowest[: max(1, round(TAIL * len(slowest)))]
        found = {stage: dict.fromkeys(Term, 0.0) for stage in self._pipeline.stages} if tail else {}
        for event in tail:
            for stage, passed in self._longest(self._events[event]):
                for term, seconds in passed.terms().items():
                    found[stage][term] += seconds / len(tail)
        return found

    def _longest(self, stages: Mapping[str, _Passed]) -> list[tuple[str, _Passed]]:
        stage: str | None = max(stages, key=lambda name: stages[name].ends_at)
        way = []
        while stage is not None:
            way.append((stage, stages[stage]))
            before = [edge.source for edge in self._pipeline.edges if edge.target == stage and edge.source in stages]
            stage = max(before, key=lambda name: stages[name].ends_at, default=None)
        return way


def _last_end(stages: Mapping[str, _Passed]) -> float:
    return max(passed.ends_at for passed in stages.values())


def limit_of(terms: Terms) -> tuple[str, Term]:
    """The stage and the term that most of the tail's time goes to."""
    seconds = {(stage, term): each[term] for stage, each in terms.items() for term in each}
    return max(seconds, key=seconds.__getitem__)

"""What runs on a device now, when will it end, and what has run beside what?

Computing is taken for a fluid: each batch has seconds of work, as if it were alone, which drain at one over its
slowdown, and that changes whenever a neighbour begins to compute or ends. Nobody reports how far a batch is, so the
work that is done is reckoned, too, until its report says how long each part took.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from covey.model import Priority
from covey.services.scheduler.core.contention import Load, ModelProfile, Overlap, Report, Slots, Slowdowns
from covey.services.scheduler.core.transfer import CopyCost, CopyQueue

OVERDUE = 0.03
"""Share of its work that a batch has left at least, as long as it is not reported."""
SPANS_MAX = 256
"""Batches that are remembered because they ran beside one that still runs: it may hang."""


@dataclass(slots=True, eq=False)
class Running:
    """A batch on a device. Instants in seconds."""

    batch: int
    load: Load
    tasks: int
    deadline: float
    """The earliest of its requests'."""
    began_at: float
    computes_at: float
    """When its input is there, as far as is known."""
    work_s: float
    """That is left, alone."""
    waited: bool
    """Its input had to wait for other copies."""
    whole_s: float = 0.0
    """At first: what `work_s` was."""
    predicted_s: float = 0.0
    """From its beginning to its end, as predicted when it began."""
    away_s: float = 0.0
    """That reading and storing take more than where its data are."""


class Span(NamedTuple):
    """What a batch that has ended computed in."""

    load: Load
    begins: float
    ends: float


class Fluid(NamedTuple):
    """A batch in the reckoning: it computes from an instant on until its work is done."""

    load: Load
    computes_at: float
    work_s: float


def ends_of(batches: Sequence[Fluid], now: float, slowdowns: Slowdowns) -> list[float]:
    """When each will have computed, if nothing joins them."""
    ends = [0.0] * len(batches)
    left = [batch.work_s for batch in batches]
    active = [at for at, batch in enumerate(batches) if batch.computes_at <= now]
    to_come = [at for at, batch in enumerate(batches) if batch.computes_at > now]
    while active or to_come:
        joins_at = min([batches[at].computes_at for at in to_come], default=math.inf)
        rates = _rates([batches[at].load for at in active], slowdowns)
        needs_s = [left[at] * rate for at, rate in zip(active, rates, strict=True)]
        first_s = min(needs_s, default=math.inf)
        if now + first_s <= joins_at:
            for at, rate in zip(active, rates, strict=True):
                left[at] -= first_s / rate
            now += first_s
            ended = active.pop(needs_s.index(first_s))
            ends[ended] = now
        else:
            for at, rate in zip(active, rates, strict=True):
                left[at] -= (joins_at - now) / rate
            now = joins_at
            active += [at for at in to_come if batches[at].computes_at <= now]
            to_come = [at for at in to_come if batches[at].computes_at > now]
    return ends


def _rates(loads: Sequence[Load], slowdowns: Slowdowns) -> list[float]:
    """The slowdown of each of those that compute side by side."""
    if len(loads) == 1:
        return [slowdowns.slowdown(loads[0], ())]
    return [slowdowns.slowdown(load, (*loads[:at], *loads[at + 1 :])) for at, load in enumerate(loads)]


ALIKE = Slots()


class Occupancy:
    """One device, as its scheduler knows it."""

    def __init__(
        self,
        profiles: Mapping[str, ModelProfile],
        slowdowns: Slowdowns,
        costs: tuple[CopyCost, CopyCost],
        chunk_bytes: int,
        slots: Slots = ALIKE,
        runs: Callable[[str], bool] = lambda model: True,
        node: str = "",
    ) -> None:
        """`runs`: whether it can run a model; `node`: where it is."""
        self.running: dict[int, Running] = {}
        self.slots = slots
        self.runs = runs
        self.node = node
        self._profiles = profiles
        self._slowdowns = slowdowns
        self._queues = (CopyQueue(costs[0], chunk_bytes), CopyQueue(costs[1], chunk_bytes))
        self._spans: list[Span] = []
        self._foreseen: tuple[float, list[float]] = (-1.0, [])
        self._at = 0.0

    @property
    def loads(self) -> tuple[Load, ...]:
        """What runs here."""
        return tuple([each.load for each in self.running.values()])

    def has_room(self, model: str, priority: Priority) -> bool:
        """Whether a batch may start here."""
        return len(self.running) < self.slots.most and self.runs(model) and self.slots.have_room(self.loads, priority)

    def with_batch(self, load: Load, tasks: int, now: float, away_s: float = 0.0) -> list[float]:
        """When everything here would have ended, copied back, were this batch to begin now: itself last.

        `away_s`: what reading and storing take more than where its data are; all of it before it computes.
        """
        profile = self._profiles[load.model]
        copied_at = self._queues[0].ends_at(load.priority is Priority.HIGH, tasks * profile.bytes_in, now)
        return self._ends(now, Fluid(load, copied_at + away_s, self._slowdowns.solo_s(load)), tasks)

    def ends(self, now: float) -> list[float]:
        """When everything here will have ended, in the order of `running`."""
        at, ends = self._foreseen
        if at != now:
            ends = self._ends(now, None, 0)
            self._foreseen = now, ends
        return ends

    def lasts_s(self, now: float) -> list[float]:
        """Seconds until each of `running` has ended."""
        return [max(0.0, end - now) for end in self.ends(now)]

    def _ends(self, now: float, joining: Fluid | None, tasks: int) -> list[float]:
        self._advance(now)
        batches = [Fluid(each.load, each.computes_at, each.work_s) for each in self.running.values()]
        copies = [each.tasks * self._profiles[each.load.model].bytes_out for each in self.running.values()]
        if joining is not None:
            batches.append(joining)
            copies.append(tasks * self._profiles[joining.load.model].bytes_out)
        ends = ends_of(batches, now, self._slowdowns)
        out, free_at = self._queues[1], 0.0
        for at in sorted(range(len(ends)), key=ends.__getitem__):
            free_at = ends[at] = max(ends[at], free_at) + out.cost.predict_s(copies[at])
        return ends

    def begin(
        self,
        batch: int,
        load: Load,
        tasks: int,
        deadline: float,
        predicted_s: float,
        now: float,
        away_s: float = 0.0,
    ) -> None:
        """A batch is launched now."""
        self._advance(now)
        self._foreseen = (-1.0, [])
        size = tasks * self._profiles[load.model].bytes_in
        high = load.priority is Priority.HIGH
        waited = self._queues[0].all_until > now
        computes_at = self._queues[0].add(high, size, now) + away_s
        work_s = self._slowdowns.solo_s(load)
        self.running[batch] = Running(
            batch, load, tasks, deadline, now, computes_at, work_s, waited, work_s, predicted_s, away_s
        )

    def end(self, report: Report, now: float) -> tuple[Running, list[Overlap]]:
        """A batch has ended: what it was, and what has run beside it meanwhile."""
        self._advance(now)
        self._foreseen = (-1.0, [])
        ended = self.running.pop(report.batch)
        computed_at = now - report.copy_out_s
        begins = computed_at - report.compute_s
        profile = self._profiles[ended.load.model]
        if not (ended.waited or ended.away_s):
            self._queues[0].cost.learn(ended.tasks * profile.bytes_in, report.copy_in_s)
        if len(self.running) == 0:
            self._queues[1].cost.learn(ended.tasks * profile.bytes_out, report.copy_out_s)
        beside = [*self._spans, *[Span(each.load, each.computes_at, math.inf) for each in self.running.values()]]
        overlaps = overlaps_of(begins, computed_at, beside)
        self._spans.append(Span(ended.load, begins, computed_at))
        oldest = min([each.began_at for each in self.running.values()], default=math.inf)
        self._spans = [span for span in self._spans[-SPANS_MAX:] if span.ends > oldest]
        return ended, overlaps

    def forget(self, batch: int, now: float) -> None:
        """A batch has ended that says nothing of how long it takes: it failed, or was turned away."""
        self._advance(now)
        self._foreseen = (-1.0, [])
        del self.running[batch]

    def _advance(self, now: float) -> None:
        """Reckon what work has been done since the last look."""
        running = self.running
        while self._at < now and running:
            active = [each for each in running.values() if each.computes_at <= self._at]
            soonest = min([each.computes_at for each in running.values() if each.computes_at > self._at], default=now)
            step_s = min(soonest, now) - self._at
            for each in active:
                others = tuple([other.load for other in active if other is not each])
                done_s = step_s / self._slowdowns.slowdown(each.load, others)
                each.work_s = max(each.work_s - done_s, OVERDUE * each.whole_s)
            self._at += step_s
        self._at = now


def overlaps_of(begins: float, ends: float, beside: Sequence[Span]) -> list[Overlap]:
    """The parts of a time, by what computed beside it."""
    spans = [span for span in beside if span.begins < ends and span.ends > begins]
    edges = sorted({begins, ends, *[edge for span in spans for edge in span[1:] if begins < edge < ends]})
    return [
        Overlap(until - since, tuple([span.load for span in spans if span.begins < until and span.ends > since]))
        for since, until in zip(edges, edges[1:], strict=False)
    ]

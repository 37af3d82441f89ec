"""A pipeline in virtual time, small enough to see through: what drives the policies of `provision` in tests.

A task leads to the whole number next to its fan-out, up or down by chance. An event has succeeded when none of its
tasks is left and none was dropped. There are no joins here, and replicas need no place.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, takewhile

from covey.services.scheduler.core.provision import (
    Backlog,
    Batcher,
    Pipeline,
    Provision,
    Provisioner,
    Seen,
    Waiting,
    Window,
)

TICK_S = 0.5


@dataclass
class Stage:
    """`running`: batch -> when it ends, how many tasks. `seen`: since the last tick."""

    up: int
    coming: int = 0
    waiting: dict[int, Waiting] = field(default_factory=dict)
    running: dict[int, tuple[float, int]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    led_to: Counter[str] = field(default_factory=Counter)

    def backlog(self, now: float) -> Backlog:
        free_in_s = 0.0 if len(self.running) < self.up else min(end for end, _ in self.running.values()) - now
        return Backlog(len(self.waiting), sum(size for _, size in self.running.values()), self.up, free_in_s)


class PipelineWorld:
    """Run a pipeline; `latencies` are of the events that succeeded, `replica_s` is what it cost."""

    def __init__(self, pipeline: Pipeline, provisioner: Provisioner, batcher: Batcher, first: Provision) -> None:
        self.pipeline, self.provisioner, self.batcher, self.provision = pipeline, provisioner, batcher, first
        self.stages = {stage: Stage(first[stage].replicas) for stage in pipeline.stages}
        self.latencies: list[float] = []
        self.offered = self.offered_before = 0
        self.replica_s = 0.0
        self._rng = random.Random(1)
        self._ordinals = count()
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._open: dict[float, int] = {}  # when the event was offered -> its tasks
        batcher.provisioned(first)

    def goodput(self) -> float:
        """The share of events that were answered in time."""
        return sum(latency <= self.pipeline.objective_s for latency in self.latencies) / self.offered

    def p99_s(self) -> float:
        return sorted(self.latencies)[int(0.99 * len(self.latencies))]

    def run(self, arrivals: Iterable[float], until: float) -> PipelineWorld:
        for instant in takewhile(lambda instant: instant < until, arrivals):
            self._at(instant, self._offer)
        for tick in range(1, int(until / TICK_S) + 1):
            self._at(tick * TICK_S, self._tick)
        while self._heap:
            now, _, action = heapq.heappop(self._heap)
            action(now)
        return self

    def _at(self, instant: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._heap, (instant, next(self._ordinals), action))

    def _offer(self, now: float) -> None:
        self.offered += 1
        self._open[now] = 1
        self._end("", now, now)

    def _end(self, source: str, event_at: float, now: float) -> None:
        """A task has ended; what it leads to is made."""
        for edge in self.pipeline.edges if event_at in self._open else ():
            mean = self.pipeline.fan_outs[edge]
            for _ in range((int(mean) + (self._rng.random() < mean % 1)) * (edge.source == source)):
                self._make(source, edge.target, event_at, now)
        if event_at in self._open:
            self._open[event_at] -= 1
            if not self._open[event_at]:
                del self._open[event_at]
                self.latencies.append(now - event_at)

    def _make(self, source: str, name: str, event_at: float, now: float) -> None:
        self._open[event_at] += 1
        self.stages[name].seen["arrived"] += 1
        if source:
            self.stages[source].led_to[name] += 1
        task = Waiting(next(self._ordinals), now, event_at, event_at + self.pipeline.objective_s)
        self.stages[name].waiting[task.number] = task
        self._at(now, lambda now: self._dispatch(name, now))

    def _dispatch(self, name: str, now: float) -> None:
        stage = self.stages[name]
        while stage.waiting and len(stage.running) < stage.up:
            backlogs = {each: self.stages[each].backlog(now) for each in self.stages}
            choice = self.batcher.choose(name, list(stage.waiting.values()), backlogs, now)
            tasks = [stage.waiting.pop(number) for number in choice.run]
            for number in choice.drop:
                stage.seen["dropped"] += 1
                self._open.pop(stage.waiting.pop(number).event_at, None)
            if tasks:
                seconds = self.pipeline.profiles[name].curve.mean_s(len(tasks)) * self._rng.lognormvariate(0, 0.03)
                self._start(name, tasks, seconds, now)

    def _start(self, name: str, tasks: list[Waiting], seconds: float, now: float) -> None:
        stage, batch = self.stages[name], next(self._ordinals)
        stage.running[batch] = (now + seconds, len(tasks))

        def end(now: float) -> None:
            del stage.running[batch]
            stage.seen["processed"] += len(tasks)
            self.batcher.ended(name, len(tasks), seconds, sum(task.deadline < now for task in tasks), now)
            for task in tasks:
                self._end(name, task.event_at, now)
            self._dispatch(name, now)

        self._at(now + seconds, end)

    def _tick(self, now: float) -> None:
        self.provision = self.provisioner.decide(
            Window(
                now, TICK_S, self.offered - self.offered_before, {name: self._seen(name, now) for name in self.stages}
            )
        )
        self.offered_before = self.offered
        self.batcher.provisioned(self.provision)
        for name, stage in self.stages.items():
            stage.up = min(stage.up, self.provision[name].replicas)
            for _ in range(self.provision[name].replicas - stage.up - stage.coming):
                stage.coming += 1
                self._at(now + self.pipeline.profiles[name].cold_s, lambda now, name=name: self._come(name, now))  # type: ignore[misc]
            self.replica_s += TICK_S * (stage.up + stage.coming)

    def _seen(self, name: str, now: float) -> Seen:
        stage = self.stages[name]
        seen, led_to, (queued, running, up, _) = stage.seen, stage.led_to, stage.backlog(now)
        stage.seen, stage.led_to = Counter(), Counter()
        return Seen(seen["arrived"], seen["processed"], seen["dropped"], led_to, queued, running, up, stage.coming)

    def _come(self, name: str, now: float) -> None:
        self.stages[name].coming -= 1
        self.stages[name].up += 1
        self._dispatch(name, now)

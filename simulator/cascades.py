"""A `Workload` as a pipeline of the mesh: its declaration, and what its stages emit.

Objects travel with events and tasks and are stored nowhere, save those that a join reads. What a task leads to is drawn
from the seed and the task alone, so that every system sees the same cascades.
"""

from __future__ import annotations

import random

from covey.declaration import Codec, Declaration, Join, PoolDeclaration, StageDeclaration
from covey.grouping import Scope
from covey.messages import Task
from covey.model import ObjectRef
from covey.services.scheduler.core.estimating import ROOT
from covey.simulator.pipelines import Exactly, Workload
from covey.simulator.workload import Emitted, Inputs

EVENTS = "events"
SIZE = 64
"""Bytes that an object counts as; there is nothing in it."""


class Cascades:
    """Implements `StageCode`. Events are named by their number."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self.scope = Scope("default", workload.name)
        self.declaration = declared(workload)
        self._seed = seed
        self._rng = random.Random()
        self._numbers = {stage: number for number, stage in enumerate(workload.pipeline.stages)}
        self._led_to = workload.led_to
        self._joined = {
            stage: [edge.target for edge in workload.pipeline.edges if edge.source == stage and edge.target in joins]
            for joins in [workload.joins]
            for stage in workload.pipeline.stages
        }

    def key(self, event: str) -> str:
        return f"/{EVENTS}/{event}"

    def run(self, stage: str, task: Task, inputs: Inputs) -> tuple[Emitted, ...]:
        event, part = task.event_id, _part(task)
        emitted = [self._emit(target, event, part, event) for target in self._joined[stage]]
        for target, count in self._drawn(stage, event, part).items():
            for index in range(count):
                key = f"/{target}/{event}/{part * 64 + index}"
                emitted.append(Emitted(ObjectRef(target, key, key, 0, SIZE), b""))
        return tuple(emitted)

    def _drawn(self, stage: str, event: str, part: int) -> dict[str, int]:
        led_to = self._led_to.get(stage)
        if led_to is None:
            return {}
        if not isinstance(led_to, Exactly):
            self._rng.seed((self._seed << 64) + (int(event) << 32) + (part << 8) + self._numbers[stage])
        return dict(led_to(self._rng))

    def _emit(self, target: str, event: str, part: int, group: str) -> Emitted:
        return Emitted(ObjectRef(target, f"/{target}/{event}/{part}", group, 0, SIZE), b"")


def _part(task: Task) -> int:
    """Which of its stage's tasks of the event it is."""
    for name, value in task.fields:
        if name == "part":
            return int(value)
    return 0


def declared(workload: Workload) -> Declaration:
    """The declaration. Raises ValueError for a stage that events and other stages lead to."""
    pipeline = workload.pipeline
    pools = [PoolDeclaration(EVENTS, f"/{EVENTS}/{{event}}", codec=Codec.BYTES, transient=True)]
    stages = []
    for stage in pipeline.stages:
        sources = [edge.source for edge in pipeline.edges if edge.target == stage]
        is_join = stage in workload.joins
        if ROOT in sources and len(sources) > 1:
            raise ValueError(f"stage {stage!r} is triggered by events and by other stages: one pool can't be both")
        if ROOT not in sources:
            kind, group = ("template", "{event}") if is_join else ("", "")
            template = f"/{stage}/{{event}}/{{part:int}}"
            pools.append(PoolDeclaration(stage, template, kind, group, Codec.BYTES, transient=not is_join))
        stages.append(
            StageDeclaration(
                stage,
                EVENTS if ROOT in sources else stage,
                Join(("event",)) if is_join else None,
                emits=tuple([edge.target for edge in pipeline.edges if edge.source == stage]),
                batch_max=pipeline.profiles[stage].batch_max,
                has_model=True,
            )
        )
    return Declaration(workload.name, pipeline.objective_s, tuple(pools), tuple(stages)).versioned()

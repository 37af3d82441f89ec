"""What the leader knows of a pipeline that it provisions: lanes, what waits, what was counted. Data, no behaviour."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from covey.grouping import Scope
from covey.services.scheduler.core.provision import Batcher, Pipeline, Provision, Provisioner, Waiting


class Serving(NamedTuple):
    """A pipeline that is provisioned, and who decides for it. Its stages are named as in its declaration."""

    scope: Scope
    pipeline: Pipeline
    provisioner: Provisioner
    batcher: Batcher


@dataclass(slots=True, eq=False)
class Replica:
    """A lane of a worker, and the one stage that it serves; empty names are of no stage."""

    worker: int
    lane: int
    node: str
    stage: str = ""
    is_ready: bool = False
    """The worker has loaded the model."""
    becomes: str | None = None
    """It serves its stage no more, and goes over to this one when its batches have ended."""
    batches: list[int] = field(default_factory=list)
    """What it runs, and what it has been sent to run next."""
    free_at: float = 0.0
    """When its batches will have ended, or its model will be loaded, as predicted."""

    @property
    def bound_for(self) -> str:
        """The stage that it serves, or will."""
        return self.stage if self.becomes is None else self.becomes


@dataclass(slots=True)
class ServedStage:
    """One stage of the pipeline."""

    waiting: dict[int, Waiting] = field(default_factory=dict)
    """By task number, in order of readiness."""
    up: dict[Replica, None] = field(default_factory=dict)
    """Replicas that take its batches."""
    idle: dict[Replica, None] = field(default_factory=dict)
    """Those of them that run none, the one that has been idle longest first."""
    running: int = 0
    """Tasks in batches."""
    arrived: int = 0
    processed: int = 0
    dropped: int = 0
    led_to: Counter[str] = field(default_factory=Counter)
    """Since the last window: as in `Seen`."""


@dataclass(slots=True)
class Served:
    """A pipeline under provisioning."""

    serving: Serving
    stages: dict[str, ServedStage]
    replicas: dict[tuple[int, int], Replica] = field(default_factory=dict)
    """By worker and lane."""
    running: dict[int, Replica] = field(default_factory=dict)
    """By batch."""
    provision: Provision = field(default_factory=dict)
    transit_s: float = 0.0
    """What passes between dispatch and report while a batch is not with its worker, as a weighted mean."""
    offered: int = 0
    """Events since the last window."""
    window_began: float | None = None
    """None: nothing has been decided yet."""
    next_window: float = 0.0


def served_by(serving: Serving) -> Served:
    """Nobody is there yet, and nothing has happened."""
    return Served(serving, {stage: ServedStage() for stage in serving.pipeline.stages})

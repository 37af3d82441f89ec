"""Small pipelines, windows and queues, in which what a policy should do can be computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from covey.services.scheduler.core.provision import (
    Backlog,
    Edge,
    Pipeline,
    Profile,
    Provision,
    Seen,
    Share,
    Waiting,
    Window,
)
from covey.simulator.hardware import LatencyTable


def profile_of(*milliseconds: float) -> Profile:
    """A stage whose batches of 1, 2, 3, ... take exactly so long; nothing larger is possible."""
    sizes = tuple(range(1, len(milliseconds) + 1))
    return Profile(LatencyTable(sizes, tuple(each / 1000 for each in milliseconds), 0.0), len(sizes), 5.0)


def pipeline_of(
    profiles: Mapping[str, Profile], objective_ms: float, edges: Sequence[tuple[str, str, float]] = ()
) -> Pipeline:
    """By default the stages are a chain in which one task leads to one."""
    stages = tuple(profiles)
    chain = [(source, target, 1.0) for source, target in zip(("", *stages), stages, strict=False)]
    fan_outs = {Edge(source, target): each for source, target, each in edges or chain}
    return Pipeline(stages, tuple(fan_outs), fan_outs, profiles, objective_ms / 1000)


def window_of(ends_at: float, arrived: Mapping[str, int], queued: int = 0, offered: int = 0) -> Window:
    """What was seen in the last second."""
    stages = {stage: Seen(count, count, 0, {}, queued, 0, 1, 0) for stage, count in arrived.items()}
    return Window(ends_at, 1.0, offered, stages)


def waiting_of(*left_ms: float, ready_at: float = 0.0, now: float = 0.0) -> list[Waiting]:
    """Tasks 0, 1, 2, ... with so many milliseconds left until their deadlines."""
    return [Waiting(number, ready_at, ready_at, now + left / 1000) for number, left in enumerate(left_ms)]


def provision_of(batch: int, budget_ms: float, stages: Sequence[str], replicas: int = 1) -> Provision:
    """The same for every stage."""
    return {stage: Share(replicas, batch, budget_ms / 1000) for stage in stages}


def backlogs_of(stages: Sequence[str], replicas: int = 1) -> dict[str, Backlog]:
    """Nothing waits and nothing runs."""
    return {stage: Backlog(0, 0, replicas, 0.0) for stage in stages}

"""What pipelines are provisioned by: what is known of a pipeline, what was seen of its load, and what is to be.

Two questions are put to two policies, so that ours and those that it is compared with see the same and decide the same:
a *provisioner* is asked at every tick how many replicas each stage should have and how large its batches may be; a
*batcher* is asked whenever a replica is free what it runs next, and what is not worth running any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from covey.values import dataclass

SPARE = 0.1
"""Of the objective: what an overloaded pipeline keeps for what nobody can predict. Without it all that is let in is
late as soon as one batch takes longer than it was expected to."""


class Curve(Protocol):
    """How long a batch takes, as measured: a `covey.simulator.hardware.LatencyTable`, or what was observed."""

    def mean_s(self, size: int) -> float:
        """Seconds of a device for a batch of so many."""

    def quantile_s(self, size: int, share: float) -> float:
        """Seconds within which this share of such batches ends."""


class Edge(NamedTuple):
    """Tasks of `source` lead to tasks of `target`. The root's source is empty."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One stage on one kind of device."""

    curve: Curve
    batch_max: int
    cold_s: float
    """From the decision that a replica should be until it takes its first batch."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What there is to provision. Stages are in topological order; joins have several edges to them."""

    stages: tuple[str, ...]
    edges: tuple[Edge, ...]
    fan_outs: Mapping[Edge, float]
    """Tasks of the target for each task of the source (or event, at the root), as known beforehand."""
    profiles: Mapping[str, Profile]
    objective_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """One stage in one window."""

    arrived: int
    """Tasks that became ready."""
    processed: int
    dropped: int
    led_to: Mapping[str, int]
    """Stage -> tasks of it that what was processed has led to."""
    queued: int
    """Now."""
    running: int
    """Tasks in batches now."""
    replicas: int
    """That are up now, and ..."""
    coming: int
    """... that are starting."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen of a pipeline since the last tick."""

    ends_at: float
    seconds: float
    offered: int
    """Events, those that were refused or dropped included."""
    stages: Mapping[str, Seen]


class Share(NamedTuple):
    """What a stage gets."""

    replicas: int
    batch: int
    budget_s: float
    """Of the objective: waiting and running."""


Provision = Mapping[str, Share]
"""Stage -> what it gets."""


class Provisioner(Protocol):
    def decide(self, window: Window) -> Provision:
        """What should be from now on; replicas that are added come after their cold start."""


class Waiting(NamedTuple):
    """A task in the queue of a stage. Instants in seconds."""

    number: int
    ready_at: float
    event_at: float
    """When its event was offered."""
    deadline: float


class Backlog(NamedTuple):
    """A stage as it is now."""

    queued: int
    running: int
    replicas: int
    free_in_s: float
    """Until one of its replicas is free; 0: one is."""


class Choice(NamedTuple):
    """Task numbers to run now, as one batch, and those to drop. Neither: wait until `again_at`, or a change."""

    run: Sequence[int] = ()
    drop: Sequence[int] = ()
    again_at: float | None = None


class Batcher(Protocol):
    def provisioned(self, provision: Provision) -> None:
        """What has been decided: from now on batches are as large, and budgets what it says."""

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        """What a free replica of the stage runs. `waiting` is in order of readiness and not empty."""

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        """A batch has ended; so many of it were past their deadline."""

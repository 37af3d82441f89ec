"""The Engine protocol: the seam between a worker and its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from covey.batch import ReadObject, TaskInputs, TaskOutput
from covey.declaration import Declaration
from covey.declare import Stage
from covey.grouping import Scope
from covey.model import ObjectValue, Priority
from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a stage over the inputs of its tasks, whose payloads are on the host, still encoded.

    `read` is for what a stage could not name in advance; it runs on the worker's loop. `scope` says whose objects the
    inputs are, so that the device may hold them for later; without it nothing is held.
    """

    declaration: Declaration
    stage: Stage
    inputs: tuple[TaskInputs, ...]
    read: ReadObject | None = None
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class Coming:
    """Objects, with their payloads on the host, that a job of this priority will soon run on."""

    declaration: Declaration
    stage: Stage
    scope: Scope
    priority: Priority
    objects: Sequence[ObjectValue]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a job came to: an output per task in their order, encoded, after `seconds` in the lane.

    `started` is the instant, by the engine's clock, from which those count: what else ran then shared the device.
    """

    outputs: list[TaskOutput]
    seconds: float
    started: float


class StageRaised(Exception):
    """The user's stage raised (`__cause__`), after `seconds`. Fewer tasks at once may go well.

    `why` says more than "it raised" to people who can't read the worker's log, where there is more to say.
    """

    def __init__(self, stage: str, seconds: float, why: str = "") -> None:
        super().__init__(f"stage {stage!r} raised" + (f": {why}" if why else ""))
        self.seconds = seconds
        self.why = why


class DeviceLost(Exception):
    """The device answers nothing but errors from now on; only a new process can use it again."""


class Engine(Protocol):
    """Runs jobs in lanes. Decoding and encoding happen there, too, and never on the worker's loop."""

    @property
    def device(self) -> str:
        """What it runs on, for people and for profiles."""

    @property
    def lanes(self) -> tuple[Priority | None, ...]:
        """The priority that each lane is kept for; None takes any."""

    async def load(self, stage: Stage) -> None:
        """Make the stage's model and load it, once, while lanes compute. Raises StageRaised and DeviceLost."""

    def prefetch(self, coming: Coming) -> None:
        """Bring objects to the device while its lanes compute, if that spares their job anything.

        A hint: returns at once, may do nothing, and changes no result.
        """

    async def run(self, job: Job, lane: int) -> Ran:
        """Run a job in a free lane. Raises StageRaised and DeviceLost."""

    async def unload(self, stage: Stage) -> None:
        """Let go of the stage's model."""

    def close(self) -> None:
        """Take no more jobs. Never waits for one: a stage that hangs must not keep the process."""

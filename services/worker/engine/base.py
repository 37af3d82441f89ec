"""The Engine protocol: the seam between a worker and its device."""

from __future__ import annotations

from typing import Protocol

from covey.batch import ReadObject, TaskInputs, TaskOutput
from covey.declaration import Declaration
from covey.declare import Stage
from covey.model import Priority
from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a stage over the inputs of its tasks, whose payloads are on the host, still encoded.

    `read` is for what a stage could not name in advance; it runs on the worker's loop.
    """

    declaration: Declaration
    stage: Stage
    inputs: tuple[TaskInputs, ...]
    read: ReadObject | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """What a job came to: an output per task in their order, encoded, after `seconds` in the lane."""

    outputs: list[TaskOutput]
    seconds: float


class StageRaised(Exception):
    """The user's stage raised (`__cause__`), after `seconds`. Fewer tasks at once may go well."""

    def __init__(self, stage: str, seconds: float) -> None:
        super().__init__(f"stage {stage!r} raised")
        self.seconds = seconds


class DeviceLost(Exception):
    """The device answers nothing but errors from now on; only a new process can use it again."""


class Engine(Protocol):
    """Runs jobs in lanes. Decoding and encoding happen there, too, and never on the worker's loop.

    Reading inputs ahead is the worker's; an engine overlaps its own copies with what other lanes compute.
    """

    @property
    def device(self) -> str:
        """What it runs on, for people and for profiles."""

    @property
    def lanes(self) -> tuple[Priority | None, ...]:
        """The priority that each lane is kept for; None takes any."""

    async def load(self, stage: Stage) -> None:
        """Make the stage's model and load it, once. Raises StageRaised."""

    async def run(self, job: Job, lane: int) -> Ran:
        """Run a job in a free lane. Raises StageRaised and DeviceLost."""

    async def unload(self, stage: Stage) -> None:
        """Let go of the stage's model."""

    def close(self) -> None:
        """Take no more jobs. Never waits: a stage that hangs must not keep the process."""

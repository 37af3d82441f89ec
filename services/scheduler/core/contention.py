"""What a device is shared by: what runs on it side by side, how long that takes, and who may join. The seam.

Three things are asked. A *predictor*: how much longer does a batch take beside others, and what may be promised?
Transfers: when is a copy done? And a *priority policy*: what runs next, on which device, at which priority, and why?
Ours and those that it is compared with answer the same questions from the same reports, and so do the real lanes.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from covey.model import Priority
from covey.services.scheduler.core.provision import Curve
from covey.values import dataclass


class Demand(NamedTuple):
    """The shares of a device, 0 to 1, that a batch uses while it computes alone."""

    compute: float
    """Of its multiprocessors, or cores."""
    bandwidth: float
    """Of its memory's."""
    cache: float
    """Of its last cache: what it would like to keep there."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One model on one kind of device, as measured alone and beforehand, or as guessed where `measured` is False."""

    curve: Curve
    """Seconds of computing alone, by batch size."""
    sizes: tuple[int, ...]
    """The sizes of batches that are run, ascending, from 1."""
    demands: tuple[Demand, ...]
    """One for each of `sizes`."""
    bytes_in: int
    """Copied to the device for each task, before it computes."""
    bytes_out: int
    """Copied from it, after."""
    measured: bool = True
    padded: bool = True
    """Batches are of these sizes, and no others; else of any up to the last."""

    def demand(self, size: int) -> Demand:
        """That of the next larger size that was measured."""
        return self.demands[min(bisect_left(self.sizes, size), len(self.sizes) - 1)]


class Load(NamedTuple):
    """A batch as its neighbours on a device see it."""

    model: str
    size: int
    priority: Priority


class Slots(NamedTuple):
    """Batches that a device may run at once: in all, and of each priority, where lanes are kept for one."""

    most: int = 2
    high: int = 2
    low: int = 2

    def have_room(self, running: Sequence[Load], priority: Priority) -> bool:
        """Whether a batch of that priority may join these."""
        if len(running) >= self.most:
            return False
        own = self.high if priority is Priority.HIGH else self.low
        return own >= self.most or sum([load.priority is priority for load in running]) < own


class Overlap(NamedTuple):
    """A part of the time that a batch computed for."""

    seconds: float
    others: tuple[Load, ...]
    """What computed beside it then; () is nothing."""


class Slowdowns(Protocol):
    """How much longer does a batch compute beside others than alone? One for each kind of device."""

    def solo_s(self, load: Load) -> float:
        """Seconds that it computes for alone, as far as is known by now."""

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        """Times `solo_s` while these compute beside it; 1 or more."""

    def learn(self, load: Load, overlaps: Sequence[Overlap], seconds: float) -> None:
        """A batch computed for so many seconds, which are those of its overlaps."""


class Margins(Protocol):
    """What makes a promise of a prediction: the quantile of what it was wrong by."""

    def margin(self, load: Load) -> float:
        """What a prediction of seconds is multiplied by."""

    def learn(self, load: Load, predicted_s: float, seconds: float) -> None:
        """What was predicted, without margin, has taken so long."""


class Request(NamedTuple):
    """What waits to be run. Instants in seconds."""

    number: int
    model: str
    priority: Priority
    ready_at: float
    deadline: float
    """Of its event."""
    follows_s: float = 0.0
    """What the rest of its event takes after it, at least: it has to end so long before the deadline."""
    home: str = ""
    """The node where what it reads is; \"\": it is the same everywhere."""
    away_s: float = 0.0
    """What reading and storing take more on another node, in seconds."""

    @property
    def ends_by(self) -> float:
        """The last instant at which its end is of use."""
        return self.deadline - self.follows_s


class Rule(enum.Enum):
    """Why a batch was started, or a request dropped."""

    SOONEST = "HIGH, on the device where it is predicted to end first"
    LAST_CHANCE = "HIGH, predicted late everywhere: started where it ends first, as a probe"
    FITS = "LOW, where it ends in time, no HIGH that runs is pushed late, and the reserve for HIGH remains"
    FLOOR = "LOW, whose share of the window is below its floor"
    ORDER = "next in the order of its queue"
    PROBE = "predicted late even alone: run all the same, since nothing of its stage has been for a while"
    EXPIRED = "its deadline has passed"
    HOPELESS = "predicted late on every device, even alone"


class Why(NamedTuple):
    """Why something ran when and where it did, as the trace carries it. Seconds from the decision on."""

    rule: Rule
    predicted_s: float = 0.0
    """Until its end ..."""
    promised_s: float = 0.0
    """... and the promise made of that, at the quantile."""
    spare_s: float = 0.0
    """From the promise to its earliest deadline; less than none: late."""
    slowdown: float = 1.0
    """Of its computing, by what runs beside it."""
    beside: tuple[Load, ...] = ()
    harm: float = 0.0
    """HIGH requests that are expected to be late because of it, in the mean."""


class Launch(NamedTuple):
    """A batch to start now."""

    batch: int
    """Numbered by the policy."""
    device: int
    load: Load
    requests: tuple[int, ...]
    why: Why


class Drop(NamedTuple):
    request: int
    why: Why


class Choice(NamedTuple):
    """What is to be done now. Nothing: ask again at `again_at`, or when something has changed."""

    launches: Sequence[Launch] = ()
    drops: Sequence[Drop] = ()
    again_at: float | None = None


class Report(NamedTuple):
    """A batch has ended. Seconds of each part, waiting for its turn included."""

    batch: int
    copy_in_s: float
    compute_s: float
    copy_out_s: float


class PriorityPolicy(Protocol):
    """What runs next on devices that are shared, and at which priority."""

    def arrived(self, request: Request, now: float) -> None:
        """It waits from now on, until it is launched or dropped."""

    def gone(self, request: int, now: float) -> None:
        """It need not be run any more: it was cancelled while it waited."""

    def choose(self, now: float) -> Choice:
        """Everything that should be started or dropped now."""

    def ended(self, report: Report, now: float) -> None:
        """A batch has ended, and its slot is free."""

"""The scheduler's settings, read once from the environment (`COVEY_<NAME>`)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from covey.errors import InvalidArgument
from covey.services.scheduler.core.policy import Policy, Routing
from covey.services.scheduler.core.prioritising import Rules
from covey.services.scheduler.core.provisioning import Rule
from covey.services.scheduler.core.state import Limits

KEPT = "kept"
"""The worth of LOW by which it gets all that it asks for."""


class EstimatorKind(enum.StrEnum):
    """By what a provisioned pipeline's load is estimated."""

    CASCADE = "cascade"  # every stage's from the events that are offered: ours
    STAGE = "stage"  # every stage's from its own arrivals, to compare with


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """`listen` is host:port, port 0 for a free one; `advertise` is what gateways dial, the bound address if empty.

    `locality_weight`, `routing`, `balance` and `copies` are the policy's (see `core/policy.py`).
    One event in `suggest_sample` tells what its tasks read, for `covey suggest`; 0: none does.

    With a `profile`, a file that `covey profile` has written, the pipeline that it names is provisioned, and served
    alone: that of `tenant`, for `objective_s` (0: as the profile says), by an `estimator`, with capacity of `headroom`
    times the load that is expected, and at most `replicas_max` replicas in all, whether or not there are workers for
    them. A rise by `reserve` of what those could carry beyond the present load is reckoned with before any was seen; 0:
    no rise is.

    With `priorities`, what runs next on which worker is said by the policy of priorities, which predicts how long
    batches take beside one another; `priority_profile`, a file that `covey profile` has written, tells it how long
    stages take alone, which it finds out by itself otherwise. `low_worth` says what LOW is worth to it: `kept`, or how
    many HIGH events may be late for a LOW one where HIGH misses its deadlines. See docs/priorities.md.
    """

    redis_url: str
    id: str = ""
    listen: str = "127.0.0.1:0"
    advertise: str = ""
    trace_to: str = ""
    reflection: bool = False
    lease_s: float = 2.0
    watch_s: float = 0.5
    grace_s: float = 2.0
    tasks_open_max: int = 100_000
    suggest_sample: int = 16
    locality_weight: float = Policy().locality_weight
    routing: str = Policy().routing
    balance: bool = Policy().balance
    copies: int = Policy().copies
    profile: Path | None = None
    tenant: str = "default"
    objective_s: float = 0.0
    estimator: str = EstimatorKind.CASCADE
    headroom: float = 1.1
    reserve: float = Rule().reserve
    replicas_max: int = 64
    priorities: bool = False
    priority_profile: Path | None = None
    low_worth: str = str(Rules().exchange)

    @property
    def limits(self) -> Limits:
        return Limits(tasks_open_max=self.tasks_open_max, suggest_sample=self.suggest_sample)

    @property
    def policy(self) -> Policy:
        """Raises InvalidArgument for a policy that there is not."""
        if self.routing not in tuple(Routing):
            raise InvalidArgument(f"COVEY_ROUTING is {' or '.join(Routing)}, not {self.routing!r}")
        if not self.locality_weight >= 0 or self.copies < 1:
            raise InvalidArgument("COVEY_LOCALITY_WEIGHT is 0 or more, COVEY_COPIES 1 or more")
        return Policy(self.locality_weight, Routing(self.routing), self.balance, self.copies)

    @property
    def rules(self) -> Rules:
        """Of the policy of priorities. Raises InvalidArgument for a worth of LOW that there is not."""
        if self.low_worth == KEPT:
            return Rules(keep_low=True)
        try:
            exchange = float(self.low_worth)
        except ValueError:
            exchange = -1.0
        if not exchange >= 0.0:
            raise InvalidArgument(f"COVEY_LOW_WORTH is {KEPT!r} or a number, 0 or more, not {self.low_worth!r}")
        return Rules(exchange=exchange)

    @property
    def estimator_kind(self) -> EstimatorKind:
        """Raises InvalidArgument for an estimator that there is not."""
        if self.estimator not in tuple(EstimatorKind):
            raise InvalidArgument(f"COVEY_ESTIMATOR is {' or '.join(EstimatorKind)}, not {self.estimator!r}")
        return EstimatorKind(self.estimator)

"""What the scheduler makes of correlation groups: one value, whose extremes are there to be compared with."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Routing(enum.StrEnum):
    """Where a task is queued: with its data, or, to know what that is worth, anywhere."""

    HOME = "home"
    RANDOM = "random"


class Policy(NamedTuple):
    """How much locality counts, and what the leader may do about it."""

    locality_weight: float = 1.0
    """How much running near the data counts against starting earlier: 0 is load alone, infinity data alone."""
    routing: Routing = Routing.HOME
    balance: bool = True
    """Place and move groups by load, keep what feeds one another together, and replicate what many read."""
    copies: int = 1
    """Nodes that hold each group for reads."""

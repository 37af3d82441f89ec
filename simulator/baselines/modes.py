"""Everything that one could do instead of grouping, on the same cores: group rules or none, and settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from covey.services.scheduler.core.policy import Policy, Routing
from covey.services.worker.core.state import Limits


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to place data and tasks. `grouped`: the pipeline has its group rules."""

    name: str
    grouped: bool
    policy: Policy
    worker: Limits = Limits(cache_reads=False)


def modes(nodes: int) -> tuple[Mode, ...]:
    """The modes that are compared; `replication` has everything on every one of so many nodes."""
    at_home = Policy(locality_weight=math.inf, balance=False)
    return (
        Mode("key_hash", False, at_home),
        Mode("random", False, Policy(routing=Routing.RANDOM, balance=False)),
        Mode("lru_cache", False, at_home, Limits()),
        Mode("replication", False, at_home._replace(copies=nodes)),
        Mode("least_loaded", False, Policy(locality_weight=0.0, balance=False)),
        Mode("earliest_start", False, Policy(locality_weight=1.0, balance=False)),
        Mode("grouping_strict", True, at_home),
        Mode("grouping_load", True, Policy(), Limits()),
    )


PROPOSED = "grouping_load"

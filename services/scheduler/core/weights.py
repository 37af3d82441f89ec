"""What the leader knows of the weights of groups, and what it has decided by them. Data, no behaviour."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

from covey.grouping import Scope
from covey.model import GroupId


@dataclass(slots=True)
class Weight:
    """What a root group costs: seconds of lanes and bytes put, each per second, as exponentially weighted means."""

    busy: float = 0.0
    put: float = 0.0
    busy_now: float = 0.0
    put_now: float = 0.0
    """What has been added since the last look."""
    moved_at: float = -math.inf


@dataclass(slots=True)
class GroupUse:
    """What is known of a group's weight, for placement."""

    objects: int = 0
    size: int = 0
    uses: int = 0


@dataclass(slots=True)
class Readers:
    """Who reads a group from afar: reads per second by node, and puts per second, as means and since the last look."""

    reads: dict[str, float] = field(default_factory=dict)
    puts: float = 0.0
    reads_now: dict[str, int] = field(default_factory=dict)
    puts_now: int = 0


@dataclass(slots=True)
class Balance:
    """What the leader has decided beyond the default homes, and what it goes by."""

    placed: dict[GroupId, str] = field(default_factory=dict)
    together: dict[Scope, None] = field(default_factory=dict)
    replicas: dict[GroupId, tuple[str, ...]] = field(default_factory=dict)
    weights: OrderedDict[GroupId, Weight] = field(default_factory=OrderedDict)
    readers: OrderedDict[GroupId, Readers] = field(default_factory=OrderedDict)
    looked_at: float = 0.0
    moves: int = 0

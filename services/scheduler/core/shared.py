"""What the leader knows of devices that two priorities share: the policy, what waits, what runs. Data, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from covey.services.scheduler.core.contention import Launch, ModelProfile
from covey.services.scheduler.core.prioritising import Prioritised
from covey.services.scheduler.core.provision import Curve


@dataclass(slots=True)
class Shared:
    """Every worker is a device of the policy's, by the number of its peer; every stage a model, by `model_of`."""

    policy: Prioritised
    profiles: dict[str, ModelProfile]
    """What the policy looks models up in: it grows with the stages that are seen."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """Model -> how long it takes alone, of what was measured beforehand."""
    waiting: dict[str, dict[int, None]] = field(default_factory=dict)
    """Model -> the numbers of its tasks that are queued."""
    running: dict[int, Launch] = field(default_factory=dict)
    """By the number of the batch that it became."""

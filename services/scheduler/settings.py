"""The scheduler's settings, read once from the environment (`COVEY_<NAME>`)."""

from __future__ import annotations

from dataclasses import dataclass

from covey.services.scheduler.core.state import Limits


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """`listen` is host:port, port 0 for a free one; `advertise` is what gateways dial, the bound address if empty.

    One event in `suggest_sample` tells what its tasks read, for `covey suggest`; 0: none does.
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

    @property
    def limits(self) -> Limits:
        return Limits(tasks_open_max=self.tasks_open_max, suggest_sample=self.suggest_sample)

"""What a run came to, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from covey.errors import Status
from covey.simulator.scenarios import Run


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one run. Times are virtual, save `wall_s`."""

    seed: int
    simulated_s: float
    wall_s: float
    events: int
    outcomes: dict[str, int]
    latency_ms: dict[str, float]
    tasks: int
    batch_size_mean: dict[str, float]
    remote_gets_per_event: float
    bytes_moved_per_event: float
    messages: int
    steps: int
    incidents: dict[str, int]
    trace: str

    def as_json(self) -> str:
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, indent=2)

    def as_text(self) -> str:
        """One figure a line."""
        return "\n".join(
            f"{name.replace('_', ' '):>22}  {_shown(value)}"
            for name, value in ((name, getattr(self, name)) for name in self.__slots__)
        )


def summarise(run: Run, seed: int, wall_s: float) -> Summary:
    """Count what the clients got."""
    ended = list(run.clients.outcomes())
    ok = [(sent, at, outcome) for sent, at, outcome in ended if outcome.status is Status.OK]
    latencies = sorted([1000 * (at - sent.sent_at) for sent, at, _ in ok])
    sums: dict[str, tuple[int, int]] = {}
    for _, _, outcome in ended:
        for stage in outcome.stages:
            tasks, sizes = sums.get(stage.stage, (0, 0))
            sums[stage.stage] = (tasks + stage.tasks, sizes + stage.batch_size_sum)
    incidents: dict[str, int] = {}
    for incident in run.incidents:
        incidents[incident.kind] = incidents.get(incident.kind, 0) + 1
    return Summary(
        seed=seed,
        simulated_s=round(run.world.now, 3),
        wall_s=round(wall_s, 2),
        events=len(run.clients.sent),
        outcomes=dict(sorted(run.statuses.items())),
        latency_ms=_quantiles(latencies),
        tasks=sum(tasks for tasks, _ in sums.values()),
        batch_size_mean={name: round(sizes / tasks, 2) for name, (tasks, sizes) in sums.items() if tasks},
        remote_gets_per_event=round(sum(outcome.remote_gets for _, _, outcome in ok) / max(len(ok), 1), 2),
        bytes_moved_per_event=round(sum(outcome.bytes_moved for _, _, outcome in ok) / max(len(ok), 1), 1),
        messages=run.mesh.network.messages,
        steps=run.world.happened,
        incidents=incidents,
        trace=run.world.trace,
    )


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    """Of sorted values."""
    if not values:
        return {}
    mean = sum(values) / len(values)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {"mean": round(mean, 2)} | {
        name: round(values[min(int(share * len(values)), len(values) - 1)], 2) for name, share in shares.items()
    }


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name} {figure}" for name, figure in value.items()) or "-"
    return str(value)

"""The estimator of an InferLine-like planner: a sample of arrivals, played through the stages' queues.

Every stage is a queue with so many servers that take what waits, up to a batch, as soon as they are free: no network,
no gateways, nothing dropped. Batches take what the tables say on average. Fan-outs are means; a task leads to the whole
number below or above, in turn, so that their mean is kept and nothing is drawn.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from covey.services.scheduler.core.provision import Pipeline, Profile, Provision, Share

TAIL = 0.99


def predictor(pipeline: Pipeline, arrivals: Sequence[float]) -> Callable[[Provision], float]:
    """Predicts the p99 in seconds that a provision has on these arrivals, in order.

    O(tasks * log(replicas)) a prediction.
    """

    def predict(provision: Provision) -> float:
        ended_at = list(arrivals)
        ends: dict[str, list[tuple[float, int]]] = {"": list(zip(arrivals, range(len(arrivals)), strict=True))}
        for stage in pipeline.stages:
            ready: list[tuple[float, int]] = []
            for edge in pipeline.edges:
                if edge.target == stage:
                    ready.extend(_led_to(ends[edge.source], pipeline.fan_outs[edge]))
            ready.sort()
            ends[stage] = list(_served(ready, provision[stage], pipeline.profiles[stage]))
            for instant, event in ends[stage]:
                ended_at[event] = max(ended_at[event], instant)
        took = sorted(end - start for start, end in zip(arrivals, ended_at, strict=True))
        return took[min(int(TAIL * len(took)), len(took) - 1)]

    return predict


def _led_to(ended: Sequence[tuple[float, int]], fan_out: float) -> Iterator[tuple[float, int]]:
    """The tasks, as (instant, event), that these lead to: as many as their number times the fan-out."""
    due = 0.0
    for task in ended:
        due += fan_out
        for _ in range(int(due + 1e-9)):
            yield task
        due -= int(due + 1e-9)


def _served(ready: Sequence[tuple[float, int]], share: Share, profile: Profile) -> Iterator[tuple[float, int]]:
    """When each task ends, in order of the batches' starts."""
    run_s = [0.0, *(profile.curve.mean_s(size) for size in range(1, share.batch + 1))]
    free = [0.0] * share.replicas
    at = 0
    while at < len(ready):
        begins_at = max(free[0], ready[at][0])
        end = at + 1
        while end < len(ready) and end - at < share.batch and ready[end][0] <= begins_at:
            end += 1
        ends_at = begins_at + run_s[end - at]
        heapq.heapreplace(free, ends_at)
        for _, event in ready[at:end]:
            yield ends_at, event
        at = end

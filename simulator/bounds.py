"""What no provisioner and no batcher can beat: the rate that devices carry when they never wait, and what events cost.

Under steady overload a device can be kept busy with the largest batches whose running alone, along every path, fits the
objective; an event then costs some device-seconds, and no system answers more events than the devices have of these.
"""

from __future__ import annotations

import math

from covey.services.scheduler.core.budgeting import split
from covey.services.scheduler.core.estimating import visits
from covey.services.scheduler.core.provision import Pipeline, Profile

SLOTS = 200
"""Of the objective. A batch counts as whole slots and one less, so that the bound stays a bound."""


def event_device_s(pipeline: Pipeline) -> float:
    """Device-seconds of one event, at the batches that cost least of those that fit the objective.

    Raises ValueError if not even batches of one task do.
    """
    least = {stage: _least_s(pipeline, profile) for stage, profile in pipeline.profiles.items()}
    tasks = visits(pipeline, pipeline.fan_outs)
    costs = {stage: [tasks[stage] * seconds for seconds in of] for stage, of in least.items()}
    return sum(costs[stage][slots] for stage, slots in _split(pipeline, costs).items())


def least_device_s(pipeline: Pipeline, events: float, seconds: float) -> float:
    """Device-seconds that so many events within so many seconds cost at least, whoever knows beforehand when they come.

    That is their own work, at the batches that cost least, or one replica of each stage for all the time; that devices
    start before they serve, wait for batches and are idle at times comes on top.
    """
    return max(events * event_device_s(pipeline), len(pipeline.stages) * seconds)


def capacity(pipeline: Pipeline, devices: int) -> float:
    """Events a second that so many devices answer at most, if a device may change between stages at no cost."""
    return devices / event_device_s(pipeline)


def capacity_of_replicas(pipeline: Pipeline, devices: int) -> float:
    """Events a second at most where a device belongs to one stage: a stage has whole replicas, and one at least.

    The bound by which few devices and many stages are to be judged. To a thousandth; raises ValueError as above, and
    where there are more stages than devices.
    """
    least = {stage: _least_s(pipeline, profile) for stage, profile in pipeline.profiles.items()}
    tasks = visits(pipeline, pipeline.fan_outs)
    if len(tasks) > devices:
        raise ValueError(f"{len(tasks)} stages have no replica each on {devices} devices")

    def replicas(rate: float) -> float:
        costs = {stage: [_whole(rate * tasks[stage] * seconds) for seconds in of] for stage, of in least.items()}
        return sum(costs[stage][slots] for stage, slots in _split(pipeline, costs).items())

    low, high = 0.0, capacity(pipeline, devices)
    while high - low > 0.001 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if replicas(middle) <= devices else (low, middle)
    return high


def _whole(devices: float) -> float:
    return devices if math.isinf(devices) else max(1, math.ceil(devices))


def _split(pipeline: Pipeline, costs: dict[str, list[float]]) -> dict[str, int]:
    slots = split(pipeline.edges, costs)
    if slots is None:
        raise ValueError(f"not even batches of one task fit the objective of {pipeline.objective_s:g} s")
    return slots


def _least_s(pipeline: Pipeline, profile: Profile) -> list[float]:
    """Device-seconds of one task, by the slots in which its batch may run."""
    slot_s = pipeline.objective_s / SLOTS
    found = [math.inf] * (SLOTS + 1)
    for size in range(1, profile.batch_max + 1):
        seconds = profile.curve.mean_s(size)
        slots = int(seconds / slot_s)
        if slots <= SLOTS:
            found[slots] = min(found[slots], seconds / size)
    for slots in range(1, SLOTS + 1):
        found[slots] = min(found[slots], found[slots - 1])
    return found

"""What `covey profile` has measured: a pipeline, and how long its stages take on one kind of device.

    {"name": "collisions", "device": "cpu", "objective_s": 0.2,
     "stages": {"track": {"sizes": [1, 2], "mean_s": [0.0006, 0.0011], "std_s": [1e-05, 2e-05], "cold_s": 0.0}, ...},
     "edges": [["", "track", 1], ["track", "predict", 6.9], ["predict", "collide", 0.145]],
     "joins": ["collide"]}

Stages are upstream first: batch sizes that ascend, the seconds that each takes and their standard deviation, and the
seconds from the decision that there should be a replica until it takes its first batch. The last size is the largest
batch. An edge's number is the mean of tasks of the second for each task of the first, "" being the event; to a join,
whose tasks have many parents, it is one by the mean number of its members. The scheduler provisions by such a file, a
worker emulates a device by it, and the simulator and the planner predict by it.
"""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

from covey.errors import InvalidArgument

DIGITS = 8
"""Behind the point, in a file: 10 ns."""


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """Seconds by batch size, at some sizes; `spread` is the relative standard deviation of what remains.

    What remains is taken for log-normal around the table: the measured spreads are small, and nothing ends before it
    began. It is a `Curve`, so what a policy knows of a device is what the device does.
    """

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    spread: float = 0.05

    def mean_s(self, size: int) -> float:
        """Between sizes a line; beyond the last, the line of the last two goes on."""
        if len(self.sizes) == 1:
            return self.seconds[0]
        sizes, seconds = self.sizes, self.seconds
        at = min(max(bisect_left(sizes, size), 1), len(sizes) - 1)
        left, low = sizes[at - 1], seconds[at - 1]
        found = low + (seconds[at] - low) * (size - left) / (sizes[at] - left)
        return found if left <= size <= sizes[at] else max(found, min(seconds))

    def quantile_s(self, size: int, share: float) -> float:
        """Seconds within which this share of such batches ends, 0 < share < 1."""
        return self.mean_s(size) * math.exp(self.spread * _deviations(share))

    def slower(self, times: float) -> LatencyTable:
        """The table of a model that takes so many times as long."""
        return LatencyTable(self.sizes, tuple([times * seconds for seconds in self.seconds]), self.spread)

    def draw_s(self, size: int, rng: random.Random) -> float:
        return self.mean_s(size) * rng.lognormvariate(0.0, self.spread)


@cache
def _deviations(share: float) -> float:
    """The quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(share)


@dataclass(frozen=True, slots=True)
class StageProfile:
    """One stage on one kind of device."""

    table: LatencyTable
    cold_s: float

    @property
    def batch_max(self) -> int:
        return self.table.sizes[-1]


@dataclass(frozen=True, slots=True)
class PipelineProfile:
    """A pipeline on one kind of device. `fan_outs`: (source, target) -> mean; stages are upstream first."""

    name: str
    device: str
    objective_s: float
    stages: Mapping[str, StageProfile]
    fan_outs: Mapping[tuple[str, str], float]
    joins: tuple[str, ...]


def read_profile(path: Path) -> PipelineProfile:
    """Raises InvalidArgument, naming the file, for one that can't be read or is no such profile."""
    try:
        return pipeline_profile(json.loads(path.read_text()))
    except OSError as error:
        raise InvalidArgument(f"the profile {path} can't be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidArgument(f"{path} is not what `covey profile` writes: {type(error).__name__}: {error}") from None


def pipeline_profile(found: Mapping[str, Any]) -> PipelineProfile:
    """Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
    stages = {str(name): stage_profile(stage) for name, stage in found["stages"].items()}
    fan_outs = {(str(source), str(target)): float(mean) for source, target, mean in found["edges"]}
    objective_s = float(found["objective_s"])
    reached = {""}
    for stage in stages:
        if not any(source in reached for source, target in fan_outs if target == stage):
            raise ValueError(f"no edge leads to stage {stage!r} from the event or from a stage before it")
        reached.add(stage)
    unknown = [name for edge in fan_outs for name in edge if name not in reached]
    if unknown:
        raise ValueError(f"an edge names the stage {unknown[0]!r}, which has no times")
    if min(fan_outs.values()) < 0 or objective_s <= 0:
        raise ValueError("an objective is more than no time, and a stage leads to no less than no tasks")
    joins = tuple([str(stage) for stage in found.get("joins", ())])
    return PipelineProfile(str(found["name"]), str(found.get("device", "")), objective_s, stages, fan_outs, joins)


def stage_profile(found: Mapping[str, Any]) -> StageProfile:
    """One stage of what was measured. Raises ValueError, KeyError or TypeError for what is none."""
    sizes, means, stds = tuple(found["sizes"]), tuple(found["mean_s"]), tuple(found["std_s"])
    if not sizes or not len(sizes) == len(means) == len(stds):
        raise ValueError("sizes, mean_s and std_s are as long as one another, and not empty")
    if sizes[0] < 1 or list(sizes) != sorted(dict.fromkeys(sizes)):
        raise ValueError(f"batch sizes ascend from 1 or more, not {list(sizes)}")
    if min(means) <= 0 or min(stds) < 0 or found["cold_s"] < 0:
        raise ValueError("a batch takes some time, and nothing takes less than none")
    spread = sum(std / mean for mean, std in zip(means, stds, strict=True)) / len(means)
    return StageProfile(LatencyTable(sizes, means, spread), float(found["cold_s"]))


def written(profile: PipelineProfile) -> dict[str, Any]:
    """What `pipeline_profile` reads: one standard deviation for all sizes, in relation to their means."""
    stages = {
        name: {
            "sizes": list(stage.table.sizes),
            "mean_s": [round(seconds, DIGITS) for seconds in stage.table.seconds],
            "std_s": [round(stage.table.spread * seconds, DIGITS) for seconds in stage.table.seconds],
            "cold_s": round(stage.cold_s, DIGITS),
        }
        for name, stage in profile.stages.items()
    }
    edges = [[source, target, round(mean, DIGITS)] for (source, target), mean in profile.fan_outs.items()]
    return {
        "name": profile.name,
        "device": profile.device,
        "objective_s": profile.objective_s,
        "stages": stages,
        "edges": edges,
        "joins": list(profile.joins),
    }

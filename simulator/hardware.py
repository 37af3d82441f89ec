"""Devices in the simulation: how long a batch takes, from a table of latencies by batch size.

Tables come as made up here or as measured: a Nexus profile (Shen et al., SOSP 2019) is a text file with a header of
three lines, `batch,latency(us),std(us),memory(B)`, and rows of these until the next section; what `covey profile`
measures is JSON, one file for a device with all of its stages.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covey.profiles import LatencyTable as LatencyTable
from covey.profiles import stage_profile
from covey.services.scheduler.core.provision import Profile


def affine(fixed_s: float, each_s: float, spread: float = 0.05) -> LatencyTable:
    """A table with a fixed cost and one for each task."""
    return LatencyTable((1, 64), (fixed_s + each_s, fixed_s + 64 * each_s), spread)


def read_profile(path: Path) -> LatencyTable:
    """The forward latencies of a Nexus profile. Raises ValueError for a file that is none."""
    rows: list[tuple[int, float, float]] = []
    lines = path.read_text().splitlines()
    if len(lines) < 5 or not lines[3].startswith("batch,latency(us)"):
        raise ValueError(f"{path} is no latency profile: its fourth line is not 'batch,latency(us),...'")
    for line in lines[4:]:
        parts = line.split(",")
        if len(parts) < 3:
            break
        rows.append((int(parts[0]), float(parts[1]) / 1e6, float(parts[2]) / 1e6))
    spread = sum(std / mean for _, mean, std in rows) / len(rows)
    return LatencyTable(tuple(size for size, _, _ in rows), tuple(mean for _, mean, _ in rows), spread)


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What was measured on one kind of device."""

    device: str
    stages: dict[str, Profile]


def read_device_profile(path: Path) -> DeviceProfile:
    """What `covey profile` has measured. Raises ValueError, naming the file, for one that does not read so.

        {"device": "NVIDIA L4", "stages": {
            "predict": {"sizes": [1, 8], "mean_s": [0.004, 0.009], "std_s": [0.0001, 0.0002], "cold_s": 3.5}}}

    Batch sizes that ascend, the mean seconds of each and their standard deviation, and the seconds from the decision
    that there should be a replica until it takes its first batch. The last size is the largest batch.
    """
    try:
        found = json.loads(path.read_text())
        return DeviceProfile(str(found["device"]), {name: profile_of(stage) for name, stage in found["stages"].items()})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is no device profile: {type(error).__name__}: {error}") from error


def profile_of(found: Mapping[str, Any]) -> Profile:
    """One stage of what was measured. Raises ValueError, KeyError or TypeError for what is none."""
    stage = stage_profile(found)
    return Profile(stage.table, stage.batch_max, stage.cold_s)


INTERFERENCE = 0.3
"""How much longer a batch takes for each other lane that is busy when it starts."""


class Device:
    """One accelerator with some lanes. `slowness` multiplies what every batch takes.

    `cold_s` has the seconds that a stage's model takes to load; 0 for a stage that it does not name.
    """

    def __init__(
        self, tables: Mapping[str, LatencyTable], rng: random.Random, cold_s: Mapping[str, float] | None = None
    ) -> None:
        self.slowness = 1.0
        self.busy_s = 0.0
        self._tables = tables
        self._rng = rng
        self._cold_s = cold_s or {}
        self._running = 0

    def load_s(self, stage: str) -> float:
        """Seconds until the model of a stage is loaded."""
        return self._cold_s.get(stage, 0.0)

    def start(self, stage: str, size: int) -> float:
        """Begin a batch; the seconds that it takes."""
        seconds = self._tables[stage].draw_s(size, self._rng) * (1 + INTERFERENCE * self._running) * self.slowness
        self._running += 1
        self.busy_s += seconds
        return seconds

    def finish(self) -> None:
        self._running -= 1

"""Devices in the simulation: how long a batch takes, from a table of latencies by batch size.

Tables come as made up here or as measured: a Nexus profile (Shen et al., SOSP 2019) is a text file with a header of
three lines, `batch,latency(us),std(us),memory(B)`, and rows of these until the next section.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """Seconds by batch size, at some sizes; `spread` is the relative standard deviation of what remains."""

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    spread: float = 0.05

    def mean_s(self, size: int) -> float:
        """Between sizes a line; beyond the last, the line of the last two goes on."""
        if len(self.sizes) == 1:
            return self.seconds[0]
        at = min(max(bisect_left(self.sizes, size), 1), len(self.sizes) - 1)
        (left, right), (low, high) = self.sizes[at - 1 : at + 1], self.seconds[at - 1 : at + 1]
        return max(low + (high - low) * (size - left) / (right - left), min(self.seconds))

    def draw_s(self, size: int, rng: random.Random) -> float:
        return self.mean_s(size) * rng.lognormvariate(0.0, self.spread)


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


INTERFERENCE = 0.3
"""How much longer a batch takes for each other lane that is busy when it starts."""


class Device:
    """One accelerator with some lanes. `slowness` multiplies what everything takes."""

    def __init__(self, tables: Mapping[str, LatencyTable], rng: random.Random) -> None:
        self.slowness = 1.0
        self.busy_s = 0.0
        self._tables = tables
        self._rng = rng
        self._running = 0

    def start(self, stage: str, size: int) -> float:
        """Begin a batch; the seconds that it takes."""
        seconds = self._tables[stage].draw_s(size, self._rng) * (1 + INTERFERENCE * self._running) * self.slowness
        self._running += 1
        self.busy_s += seconds
        return seconds

    def finish(self) -> None:
        self._running -= 1

"""What is compared in simulation, named before the first reported run and kept: cells, systems' order, seeds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from covey.simulator.contention import MODELS, Drift
from covey.simulator.sharing import Traffic

REQUESTS = 6000
"""In a run; the first tenth is not counted."""
LOW_DEADLINE = 5.0
"""Of LOW, in times of a batch of one alone; a cell names HIGH's."""
BURSTY = 2.5
"""Coefficient of variation of the gaps between the requests of a model and priority."""
FULL = 0.9
"""Utilisation from which on a cell counts for what was promised."""


class Cell(NamedTuple):
    """So many devices; HIGH's share of the work in percent; utilisation; HIGH's deadline in times of a batch of one."""

    devices: int
    high: int
    utilisation: float
    deadline: float
    bursty: bool = False

    @property
    def name(self) -> str:
        arrivals = "bursty" if self.bursty else "poisson"
        return f"{self.devices}/{self.high}:{100 - self.high}/u{self.utilisation:g}/d{self.deadline:g}/{arrivals}"

    def traffic(self, requests: int = REQUESTS) -> Traffic:
        return Traffic(
            MODELS,
            self.high / 100,
            self.utilisation,
            self.deadline,
            LOW_DEADLINE,
            requests,
            BURSTY if self.bursty else 1.0,
            Drift(),
        )


CELLS = (
    *(Cell(1, high, full, deadline) for high in (20, 50, 80) for full in (0.9, 1.1) for deadline in (2, 3)),
    *(Cell(1, high, 0.7, 3) for high in (20, 50, 80)),
    Cell(1, 50, 1.0, 5),
    Cell(1, 20, 1.1, 5),
    *(Cell(1, high, 0.9, 3, True) for high in (20, 50, 80)),
    *(Cell(4, 50, utilisation, 2) for utilisation in (0.7, 0.9, 1.1)),
    Cell(4, 80, 1.1, 3),
    Cell(4, 20, 0.9, 2, True),
    Cell(4, 50, 0.9, 3, True),
    *(Cell(16, 50, utilisation, 2) for utilisation in (0.9, 1.1)),
    Cell(16, 80, 1.1, 3),
    Cell(16, 50, 1.0, 2, True),
)
"""30, of at most 40."""
QUICK = (Cell(1, 20, 1.1, 2), Cell(1, 50, 0.9, 2), Cell(1, 80, 0.9, 3), Cell(4, 50, 0.9, 3, True))
ABLATED = (Cell(1, 20, 1.1, 2), Cell(1, 50, 0.9, 2), Cell(1, 80, 0.9, 3), Cell(4, 50, 0.9, 3, True))
"""Where each part of ours is switched off alone."""
PREDICTED = (Cell(1, 50, 0.9, 3), Cell(1, 20, 1.1, 2), Cell(4, 80, 1.1, 3))
"""Where predictors are judged by one record of what ran beside what."""

DEVELOPMENT_SEED = 101
"""From here on seeds are for tuning, and never reported."""


def chosen(patterns: Sequence[str], cells: Sequence[Cell]) -> list[Cell]:
    """The cells that one of these patterns names, such as `1/*/u0.9/*`; all, without any."""
    return [cell for cell in cells if not patterns or any(fnmatchcase(cell.name, pattern) for pattern in patterns)]


def hypercube(count: int, seed: int) -> list[Cell]:
    """A Latin hypercube over the rest of the space: each dimension cut in as many parts, each part met once."""
    rng = random.Random(seed)

    def cuts(low: float, high: float) -> list[float]:
        parts = [low + (high - low) * (at + rng.random()) / count for at in range(count)]
        rng.shuffle(parts)
        return parts

    columns = zip(cuts(0, 5), cuts(20, 80), cuts(0.7, 1.1), cuts(2, 5), cuts(0, 2), strict=True)
    return [
        Cell((1, 2, 4, 8, 16)[int(devices)], round(high), round(utilisation, 2), round(deadline, 1), bursty >= 1.0)
        for devices, high, utilisation, deadline, bursty in columns
    ]

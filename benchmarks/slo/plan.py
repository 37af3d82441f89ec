"""What is compared, named before the first run and kept: the cells, the headrooms that are swept, the effort."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from covey.simulator.pipelines import Objective


class Cell(NamedTuple):
    """A pipeline under a load, on so many devices."""

    pipeline: str
    load: str
    objective: Objective = Objective.MEDIUM
    devices: int = 64

    @property
    def name(self) -> str:
        return f"{self.pipeline}/{self.load}/{self.objective.name.lower()}/{self.devices}"

    @property
    def is_bursty(self) -> bool:
        """One of the nine in which the tail under bursts is judged."""
        return self in BURSTY


CHAINS = ("chain3", "chain5", "traffic")
BURSTY = tuple(Cell(pipeline, load) for pipeline in CHAINS for load in ("step", "mmpp", "azure"))
CELLS = (
    *BURSTY,
    *(Cell(pipeline, "diurnal") for pipeline in CHAINS),
    *(Cell("chain3", load, objective) for objective in (Objective.TIGHT, Objective.SLACK) for load in ("step", "mmpp")),
    *(Cell(pipeline, "step", devices=8) for pipeline in CHAINS),
    *(Cell("collisions", load, devices=8) for load in ("step", "mmpp", "diurnal")),
    *(Cell(pipeline, "overload", devices=devices) for pipeline in (*CHAINS, "collisions") for devices in (8, 64)),
)
"""30, of at most 40."""
QUICK = (
    Cell("chain3", "step", devices=8),
    Cell("chain5", "step", devices=8),
    Cell("traffic", "step", devices=8),
    Cell("collisions", "overload", devices=8),
    Cell("chain3", "overload", devices=8),
)
"""All of them among `CELLS`; the bursty ones take longer than a quick look may."""

SLOWNESS = {"chain3": 12.0, "chain5": 9.0, "traffic": 4.0, "collisions": 8.0}
FEW_DEVICES, SLOWNESS_OF_FEW = 8, 4.0
"""Times that every model takes as long as measured, on 64 devices and on 8: so that a run, of 5,000 events or more on
64 devices, takes seconds to simulate. A cold start stays twice the medium objective or more."""

HEADROOMS = (1.0, 1.1, 1.25, 1.5, 2.0, 2.5)
"""Capacity by rate: what every system is swept through. Ours is judged at its default, 1.1."""
QUICK_HEADROOMS = (1.1, 1.5, 2.2)

DEVELOPMENT_SEED = 10_000
"""From here on seeds are for tuning, and never reported."""


def slowness_of(cell: Cell) -> float:
    return SLOWNESS[cell.pipeline] if cell.devices > FEW_DEVICES else SLOWNESS_OF_FEW


def chosen(patterns: Sequence[str], cells: Sequence[Cell]) -> list[Cell]:
    """The cells that one of these patterns names, such as `chain3/*/medium/64`; all, without any."""
    return [cell for cell in cells if not patterns or any(fnmatchcase(cell.name, pattern) for pattern in patterns)]

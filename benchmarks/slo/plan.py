"""What is compared, named before the first run and kept: the cells, the headrooms that are swept, the effort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
STEADY = tuple(
    Cell(pipeline, f"steady{percent}", devices=8)
    for pipeline in ("chain3", "collisions")
    for percent in (50, 60, 70, 80, 90)
)
"""At so many percent of what the devices carry, for the highest rate at which 99 % are in time."""
CELLS = (
    *BURSTY,
    *(Cell(pipeline, "diurnal") for pipeline in CHAINS),
    *(Cell("chain3", load, objective) for objective in (Objective.TIGHT, Objective.SLACK) for load in ("step", "mmpp")),
    *(Cell(pipeline, "step", devices=8) for pipeline in CHAINS),
    *(Cell("collisions", load, devices=8) for load in ("step", "mmpp", "diurnal")),
    *(Cell(pipeline, "overload", devices=devices) for pipeline in (*CHAINS, "collisions") for devices in (8, 64)),
    *STEADY,
)
"""40, of at most 40."""
BEYOND = (Cell("chain3", "surge", devices=128),)
"""None of the 40, and named after they had run: what 99 % in time cost where devices are plentiful. Runs if it is asked
for, and is reported apart."""
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
64 devices, takes seconds to simulate. A cold start stays 2.8 to 6 medium objectives."""

OURS = "ours"
OUR_HEADROOM = 1.1
"""Capacity by rate at which ours is read; the others come to its cost, or to its tail."""
ALL_DEVICES = 4.0
"""A headroom at which everybody takes all of them, under a steady load."""
HEADROOMS: Mapping[str, tuple[float, ...]] = {
    "ours": (OUR_HEADROOM,),
    "reactive": (1.3, 2.0, 3.2),
    "nexus": (2.5, 4.0),
    "inferline": (1.2, 1.8, 3.0),
}
"""By the first word of a system's name: what it is swept through where its curve is read at our cost or our tail. Seen
on development seeds to come to both, or as near as it gets. With everything on the first two: no tail is asked for."""
OF_ABLATIONS = (OUR_HEADROOM, 1.6)
"""Without a part ours may cost less: then it has headroom instead, to be compared at our cost."""
BUYING: Mapping[str, tuple[float, ...]] = {
    "diurnal": (1.1, 1.45, 1.8, 3.0),
    "step": (1.1, 1.8, 2.4, 3.0),
    "surge": (4.0, 5.0, 6.0, 9.0),
}
"""By load: what the others are swept through where it is asked what 99 % in time cost; close where they come to it."""
OUR_SETTINGS: Mapping[str, tuple[float, ...]] = {
    "ours": (1.0, OUR_HEADROOM),
    "ours with 0.25 in reserve": (1.0,),
    "ours with 0.15 in reserve": (1.0,),
}
"""As many for ours: systems and headrooms. Its reserve is what it buys with; below 1 a headroom means nothing to it."""
SEEDS_FIRST = 3
FEW_ONLY = ("reactive", "reactive + clipper")
"""Systems that were far behind all others on development seeds, and run on few devices only, where a run is cheap."""
ABLATED = (
    Cell("chain3", "step"),
    Cell("traffic", "step", devices=8),
    Cell("collisions", "step", devices=8),
    Cell("collisions", "mmpp", devices=8),
    *(Cell(pipeline, "overload", devices=8) for pipeline in (*CHAINS, "collisions")),
)
"""Where ours also runs with one part switched off."""

DEVELOPMENT_SEEDS = (101, 102)
"""The first and last seed that are for tuning; what is reported has others (1 to 10)."""


def asks_for_the_tail(cell: Cell) -> bool:
    """Nothing is asked of it under steady overload, where nobody has one, and under a steady load."""
    return cell.load != "overload" and cell not in (*STEADY, *BEYOND)


def asks_for_the_cost(cell: Cell) -> bool:
    """Of 99 % in time: where they can be had without all devices all the time."""
    return cell.load == "diurnal" or (cell.load == "step" and cell.devices == FEW_DEVICES) or cell in BEYOND


def headrooms_of(cell: Cell, system: str, drops: bool) -> tuple[float, ...]:
    """What a system is swept through in a cell."""
    if cell.load == "overload":
        return (OUR_HEADROOM,)
    if cell in STEADY:
        return (ALL_DEVICES,)
    if drops and asks_for_the_cost(cell):
        if system in OUR_SETTINGS:
            return OUR_SETTINGS[system]
        if not system.startswith(OURS):
            return BUYING[cell.load]
    if system != OURS and system.startswith(OURS):
        return OF_ABLATIONS[:1] if drops else OF_ABLATIONS
    return HEADROOMS[system.split()[0]][: 2 if drops else None]


def turn_of(cell: Cell, drops: bool, seed: int) -> int:
    """When a run comes, of all: three seeds of everything, and then what is cheap, or is asked of bursts, first."""
    comes_early = (cell.is_bursty and not drops) or (cell.devices == FEW_DEVICES and cell not in STEADY)
    return seed if comes_early or seed <= SEEDS_FIRST else 3 * seed


def slowness_of(cell: Cell) -> float:
    return SLOWNESS[cell.pipeline] if cell.devices > FEW_DEVICES else SLOWNESS_OF_FEW


def chosen(patterns: Sequence[str], cells: Sequence[Cell]) -> list[Cell]:
    """The cells that one of these patterns names, such as `chain3/*/medium/64`; all, without any."""
    return [cell for cell in cells if not patterns or any(fnmatchcase(cell.name, pattern) for pattern in patterns)]

"""Where the tests of the collision example find their tracks, and what they do where there are none."""

import functools
import os
from pathlib import Path

import pytest

from examples.collisions.tracks import Replay, Reports, read, replay_of

ROOT = Path(__file__).parents[1]
PEDESTRIANS = ("sdd_gates_3", "sdd_hyang_5", "sdd_little_3", "ucy_students03")


@functools.cache
def adsb_reports(name: str) -> Reports:
    """Read an ADS-B sample once, or skip the test that asked."""
    try:
        return read(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@functools.cache
def adsb(name: str = "quickstart", sectors: int | None = None) -> Replay:
    """Replay an ADS-B sample as `load` does, or skip the test that asked."""
    return replay_of([adsb_reports(name)], sectors)


def pedestrians(name: str) -> Path:
    """Find a file of pedestrian tracks, or skip the test that asked."""
    path = Path(os.environ.get("COVEY_DATA", ROOT / "../shared/data"), "tracks", f"{name}.txt")
    if not path.exists():
        pytest.skip(f"the pedestrian tracks are not here: no {path}; COVEY_DATA names the folder that has tracks/")
    return path

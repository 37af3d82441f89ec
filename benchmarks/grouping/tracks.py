"""Where the tracks are: the three scenes of the Stanford Drone Dataset that every run has."""

from __future__ import annotations

import os
from pathlib import Path

SDD = ("sdd_little_3", "sdd_hyang_5", "sdd_gates_3")


def sdd_tracks() -> list[Path]:
    """The files of the three scenes, in `tracks/` of the folder that COVEY_DATA names. Exits where one is missing."""
    folder = Path(os.environ.get("COVEY_DATA", "../shared/data"), "tracks")
    paths = [folder / f"{name}.txt" for name in SDD]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise SystemExit(f"the tracks are not here: no {missing[0]}; COVEY_DATA names the folder that has tracks/")
    return paths

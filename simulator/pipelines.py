"""The pipelines of the comparison: three stages, five, traffic, and the collision example with its join.

A `Workload` is a `Pipeline` as its provisioner knows it, and what the simulation draws besides: how many tasks each
task leads to. A stage that is a join has one task for each event, once all that lead to it have ended; among fan-outs,
which are means, it stands as one by the mean number of its members.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path

from covey.services.scheduler.core.provision import Edge, Pipeline, Profile
from covey.simulator.hardware import LatencyTable, affine, read_profile

LedTo = Callable[[random.Random], Mapping[str, int]]
"""Draws what one task leads to: stage -> so many tasks."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """A `LedTo` without chance."""

    counts: Mapping[str, int]

    def __call__(self, rng: random.Random) -> Mapping[str, int]:
        return self.counts


MODELS = ("vgg_s", "vgg16", "vgg_face", "yolo9000")

SYNTHETIC: dict[str, LatencyTable] = {
    "vgg_s": affine(0.00230, 0.00080, 0.01),
    "vgg16": affine(0.00486, 0.00319, 0.01),
    "vgg_face": affine(0.00486, 0.00319, 0.01),
    "yolo9000": affine(0.00129, 0.01940, 0.01),
}
"""Straight lines through the Nexus profiles up to 32, where these are not at hand."""

COLLISION_TABLES: dict[str, LatencyTable] = {
    "track": affine(0.012, 0.004),
    "predict": affine(0.032, 0.0024),
    "collide": affine(0.008, 0.0032),
}
"""As in `grid.py`: eight times what the example's own stages take on one core."""

BATCH_MAX = 64
"""As the example's largest; beyond it no Nexus table gains a twentieth in throughput."""
COLD_S = 5.0
"""From the decision that there should be a replica until it takes its first batch: loading a model of some 500 MB."""
DETECTED = 5.46
"""Objects in a frame, on average: what YOLOv5s has found in Loki's traffic pipeline (Ahmad et al., HPDC 2024) ..."""
CARS = 0.77
"""... and the share of them that are cars; the others are people."""
ACTORS = 7.0
"""In a scene, on average: as in `grid.py`."""


class Objective(Enum):
    """How many times what an idle mesh takes for one event, each task in a batch of its own."""

    TIGHT = 4.0
    MEDIUM = 8.0
    SLACK = 16.0


@dataclass(frozen=True, slots=True)
class Workload:
    """A pipeline, and what the simulation draws for it."""

    name: str
    pipeline: Pipeline
    led_to: Mapping[str, LedTo]
    """Source -> what one of its tasks leads to, joins left out. Events have the source "" and lead to one task."""
    joins: tuple[str, ...] = ()


def nexus_tables(data: Path) -> dict[str, LatencyTable]:
    """The tables of `MODELS` as Nexus has measured them. Raises OSError where a file is missing."""
    return {model: read_profile(data / "profiles" / f"titanx_{model}.txt") for model in MODELS}


def actors_in(track: Path) -> list[int]:
    """How many actors each frame of a recording has: lines of `frame id x y`."""
    return list(Counter(line.split()[0] for line in track.read_text().splitlines() if line.strip()).values())


# --- the four --------------------------------------------------------------------------------------------------------


def chain3(tables: Mapping[str, LatencyTable], objective: Objective, cold_s: float = COLD_S) -> Workload:
    """A light stage before two heavy ones."""
    return _chain("chain3", {"screen": "vgg_s", "classify": "vgg16", "identify": "vgg_face"}, tables, objective, cold_s)


def chain5(tables: Mapping[str, LatencyTable], objective: Objective, cold_s: float = COLD_S) -> Workload:
    """Light and heavy stages in turn, so that what one lets through is what the next one sees."""
    models = {"screen": "vgg_s", "classify": "vgg16", "refine": "vgg_s", "identify": "vgg_face", "verify": "vgg16"}
    return _chain("chain5", models, tables, objective, cold_s)


def traffic(
    tables: Mapping[str, LatencyTable],
    objective: Objective,
    cold_s: float = COLD_S,
    counts: Sequence[int] = (),
) -> Workload:
    """A detector, and classifiers for the cars and the people that it finds.

    `counts` are objects by frame, as recorded; without them, frames have a Poisson number of `DETECTED` on average.
    """
    objects = _drawn(counts, DETECTED)
    mean = _mean(counts, DETECTED)

    def detected(rng: random.Random) -> Mapping[str, int]:
        found = objects(rng)
        cars = sum(rng.random() < CARS for _ in range(found))
        return {"car": cars, "person": found - cars}

    edges = {
        Edge("", "detect"): 1.0,
        Edge("detect", "car"): mean * CARS,
        Edge("detect", "person"): mean * (1 - CARS),
    }
    models = {"detect": "yolo9000", "car": "vgg_s", "person": "vgg_face"}
    profiles = {stage: _profile(tables[model], cold_s) for stage, model in models.items()}
    return Workload("traffic", _pipeline(edges, profiles, objective), {"": _exactly("detect"), "detect": detected})


def collisions(
    objective: Objective,
    cold_s: float = COLD_S,
    counts: Sequence[int] = (),
    tables: Mapping[str, LatencyTable] = COLLISION_TABLES,
) -> Workload:
    """The example: one task finds the actors, one for each predicts, one that joins them finds what collides.

    `counts` are actors by scene, as recorded, of at least 1; without them, scenes have a Poisson number.
    """
    actors = _drawn(counts, ACTORS)

    def tracked(rng: random.Random) -> Mapping[str, int]:
        return {"predict": max(1, actors(rng))}

    mean = _mean(counts, ACTORS)
    edges = {Edge("", "track"): 1.0, Edge("track", "predict"): mean, Edge("predict", "collide"): 1 / mean}
    profiles = {stage: _profile(tables[stage], cold_s) for stage in ("track", "predict", "collide")}
    led_to: dict[str, LedTo] = {"": _exactly("track"), "track": tracked}
    return Workload("collisions", _pipeline(edges, profiles, objective), led_to, joins=("collide",))


# --- what they are made of -------------------------------------------------------------------------------------------


def _chain(
    name: str, models: Mapping[str, str], tables: Mapping[str, LatencyTable], objective: Objective, cold_s: float
) -> Workload:
    edges = [Edge(source, target) for source, target in pairwise(["", *models])]
    profiles = {stage: _profile(tables[model], cold_s) for stage, model in models.items()}
    pipeline = _pipeline(dict.fromkeys(edges, 1.0), profiles, objective)
    return Workload(name, pipeline, {edge.source: _exactly(edge.target) for edge in edges})


def _pipeline(fan_outs: Mapping[Edge, float], profiles: Mapping[str, Profile], objective: Objective) -> Pipeline:
    """The stages are in the order of `profiles`."""
    least_s = {"": 0.0}
    for stage, profile in profiles.items():
        before = max(least_s[source] for source, target in fan_outs if target == stage)
        least_s[stage] = before + profile.curve.mean_s(1)
    return Pipeline(tuple(profiles), tuple(fan_outs), fan_outs, profiles, objective.value * max(least_s.values()))


def _profile(table: LatencyTable, cold_s: float) -> Profile:
    return Profile(table, min(BATCH_MAX, table.sizes[-1]), cold_s)


def _exactly(target: str) -> LedTo:
    return Exactly({target: 1})


def _mean(counts: Sequence[int], otherwise: float) -> float:
    return sum(counts) / len(counts) if counts else otherwise


def _drawn(counts: Sequence[int], mean: float) -> Callable[[random.Random], int]:
    """Draws one of `counts`, or without any, a Poisson number."""
    return (lambda rng: rng.choice(counts)) if counts else (lambda rng: _poisson_number(mean, rng))


def _poisson_number(mean: float, rng: random.Random) -> int:
    """How many arrivals, `mean` a second, fall in one second."""
    number, passed = 0, rng.expovariate(mean)
    while passed < 1:
        number, passed = number + 1, passed + rng.expovariate(mean)
    return number

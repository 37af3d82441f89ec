"""A look for bad surprises where no cell is: settings drawn over the whole space, each dimension evenly.

A Latin hypercube: every dimension is cut into as many strata as there are settings, and each stratum is drawn from
once (McKay, Beckman and Conover, 1979). Ours runs against the two strongest baselines, everything on, at our headroom;
what is worst for us comes first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from benchmarks.slo.loads import load_of
from benchmarks.slo.plan import CHAINS, DEVELOPMENT_SEEDS, OUR_HEADROOM, OURS, Cell
from benchmarks.slo.running import Places, workload_of
from benchmarks.slo.systems import DROPPING
from covey.services.scheduler.core.provision import Pipeline
from covey.simulator.bounds import capacity_of_replicas
from covey.simulator.pipelines import LedTo, Objective, Workload
from covey.simulator.serving import Figures, play

PIPELINES = (*CHAINS, "collisions")
LOADS = ("step", "mmpp", "azure", "diurnal", "overload", "steady60")
AGAINST = (OURS, "inferline + pard", "reactive + pard")
DEVICES = (6.0, 40.0)
OBJECTIVE = (3.0, 20.0)
"""Times what an idle mesh takes for one event."""
COLD_S = (0.5, 10.0)
DRIFT = (0.5, 2.0)
"""What fan-outs are, by what is known of them beforehand; of chains, whose tasks lead to one task each, always 1."""


class Setting(NamedTuple):
    """One point of the cube."""

    pipeline: str
    load: str
    devices: int
    objective: float
    cold_s: float
    drift: float

    @property
    def name(self) -> str:
        return (
            f"{self.pipeline}/{self.load}, {self.devices} devices, objective x{self.objective:.1f}, "
            f"cold {self.cold_s:.1f} s, fan-out x{self.drift:.2f}"
        )


def settings(count: int, rng: random.Random) -> list[Setting]:
    """So many. Numbers are even in their logarithm."""
    columns = [rng.sample(range(count), count) for _ in Setting._fields]

    def share(dimension: int, at: int) -> float:
        return (columns[dimension][at] + rng.random()) / count

    return [
        Setting(
            PIPELINES[int(share(0, at) * len(PIPELINES))],
            LOADS[int(share(1, at) * len(LOADS))],
            round(_between(DEVICES, share(2, at))),
            _between(OBJECTIVE, share(3, at)),
            _between(COLD_S, share(4, at)),
            _between(DRIFT, share(5, at)),
        )
        for at in range(count)
    ]


def lines(count: int, places: Places) -> Iterator[str]:
    """Run them all; a line each, the worst for us first."""
    rng = random.Random(DEVELOPMENT_SEEDS[0])
    found: list[tuple[float, Setting, Mapping[str, Figures]]] = []
    for number, setting in enumerate(settings(count, rng)):
        runs = {system: _played(setting, system, DEVELOPMENT_SEEDS[0] + number, places) for system in AGAINST}
        best = max(run.goodput for system, run in runs.items() if system != OURS)
        found.append((runs[OURS].goodput - best, setting, runs))
    yield "in time, ours less the better of the two others; each with its device-seconds"
    for behind, setting, each in sorted(found, key=lambda point: point[0]):
        told = ", ".join(f"{system} {run.goodput:.3f} at {run.device_s:.0f}" for system, run in each.items())
        yield f"{behind:+.3f}  {setting.name}: {told}"


def _played(setting: Setting, system: str, seed: int, places: Places) -> Figures:
    known = _known(setting, places)
    capacity = capacity_of_replicas(known.pipeline, setting.devices) / setting.drift
    load = load_of(setting.load, capacity, places.data)
    made = DROPPING[system].made
    return play(
        replace(known, led_to=_drifted(known, setting.drift)),
        setting.devices,
        load,
        lambda pipeline, devices: made(pipeline, devices, OUR_HEADROOM),
        seed,
    )


def _known(setting: Setting, places: Places) -> Workload:
    """The workload as its provisioner knows it."""
    cell = Cell(setting.pipeline, setting.load, Objective.MEDIUM, setting.devices)
    workload = workload_of(cell, places)
    pipeline: Pipeline = workload.pipeline
    profiles = {stage: replace(profile, cold_s=setting.cold_s) for stage, profile in pipeline.profiles.items()}
    objective_s = pipeline.objective_s * setting.objective / Objective.MEDIUM.value
    return replace(workload, pipeline=replace(pipeline, profiles=profiles, objective_s=objective_s))


def _drifted(workload: Workload, drift: float) -> Mapping[str, LedTo]:
    """Each task leads to so many times as many as it would."""
    fanning = {edge.source for edge, mean in workload.pipeline.fan_outs.items() if mean != 1.0 and edge.source}
    return {
        source: _times(led_to, drift) if source in fanning else led_to for source, led_to in workload.led_to.items()
    }


def _times(led_to: LedTo, drift: float) -> LedTo:
    def drawn(rng: random.Random) -> Mapping[str, int]:
        counts = led_to(rng)
        return {target: _whole(count * drift, rng) for target, count in counts.items()}

    return drawn


def _whole(number: float, rng: random.Random) -> int:
    return int(number) + (rng.random() < number % 1)


def _between(ends: Sequence[float], share: float) -> float:
    low, high = ends
    return float(low * (high / low) ** share)

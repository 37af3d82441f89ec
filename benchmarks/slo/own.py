"""A user's own pipeline and arrivals, from files.

    {"name": "mine", "objective_s": 0.3,
     "stages": {"detect": {"sizes": [1, 8], "mean_s": [0.02, 0.1], "std_s": [0.001, 0.004], "cold_s": 5}, ...},
     "edges": [["", "detect", 1], ["detect", "classify", 2.4]],
     "joins": []}

Stages are upstream first, and as `covey profile` writes them; an edge's number is the mean of tasks of the second for
each task of the first, "" being the event. To a join every task of its sources leads. Arrivals are a CSV with a column
TIMESTAMP.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covey.services.scheduler.core.provision import Edge, Pipeline
from covey.simulator.arrivals import trace
from covey.simulator.hardware import profile_of
from covey.simulator.pipelines import LedTo, Workload
from covey.simulator.serving import Load

SETTLE_S = 10.0
"""Of the arrivals, before anything is measured."""


def read_pipeline(path: Path) -> Workload:
    """Raises ValueError, naming the file, for one that does not read so."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        profiles = {str(stage): profile_of(each) for stage, each in found["stages"].items()}
        fan_outs = {Edge(source, target): float(mean) for source, target, mean in found["edges"]}
        joins = tuple([str(stage) for stage in found.get("joins", ())])
        pipeline = Pipeline(tuple(profiles), tuple(fan_outs), fan_outs, profiles, float(found["objective_s"]))
        led_to: dict[str, LedTo] = {}
        for source in ("", *profiles):
            means = {edge.target: mean for edge, mean in fan_outs.items() if edge.source == source}
            led_to[source] = _whole_numbers({each: mean for each, mean in means.items() if each not in joins})
        return Workload(str(found["name"]), pipeline, led_to, joins)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is no pipeline: {type(error).__name__}: {error}") from error


def _whole_numbers(means: Mapping[str, float]) -> LedTo:
    """The whole number next to each mean, up or down by chance."""

    def drawn(rng: random.Random) -> Mapping[str, int]:
        return {target: int(mean) + (rng.random() < mean % 1) for target, mean in means.items()}

    return drawn


def read_arrivals(path: Path) -> Load:
    """A recorded trace as it is. Raises OSError, or ValueError for one that is too short to measure."""
    instants = list(trace(path))
    early = sum(instant < SETTLE_S for instant in instants)
    if instants[-1] < 2 * SETTLE_S or not early:
        raise ValueError(f"{path} has {instants[-1]:.0f} s of arrivals: less than can be measured")
    return Load(
        early / SETTLE_S,
        lambda rng, start: (start + instant for instant in instants),
        SETTLE_S,
        instants[-1] - SETTLE_S,
    )

"""A user's own pipeline and arrivals: what `covey profile` has measured, and when events came."""

from __future__ import annotations

import csv
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from covey.errors import InvalidArgument
from covey.profiles import PipelineProfile, StageProfile
from covey.services.scheduler.core.provision import Edge, Pipeline, Profile
from covey.simulator.pipelines import LedTo, Workload

FINER_THAN_MICROSECONDS = re.compile(r"(?<=\.\d{6})\d+")
"""In a time stamp, as in those of the Azure traces: it is left out."""


def workload_of(profile: PipelineProfile) -> Workload:
    """The pipeline with the fan-outs that were measured: the whole number next to each mean, up or down by chance."""
    profiles = provision_profiles(profile.stages)
    fan_outs = {Edge(source, target): mean for (source, target), mean in profile.fan_outs.items()}
    pipeline = Pipeline(tuple(profiles), tuple(fan_outs), fan_outs, profiles, profile.objective_s)
    led_to: dict[str, LedTo] = {}
    for source in ("", *profiles):
        means = {edge.target: mean for edge, mean in fan_outs.items() if edge.source == source}
        led_to[source] = _whole_numbers({each: mean for each, mean in means.items() if each not in profile.joins})
    return Workload(profile.name, pipeline, led_to, profile.joins)


def provision_profiles(stages: Mapping[str, StageProfile]) -> dict[str, Profile]:
    """Stages as a provisioner knows them."""
    return {name: Profile(stage.table, stage.batch_max, stage.cold_s) for name, stage in stages.items()}


def _whole_numbers(means: Mapping[str, float]) -> LedTo:
    def drawn(rng: random.Random) -> Mapping[str, int]:
        return {target: int(mean) + (rng.random() < mean % 1) for target, mean in means.items()}

    return drawn


def read_instants(path: Path) -> list[float]:
    """When events came: seconds from the first, in order.

    A CSV with a column TIMESTAMP (times as ISO 8601 writes them, or seconds), or one number of seconds a line. Lines
    need not be in order. Raises InvalidArgument, naming the file and the line, for what is neither.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the trace {path} can't be read: {error}") from None
    has_header = bool(lines) and "TIMESTAMP" in [name.strip() for name in lines[0].split(",")]
    stamps = _column(lines) if has_header else enumerate(lines, 1)
    instants: list[float] = []
    for number, text in stamps:
        if text.strip():
            try:
                instants.append(_seconds(text.strip()))
            except ValueError:
                wanted = "a time" if has_header else "a number of seconds, and there is no column TIMESTAMP"
                raise InvalidArgument(f"{path}, line {number}: {text.strip()[:40]!r} is not {wanted}") from None
    if len(instants) < 2:
        raise InvalidArgument(f"{path} has {len(instants)} arrivals; a trace has two at least")
    first = min(instants)
    return sorted([instant - first for instant in instants])


def _column(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Line numbers and texts below TIMESTAMP."""
    rows = csv.reader(lines)
    place = [name.strip() for name in next(rows)].index("TIMESTAMP")
    for row in rows:
        yield rows.line_num, row[place] if place < len(row) else ""


def _seconds(text: str) -> float:
    """Raises ValueError for what is neither a finite number nor a time."""
    try:
        seconds = float(text)
    except ValueError:
        stamp = datetime.fromisoformat(FINER_THAN_MICROSECONDS.sub("", text))
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise ValueError(text)
    return seconds

"""How well is the time of a batch foretold beside others, by each method, on what real lanes recorded?

Every method sees the same batches in the order in which they ended, with the neighbours that they had: what it foretells
is their time, given the share of it that each neighbour was there for. It learns from each afterwards. What was recorded
in the first third is the offline profile of those that need one, and is not judged.

The *floor* is the error of foretelling a batch by its own twin: the same batch, in the same place of the same script,
played another time. No predictor that knows no more than the neighbours can be expected below it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from covey.model import Priority
from covey.services.scheduler.core.contention import Demand, Load, ModelProfile, Overlap, Slowdowns
from covey.services.scheduler.core.interference import Interference
from covey.services.scheduler.core.promising import KEPT, Promises
from covey.simulator.contenders.predictors import Ewma, Sgd, Solo, StaticRegression
from covey.simulator.hardware import LatencyTable
from covey.simulator.sharing import Corun

OFFLINE = 1 / 3
"""Share of what was recorded that is there beforehand."""


class Recorded(NamedTuple):
    """What was recorded: profiles, batches in order of ending, and for each what names its twin, if it has one."""

    profiles: Mapping[str, ModelProfile]
    coruns: Sequence[Corun]
    places: Sequence[tuple[int, int, int]]
    """Script, lane and place in it."""
    is_new: Sequence[bool]
    """Whether a model was another version by then than when it was profiled."""


class Errors(NamedTuple):
    """Relative errors of predictions, as shares of what was observed."""

    mean: float
    p95: float
    before: float
    """The mean before a model changed, ..."""
    after: float
    """... and since."""
    under: float
    """Share of the batches that took longer than was promised at the quantile."""


def read(path: Path) -> Recorded:
    """A file that `coruns.record` has written."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    coruns = [row for row in rows if row["kind"] == "corun"]
    return Recorded(
        profiles_of([row for row in rows if row["kind"] == "profile"]),
        [Corun(_load(row), _overlaps(row), row["seconds"], 1.0, row["at"]) for row in coruns],
        [(row["script"], row["priority"], row["place"]) for row in coruns],
        [row["new"] for row in coruns],
    )


def profiles_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, ModelProfile]:
    """By model, of rows in ascending sizes."""
    found = {}
    for model in dict.fromkeys([row["model"] for row in rows]):
        mine = [row for row in rows if row["model"] == model]
        sizes = tuple([row["size"] for row in mine])
        table = LatencyTable(sizes, tuple([row["solo_s"] for row in mine]))
        demands = tuple([Demand(row["compute"], row["bandwidth"], row["cache"]) for row in mine])
        found[model] = ModelProfile(table, sizes, demands, 0, 0)
    return found


def methods(recorded: Recorded) -> dict[str, Slowdowns]:
    """Each made of the profiles, and of what was recorded beforehand."""
    known = recorded.coruns[: int(OFFLINE * len(recorded.coruns))]
    pairs = [each for each in known if len(each.overlaps) == 1 and each.overlaps[0].others]
    profiles = recorded.profiles
    return {
        "none": Solo(profiles),
        "static": StaticRegression(profiles, pairs),
        "ewma": Ewma(profiles),
        "sgd": Sgd(profiles, pairs),
        "ours": Interference(profiles),
    }


def judged(recorded: Recorded) -> dict[str, Errors]:
    """Errors by method, and those of twins as `floor`."""
    first = int(OFFLINE * len(recorded.coruns))
    is_new = np.array(recorded.is_new[first:])
    found = {}
    for name, method in methods(recorded).items():
        promises = Promises()
        errors, broken = [], []
        for each in recorded.coruns:
            predicted = foretold(method, each)
            errors.append(abs(predicted - each.seconds) / each.seconds)
            broken.append(each.seconds > predicted * promises.margin(each.load))
            method.learn(each.load, each.overlaps, each.seconds)
            promises.learn(each.load, predicted, each.seconds)
        found[name] = _errors(np.array(errors[first:]), is_new, float(np.mean(broken[first:])))
    twins = _twins(recorded)
    found["floor"] = _errors(np.array([error for _, error in twins]), np.array([new for new, _ in twins]), 0.0)
    return found


def foretold(method: Slowdowns, corun: Corun) -> float:
    """Seconds. While a neighbour is there the batch gets on by one over the slowdown, so shares of time add up so."""
    parts = corun.overlaps
    total = sum([part.seconds for part in parts])
    rate = sum([part.seconds / total / method.slowdown(corun.load, part.others) for part in parts])
    return method.solo_s(corun.load) / rate


def _twins(recorded: Recorded) -> list[tuple[bool, float]]:
    """Of each pair, whether it ran after the change, and by how much the first misses the second."""
    seen: dict[tuple[int, int, int], float] = {}
    found = []
    for place, corun, new in zip(recorded.places, recorded.coruns, recorded.is_new, strict=True):
        if place in seen:
            found.append((new, abs(seen[place] - corun.seconds) / corun.seconds))
        seen[place] = corun.seconds
    return found


def _errors(errors: np.ndarray[Any, Any], is_new: np.ndarray[Any, Any], under: float) -> Errors:
    return Errors(
        float(errors.mean()),
        float(np.quantile(errors, 0.95)),
        float(errors[~is_new].mean()) if (~is_new).any() else 0.0,
        float(errors[is_new].mean()) if is_new.any() else 0.0,
        under,
    )


def lines_of(found: Mapping[str, Errors]) -> list[str]:
    """A table, in percent."""
    head = f"{'method':8} {'mean':>7} {'p95':>7} {'before':>7} {'after':>7} {'under':>7}   (promised: {1 - KEPT:.0%})"
    rows = [f"{name:8} " + " ".join([f"{100 * value:6.1f}%" for value in each]) for name, each in found.items()]
    return [head, *rows]


def _load(row: Mapping[str, Any]) -> Load:
    return Load(row["model"], row["size"], Priority(row["priority"]))


def _overlaps(row: Mapping[str, Any]) -> tuple[Overlap, ...]:
    return tuple(
        [
            Overlap(seconds, tuple([Load(model, size, Priority(lane)) for model, size, lane in others]))
            for seconds, others in row["overlaps"]
        ]
    )



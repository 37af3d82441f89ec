"""How well is the time of a batch foretold beside others, by each method, on what real lanes recorded?

Every method sees the same batches in the order in which they ended, with the neighbours that they had: what it
foretells is their time, given the share of it that each neighbour was there for. It learns from each afterwards. What
was recorded in the first third is the offline profile of those that need one, and is not judged.

The *floor* is the error of a repeated run: a batch is foretold by the median of all the other times that the same batch
ran beside the same one neighbour. No predictor that knows no more than the neighbours can be expected below it. It is
there only for batches whose neighbour did not change meanwhile; the column `steady` has the errors of those alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from covey.model import Priority
from covey.services.scheduler.core.contention import Demand, Load, ModelProfile, Overlap, Slowdowns
from covey.services.scheduler.core.interference import Interference
from covey.services.scheduler.core.promising import KEPT, Promises
from covey.simulator.contenders.predictors import Ewma, Sgd, Solo, StaticRegression
from covey.simulator.hardware import LatencyTable
from covey.simulator.sharing import Corun

Array = npt.NDArray[np.float64]

OFFLINE = 1 / 3
"""Share of what was recorded that is there beforehand."""


class Recorded(NamedTuple):
    """What was recorded: profiles, and batches in order of ending."""

    profiles: Mapping[str, ModelProfile]
    coruns: Sequence[Corun]
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
    steady: float
    """The mean of those whose neighbour did not change."""
    under: float
    """Share of the batches that took longer than was promised at the quantile."""


def read(path: Path) -> Recorded:
    """A file that `coruns.record` has written."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    coruns = [row for row in rows if row["kind"] == "corun"]
    return Recorded(
        profiles_of([row for row in rows if row["kind"] == "profile"]),
        [Corun(_load(row), _overlaps(row), row["seconds"], 1.0, row["at"]) for row in coruns],
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
    """Errors by method, and those of repeated runs as `floor`."""
    first = int(OFFLINE * len(recorded.coruns))
    is_new, repeated = np.array(recorded.is_new[first:]), _repeated(recorded)
    steady = ~np.isnan(repeated[first:])
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
        found[name] = _errors(np.array(errors[first:]), is_new, steady, float(np.mean(broken[first:])))
    floor = repeated[first:][steady]
    found["floor"] = _errors(floor, is_new[steady], np.ones(len(floor), np.bool_), 0.0)
    return found


def foretold(method: Slowdowns, corun: Corun) -> float:
    """Seconds. While a neighbour is there the batch gets on by one over the slowdown, so shares of time add up so."""
    parts = corun.overlaps
    total = sum([part.seconds for part in parts])
    rate = sum([part.seconds / total / method.slowdown(corun.load, part.others) for part in parts])
    return method.solo_s(corun.load) / rate


def _repeated(recorded: Recorded) -> Array:
    """For each batch with one neighbour throughout: by how much the median of its repetitions misses it. Else NaN."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, (each, new) in enumerate(zip(recorded.coruns, recorded.is_new, strict=True)):
        if len(each.overlaps) == 1:
            neighbours = tuple([(other.model, other.size) for other in each.overlaps[0].others])
            groups.setdefault((each.load.model, each.load.size, neighbours, new), []).append(index)
    found = np.full(len(recorded.coruns), np.nan)
    for indices in groups.values():
        if len(indices) > REPETITIONS_MIN:
            seconds = np.array([recorded.coruns[index].seconds for index in indices])
            for at, index in enumerate(indices):
                found[index] = abs(float(np.median(np.delete(seconds, at))) - seconds[at]) / seconds[at]
    return found


REPETITIONS_MIN = 5


def _errors(errors: Array, is_new: npt.NDArray[np.bool_], steady: npt.NDArray[np.bool_], under: float) -> Errors:
    def mean(which: npt.NDArray[np.bool_]) -> float:
        return float(errors[which].mean()) if which.any() else 0.0

    everything = np.ones(len(errors), np.bool_)
    p95 = float(np.quantile(errors, 0.95))
    return Errors(mean(everything), p95, mean(~is_new), mean(is_new), mean(steady), under)


def lines_of(found: Mapping[str, Errors]) -> list[str]:
    """A table, in percent."""
    head = "method   " + " ".join([f"{name:>7}" for name in Errors._fields]) + f"   (under: promised {1 - KEPT:.0%})"
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

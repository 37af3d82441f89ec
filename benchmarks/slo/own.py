"""A user's own pipeline and arrivals, from files.

    {"name": "mine", "objective_s": 0.3,
     "stages": {"detect": {"sizes": [1, 8], "mean_s": [0.02, 0.1], "std_s": [0.001, 0.004], "cold_s": 5}, ...},
     "edges": [["", "detect", 1], ["detect", "classify", 2.4]],
     "joins": []}

Stages are upstream first, and as `covey profile` writes them; an edge's number is the mean of tasks of the second for
each task of the first, "" being the event. To a join every task of its sources leads. Arrivals are a CSV with a column
TIMESTAMP, or one number of seconds a line.
"""

from __future__ import annotations

from pathlib import Path

from covey.errors import InvalidArgument
from covey.profiles import read_profile
from covey.simulator.own import read_instants, workload_of
from covey.simulator.pipelines import Workload
from covey.simulator.serving import Load

SETTLE_S = 10.0
"""Of the arrivals, before anything is measured."""


def read_pipeline(path: Path) -> Workload:
    """Raises InvalidArgument, naming the file, for one that does not read so."""
    return workload_of(read_profile(path))


def read_arrivals(path: Path) -> Load:
    """A recorded trace as it is. Raises InvalidArgument, also for one that is too short to measure."""
    instants = read_instants(path)
    early = sum(instant < SETTLE_S for instant in instants)
    if instants[-1] < 2 * SETTLE_S:
        raise InvalidArgument(f"{path} has {instants[-1]:.0f} s of arrivals: less than can be measured")
    return Load(
        early / SETTLE_S,
        lambda rng, start: (start + instant for instant in instants),
        SETTLE_S,
        instants[-1] - SETTLE_S,
    )

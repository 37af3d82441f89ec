"""How well do estimators foresee the load of each stage? Judged on windows that a run has recorded.

True is what was offered, led through the fan-outs: what a stage would have had to do, had it all come through. Of the
present it is what the next window brings; ahead, what the first window after a cold start brings.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from covey.services.scheduler.core.estimating import (
    CascadeEstimator,
    Envelope,
    Estimator,
    Mean,
    Peak,
    StageEstimator,
    visits,
)
from covey.services.scheduler.core.provision import Pipeline, Window

REACHED = 0.9
"""Of what is true: from here on an estimate is said to have arrived there."""
PRESENT = "who knows the present"
"""Is never wrong about it, and expects it to stay: what remains ahead is change."""


class Judged(NamedTuple):
    """One estimator on one run. Means over windows and stages, relative to what is true."""

    now: float
    """|estimate - true| of the present."""
    ahead: float
    """|estimate - true| one cold start ahead; of this ..."""
    short: float
    """... what it was too low by, ..."""
    over: float
    """... and too high by: what is provisioned in vain."""
    late_s: float
    """Seconds in which the estimate of the last stage's present was below `REACHED` of it."""


class Doubling:
    """The highest mean of any span up to now, of 1, 2, 4, ... windows: what InferLine's tuner goes by."""

    def __init__(self, longest: int = 32) -> None:
        self._lengths = [2**power for power in range(longest.bit_length())]
        self._rates: deque[float] = deque(maxlen=longest)

    def observe(self, count: int, seconds: float) -> None:
        self._rates.appendleft(count / seconds)

    def rate(self, ahead_s: float) -> float:
        rates = list(self._rates)
        return max([sum(rates[:length]) / length for length in self._lengths if length <= len(rates)], default=0.0)


ESTIMATORS: Mapping[str, Callable[[Pipeline], Estimator]] = {
    "cascade": lambda pipeline: CascadeEstimator(pipeline),
    "cascade, last window": lambda pipeline: CascadeEstimator(pipeline, lambda: Mean(1.0)),
    "cascade, doubling windows": lambda pipeline: CascadeEstimator(pipeline, Doubling),
    "stage, mean": lambda pipeline: StageEstimator(pipeline, Mean),
    "stage, last window": lambda pipeline: StageEstimator(pipeline, lambda: Mean(1.0)),
    "stage, peak and queue": lambda pipeline: StageEstimator(pipeline, Peak, 4.0),
    "stage, envelope": lambda pipeline: StageEstimator(pipeline, Envelope),
}
"""Those of the cascade without what they add to drain a backlog, which is no prediction of the load. By stage: the
weighted mean of reactive scaling, the last sample of Nexus, the maximum with its queue, and our envelope."""


def judged(pipeline: Pipeline, windows: Sequence[Window]) -> dict[str, Judged]:
    """Estimator -> how well it did on these windows; none where they are fewer than a cold start takes."""
    ahead_s = max(profile.cold_s for profile in pipeline.profiles.values())
    tasks = visits(pipeline, pipeline.fan_outs)
    ahead = [_first_at(windows, window.ends_at + ahead_s) for window in windows]
    offered = [window.offered / window.seconds for window in windows]
    measured = [at for at, later in enumerate(ahead) if later is not None and offered[at + 1] and offered[later]]
    if not measured:
        return {}
    found = {}
    for name, made in ESTIMATORS.items():
        estimator = made(pipeline)
        present: list[dict[str, float]] = []
        future: list[dict[str, float]] = []
        for window in windows:
            estimator.observe(window)
            present.append(_by_event(estimator.load(0.0).rates, tasks))
            future.append(_by_event(estimator.load(ahead_s).rates, tasks))
        found[name] = _judged(pipeline, windows, measured, ahead, offered, present, future)
    known = [dict.fromkeys(tasks, offered[min(at + 1, len(offered) - 1)]) for at in range(len(windows))]
    found[PRESENT] = _judged(pipeline, windows, measured, ahead, offered, known, known)
    return found


def _judged(
    pipeline: Pipeline,
    windows: Sequence[Window],
    measured: Sequence[int],
    ahead: Sequence[int | None],
    offered: Sequence[float],
    present: Sequence[Mapping[str, float]],
    future: Sequence[Mapping[str, float]],
) -> Judged:
    last = pipeline.stages[-1]
    now = [rate / offered[at + 1] - 1 for at in measured for rate in present[at].values()]
    later = [rate / offered[ahead[at] or 0] - 1 for at in measured for rate in future[at].values()]
    return Judged(
        statistics.fmean(map(abs, now)),
        statistics.fmean(map(abs, later)),
        statistics.fmean([max(-error, 0.0) for error in later]),
        statistics.fmean([max(error, 0.0) for error in later]),
        sum([windows[at].seconds for at in measured if present[at][last] < REACHED * offered[at + 1]]),
    )


def _by_event(rates: Mapping[str, float], tasks: Mapping[str, float]) -> dict[str, float]:
    """The events a second that each stage's rate stands for."""
    return {stage: rate / max(tasks[stage], 1e-9) for stage, rate in rates.items()}


def _first_at(windows: Sequence[Window], instant: float) -> int | None:
    return next((at for at, window in enumerate(windows) if window.ends_at >= instant), None)

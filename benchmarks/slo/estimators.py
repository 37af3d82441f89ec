"""How well do estimators foresee the load of each stage? Judged on windows that a run has recorded."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

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

ESTIMATORS: Mapping[str, Callable[[Pipeline], Estimator]] = {
    "cascade": lambda pipeline: CascadeEstimator(pipeline, drain_s=1e9),
    "cascade, last window": lambda pipeline: CascadeEstimator(pipeline, lambda: Mean(1.0), drain_s=1e9),
    "stage, mean": lambda pipeline: StageEstimator(pipeline, Mean),
    "stage, last window": lambda pipeline: StageEstimator(pipeline, lambda: Mean(1.0)),
    "stage, peak and queue": lambda pipeline: StageEstimator(pipeline, Peak, 4.0),
    "stage, envelope": lambda pipeline: StageEstimator(pipeline, Envelope),
}
"""Those of the cascade without what they add to drain a backlog, which is no prediction of the load."""


def errors_of(pipeline: Pipeline, windows: Sequence[Window]) -> dict[str, float]:
    """Estimator -> mean over windows and stages of |predicted - true| / true, one cold start ahead.

    True is what was offered then, led through the fan-outs: what a stage would have had to do, had it all come through.
    """
    ahead_s = max(profile.cold_s for profile in pipeline.profiles.values())
    tasks = visits(pipeline, pipeline.fan_outs)
    errors: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    for name, made in ESTIMATORS.items():
        estimator = made(pipeline)
        for at, window in enumerate(windows):
            estimator.observe(window)
            later = next((each for each in windows[at + 1 :] if each.ends_at >= window.ends_at + ahead_s), None)
            if later is None or not later.offered or not window.offered:
                continue
            rates = estimator.load(ahead_s).rates
            for stage in pipeline.stages:
                true = later.offered / later.seconds * tasks[stage]
                errors[name].append(abs(rates[stage] - true) / true)
    return {name: statistics.fmean(found) for name, found in errors.items() if found}

"""How much will each stage have to do?

Models in a pipeline feed one another, so the load of every stage follows from the events that are *offered*, dropped
ones included, through fan-outs that are measured where tasks are processed. It never follows from what upstream
happened to let through: a stage that goes by its own arrivals sees a step in the load only when the stage before it has
grown, and then sees that stage's backlog on top. What is here is ours, in the spirit of SLOpt ("cascade workload
estimation"); the estimators that go by each stage's own arrivals are there to be compared with.

What is estimated here is what comes, as well as it can be known; what is provisioned on top of it (for how long a rate
that was seen is held, what a burst may add) is for `provisioning.py`.

The lag between a stage and the root is left out on purpose: it is at most the objective, which is small against a cold
start, and when load falls capacity stays for longer than that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple, Protocol

from covey.services.scheduler.core.provision import Edge, Pipeline, Window

ROOT = ""
"""The source of the edges by which events enter."""


class Load(NamedTuple):
    """What a pipeline is expected to have to do."""

    rates: Mapping[str, float]
    """Stage -> tasks a second."""
    fan_outs: Mapping[Edge, float]


class Estimator(Protocol):
    def observe(self, window: Window) -> None:
        """What has been seen since the last tick."""

    def load(self, ahead_s: float) -> Load:
        """What is expected so many seconds from the end of the last window."""


class Signal(Protocol):
    """One rate, from counts."""

    def observe(self, count: int, seconds: float) -> None:
        """So many arrived in the last so many seconds."""

    def rate(self, ahead_s: float) -> float:
        """What is expected so many seconds from now, a second."""


class Mean:
    """An exponentially weighted mean: the last window counts `weight`."""

    def __init__(self, weight: float = 0.5) -> None:
        self._weight = weight
        self._mean: float | None = None

    def observe(self, count: int, seconds: float) -> None:
        last = count / seconds
        self._mean = last if self._mean is None else self._mean + self._weight * (last - self._mean)

    def rate(self, ahead_s: float) -> float:
        return self._mean or 0.0


class Peak(Mean):
    """The weighted mean, or the last window where that is more."""

    _last = 0.0

    def observe(self, count: int, seconds: float) -> None:
        super().observe(count, seconds)
        self._last = count / seconds

    def rate(self, ahead_s: float) -> float:
        return max(super().rate(ahead_s), self._last)


class _Counted(NamedTuple):
    """One window of a memory."""

    ends_at: float
    seconds: float
    arrived: int


class _Memory:
    """The windows of the last so many seconds."""

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._now = 0.0
        self._windows: deque[_Counted] = deque()

    def observe(self, count: int, seconds: float) -> None:
        self._now += seconds
        self._windows.append(_Counted(self._now, seconds, count))
        while self._windows[0].ends_at <= self._now - self._memory_s:
            self._windows.popleft()


class Level(_Memory):
    """The mean since the rate last changed.

    The windows of the memory are cut in two wherever newer and older ones differ by more than `sigmas` standard
    deviations (counts are taken for Poisson's), and what is older is forgotten: the idea of ADWIN (Bifet and Gavalda,
    SDM 2007). So a step is followed at once, and where nothing changes the mean grows ever more precise.
    """

    def __init__(self, memory_s: float = 16.0, sigmas: float = 3.0) -> None:
        super().__init__(memory_s)
        self._sigmas = sigmas

    def observe(self, count: int, seconds: float) -> None:
        super().observe(count, seconds)
        for _ in range(self._changed_after()):
            self._windows.popleft()

    def rate(self, ahead_s: float) -> float:
        count, seconds = _total(self._windows)
        return count / seconds if seconds else 0.0

    def _changed_after(self) -> int:
        """How many windows are older than the last change; 0: there was none."""
        count, seconds = _total(self._windows)
        variance = max(count, 1) / seconds  # of a rate, by its seconds
        changed, older, older_s = 0, 0, 0.0
        for number, window in enumerate(islice(self._windows, len(self._windows) - 1), 1):
            older, older_s = older + window.arrived, older_s + window.seconds
            newer_s = seconds - older_s
            difference = (count - older) / newer_s - older / older_s
            if abs(difference) > self._sigmas * math.sqrt(variance * (1 / older_s + 1 / newer_s)):
                changed = number
        return changed


def _total(windows: Iterable[_Counted]) -> tuple[int, float]:
    """Arrivals, seconds."""
    count, seconds = 0, 0.0
    for window in windows:
        count, seconds = count + window.arrived, seconds + window.seconds
    return count, seconds


class Envelope(_Memory):
    """The highest rate that the recent past proves, and where it is going; to be compared with.

    A span up to now proves the rate that remains of its count when `sigmas` standard deviations of it are put down to
    chance (counts are taken for Poisson's). Long spans say the level precisely, short ones a step at once, and a window
    that is merely noisy says nothing. Load is said to rise if it does so in both halves of the memory: after a step it
    does in one.
    """

    def __init__(self, memory_s: float = 16.0, sigmas: float = 2.0) -> None:
        super().__init__(memory_s)
        self._sigmas = sigmas

    def rate(self, ahead_s: float) -> float:
        proven, count, seconds = 0.0, 0, 0.0
        for window in reversed(self._windows):
            count, seconds = count + window.arrived, seconds + window.seconds
            proven = max(proven, (count - self._sigmas * math.sqrt(count)) / seconds)
        # Nothing is known of further ahead than one has looked back.
        return proven + self._slope() * min(ahead_s, self._memory_s)

    def _slope(self) -> float:
        """Events a second, a second; 0 unless the load is proven to rise in both halves."""
        middle = self._now - self._memory_s / 2
        older = _rise(window for window in self._windows if window.ends_at <= middle)
        newer = _rise(window for window in self._windows if window.ends_at > middle)
        return max(min(older[0] - self._sigmas / 2 * older[1], newer[0] - self._sigmas / 2 * newer[1]), 0.0)


def _rise(windows: Iterable[_Counted]) -> tuple[float, float]:
    """The least-squares slope of the rate, and its standard deviation if counts are Poisson's."""
    seen = list(windows)
    count, seconds = sum(window.arrived for window in seen), sum(window.seconds for window in seen)
    if len(seen) < 3:
        return 0.0, 0.0
    middle = sum(window.ends_at * window.seconds for window in seen) / seconds
    spread = sum(window.seconds * (window.ends_at - middle) ** 2 for window in seen)
    slope = sum(window.arrived * (window.ends_at - middle) for window in seen) / spread
    return slope, math.sqrt(count / seconds / spread)


class CascadeEstimator:
    """Every stage's rate from the root's, through the fan-outs."""

    def __init__(self, pipeline: Pipeline, signal: Callable[[], Signal] = Level) -> None:
        self._pipeline = pipeline
        self._root = signal()
        self._fan_outs = {edge: _FanOut(pipeline.fan_outs[edge]) for edge in pipeline.edges}

    def observe(self, window: Window) -> None:
        self._root.observe(window.offered, window.seconds)
        for edge, fan_out in self._fan_outs.items():
            # What a refused event would have led to at the root is not seen, so there the fan-out stays as known.
            if edge.source != ROOT:
                seen = window.stages[edge.source]
                fan_out.observe(seen.led_to.get(edge.target, 0), seen.processed)

    def load(self, ahead_s: float) -> Load:
        fan_outs = {edge: fan_out.value() for edge, fan_out in self._fan_outs.items()}
        root = self._root.rate(ahead_s)
        rates = {stage: root * tasks for stage, tasks in visits(self._pipeline, fan_outs).items()}
        return Load(rates, fan_outs)


class StageEstimator:
    """Every stage's rate from its own arrivals. With a `drain_s`, what is queued there is worked off in that time."""

    def __init__(self, pipeline: Pipeline, signal: Callable[[], Signal] = Mean, drain_s: float = math.inf) -> None:
        self._pipeline = pipeline
        self._drain_s = drain_s
        self._signals = {stage: signal() for stage in pipeline.stages}
        self._queued: dict[str, int] = {}

    def observe(self, window: Window) -> None:
        for stage, signal in self._signals.items():
            signal.observe(window.stages[stage].arrived, window.seconds)
            self._queued[stage] = window.stages[stage].queued

    def load(self, ahead_s: float) -> Load:
        rates = {
            stage: signal.rate(ahead_s) + self._queued.get(stage, 0) / self._drain_s
            for stage, signal in self._signals.items()
        }
        return Load(rates, self._pipeline.fan_outs)


def visits(pipeline: Pipeline, fan_outs: Mapping[Edge, float]) -> dict[str, float]:
    """Tasks of each stage for each event, in topological order. The edges to a join share its tasks, so they add up."""
    tasks = {ROOT: 1.0}
    for stage in pipeline.stages:
        tasks[stage] = sum(tasks[edge.source] * fan_outs[edge] for edge in pipeline.edges if edge.target == stage)
    del tasks[ROOT]
    return tasks


class _FanOut:
    """Outputs for each processed input: what was seen lately, and what was known beforehand as so many inputs more."""

    KNOWN = 50.0
    MEMORY = 1000.0
    """Inputs after which what was seen counts 1/e."""

    def __init__(self, known: float) -> None:
        self._known = known
        self._inputs = 0.0
        self._outputs = 0.0

    def observe(self, outputs: int, inputs: int) -> None:
        kept = math.exp(-inputs / self.MEMORY)
        self._inputs = self._inputs * kept + inputs
        self._outputs = self._outputs * kept + outputs

    def value(self) -> float:
        return (self._outputs + self.KNOWN * self._known) / (self._inputs + self.KNOWN)

"""An InferLine-like planner and tuner, FROM RECALL: no code of InferLine (Crankshaw et al., SoCC 2020) was found.

The planner takes a sample of the arrivals and searches greedily for the fewest replicas whose predicted p99 meets the
objective. The tuner compares the arrivals' *traffic envelope* (the most events in any window, for windows of doubling
lengths) with the sample's: any window above it raises all stages at once; after a while of calm they come down.
The paper's planner also chooses kinds of devices; ours has one. The tuner sees counts by tick, so that its shortest
window is a tick, where the paper's is what a batch takes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from covey.services.scheduler.core.estimating import visits
from covey.services.scheduler.core.provision import Edge, Pipeline, Profile, Provision, Share, Window
from covey.services.scheduler.core.replicas import within
from covey.simulator.arrivals import poisson
from covey.simulator.baselines.queues import predictor
from covey.simulator.baselines.sizing import alone, proportional_split, replicas_for, throughput

Predict = Callable[[Provision], float]
"""The p99 in seconds that a provision has on the sample."""

LONGEST_S = 60.0
"""The envelope's longest window."""
SAMPLE_S, SAMPLE_MAX = 30.0, 3000
"""Seconds and events, whichever are fewer, that are planned on."""


def plan(pipeline: Pipeline, rate: float, predict: Predict, replicas_max: int) -> Provision:
    """The greedy planner, for `rate` events a second of the sample. Best effort where no provision is feasible.

    Starts with batches of one and replicates the bottleneck until feasible; then takes the action that saves most, over
    and over: remove a replica, or double a batch until fewer replicas carry the rate. (The paper doubles once, which on
    few devices often saves none.) It may begin with more replicas than it ends with: `replicas_max` is where it gives
    up, several times what there is.
    """
    budgets = proportional_split(pipeline, alone(pipeline))
    rates = {stage: rate * each for stage, each in visits(pipeline, pipeline.fan_outs).items()}

    def utilisation(stage: str, share: Share) -> float:
        return rates[stage] / (share.replicas * throughput(pipeline.profiles[stage], share.batch))

    def is_feasible(candidate: dict[str, Share]) -> bool:
        """Prediction is dear, so that it comes last."""
        carries = all(utilisation(stage, share) < 1 for stage, share in candidate.items())
        return carries and predict(candidate) <= pipeline.objective_s

    def actions(stage: str, share: Share) -> list[Share]:
        profile = pipeline.profiles[stage]
        found = [share._replace(replicas=share.replicas - 1)] if share.replicas > 1 else []
        batch = share.batch
        while batch < profile.batch_max:
            batch = min(2 * batch, profile.batch_max)
            needed = replicas_for(rates[stage], throughput(profile, batch))
            found += [share._replace(batch=batch, replicas=needed)] if needed < share.replicas else []
        return found

    shares = {stage: Share(1, 1, budgets[stage]) for stage in pipeline.stages}
    while not is_feasible(shares) and _replicas(shares) < replicas_max:
        bottleneck, share = max(shares.items(), key=lambda each: utilisation(*each))
        shares[bottleneck] = share._replace(replicas=share.replicas + 1)
    while True:
        candidates = [{**shares, stage: less} for stage, share in shares.items() for less in actions(stage, share)]
        cheapest = next(filter(is_feasible, sorted(candidates, key=_replicas)), None)
        if cheapest is None:
            return shares
        shares = cheapest


def _replicas(provision: Provision) -> int:
    return sum(share.replicas for share in provision.values())


class InferLine:
    """The tuner. A stage's batch stays as planned."""

    def __init__(
        self,
        pipeline: Pipeline,
        devices: int,
        planned: Provision,
        sample: Sequence[int],
        tick_s: float,
        *,
        calm_s: float = 15.0,
        recent_s: float = 30.0,
        recent_window_s: float = 5.0,
        used_least: float = 0.0,
    ) -> None:
        """`sample`: the events in each tick of what was planned for, with ticks as long as those of `decide`.

        `calm_s`: nothing comes down sooner after a change. It then comes down to the highest rate of any
        `recent_window_s` in the last `recent_s`. `used_least`: a stage's utilisation counts as this at least. The paper
        has clusters in mind; on few devices a stage is little used because it has a whole replica, not because it
        should be, and would be given a second for any event more.
        """
        self._devices = devices
        self._planned = planned
        self._tick_s = tick_s
        self._lengths = [2**power for power in range(int(LONGEST_S / tick_s).bit_length())]
        self._envelope = envelope(sample, self._lengths, tick_s)
        self._calm_s = calm_s
        self._recent = int(recent_s / tick_s)
        self._recent_window = max(1, int(recent_window_s / tick_s))
        rate = sum(sample) / len(sample) / tick_s
        each = visits(pipeline, pipeline.fan_outs)
        carries = {
            stage: throughput(pipeline.profiles[stage], share.batch) / each[stage] for stage, share in planned.items()
        }
        used = {stage: max(rate / (share.replicas * carries[stage]), used_least) for stage, share in planned.items()}
        self._carries_as_planned = {stage: carries[stage] * used[stage] for stage in planned}
        self._carries_in_calm = {stage: carries[stage] * min(used.values()) for stage in planned}
        """Events a second of one replica, at the plan's utilisation of the stage, or of the least used stage."""
        self._replicas = {stage: share.replicas for stage, share in planned.items()}
        self._changed_at = 0.0
        self._counts: list[int] = []

    def decide(self, window: Window) -> Provision:
        self._counts = [*self._counts[-max(self._lengths[-1], self._recent) + 1 :], window.offered]
        # What is above the plan is above what there is, unless less has been provisioned since: then that counts.
        present = min(1.0, *[self._replicas[stage] / share.replicas for stage, share in self._planned.items()])
        newest = [sum(self._counts[-length:]) / (length * self._tick_s) for length in self._lengths]
        above = [rate for rate, planned in zip(newest, self._envelope, strict=True) if rate > planned * present]
        if above:
            self._change(
                {
                    stage: max(replicas, replicas_for(max(above), self._carries_as_planned[stage]))
                    for stage, replicas in self._replicas.items()
                },
                window.ends_at,
            )
        elif window.ends_at - self._changed_at >= self._calm_s:
            highest = max(envelope(self._counts[-self._recent :], [self._recent_window], self._tick_s))
            self._change(
                {
                    stage: min(replicas, replicas_for(highest, self._carries_in_calm[stage]))
                    for stage, replicas in self._replicas.items()
                },
                window.ends_at,
            )
        shares = {stage: share._replace(replicas=self._replicas[stage]) for stage, share in self._planned.items()}
        return within(shares, self._devices)

    def _change(self, replicas: dict[str, int], now: float) -> None:
        if replicas != self._replicas:
            self._replicas = replicas
            self._changed_at = now


def envelope(counts: Sequence[int], lengths: Sequence[int], tick_s: float) -> list[float]:
    """The highest rate per second in any window of so many ticks, for each of `lengths`; what is not there counts 0."""
    return [
        max(sum(counts[at : at + length]) for at in range(max(1, len(counts) - length + 1))) / (length * tick_s)
        for length in lengths
    ]


class PlannedInferLine:
    """The tuner, and its plan for a steady load as its first window has it.

    `headroom`: what is planned for, by that rate; the tuner keeps the utilisation that results. `replicas_most`: by the
    devices, where the planner gives up.
    """

    def __init__(
        self, pipeline: Pipeline, devices: int, *, headroom: float = 1.0, replicas_most: float = 32.0, **tuning: float
    ) -> None:
        self._pipeline = pipeline
        self._devices = devices
        self._headroom = headroom
        self._replicas_max = int(replicas_most * devices)
        self._tuning: dict[str, Any] = dict(tuning)
        self._tuner: InferLine | None = None

    def decide(self, window: Window) -> Provision:
        if self._tuner is None:
            self._tuner = self._planned(window)
        return self._tuner.decide(window)

    def _planned(self, window: Window) -> InferLine:
        rate = max(window.offered, 1) / window.seconds
        planned = _plan_for(_Known.of(self._pipeline), rate * self._headroom, self._replicas_max)
        sample = _sample(rate)
        counts = Counter(int(instant / window.seconds) for instant in sample)
        ticks = max(1, int(sample[-1] / window.seconds))
        offered = [counts[tick] for tick in range(ticks)]
        return InferLine(self._pipeline, self._devices, planned, offered, window.seconds, **self._tuning)


class _Known(NamedTuple):
    """A pipeline that has a hash, so that it is planned for once, however many runs it has."""

    stages: tuple[tuple[str, Profile], ...]
    fan_outs: tuple[tuple[Edge, float], ...]
    objective_s: float

    @classmethod
    def of(cls, pipeline: Pipeline) -> _Known:
        return cls(tuple(pipeline.profiles.items()), tuple(pipeline.fan_outs.items()), pipeline.objective_s)

    def pipeline(self) -> Pipeline:
        fan_outs, profiles = dict(self.fan_outs), dict(self.stages)
        return Pipeline(tuple(profiles), tuple(fan_outs), fan_outs, profiles, self.objective_s)


@cache
def _plan_for(known: _Known, rate: float, replicas_max: int) -> Provision:
    pipeline = known.pipeline()
    return plan(pipeline, rate, predictor(pipeline, _sample(rate)), replicas_max)


def _sample(rate: float) -> list[float]:
    """The arrivals of half a minute, or fewer: planning takes seconds."""
    number = int(min(SAMPLE_S * rate, SAMPLE_MAX)) + 1
    return list(islice(poisson(rate, random.Random(0)), number))

"""Nexus: query split by dynamic programming, squishy bin packing in epochs, early drop by a sliding window.

After Shen et al., SOSP 2019, and its published code; its rules in short:

* a batch takes mean + standard deviation; half of a budget is for waiting until a batch is full;
* the objective is split among stages so that the fewest devices are needed, by their measured rates;
* a stage gets devices of its own at the largest batch as long as it fills them; what remains of stages shares devices,
  in turns (*duty cycles*), best fit first;
* this is done again every 30 s, or after 10 s if a rate has left what was provisioned, from the last rate seen alone;
* who runs takes the earliest deadlines, and drops those that a batch as large as expected would not answer in time.

Where the code differs from the paper we give it the better of the two: the code's split never leaves the whole budget
to a last stage; and time that saves no devices is given out in proportion, where the program would leave it unused. A
replica of ours has its device to itself, so stages that share one count a replica each; `gpus` says how many devices
Nexus itself would use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from covey.services.scheduler.core.budgeting import split
from covey.services.scheduler.core.provision import (
    Backlog,
    Choice,
    Pipeline,
    Profile,
    Provision,
    Share,
    Waiting,
    Window,
)
from covey.services.scheduler.core.replicas import within
from covey.simulator.baselines.sizing import alone, largest_batch, proportional_split, stage_deadline

MEAN_AND_STD = 0.8413
"""The share of a normal distribution below its mean plus one standard deviation."""


class Session(NamedTuple):
    """A stage, the tasks a second that it is to take, and the seconds that each may take."""

    stage: str
    rate: float
    budget_s: float


class Turn(NamedTuple):
    """A stage's part in a device: in each duty cycle a batch."""

    session: Session
    batch: int
    run_s: float


class Gpu(NamedTuple):
    """A device whose turns begin again every `duty_s`."""

    duty_s: float
    turns: tuple[Turn, ...]

    @property
    def occupancy(self) -> float:
        return sum(turn.run_s for turn in self.turns) / self.duty_s


def run_s(profile: Profile, batch: int) -> float:
    return profile.curve.quantile_s(batch, MEAN_AND_STD)


def pack(sessions: Iterable[Session], profiles: Mapping[str, Profile]) -> list[Gpu]:
    """Squishy bin packing. O(sessions * devices)."""
    full: list[Gpu] = []
    residual: list[Session] = []
    for session in sessions:
        saturated = _saturated(session, profiles[session.stage])
        carries = saturated.turns[0].batch / saturated.duty_s
        count = int(session.rate / carries) or int(session.rate == 0)
        full += [saturated] * count
        if session.rate > count * carries:
            residual.append(session._replace(rate=session.rate - count * carries))
    shared: list[Gpu] = []
    for session in sorted(residual, key=lambda each: -each.rate):
        merged = [_merged((*_sessions(gpu), session), profiles) for gpu in shared]
        fitting = {index: gpu for index, gpu in enumerate(merged) if gpu is not None}
        if fitting:
            fullest = max(fitting, key=lambda index: fitting[index].occupancy)
            shared[fullest] = fitting[fullest]
        else:
            shared.append(_merged((session,), profiles) or _saturated(session, profiles[session.stage]))
    return full + shared


def _saturated(session: Session, profile: Profile) -> Gpu:
    """A device of a stage's own, with the largest batch that waits and runs within the budget, one after the other."""
    batch = largest_batch(profile, session.budget_s / 2, MEAN_AND_STD)
    seconds = run_s(profile, batch)
    return Gpu(seconds, (Turn(session, batch, seconds),))


def _sessions(gpu: Gpu) -> tuple[Session, ...]:
    return tuple([turn.session for turn in gpu.turns])


def _merged(sessions: Sequence[Session], profiles: Mapping[str, Profile]) -> Gpu | None:
    """The sessions on one device, at the shortest of the duty cycles that they need; None if it can't carry them."""
    duties = [_duty_s(session, profiles[session.stage]) for session in sessions]
    duty_s = min(duties)
    turns = []
    for session in sessions:
        profile = profiles[session.stage]
        batch = max(1, math.ceil(duty_s * session.rate - 1e-3))
        if batch > largest_batch(profile, session.budget_s / 2, MEAN_AND_STD):
            return None
        turns.append(Turn(session, batch, run_s(profile, batch)))
    return Gpu(duty_s, tuple(turns)) if 0 < sum(turn.run_s for turn in turns) <= duty_s else None


def _duty_s(session: Session, profile: Profile) -> float:
    """How long a stage may collect: until its largest batch in time is full, while running it is still in time."""
    batch, batch_max = 1, largest_batch(profile, session.budget_s / 2, MEAN_AND_STD)
    while batch < batch_max and batch / session.rate + run_s(profile, batch + 1) <= session.budget_s:
        batch += 1
    return min(session.budget_s - run_s(profile, batch), batch / session.rate)


class Nexus:
    """Plans again in epochs. `gpus` is the packing that is in force."""

    def __init__(
        self,
        pipeline: Pipeline,
        devices: int,
        *,
        epoch_s: float = 30.0,
        epoch_s_min: float = 10.0,
        rise: float = 1.1,
        fall: float = 0.8,
        headroom: float = 1.0,
        segments: int = 50,
    ) -> None:
        """`rise`, `fall`: an epoch ends early when a rate is more, or less, than this times what was provisioned.

        `headroom`: capacity by rate; the published code has none. `segments`: slots of the split.
        """
        self._pipeline = pipeline
        self._devices = devices
        self._epoch_s = epoch_s
        self._epoch_s_min = epoch_s_min
        self._rise = rise
        self._fall = fall
        self._headroom = headroom
        slot_s = pipeline.objective_s / segments
        self._fastest = {
            stage: [_throughput_within(profile, slots * slot_s) for slots in range(segments + 1)]
            for stage, profile in pipeline.profiles.items()
        }
        """Stage -> tasks a second of a device, by slots of the split."""
        self._planned_at = -math.inf
        self._provision: Provision = {}
        self.gpus: list[Gpu] = []

    def decide(self, window: Window) -> Provision:
        rates = {stage: seen.arrived / window.seconds for stage, seen in window.stages.items()}
        age_s = window.ends_at - self._planned_at
        if age_s >= self._epoch_s or (age_s >= self._epoch_s_min and self._has_left(rates)):
            self._plan({stage: self._headroom * rate for stage, rate in rates.items()})
            self._planned_at = window.ends_at
        return self._provision

    def _has_left(self, rates: Mapping[str, float]) -> bool:
        """Whether a rate is no longer what was provisioned."""
        capacity = dict.fromkeys(rates, 0.0)
        for gpu in self.gpus:
            for turn in gpu.turns:
                capacity[turn.session.stage] += turn.batch / gpu.duty_s
        return any(
            not self._fall * capacity[stage] <= self._headroom * rate <= self._rise * capacity[stage]
            for stage, rate in rates.items()
        )

    def _plan(self, rates: Mapping[str, float]) -> None:
        stages, profiles = self._pipeline.stages, self._pipeline.profiles
        budgets = self._split(rates)
        self.gpus = pack([Session(stage, rates[stage], budgets[stage]) for stage in stages], profiles)
        shares = {}
        for stage in stages:
            batches = [turn.batch for gpu in self.gpus for turn in gpu.turns if turn.session.stage == stage]
            shares[stage] = Share(len(batches), max(batches), budgets[stage])
        self._provision = within(shares, self._devices)

    def _split(self, rates: Mapping[str, float]) -> dict[str, float]:
        """The budgets, in seconds, with which the fewest devices carry the rates."""
        costs = {
            stage: [rates[stage] / fastest if fastest else math.inf for fastest in self._fastest[stage]]
            for stage in self._pipeline.stages
        }
        slots = split(self._pipeline.edges, costs)
        if slots is None:
            # Not even single tasks have twice their time: the objective is tighter than Nexus can plan for.
            return proportional_split(self._pipeline, alone(self._pipeline))
        # The program takes no more time than saves devices; what is left over need not be lost.
        return proportional_split(self._pipeline, slots)


def _throughput_within(profile: Profile, seconds: float) -> float:
    """The most tasks a second of a device whose batches run for half of these seconds at most; 0 if none does."""
    each = [(batch, run_s(profile, batch)) for batch in range(1, profile.batch_max + 1)]
    return max([batch / took for batch, took in each if took <= seconds / 2], default=0.0)


class EarlyDrop:
    """The sliding window: earliest deadlines first, and none that a full batch would be too late for."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._profiles = pipeline.profiles
        self._provision: Provision = {}

    def provisioned(self, provision: Provision) -> None:
        self._provision = provision

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        share, profile = self._provision[stage], self._profiles[stage]
        queue = sorted([(stage_deadline(task, share), task.number) for task in waiting])
        expected = min(share.batch, len(queue))
        ends_at = now + run_s(profile, expected)
        run: list[int] = []
        drop: list[int] = []
        for index, (deadline, number) in enumerate(queue):
            if len(run) == expected:
                break
            (drop if deadline < ends_at else run).append(number)
            left = len(run) + len(queue) - index - 1
            if 0 < left < expected:
                expected = left
                ends_at = now + run_s(profile, expected)
        return Choice(run, drop)

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        pass

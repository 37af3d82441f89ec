"""What is the cheapest set-up with which a pipeline meets its objective, and what limits it?

A set-up has every stage on one kind of device, with so many replicas (a device each) and batches up to so many.
Candidates are the production planner's plans for a ladder of rates, for every way to give kinds to stages; each is
played in the simulator, by the production cores, on the trace itself, and what is answered in time there decides, not
the planner's formula. Of each ladder the lowest rung that meets the objective is sought by halving (more devices answer
no later, chance apart); of what is cheapest then, devices are taken away one by one until none can go.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from covey.services.scheduler.core.choosing import AdaptiveDrop, DropRule
from covey.services.scheduler.core.estimating import CascadeEstimator, visits
from covey.services.scheduler.core.planner import RELAXED, Planner, PlanTable
from covey.services.scheduler.core.provision import Batcher, Pipeline, Profile, Provision, Provisioner, Window
from covey.services.scheduler.core.provisioning import AheadOfTime, Rule
from covey.simulator.pipelines import Workload
from covey.simulator.serving import Figures, Load, play
from covey.simulator.tails import Terms, WatchedBatcher

RATE_STEP = 1.15
"""Between the rungs of a ladder."""
STRETCHES = (1.0, RELAXED)
"""Of the objective, as the planner is told it: its formula errs on the safe side, and larger batches need fewer."""
MIXES_MAX = 256
"""Ways to give kinds to stages that are looked at; where there are more, those of one kind only."""
SCALED_DEVICES = 2
"""What scales has at most so many times the devices of what is always on, for it is late by a cold start."""
DEVICES_MAX = 1024
MEASURED_S_MIN = 2.0
BEGINS_S = 10.0
"""Of the trace, whose rate a set-up that scales knows when it begins."""


class Scaling(NamedTuple):
    """How the mesh starts and stops devices: `COVEY_HEADROOM` and `COVEY_RESERVE`."""

    headroom: float
    reserve: float


SCALINGS = (Scaling(1.1, 0.0), Scaling(1.1, 0.3), Scaling(1.5, 0.0), Scaling(1.5, 0.3))
"""With which a set-up that scales is tried."""


class Kind(NamedTuple):
    """Devices that can be had. `price`: of one, for as long as it is there, in any unit."""

    name: str
    price: float
    stages: Mapping[str, Profile]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be planned. The objective is the workload's pipeline's; `instants` are seconds from the first."""

    workload: Workload
    kinds: Sequence[Kind]
    instants: Sequence[float]
    share: float = 0.99
    """Of events that are to be answered within the objective."""
    seeds: Sequence[int] = (1, 2, 3)
    """What is drawn: fan-outs, and how long batches take. A set-up has to meet the objective with every seed."""
    drops: bool = False
    """What can't be in time is dropped for the sake of the others; what was dropped counts as never answered."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Devices by stage. `kinds`: stage -> the kind that its replicas are of."""

    kinds: Mapping[str, Kind]
    provision: Provision

    @property
    def price(self) -> float:
        return sum(share.replicas * self.kinds[stage].price for stage, share in self.provision.items())

    @property
    def devices(self) -> Mapping[str, int]:
        """Kind -> how many."""
        found: Counter[str] = Counter()
        for stage, share in self.provision.items():
            found[self.kinds[stage].name] += share.replicas
        return found

    @property
    def key(self) -> tuple[tuple[str, int, int], ...]:
        return tuple([(self.kinds[each].name, share.replicas, share.batch) for each, share in self.provision.items()])

    def with_more(self, stage: str, replicas: int) -> Setup:
        """So many more; fewer, if it is negative."""
        share = self.provision[stage]
        return Setup(self.kinds, {**self.provision, stage: share._replace(replicas=share.replicas + replicas)})

    def capacity(self, stage: str) -> float:
        """Tasks a second in the largest batches that it may form."""
        replicas, batch, _ = self.provision[stage]
        return replicas * batch / self.kinds[stage].stages[stage].curve.mean_s(batch)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A set-up as the simulator has played it, at the worst of the seeds. Seconds; infinite if never answered."""

    setup: Setup
    """Of one that scales: what it is compared with."""
    price: float
    """Of one that scales: the mean over the trace."""
    p50_s: float
    p99_s: float
    in_time: float
    """The share of events answered within the objective."""
    terms: Terms
    """What the slowest hundredth spent where, by the mean."""
    scaling: Scaling | None = None
    """None: it is always on."""
    devices: tuple[int, int] = (0, 0)
    """The fewest and the most at a time."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The answer."""

    cheapest: Prediction | None
    """None: nothing meets the objective."""
    nearest: Prediction | None
    """Of what misses the objective and costs less than the cheapest: what answers most in time."""
    scaled: Prediction | None
    """The devices of the cheapest, when they are there only while the mesh wants them; None if that saves nothing."""
    tried: Sequence[Prediction]


def planned(question: Question, tell: Callable[[Prediction], None] = lambda prediction: None) -> Planned:
    """Search; `tell` hears of every set-up that was played. Takes seconds to minutes."""
    return _Search(question, tell).planned()


def busiest(instants: Sequence[float], events: int) -> Sequence[float]:
    """The stretch of a trace in which so many events came fastest, from its first on; all of it if there are fewer."""
    if len(instants) <= events:
        return instants
    first = min(range(len(instants) - events + 1), key=lambda at: instants[at + events - 1] - instants[at])
    return [instant - instants[first] for instant in instants[first : first + events]]


def peak(instants: Sequence[float], window_s: float) -> float:
    """The highest rate over such a window."""
    most = first = 0
    for last, instant in enumerate(instants):
        while instants[first] <= instant - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most / window_s


class _Fixed:
    """Implements `Provisioner`: always the same."""

    def __init__(self, provision: Provision) -> None:
        self._provision = provision

    def decide(self, window: Window) -> Provision:
        return self._provision


class _Search:
    def __init__(self, question: Question, tell: Callable[[Prediction], None]) -> None:
        self._question = question
        self._tell = tell
        self._measured_s = max(question.instants[-1] + 1e-3, MEASURED_S_MIN)
        self._mean = len(question.instants) / self._measured_s
        pipeline = question.workload.pipeline
        self._loads = {stage: self._mean * tasks for stage, tasks in visits(pipeline, pipeline.fan_outs).items()}
        """Tasks a second by stage, on average; not 0."""
        self._known: dict[object, Prediction] = {}

    def planned(self) -> Planned:
        best: Prediction | None = None
        for ladder in sorted(self._ladders(), key=lambda ladder: ladder[0].price):
            best = self._climbed(ladder, best)
        if best is not None:
            best = self._thinned(best)
        tried = list(self._known.values())
        missing = [each for each in tried if best is None or each.price < best.price]
        nearest = max(missing, key=lambda each: (each.in_time, -each.price), default=None)
        scaled = self._scaled(best) if best is not None else None
        return Planned(best, nearest, scaled, list(self._known.values()))

    # --- candidates --------------------------------------------------------------------------------------------------

    def _ladders(self) -> Iterator[list[Setup]]:
        """For each way to give kinds to stages, set-ups that carry the mean rate at least."""
        objective_s = self._question.workload.pipeline.objective_s
        top = max(peak(self._question.instants, objective_s), self._mean)
        rungs = math.ceil(math.log(2 * top / self._mean) / math.log(RATE_STEP)) + 1
        rates = [self._mean / 2 * RATE_STEP**rung for rung in range(rungs)]
        for kinds in self._mixes():
            for stretch in STRETCHES:
                pipeline = replace(self._pipeline(kinds), objective_s=objective_s * stretch)
                planner = Planner(pipeline, DEVICES_MAX, headroom=1.0)
                plans = [planner.plan(rate, pipeline.fan_outs) for rate in rates]
                yield self._ladder([Setup(kinds, plan.provision) for plan in plans])

    def _ladder(self, plans: Sequence[Setup]) -> list[Setup]:
        """In order of price: from what just carries the mean, to each plan a device at a time, the scarcest first."""
        bare = plans[0]
        for stage, load in self._loads.items():
            each = bare.capacity(stage) / bare.provision[stage].replicas
            bare = bare.with_more(stage, max(math.ceil(load / each), 1) - bare.provision[stage].replicas)
        rungs = {bare.key: bare}
        for setup, next_price in zip([bare, *plans], [plan.price for plan in [*plans, plans[-1]]], strict=True):
            while setup.price < next_price:
                rungs[setup.key] = setup
                scarcest = min(self._loads, key=lambda stage: setup.capacity(stage) / self._loads[stage])
                setup = setup.with_more(scarcest, 1)
        rungs[plans[-1].key] = plans[-1]
        carry = [each for each in rungs.values() if all(each.capacity(at) >= load for at, load in self._loads.items())]
        return sorted(carry, key=lambda setup: setup.price)

    def _mixes(self) -> Iterator[dict[str, Kind]]:
        """Stage -> kind, every way; the same for all stages where there are too many ways."""
        stages = self._question.workload.pipeline.stages
        kinds = self._question.kinds
        if len(kinds) ** len(stages) > MIXES_MAX:
            yield from (dict.fromkeys(stages, kind) for kind in kinds)
            return
        for mix in itertools.product(kinds, repeat=len(stages)):
            yield dict(zip(stages, mix, strict=True))

    def _pipeline(self, kinds: Mapping[str, Kind]) -> Pipeline:
        profiles = {stage: kind.stages[stage] for stage, kind in kinds.items()}
        return replace(self._question.workload.pipeline, profiles=profiles)

    # --- the search --------------------------------------------------------------------------------------------------

    def _meets(self, prediction: Prediction) -> bool:
        return prediction.in_time >= self._question.share

    def _climbed(self, ladder: Sequence[Setup], best: Prediction | None) -> Prediction | None:
        """The lowest rung that meets the objective, if it is cheaper than what is known."""
        rungs = [setup for setup in ladder if best is None or setup.price < best.price]
        if not rungs or not self._meets(self._predicted(rungs[-1])):
            return best
        low, high = 0, len(rungs) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._meets(self._predicted(rungs[middle])) else (middle + 1, high)
        return self._predicted(rungs[high])

    def _thinned(self, best: Prediction) -> Prediction:
        """Take devices away, the dearest first, until each that is left is needed."""
        for stage in sorted(best.setup.provision, key=lambda stage: -best.setup.kinds[stage].price):
            while best.setup.provision[stage].replicas > 1:
                thinner = self._predicted(best.setup.with_more(stage, -1))
                if not self._meets(thinner):
                    break
                best = thinner
        return best

    def _scaled(self, best: Prediction) -> Prediction | None:
        """The cheapest that scales, if any costs less than to leave what is best on."""
        found = [self._predicted(best.setup, scaling) for scaling in SCALINGS]
        cheaper = [each for each in found if each.price < best.price and self._meets(each)]
        return min(cheaper, key=lambda each: each.price, default=None)

    # --- predictions -------------------------------------------------------------------------------------------------

    def _predicted(self, setup: Setup, scaling: Scaling | None = None) -> Prediction:
        """As played with every seed, or until one misses the objective."""
        known = self._known.get((setup.key, scaling))
        if known is not None:
            return known
        worst: Prediction | None = None
        for seed in self._question.seeds:
            found = self._played(setup, scaling, seed)
            if worst is None or (found.in_time, -found.p99_s) < (worst.in_time, -worst.p99_s):
                worst = found
            if not self._meets(found):
                break
        assert worst is not None
        self._known[setup.key, scaling] = worst
        self._tell(worst)
        return worst

    def _played(self, setup: Setup, scaling: Scaling | None, seed: int) -> Prediction:
        question = self._question
        pipeline = self._pipeline(setup.kinds)
        watched: list[WatchedBatcher] = []

        def system(pipeline: Pipeline, devices: int) -> tuple[Provisioner, Batcher]:
            batcher = WatchedBatcher(AdaptiveDrop(pipeline, DropRule(drop=question.drops)), pipeline)
            watched.append(batcher)
            if scaling is None:
                return _Fixed(setup.provision), batcher
            table = PlanTable(Planner(pipeline, devices, scaling.headroom))
            return AheadOfTime(table, CascadeEstimator(pipeline), Rule(reserve=scaling.reserve)), batcher

        devices = sum(setup.devices.values()) * (1 if scaling is None else SCALED_DEVICES)
        workload = replace(question.workload, pipeline=pipeline)
        figures = play(workload, devices, self._load(), system, seed, question.drops)
        prices, counts = ([setup.price], [devices]) if scaling is None else _had(setup, figures)
        return Prediction(
            setup,
            sum(prices) / len(prices),
            figures.p50_s,
            figures.p99_all_s,
            figures.goodput,
            watched[0].terms(),
            scaling,
            (min(counts), max(counts)),
        )

    def _load(self) -> Load:
        instants = self._question.instants
        begins_at = sum(instant < BEGINS_S for instant in instants) / min(BEGINS_S, self._measured_s)
        return Load(begins_at, lambda rng, start: (start + instant for instant in instants), 0.0, self._measured_s)


def _had(setup: Setup, figures: Figures) -> tuple[list[float], list[int]]:
    """The price and the devices of each window that was measured, those that were starting included."""
    measured = {second.ends_at for second in figures.seconds}
    windows = [window for window in figures.windows if window.ends_at in measured]
    had = [{stage: seen.replicas + seen.coming for stage, seen in window.stages.items()} for window in windows]
    prices = [sum(count * setup.kinds[stage].price for stage, count in each.items()) for each in had]
    return prices, [sum(each.values()) for each in had]

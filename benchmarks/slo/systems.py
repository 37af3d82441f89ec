"""The systems that are compared: each a provisioner and a batcher, by the headroom that it is given.

What a baseline has to be set besides its headroom was swept for each by as many trials, on seeds that are not reported:
`tuning.py`, whose table is in `results/slo-tuning.txt`. `TUNED` has what was best. Ours is not in that sweep: it was
developed on the same seeds, with more effort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from covey.services.scheduler.core.choosing import AdaptiveDrop, DropRule
from covey.services.scheduler.core.estimating import (
    CascadeEstimator,
    Envelope,
    Estimator,
    Mean,
    Peak,
    StageEstimator,
)
from covey.services.scheduler.core.planner import Planner, PlanTable
from covey.services.scheduler.core.provision import Batcher, Pipeline, Provision, Provisioner, Window
from covey.services.scheduler.core.provisioning import AheadOfTime, Rule
from covey.simulator.baselines.clipper import Clipper
from covey.simulator.baselines.clockwork import Clockwork
from covey.simulator.baselines.greedy import Greedy, Lateness
from covey.simulator.baselines.inferline import PlannedInferLine
from covey.simulator.baselines.nexus import EarlyDrop, Nexus
from covey.simulator.baselines.pard import Pard
from covey.simulator.baselines.reactive import Reactive

Provisioning = Callable[[Pipeline, int, float], Provisioner]
"""(pipeline, devices, headroom)."""
Batching = Callable[[Pipeline], Batcher]
DRAIN_S = 4.0


class System(NamedTuple):
    """One of those that are compared. Ablations are ours with one part taken out."""

    provisioning: Provisioning
    batching: Batching
    is_ours: bool = False

    def made(self, pipeline: Pipeline, devices: int, headroom: float) -> tuple[Provisioner, Batcher]:
        return self.provisioning(pipeline, devices, headroom), self.batching(pipeline)


def _ahead(estimator: Callable[[Pipeline], Estimator], **knobs: float) -> Provisioning:
    rule = Rule(**knobs)

    def made(pipeline: Pipeline, devices: int, headroom: float) -> Provisioner:
        return AheadOfTime(PlanTable(Planner(pipeline, devices, headroom)), estimator(pipeline), rule)

    return made


class _Untuned:
    """Our estimate, and replicas by it alone: batches are fixed, budgets proportional, and nothing is planned."""

    def __init__(self, pipeline: Pipeline, devices: int, headroom: float) -> None:
        self._estimator = CascadeEstimator(pipeline)
        self._sizing = Reactive(pipeline, devices, smoothing=1.0, headroom=headroom, hold_s=5.0)

    def decide(self, window: Window) -> Provision:
        self._estimator.observe(window)
        rates = self._estimator.load(0.0).rates
        expected = {
            stage: replace(seen, arrived=round(rates[stage] * window.seconds)) for stage, seen in window.stages.items()
        }
        return self._sizing.decide(replace(window, stages=expected))


def reactive(**knobs: float | None) -> Provisioning:
    return lambda pipeline, devices, headroom: Reactive(pipeline, devices, headroom=headroom, **_floats(knobs))


def nexus(**knobs: float) -> Provisioning:
    return lambda pipeline, devices, headroom: Nexus(pipeline, devices, headroom=headroom, **_floats(knobs))


def inferline(**knobs: float) -> Provisioning:
    return lambda pipeline, devices, headroom: PlannedInferLine(pipeline, devices, headroom=headroom, **_floats(knobs))


def clipper(**knobs: float) -> Batching:
    return lambda pipeline: Clipper(pipeline, **_floats(knobs))


def clockwork(**knobs: float) -> Batching:
    """`batch_max` is a whole number."""
    return lambda pipeline: Clockwork(pipeline, **_floats(knobs))


def pard(**knobs: float) -> Batching:
    return lambda pipeline: Pard(pipeline, **_floats(knobs))


def _floats(knobs: Mapping[str, float | None]) -> dict[str, Any]:
    """Keyword arguments, whose names and types are those of the constructors."""
    return dict(knobs)


def _adaptive(**switched: float) -> Batching:
    rule = DropRule(**_floats(switched))
    return lambda pipeline: AdaptiveDrop(pipeline, rule)


def _greedy(lateness: Lateness) -> Batching:
    return lambda pipeline: Greedy(lateness)


CASCADE = _ahead(CascadeEstimator)
BY_STAGE = _ahead(lambda pipeline: StageEstimator(pipeline, Mean))
BY_STAGE_AND_QUEUE = _ahead(lambda pipeline: StageEstimator(pipeline, Peak, DRAIN_S))
BY_ENVELOPE = _ahead(lambda pipeline: CascadeEstimator(pipeline, Envelope))
WITHOUT_RESERVE = _ahead(CascadeEstimator, reserve=0.0)
KEEP = _greedy(Lateness.KEEP)


TUNED: Mapping[str, Mapping[str, float]] = {
    "reactive": {"smoothing": 1.0},
    "reactive with drain": {"drain_s": 8.0, "hold_s": 10.0},
    "nexus": {"epoch_s_min": 2.0},
    "inferline": {"used_least": 0.4},
    "clipper": {"increase": 2.0},
    "clockwork": {"run_s_max": 0.5, "batch_max": 64},
    "pard": {"quantile": 0.01},
}
"""System or batcher -> its own knobs, where they are not the default."""

REACTIVE = reactive(**TUNED["reactive with drain"])
NEXUS = nexus(**TUNED["nexus"])
INFERLINE = inferline(**TUNED["inferline"])
PARD = pard(**TUNED["pard"])
CLOCKWORK = clockwork(**TUNED["clockwork"])

UNDROPPED: Mapping[str, System] = {
    "ours": System(CASCADE, KEEP, is_ours=True),
    "ours by stage": System(BY_STAGE, KEEP, is_ours=True),
    "ours by stage and queue": System(BY_STAGE_AND_QUEUE, KEEP, is_ours=True),
    "ours by envelope": System(BY_ENVELOPE, KEEP, is_ours=True),
    "ours without reserve": System(WITHOUT_RESERVE, KEEP, is_ours=True),
    "ours without tuning": System(_Untuned, KEEP, is_ours=True),
    "reactive with drain": System(REACTIVE, KEEP),
    "reactive": System(reactive(**TUNED["reactive"]), KEEP),
    "nexus": System(NEXUS, KEEP),
    "inferline": System(INFERLINE, KEEP),
}
"""What estimates and provisions, with nothing dropped and the same batching for all."""

DROPPING: Mapping[str, System] = {
    "ours": System(CASCADE, _adaptive(), is_ours=True),
    "ours by stage": System(BY_STAGE, _adaptive(), is_ours=True),
    "ours without reserve": System(WITHOUT_RESERVE, _adaptive(), is_ours=True),
    "ours without tuning": System(_Untuned, _adaptive(), is_ours=True),
    "ours without dropping": System(CASCADE, _greedy(Lateness.EXPIRED), is_ours=True),
    "ours without downstream": System(CASCADE, _adaptive(downstream=False), is_ours=True),
    "ours without shrinking": System(CASCADE, _adaptive(shrink=False), is_ours=True),
    "ours with nothing to spare": System(CASCADE, _adaptive(spare=0.0), is_ours=True),
    "ours with 0.25 in reserve": System(_ahead(CascadeEstimator, reserve=0.25), _adaptive(), is_ours=True),
    "ours with 0.15 in reserve": System(_ahead(CascadeEstimator, reserve=0.15), _adaptive(), is_ours=True),
    "reactive + expired": System(REACTIVE, _greedy(Lateness.EXPIRED)),
    "reactive + clipper": System(REACTIVE, clipper(**TUNED["clipper"])),
    "reactive + clockwork": System(REACTIVE, CLOCKWORK),
    "reactive + pard": System(REACTIVE, PARD),
    "inferline + pard": System(INFERLINE, PARD),
    "inferline + clockwork": System(INFERLINE, CLOCKWORK),
    "nexus": System(NEXUS, EarlyDrop),
}
"""Everything on. Ours with less in reserve is no ablation, but a setting: what a user buys with."""

"""The systems that are compared: each a provisioner and a batcher, by the headroom that it is given.

A provisioner's own parameters are those of its publication, or our default; none is tuned yet, ours neither, so that no
figure of theirs is a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from covey.services.scheduler.core.choosing import AdaptiveDrop, DropRule
from covey.services.scheduler.core.estimating import CascadeEstimator, Estimator, Mean, Peak, StageEstimator
from covey.services.scheduler.core.provision import Batcher, Pipeline, Provisioner
from covey.services.scheduler.core.provisioning import AheadOfTime, Planner, PlanTable
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


def _ahead(estimator: Callable[[Pipeline], Estimator]) -> Provisioning:
    def made(pipeline: Pipeline, devices: int, headroom: float) -> Provisioner:
        return AheadOfTime(PlanTable(Planner(pipeline, devices, headroom)), estimator(pipeline))

    return made


def _reactive(drain_s: float | None) -> Provisioning:
    return lambda pipeline, devices, headroom: Reactive(pipeline, devices, headroom=headroom, drain_s=drain_s)


def _nexus(pipeline: Pipeline, devices: int, headroom: float) -> Provisioner:
    return Nexus(pipeline, devices, headroom=headroom)


def _inferline(pipeline: Pipeline, devices: int, headroom: float) -> Provisioner:
    return PlannedInferLine(pipeline, devices, headroom=headroom)


def _adaptive(**switched: bool) -> Batching:
    rule = DropRule(**switched)
    return lambda pipeline: AdaptiveDrop(pipeline, rule)


def _greedy(lateness: Lateness) -> Batching:
    return lambda pipeline: Greedy(lateness)


CASCADE = _ahead(CascadeEstimator)
BY_STAGE = _ahead(lambda pipeline: StageEstimator(pipeline, Mean))
BY_STAGE_AND_QUEUE = _ahead(lambda pipeline: StageEstimator(pipeline, Peak, DRAIN_S))
KEEP = _greedy(Lateness.KEEP)

UNDROPPED: Mapping[str, System] = {
    "ours": System(CASCADE, KEEP, is_ours=True),
    "ours by stage": System(BY_STAGE, KEEP, is_ours=True),
    "ours by stage and queue": System(BY_STAGE_AND_QUEUE, KEEP, is_ours=True),
    "reactive with drain": System(_reactive(DRAIN_S), KEEP),
    "reactive": System(_reactive(None), KEEP),
    "nexus": System(_nexus, KEEP),
    "inferline": System(_inferline, KEEP),
}
"""What estimates and provisions, with nothing dropped and the same batching for all."""

DROPPING: Mapping[str, System] = {
    "ours": System(CASCADE, _adaptive(), is_ours=True),
    "ours by stage": System(BY_STAGE, _adaptive(), is_ours=True),
    "ours without dropping": System(CASCADE, _greedy(Lateness.EXPIRED), is_ours=True),
    "ours without downstream": System(CASCADE, _adaptive(downstream=False), is_ours=True),
    "ours without shrinking": System(CASCADE, _adaptive(shrink=False), is_ours=True),
    "reactive + expired": System(_reactive(DRAIN_S), _greedy(Lateness.EXPIRED)),
    "reactive + clipper": System(_reactive(DRAIN_S), Clipper),
    "reactive + clockwork": System(_reactive(DRAIN_S), Clockwork),
    "reactive + pard": System(_reactive(DRAIN_S), Pard),
    "nexus": System(_nexus, EarlyDrop),
}
"""Everything on."""

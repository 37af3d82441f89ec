"""Builds a scheduler and joins its parts; the only place that does."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from random import Random

from covey.clock import MonotonicClock
from covey.errors import InvalidArgument
from covey.model import Scope
from covey.profiles import PipelineProfile, read_profile
from covey.registry import Member
from covey.runtime import run
from covey.services.scheduler.core.choosing import AdaptiveDrop
from covey.services.scheduler.core.estimating import CascadeEstimator, Mean, StageEstimator
from covey.services.scheduler.core.machine import Scheduler
from covey.services.scheduler.core.planner import Planner, PlanTable
from covey.services.scheduler.core.provision import Curve, Edge, Pipeline, Profile, Provisioner
from covey.services.scheduler.core.provisioning import AheadOfTime, Rule
from covey.services.scheduler.core.requesting import model_named
from covey.services.scheduler.core.served import Serving
from covey.services.scheduler.core.shared import Shared
from covey.services.scheduler.core.sharing import shared_devices
from covey.services.scheduler.metadata import ValkeyMetadata
from covey.services.scheduler.metrics import measure
from covey.services.scheduler.servicer import services
from covey.services.scheduler.settings import EstimatorKind, SchedulerSettings
from covey.services.scheduler.shell import SchedulerShell
from covey.settings import read_settings
from covey.telemetry import Tracer
from covey.telemetry_export import exporting
from covey.valkey import ValkeyRegistry, valkey_client
from covey.wire.endpoints import LEAD, RUN
from covey.wire.neighbours import Neighbours
from covey.wire.server import serve


async def run_scheduler(settings: SchedulerSettings, neighbours: Neighbours | None = None) -> None:
    """Serve until cancelled; then finish what is open, for as long as the grace lasts."""
    clock = MonotonicClock()
    shared, serving = shared_of(settings), serving_of(settings)
    name = settings.id or f"scheduler-{secrets.token_hex(4)}"
    trace_to = Path(settings.trace_to) if settings.trace_to else None
    async with exporting("scheduler", name, trace_to) as telemetry, valkey_client(settings.redis_url) as client:
        core = Scheduler(settings.limits, name, settings.policy, Random(), serving, shared)
        shell = SchedulerShell(
            name,
            core,
            RUN.dialer(neighbours),
            LEAD.dialer(neighbours),
            ValkeyRegistry(client),
            ValkeyMetadata(client),
            clock,
            Tracer(telemetry, Random()),
            lease_s=settings.lease_s,
            watch_s=settings.watch_s,
        )
        async with (
            serve(
                services(shell, clock),
                settings.listen,
                advertise=settings.advertise,
                neighbours=neighbours,
                reflect=settings.reflection,
                grace_s=settings.grace_s,
            ) as address,
            asyncio.TaskGroup() as group,
        ):
            running = group.create_task(shell.run(Member("scheduler", name, address)))
            measuring = group.create_task(measure(core.state, telemetry))
            try:
                await asyncio.Event().wait()
            finally:
                await shell.drain(settings.grace_s)
                running.cancel()
                measuring.cancel()


def serving_of(settings: SchedulerSettings) -> Serving | None:
    """Who provisions the pipeline that the settings' profile names; None without one. Raises InvalidArgument."""
    kind = settings.estimator_kind
    if settings.profile is None:
        return None
    measured = read_profile(settings.profile)
    least = len(measured.stages)
    if settings.replicas_max < least or settings.headroom < 1 or settings.objective_s < 0 or settings.reserve < 0:
        raise InvalidArgument(
            f"COVEY_REPLICAS_MAX is {least} or more, one for each stage of {measured.name!r}; COVEY_HEADROOM is 1 or "
            "more, COVEY_OBJECTIVE_S and COVEY_RESERVE are 0 or more"
        )
    pipeline = provisioned_pipeline(measured, settings.objective_s or measured.objective_s)
    provisioner = provisioner_of(pipeline, settings.replicas_max, kind, settings.headroom, settings.reserve)
    return Serving(Scope(settings.tenant, measured.name), pipeline, provisioner, AdaptiveDrop(pipeline))


def shared_of(settings: SchedulerSettings) -> Shared | None:
    """The policy of priorities, if the settings ask for it. Raises InvalidArgument."""
    if not settings.priorities:
        return None
    if settings.profile is not None:
        raise InvalidArgument(
            "COVEY_PRIORITIES and COVEY_PROFILE exclude one another: a provisioned lane serves one stage, so there is "
            "nothing to share by priority. What stages take alone is told by COVEY_PRIORITY_PROFILE"
        )
    curves: dict[str, Curve] = {}
    if settings.priority_profile is not None:
        measured = read_profile(settings.priority_profile)
        scope = Scope(settings.tenant, measured.name)
        curves = {model_named(scope, name): each.table for name, each in measured.stages.items()}
    return shared_devices(curves, settings.rules)


def provisioner_of(
    pipeline: Pipeline, replicas_max: int, kind: EstimatorKind, headroom: float, reserve: float
) -> Provisioner:
    """Plans ahead of time, by the load that an estimator of this kind expects."""
    by_stage = kind is EstimatorKind.STAGE
    estimator = StageEstimator(pipeline, Mean) if by_stage else CascadeEstimator(pipeline)
    return AheadOfTime(PlanTable(Planner(pipeline, replicas_max, headroom)), estimator, Rule(reserve=reserve))


def provisioned_pipeline(measured: PipelineProfile, objective_s: float) -> Pipeline:
    """What was measured, as provisioners know it."""
    fan_outs = {Edge(*edge): mean for edge, mean in measured.fan_outs.items()}
    profiles = {name: Profile(each.table, each.batch_max, each.cold_s) for name, each in measured.stages.items()}
    return Pipeline(tuple(profiles), tuple(fan_outs), fan_outs, profiles, objective_s)


def main() -> None:
    """Run a scheduler by the environment's settings."""
    sys.exit(run(lambda: run_scheduler(read_settings(SchedulerSettings, service="scheduler"))))

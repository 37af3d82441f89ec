"""Builds a worker out of its parts and runs it: the only place that knows them all."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from covey.clock import Clock, MonotonicClock
from covey.declaration import Declaration
from covey.declare import Pipeline
from covey.errors import InvalidArgument
from covey.loading import load_pipeline
from covey.profiles import read_profile as read_measured
from covey.registry import Member, Registry, stay_registered
from covey.runtime import run
from covey.services.worker.core.machine import WorkerCore
from covey.services.worker.core.state import Identity, Limits
from covey.services.worker.engine.base import Engine
from covey.services.worker.engine.cpu import CpuEngine
from covey.services.worker.engine.cuda import CudaEngine
from covey.services.worker.engine.emulated import EmulatedEngine
from covey.services.worker.engine.nvml import measure_device
from covey.services.worker.engine.profile import Ledger, Table, TimeProfile, read_profile
from covey.services.worker.metrics import measure
from covey.services.worker.servicer import services
from covey.services.worker.settings import WorkerSettings
from covey.services.worker.shell import WorkerShell
from covey.settings import read_settings
from covey.telemetry import NoTelemetry, Tracer
from covey.telemetry_export import exporting
from covey.valkey import ValkeyRegistry, valkey_client
from covey.wire.datastore_client import DatastoreClient
from covey.wire.endpoints import EXCHANGE
from covey.wire.neighbours import Neighbours
from covey.wire.server import serve
from covey.wire.sharing import SharedFiles, SharedRing

log = logging.getLogger(__name__)


def main() -> None:
    """Run a worker as a process of its own."""
    settings = read_settings(WorkerSettings, service="worker")
    sys.exit(run(lambda: run_worker(settings)))


async def run_worker(settings: WorkerSettings, neighbours: Neighbours | None = None) -> None:
    """Serve until cancelled. Raises DeclarationError for a mistake in the app, StageFailed for a model that won't load,
    and Unavailable when the registry can't be reached at the start or the device is lost."""
    pipeline = load_pipeline(settings.app)
    clock = MonotonicClock()
    name = settings.id or f"worker-{uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(exporting("worker", name, settings.trace_to))
        registry = ValkeyRegistry(await stack.enter_async_context(valkey_client(settings.redis_url)))
        near = {settings.node: settings.local_datastore} if settings.local_datastore else {}
        folder = settings.shared_folder
        shared = stack.enter_context(SharedFiles(folder)) if folder else None
        ring = stack.enter_context(SharedRing(folder, settings.shared_bytes_max)) if folder else None
        dial = EXCHANGE.dialer(neighbours)
        datastores = await stack.enter_async_context(DatastoreClient(dial, clock, near, shared, ring))
        engine = make_engine(settings, pipeline, clock)
        stack.callback(engine.close)
        tracer = Tracer(telemetry, Random(), settings.trace_share)
        shell = make_worker(
            name, settings.node, pipeline, engine, datastores, clock, limits=settings.limits, tracer=tracer
        )
        if settings.load_at_start:
            await shell.load()
        await publish_if_absent(registry, settings.tenant, pipeline.declaration())
        async with asyncio.TaskGroup() as group:
            group.create_task(shell.run())
            group.create_task(measure(shell.core.state, telemetry, name))
            if isinstance(engine, CudaEngine):
                pynvml = importlib.import_module("pynvml")
                group.create_task(measure_device(pynvml, engine.pci_address, telemetry, name))
            async with serve(
                services(shell, clock),
                settings.listen,
                advertise=settings.advertise,
                neighbours=neighbours,
                reflect=settings.reflection,
                grace_s=settings.grace_s,
            ) as address:
                member = Member("worker", name, address, settings.node, engine.device)
                log.info("%s listens at %s and runs %s on %s", name, address, pipeline.name, engine.device)
                await stay_registered(registry, member)


def make_worker(
    name: str,
    node: str,
    pipeline: Pipeline,
    engine: Engine,
    datastores: DatastoreClient,
    clock: Clock,
    *,
    limits: Limits | None = None,
    tracer: Tracer | None = None,
) -> WorkerShell:
    """A worker for one pipeline, as a process or within one; `load` and `run` it, and offer `serve_leader`."""
    declaration = pipeline.declaration()
    core = WorkerCore(Identity(name, node, engine.device, engine.lanes, (declaration,)), limits or Limits())
    stages = {pipeline.name: (declaration, pipeline.stages)}
    return WorkerShell(core, engine, stages, datastores, clock, node, tracer or Tracer(NoTelemetry(), Random()))


def make_engine(settings: WorkerSettings, pipeline: Pipeline, clock: Clock) -> Engine:
    """The engine for the device that the settings name. Raises InvalidArgument for one that is not there."""
    if settings.device == "emulated":
        return _emulated(settings, pipeline, clock)
    if settings.device not in ("auto", "cpu", "cuda"):
        raise InvalidArgument(f"COVEY_DEVICE is auto, cpu, cuda or emulated, not {settings.device!r}")
    has_model = any(stage.model is not None for stage in pipeline.stages.values())
    torch = _torch() if settings.device == "cuda" or (settings.device == "auto" and has_model) else None
    if torch is not None and torch.cuda.is_available():
        return CudaEngine(torch, clock, settings.lanes)
    if settings.device == "cuda":
        raise InvalidArgument("COVEY_DEVICE=cuda, but torch finds no CUDA device")
    return CpuEngine(clock, settings.lanes)


def _emulated(settings: WorkerSettings, pipeline: Pipeline, clock: Clock) -> EmulatedEngine:
    """A device that is as busy as its profile says. Raises InvalidArgument for a profile that can't be read, or that
    lacks a stage."""
    if settings.device_profile is None:
        raise InvalidArgument("COVEY_DEVICE=emulated takes its times from a file: set COVEY_DEVICE_PROFILE")
    profile, cold_s = _times(settings.device_profile)
    profile.check(pipeline.stages)
    ledger = Ledger(settings.device_ledger, profile) if settings.device_ledger is not None else None
    return EmulatedEngine(CpuEngine(clock, settings.lanes), profile.seconds, clock, ledger, cold_s)


def _times(path: Path) -> tuple[TimeProfile, Mapping[str, float]]:
    """An emulated device's times, and what models take to load there: as `covey profile` has measured both, or as
    plain pairs of batch size and seconds, and then no model takes time to load. Raises InvalidArgument."""
    if not _is_measured(path):
        return read_profile(path), {}
    stages = read_measured(path).stages
    tables = {name: Table(each.table.sizes, each.table.seconds) for name, each in stages.items()}
    return TimeProfile(tables), {name: each.cold_s for name, each in stages.items()}


def _is_measured(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text())["stages"], dict)
    except (OSError, ValueError, TypeError, KeyError):
        return False


async def publish_if_absent(registry: Registry, tenant: str, declaration: Declaration) -> None:
    """Declare the pipeline where nobody has: `covey up` and `covey declare` decide which version is current."""
    for known_tenant, known in await registry.declarations():
        if (known_tenant, known.pipeline) == (tenant, declaration.pipeline):
            if known.version != declaration.version:
                log.warning(
                    "this worker runs version %s of %s; the current one is %s",
                    declaration.version, declaration.pipeline, known.version,
                )  # fmt: skip
            return
    await registry.publish(tenant, declaration)


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None

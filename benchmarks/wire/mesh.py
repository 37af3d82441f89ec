"""Covey: a gateway, a scheduler, a datastore, a worker and Valkey, asked through `covey.client`.

Each is a process (`covey-…`), or all but the gateway and Valkey share one, as `covey up --together` has it
(`together-…`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

import covey
from benchmarks.wire.subject import (
    LARGE,
    MLP,
    SMALL,
    THREE,
    WORKLOADS,
    Call,
    Failed,
    Running,
    Servers,
    Subject,
    Workload,
    check,
)
from covey.client import Client
from covey.cluster import LocalCluster
from covey.errors import CoveyError, Status
from covey.model import Outcome

APART, TOGETHER = "covey", "together"
SOURCES = 64
"""A client's requests are those of so many sources, in turn: a group each."""
DEADLINE_S = 10.0
OPEN_MAX = 20_000
SETTINGS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COVEY_DEVICE": "cpu"}

APPS = {
    SMALL.name: ("benchmarks.wire.pipelines:app", "small"),
    LARGE.name: ("benchmarks.wire.pipelines:app", "large"),
    THREE.name: ("benchmarks.wire.pipelines:three", "one"),
    MLP.name: ("benchmarks.wire.mlp:app", "images"),
}
"""Workload -> its program, and the pool that its requests go to."""

ValueOf = Callable[[bytes], Any]


@asynccontextmanager
async def mesh(
    app: str, folder: Path, *, together: bool, settings: Mapping[str, str] = SETTINGS
) -> AsyncIterator[Running]:
    """One node with one worker."""
    async with LocalCluster(app, folder=folder, nodes=1, workers=1, settings=settings, together=together) as cluster:
        yield Running(cluster.address, {name.removesuffix("-1"): pid for name, pid in cluster.pids.items()})


class Asking:
    """Makes keys and values of payloads, and reads outcomes as a user would."""

    def __init__(self, client: Client, workload: Workload) -> None:
        self._client = client
        self._answer_bytes = workload.answer_bytes
        self._numbers = itertools.count()
        token = uuid4().hex[:6]
        self._prefixes = [f"/{APPS[workload.name][1]}/{token}-{number}" for number in range(SOURCES)]
        self.value: ValueOf = functools.partial(np.frombuffer, dtype=np.float32) if workload is MLP else _as_it_is

    def key(self) -> str:
        number = next(self._numbers)
        return f"{self._prefixes[number % SOURCES]}/{number}"

    async def take(self, outcome: Outcome) -> None:
        """Read the one result. Raises Failed."""
        if outcome.status is not Status.OK:
            raise Failed(f"{outcome.status.name} {outcome.reason.name}")
        found = await self._client.results(outcome)
        check(sum(memoryview(one.value).nbytes for one in found), self._answer_bytes)


def _as_it_is(payload: bytes) -> bytes:
    return payload


@asynccontextmanager
async def by_send(workload: Workload, address: str) -> AsyncIterator[Call]:
    """A unary call for each request."""
    async with covey.connect(address) as client:
        asking = Asking(client, workload)

        async def call(payload: bytes) -> None:
            try:
                outcome = await client.send(asking.key(), asking.value(payload), deadline_s=DEADLINE_S)
                await asking.take(outcome)
            except CoveyError as error:
                raise Failed(f"{error.status.name} {error.reason.name}") from None

        yield call


@asynccontextmanager
async def by_stream(workload: Workload, address: str) -> AsyncIterator[Call]:
    """One stream for all requests."""
    async with covey.connect(address) as client, client.stream(in_flight_max=OPEN_MAX) as stream:
        asking = Asking(client, workload)

        async def call(payload: bytes) -> None:
            pending = await stream.send(asking.key(), asking.value(payload), deadline_s=DEADLINE_S)
            await asking.take(await pending)

        yield call


def subjects() -> list[Subject]:
    """`Send` and `Stream` with every workload; programs that are the same share their mesh."""
    found = []
    for (name, (app, _)), setup in itertools.product(APPS.items(), (APART, TOGETHER)):
        servers = Servers(f"{setup} {app}", functools.partial(mesh, app, together=setup == TOGETHER))
        for way, connect in (("send", by_send), ("stream", by_stream)):
            found.append(Subject(f"{setup}-{way}", name, servers, functools.partial(connect, WORKLOADS[name])))
    return found

"""What a worker's settings make of an emulated device, and of a datastore that is nearer than others see it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import covey
from covey.clock import MonotonicClock
from covey.errors import InvalidArgument, Unavailable
from covey.link import Link
from covey.model import Node, ObjectRef, Placement, Scope
from covey.services.worker.app import make_engine
from covey.services.worker.engine.base import Job
from covey.services.worker.engine.profile import read_ledger
from covey.services.worker.settings import WorkerSettings
from covey.wire.datastore_client import DatastoreClient

CLOCK = MonotonicClock()

app = covey.Pipeline("counting", objective_s=1.0)
numbers = app.pool("/numbers/{n:int}")


@app.stage(on=numbers, batch_max=4)
def count(batch: covey.Batch) -> None:
    """Nothing that takes time."""


def settings(folder: Path, profile: dict[str, Any] | None) -> WorkerSettings:
    path = folder / "profile.json"
    if profile is not None:
        path.write_text(json.dumps(profile))
    return WorkerSettings(
        redis_url="redis://nobody",
        app="counting:app",
        device="emulated",
        device_profile=None if profile is None else path,
        device_ledger=folder / "ledger",
    )


@pytest.mark.asyncio
async def test_an_emulated_device_takes_its_times_from_the_profile_and_counts_its_work(tmp_path: Path) -> None:
    """It says that it is emulated, is busy no less than its profile says, and has a ledger that says so."""
    engine = make_engine(settings(tmp_path, {"count": [[1, 0.03]]}), app, CLOCK)
    try:
        assert engine.device == "emulated on cpu"
        await engine.load(app.stages["count"])
        ran = await engine.run(Job(app.declaration(), app.stages["count"], ()), 0)
        assert ran.seconds >= 0.029
        assert read_ledger(tmp_path / "ledger").busy_s == 0.03
    finally:
        engine.close()


def test_an_emulated_device_needs_a_profile_with_every_stage(tmp_path: Path) -> None:
    """A worker that lacks one ends before it serves, with a sentence."""
    with pytest.raises(InvalidArgument, match="COVEY_DEVICE_PROFILE"):
        make_engine(settings(tmp_path, None), app, CLOCK)
    with pytest.raises(InvalidArgument, match="no times for count"):
        make_engine(settings(tmp_path, {"other": [[1, 0.03]]}), app, CLOCK)


@pytest.mark.asyncio
async def test_a_near_node_is_dialed_by_its_own_address_and_others_as_they_are_known() -> None:
    """The node that is named near is reached by the address that holds here, whatever the view says."""
    dialed: list[str] = []

    @asynccontextmanager
    async def dial(address: str) -> AsyncIterator[Link[Any, Any]]:
        dialed.append(address)
        raise Unavailable("nobody is there")
        yield  # type: ignore[unreachable]  # what makes it a generator

    ref = ObjectRef("numbers", "/numbers/1", "/numbers/1")
    async with DatastoreClient(dial, CLOCK, {"here": "127.0.0.1:1"}) as client:
        client.set_nodes(Placement(1, (Node("here", "proxy:1"), Node("there", "proxy:2"))))
        for node in ("here", "there"):
            with pytest.raises(Unavailable):
                await client.put(node, Scope("default", "counting"), ref, b"", CLOCK.now() + 5)
    assert dialed == ["127.0.0.1:1", "proxy:2"]

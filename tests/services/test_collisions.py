"""The collision pipeline in the mesh finds the alerts of one plain process, however it is laid out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

pytest.importorskip("torch", reason="the model needs torch: pip install 'covey[worker]'")

from covey.errors import Status  # noqa: E402 (after the test for torch)
from examples.collisions import reference  # noqa: E402
from examples.collisions.model import TrajectoryModel  # noqa: E402
from examples.collisions.pipeline import app, ungrouped  # noqa: E402
from examples.collisions.tracks import Frame, Replay, load  # noqa: E402
from tests import builders_collisions as builders  # noqa: E402

TICKS = 70
"""A stretch of each data set in which there are alerts, short enough for a test."""


async def replayed(frames: Sequence[Frame], grouped: bool, nodes: int, workers: int) -> set[reference.Alert]:
    """The alerts that the mesh finds, with a deadline that nothing misses."""
    pipeline = app if grouped else ungrouped
    async with pipeline.test_client(nodes=nodes, workers=workers) as mesh, mesh.client.stream() as stream:
        pending = [
            await stream.send(f"/observations/{frame.scene}/{frame.tick}", frame.positions, deadline_s=60.0)
            for frame in frames
        ]
        outcomes = [await each for each in pending]
    assert {outcome.status for outcome in outcomes} == {Status.OK}
    assert not any(outcome.incomplete for outcome in outcomes)
    keys = [value.ref.key.split("/") for outcome in outcomes for value in outcome.results]
    return {(scene, int(tick), pair) for _, _, scene, tick, pair in keys}


def expected(frames: Sequence[Frame], replay: Replay) -> reference.Reference:
    model = TrajectoryModel()
    model.load("cpu")
    return reference.run(frames, replay.domain, model)


def stretch(replay: Replay) -> list[Frame]:
    """The frames of the ticks from a third of the replay on."""
    first = replay.frames[len(replay.frames) // 3].tick
    return [frame for frame in replay.frames if first <= frame.tick < first + TICKS]


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("nodes", "workers"), [(1, 1), (2, 2), (3, 2)])
@pytest.mark.asyncio
async def test_aircraft_alerts_are_those_of_one_process(nodes: int, workers: int, grouped: bool) -> None:
    """At any number of nodes and workers, with the group rules and without them."""
    replay = builders.adsb()
    frames = stretch(replay)
    comparison = reference.compare(await replayed(frames, grouped, nodes, workers), found := expected(frames, replay))
    assert found.alerts
    assert comparison.equal, str(comparison)


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("name", [*builders.PEDESTRIANS, "switzerland"])
@pytest.mark.asyncio
async def test_every_data_set_gives_the_alerts_of_one_process(name: str, grouped: bool) -> None:
    """Pedestrians and another sky: the same alerts, with the group rules and without them."""
    replay = builders.adsb(name) if name == "switzerland" else load([builders.pedestrians(name)])
    frames = stretch(replay)
    comparison = reference.compare(await replayed(frames, grouped, 2, 2), found := expected(frames, replay))
    assert found.alerts
    assert comparison.equal, str(comparison)

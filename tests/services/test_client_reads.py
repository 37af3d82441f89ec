"""What a client can read of a whole mesh in one process: in time, several at once, and whole groups."""

from __future__ import annotations

import time

import pytest

import covey
from covey.batch import Batch
from covey.errors import InvalidArgument, Reason

pytestmark = pytest.mark.asyncio

app = covey.Pipeline("scenes", objective_s=1.0)
frames = app.pool("/frames/{scene}/{tick:int}", group="{scene}")
notes = app.pool("/notes/{text}", group=covey.pattern("/notes/(?P<group>[a-z]+)"), durable=True)
zones = app.pool("/zones/{zone}", group="{zone}", strict=True)
read = app.pool("/read/{scene}/{tick:int}")
SCENES = ("north", "south", "east", "west")


@app.stage(on=frames, emits=read)
async def look(batch: Batch) -> None:
    for task in batch:
        version = task.trigger.value
        found = await task.get(notes, text=f"{task.trigger.scene}-1", version=version)
        task.emit(read, None if found is None else found.value)


async def test_an_object_is_read_as_it_was() -> None:
    """By wall clock: what was current then, None before the first, and never what has yet to come."""
    async with app.test_client() as mesh:
        beginning = time.time()
        await mesh.put(notes, 1, text="s")
        between = time.time()
        await mesh.put(notes, 2, text="s")

        was = await mesh.client.get("/notes/s", at=between)
        now = await mesh.client.get("/notes/s", at=time.time())
        before = await mesh.client.get("/notes/s", at=beginning)
        several = await mesh.client.get_many(["/notes/s", "/notes/never"], at=between)
        with pytest.raises(InvalidArgument, match="in the future"):
            await mesh.client.get("/notes/s", at=time.time() + 60)

    assert [each.value for each in (was, now) if each is not None] == [1, 2]
    assert before is None
    assert ([each.value for each in several], several.complete) == ([1], True)


async def test_pools_with_the_same_group_live_on_one_node_and_are_read_at_once() -> None:
    """Frames and notes of a scene share a group, which is one read of one node, whatever the number of nodes."""
    async with app.test_client(nodes=3) as mesh:
        for scene in SCENES:
            await mesh.put(frames, 0, scene=scene, tick=4)
            await mesh.put(notes, 7, text=f"{scene}-1")
        found = [await mesh.client.whole_group(scene) for scene in SCENES]
        nobody = await mesh.client.whole_group("nobody")

    assert [[each.key for each in whole] for whole in found] == [
        [f"/frames/{scene}/4", f"/notes/{scene}-1"] for scene in SCENES
    ]
    assert [whole[1].value for whole in found] == [7] * len(SCENES)
    assert len(nobody) == 0


async def test_several_keys_come_in_their_order() -> None:
    """Wherever their groups live; a key without an object is left out, and a strict pool refuses several groups."""
    async with app.test_client(nodes=3) as mesh:
        for scene in SCENES:
            await mesh.put(frames, scene, scene=scene, tick=1)
            await mesh.put(zones, scene, zone=scene)
        found = await mesh.client.get_many(["/frames/west/1", "/frames/west/2", "/frames/north/1", "/frames/east/1"])
        together = await mesh.client.get_many(["/zones/west", "/frames/west/1"])
        with pytest.raises(InvalidArgument, match="several groups") as refused:
            await mesh.client.get_many(["/zones/west", "/zones/north"])

    assert [each.value for each in found] == ["west", "north", "east"]
    assert [each.value for each in together] == ["west", "west"]
    assert refused.value.reason is Reason.NO_GROUP


async def test_a_stage_reads_a_version() -> None:
    """`task.get` takes the version that it is told, or the current one."""
    async with app.test_client() as mesh:
        first = await mesh.put(notes, "first", text="s-1")
        await mesh.put(notes, "second", text="s-1")
        old = await mesh.send(frames, first.version, scene="s", tick=1)
        current = await mesh.send(frames, 0, scene="s", tick=2)

    assert old.objects(read)[0].value == "first"
    assert current.objects(read)[0].value == "second"

"""What tasks read is recorded along its real way, and the rules that follow from it are those written by hand."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

import covey
from covey.declaration import Declaration
from covey.errors import Status
from covey.evidence import Evidence, count
from covey.model import ObjectName, Scope, TaskReads
from covey.services.scheduler.metadata import READS_KEPT, ValkeyMetadata
from covey.suggesting import Suggestion, suggest, with_rules
from covey.valkey import Client, ValkeyRegistry
from tests import builders_collisions as builders

pytestmark = pytest.mark.asyncio

TICKS = 40
SEEN: dict[str, list[TaskReads]] = {}
"""Data set -> what was recorded of it, once for all tests."""


def rules_of(found: Suggestion) -> dict[str, str | None]:
    return {each.pool.name: each.group for each in found.pools}


def partition(declaration: Declaration, records: list[TaskReads]) -> set[frozenset[str]]:
    """The groups that the keys seen fall into by the rules of a declaration."""
    groups: dict[str, set[str]] = {}
    for name, keys in Evidence(declaration, records).values.items():
        pool = declaration.pool(name)
        for key in keys:
            groups.setdefault(pool.group_of(key, pool.fields_of(key))[0], set()).add(key)
    return {frozenset(keys) for keys in groups.values()}


# --- the collision pipeline ------------------------------------------------------------------------------------------


async def collision_reads(track: str) -> list[TaskReads]:
    """What the tasks of a stretch of a data set read, without any rule."""
    pytest.importorskip("torch", reason="the model needs torch: pip install 'covey[worker]'")
    if track in SEEN:
        return SEEN[track]
    from examples.collisions.pipeline import ungrouped
    from examples.collisions.tracks import load

    replay = builders.adsb(track) if track in ("quickstart", "switzerland") else load([builders.pedestrians(track)])
    first = replay.frames[len(replay.frames) // 3].tick
    frames = [frame for frame in replay.frames if first <= frame.tick < first + TICKS]
    async with ungrouped.test_client(nodes=2, workers=2) as mesh:
        async with mesh.client.stream() as stream:
            pending = [
                await stream.send(f"/observations/{frame.scene}/{frame.tick}", frame.positions, deadline_s=60.0)
                for frame in frames
            ]
            outcomes = [await each for each in pending]
        assert {outcome.status for outcome in outcomes} == {Status.OK}
        SEEN[track] = await mesh.reads()
    return SEEN[track]


def by_hand() -> Declaration:
    """The ungrouped pipeline with the rules of the grouped one."""
    from examples.collisions.pipeline import app, ungrouped

    rules = {pool.name: pool.group or None for pool in app.declaration().pools}
    return with_rules(ungrouped.declaration(), rules)


async def test_the_collision_rules_are_found_and_hold_for_other_scenes() -> None:
    """Rules found in one sky partition the keys seen as ours do; of scenes never seen they are as good as ours."""
    from examples.collisions.pipeline import ungrouped

    records = await collision_reads("quickstart")
    found = suggest(ungrouped.declaration(), records)
    suggested = with_rules(ungrouped.declaration(), rules_of(found))

    assert partition(suggested, records) == partition(by_hand(), records)
    assert found.now.remote > 0
    assert found.then.remote == 0
    for track in ("sdd_gates_3", "switzerland"):
        unseen = await collision_reads(track)
        theirs, ours = count(suggested, unseen), count(by_hand(), unseen)
        assert theirs.remote <= ours.remote == 0
        assert theirs.groups >= ours.groups


@pytest.mark.parametrize("track", builders.PEDESTRIANS)
async def test_one_scene_of_pedestrians_is_enough(track: str) -> None:
    """A single scene suggests rules that partition its keys as ours do, and serve a sky of many sectors as well."""
    from examples.collisions.pipeline import ungrouped

    records = await collision_reads(track)
    suggested = with_rules(ungrouped.declaration(), rules_of(suggest(ungrouped.declaration(), records)))

    assert partition(suggested, records) == partition(by_hand(), records)
    unseen = await collision_reads("quickstart")
    theirs, ours = count(suggested, unseen), count(by_hand(), unseen)
    assert theirs.remote <= ours.remote == 0
    assert theirs.groups >= ours.groups


# --- data that only the input can name -------------------------------------------------------------------------------


def categories() -> covey.Pipeline:
    """Entry, category, output: an entry and its data say which category's data is read."""
    app = covey.Pipeline("categories", objective_s=5.0)
    entries = app.pool("/entry/{obj}")
    entry_data = app.pool("/entry-data/{i:int}")
    news = app.pool("/category/new/{category}/{obj}")
    data = app.pool("/category/data/{category}/{i:int}")
    outputs = app.pool("/category/output/{category}/{obj}")

    @app.stage(on=entries, emits=news, batch_max=8)
    async def enter(batch: covey.Batch) -> None:
        for task in batch:
            found = await asyncio.gather(*[task.get(entry_data, i=i) for i in range(5)])
            category = (task.trigger.value + sum(each.value for each in found if each)) % 4
            task.emit(news, task.trigger.value, category=f"c{category}")

    @app.stage(on=news, emits=outputs, batch_max=8)
    async def categorise(batch: covey.Batch) -> None:
        for task in batch:
            found = await asyncio.gather(*[task.get(data, i=i) for i in range(6)])
            task.emit(outputs, sum(each.value for each in found if each))

    return app


async def category_reads(inputs: range) -> list[TaskReads]:
    async with categories().test_client(nodes=2, workers=2) as mesh:
        for i in range(5):
            await mesh.put("entry-data", i, i=i)
        for category in range(4):
            for i in range(6):
                await mesh.put("category-data", i, category=f"c{category}", i=i)
        for number in inputs:
            await mesh.send("entry", number, obj=f"o{number}")
        return await mesh.reads()


async def test_reads_that_stages_make_by_themselves_are_recorded() -> None:
    """Reads by `task.get` count like needs: the hand-written rules of the second workload are found, and hold."""
    declaration = categories().declaration()
    hand_written = {"entry-data": "entry", "category-new": "{category}", "category-data": "{category}"}
    ours = with_rules(declaration, hand_written)
    records = await category_reads(range(30))
    suggested = with_rules(declaration, rules_of(suggest(declaration, records)))

    assert len(records) == 60
    assert partition(suggested, records) == partition(ours, records)
    unseen = await category_reads(range(30, 60))
    assert count(suggested, unseen).remote == count(ours, unseen).remote == 0
    assert count(suggested, unseen).groups >= count(ours, unseen).groups


async def synthetic_reads(numbers: range) -> list[TaskReads]:
    """What the tasks of the benchmark's synthetic protocol read, without any rule."""
    from benchmarks.grouping import synthetic

    async with synthetic.ungrouped.test_client(nodes=2, workers=2) as mesh:
        for key, payload in synthetic.data():
            await mesh.client.put(key, payload)
        last = synthetic.ENTRY_PIECES - 1
        for number in numbers:
            await mesh.client.send(f"/entry/r{number}/{last}", b"%d" % number, deadline_s=60.0)
        return await mesh.reads()


async def test_the_rules_of_the_benchmarks_synthetic_protocol_are_found_and_hold() -> None:
    """What its stages read falls into the groups that were written by hand, for requests never seen too."""
    from benchmarks.grouping import synthetic

    declaration = synthetic.ungrouped.declaration()
    ours = with_rules(declaration, {each.name: each.group or None for each in synthetic.grouped.declaration().pools})
    records = await synthetic_reads(range(40))
    suggested = with_rules(declaration, rules_of(suggest(declaration, records)))

    def of_data(of: Declaration) -> set[frozenset[str]]:
        return {keys for keys in partition(of, records) if any(key.startswith("/data/") for key in keys)}

    def read(groups: set[frozenset[str]]) -> set[frozenset[str]]:
        return {frozenset(key for key in keys if key.startswith("/data/")) for keys in groups}

    assert read(of_data(suggested)) == read(of_data(ours))
    unseen = await synthetic_reads(range(40, 60))
    theirs, mine = count(suggested, unseen), count(ours, unseen)
    assert theirs.remote == mine.remote == 0
    assert theirs.groups >= mine.groups


# --- where records are kept, and the command that reads them ---------------------------------------------------------

SCOPE = Scope("default", "categories")
AWKWARD = Scope("a:b", "p{q}")


def told(number: int) -> TaskReads:
    data = [ObjectName("category-data", f"/category/data/c{number % 4}/{i}") for i in range(6)]
    return TaskReads("categorise", ObjectName("category-new", f"/category/new/c{number % 4}/{number}"), True, (*data,))


async def test_records_come_back_in_order_and_the_oldest_give_way(client: Client) -> None:
    """What was recorded is what is read, by pipeline, and no more than the newest are kept."""
    metadata = ValkeyMetadata(client)
    assert await metadata.reads(SCOPE) == []
    join = TaskReads("join", None, False, ())
    await metadata.record_reads(SCOPE, [join])
    await metadata.record_reads(SCOPE, [told(number) for number in range(3)])
    await metadata.record_reads(AWKWARD, [told(9)])

    assert await metadata.reads(SCOPE) == [join, told(0), told(1), told(2)]
    assert await metadata.reads(AWKWARD) == [told(9)]
    await metadata.record_reads(SCOPE, [told(7)] * READS_KEPT)
    kept = await metadata.reads(SCOPE)
    assert (len(kept), kept[0]) == (READS_KEPT, told(7))


async def run(*arguments: str, url: str = "") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `covey suggest <arguments>`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "covey.cli", "suggest", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"COLUMNS": "160", "PYTHONPATH": ".", "PATH": ""} | ({"COVEY_REDIS_URL": url} if url else {}),
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
async def test_the_command_prints_lines_to_paste(server: str, client: Client) -> None:
    """The rules, what each saves, and the same for programs; the only pipeline need not be named."""
    await ValkeyRegistry(client).publish("default", categories().declaration())
    assert (await run(url=server))[:2][0] == 1  # nothing has been recorded yet
    await ValkeyMetadata(client).record_reads(SCOPE, [told(number) for number in range(40)])

    code, out, err = await run(url=server)
    assert (code, err) == (0, "")
    line = 'category_data = app.pool("/category/data/{category}/{i:int}", group="{category}")'
    assert f"{line}   # saves 200 of 200 remote reads" in out
    assert 'category_new = app.pool("/category/new/{category}/{obj}", group="{category}")' in out

    code, out, _ = await run("categories", "--json", "--redis-url", server)
    printed = json.loads(out)
    assert (code, printed["now"]["remote"], printed["then"]["remote"], printed["then"]["groups"]) == (0, 200, 0, 4)
    assert {pool["pool"]: pool["group"] for pool in printed["pools"]} == {
        "category-new": "{category}",
        "category-data": "{category}",
    }


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
async def test_the_command_says_what_it_lacks(server: str, client: Client) -> None:
    """Without a server the command line is wrong; without the pipeline the mesh says no."""
    code, _, err = await run()
    assert (code, "--redis-url" in err) == (2, True)
    code, _, err = await run("nobody", url=server)
    assert (code, "there is no pipeline 'nobody'" in err) == (1, True)

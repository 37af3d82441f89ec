"""The whole mesh in one process, through what users write: what comes out is what the pipeline means."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import covey
from covey.batch import Batch
from covey.declare import Pipeline
from covey.errors import DeadlineExceeded, InvalidArgument, NotFound, Reason, StageFailed, Status, VersionConflict
from covey.model import INLINE_BYTES_MAX
from covey.testing import Mesh
from examples.quickstart import pipeline as quickstart

SCENES = ("north", "south")
TICKS = 6
ACTORS = 3


@pytest.mark.asyncio
async def test_the_quickstart_runs() -> None:
    """A reading far from the last four raises an alarm, and one near to them does not."""
    async with quickstart.app.test_client() as mesh:
        verdicts = []
        for minute, degrees in enumerate([20.0, 20.5, 21.0, 40.0]):
            result = await mesh.send(quickstart.readings, degrees, sensor="kitchen", minute=minute)
            (verdict,) = result.objects(quickstart.verdicts)
            verdicts.append(verdict.value)

    assert [verdict["alarm"] for verdict in verdicts] == [False, False, False, True]
    assert verdicts[3]["departure"] == pytest.approx(14.625)


class Mean:
    """A model in numpy: the mean of a history."""

    def load(self, device: str) -> None:
        self.loaded = True

    def __call__(self, history: Any, mask: Any) -> Any:
        assert self.loaded
        return history.sum(axis=1) / mask.sum(axis=1)[:, None]


def collisions(grouped: bool) -> Pipeline:
    """State, a fan-out, histories, a model and a join: the shape of the collision example."""

    def group(text: str) -> str | None:
        return text if grouped else None

    app = covey.Pipeline("collisions", objective_s=1.0)
    observations = app.pool("/observations/{scene}/{tick:int}", group=group("{scene}"))
    counts = app.pool("/counts/{scene}", group=group("{scene}"))
    positions = app.pool("/positions/{scene}/{actor}/{tick:int}", group=group("{scene}/{actor}"), codec="array")
    smooth = app.pool("/smooth/{scene}/{tick:int}/{actor}", group=group("{scene}/{tick}"))
    sums = app.pool("/sums/{scene}/{tick:int}")

    @app.stage(on=observations, needs=counts.latest(), emits=[positions, counts])
    def track(batch: Batch) -> None:
        for task in batch:
            state = task.needs[counts]
            count = 1 if state is None else state.value + 1
            for actor, row in enumerate(task.trigger.value):
                task.emit(positions, row + count, actor=f"a{actor}")
            task.emit(counts, count)

    @app.stage(on=positions, needs=positions.last(3), emits=smooth, model=Mean, batch_max=8)
    def predict(batch: Batch, model: Mean) -> None:
        history, mask = (np.asarray(each) for each in batch.stack(positions))
        for task, mean in zip(batch, model(history, mask), strict=True):
            task.emit(smooth, mean)

    @app.stage(on=smooth.all_of(by=["scene", "tick"]), emits=sums)
    def collide(batch: Batch) -> None:
        for task in batch:
            actors = [member.actor for member in task.members]
            task.emit(sums, [actors, float(sum(member.value.sum() for member in task.members))])

    return app


def expected(tick: int) -> float:
    """What `collide` emits at a tick: the sum over actors of the mean of up to three positions, of two numbers each."""
    rows = [
        [scale * 10.0 + at + (at + 1) for at in range(max(0, tick - 2), tick + 1)] for scale in range(ACTORS)
    ]  # position + count, where count is tick + 1
    return sum(2 * sum(row) / len(row) for row in rows)


async def replay(mesh: Mesh) -> dict[tuple[str, int], Any]:
    """Send every scene's ticks in order, the scenes at once; what `collide` found for each."""
    found: dict[tuple[str, int], Any] = {}

    async def play(scene: str) -> None:
        for tick in range(TICKS):
            rows = np.array([[scale * 10.0 + tick] * 2 for scale in range(ACTORS)])
            result = await mesh.send("observations", rows, scene=scene, tick=tick)
            (total,) = result.objects("sums")
            found[total.scene, total.tick] = total.value

    async with asyncio.TaskGroup() as group:
        for scene in SCENES:
            group.create_task(play(scene))
    return found


@pytest.mark.asyncio
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("nodes", "workers"), [(1, 1), (3, 2)])
async def test_groups_nodes_and_workers_change_nothing(grouped: bool, nodes: int, workers: int) -> None:
    """State, histories and joins come to the same with and without group rules, on any number of nodes and workers."""
    async with collisions(grouped).test_client(nodes=nodes, workers=workers) as mesh:
        found = await replay(mesh)

    actors = [f"a{actor}" for actor in range(ACTORS)]
    assert found.keys() == {(scene, tick) for scene in SCENES for tick in range(TICKS)}
    for (_, tick), (members, total) in found.items():
        assert members == actors
        assert total == pytest.approx(expected(tick), rel=1e-5)


@pytest.mark.asyncio
async def test_events_of_one_state_that_are_sent_at_once_are_all_counted() -> None:
    """A stateful stage runs one task per state at a time, so that concurrent events lose no update."""
    async with collisions(True).test_client(nodes=2, workers=2) as mesh:
        async with asyncio.TaskGroup() as group:
            for tick in range(20):
                group.create_task(mesh.send("observations", np.zeros((1, 2)), scene="north", tick=tick))
        counted = await mesh.get("counts", scene="north")

    assert counted is not None
    assert counted.value == 20


# --- a pipeline whose stage does what its event says ------------------------------------------------------------------

app = covey.Pipeline("orders", objective_s=1.0)
orders = app.pool("/orders/{shop}/{number:int}", group="{shop}")
notes = app.pool("/notes/{shop}", codec="bytes", durable=True)
done = app.pool("/done/{shop}/{number:int}")
released = threading.Event()


@app.stage(on=orders, needs=orders.at(-1), emits=done, batch_max=4)
async def work(batch: Batch) -> None:
    for task in batch:
        match task.trigger.value:
            case "raise":
                raise RuntimeError("a secret of the stage")
            case "fail":
                task.fail("out of stock")
            case "note":
                note = await task.get(notes)
                task.emit(done, None if note is None else note.value)
            case "previous":
                task.emit(done, [each.value for each in task.needs[orders]])
            case "wait":
                released.wait(10)
            case value:
                task.emit(done, value)


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Let go of a stage that waits, whatever becomes of the test."""
    released.clear()
    yield released
    released.set()


@pytest.mark.asyncio
async def test_a_stage_that_raises_is_the_caller_s_error_without_its_secrets() -> None:
    """An exception of a stage is StageFailed with the stage's name, and nothing of the exception itself."""
    async with app.test_client() as mesh:
        with pytest.raises(StageFailed, match="'?work'?") as caught:
            await mesh.send(orders, "raise", shop="s", number=1)
        assert "secret" not in caught.value.message
        with pytest.raises(StageFailed, match="out of stock"):
            await mesh.send(orders, "fail", shop="s", number=2)


@pytest.mark.asyncio
async def test_a_stage_reads_what_it_could_not_name() -> None:
    """`task.get` finds an object on any node, and None where there is none."""
    async with app.test_client(nodes=2) as mesh:
        missing = await mesh.send(orders, "note", shop="s", number=1)
        await mesh.put(notes, b"closed on Mondays", shop="s")
        there = await mesh.send(orders, "note", shop="s", number=2)

    assert missing.objects(done)[0].value is None
    assert there.objects(done)[0].value == b"closed on Mondays"


@pytest.mark.asyncio
async def test_needs_at_an_offset_are_as_of_the_trigger() -> None:
    """`at(-1)` is the object before the trigger's, whatever came later."""
    async with app.test_client() as mesh:
        for number, value in ((1, "one"), (2, "two"), (3, "three")):
            await mesh.put(orders, value, shop="s", number=number)
        result = await mesh.send(orders, "previous", shop="s", number=2)

    assert result.objects(done)[0].value == ["one"]


def packing(missing: str) -> Pipeline:
    """Baskets of parts, each of which is checked, and packed when all are."""
    pipeline = covey.Pipeline("packing", objective_s=1.0)
    baskets = pipeline.pool("/baskets/{number:int}")
    parts = pipeline.pool("/parts/{number:int}/{part}")
    checked = pipeline.pool("/checked/{number:int}/{part}")
    packed = pipeline.pool("/packed/{number:int}")

    @pipeline.stage(on=baskets, emits=parts)
    def unpack(batch: Batch) -> None:
        for task in batch:
            for name in task.trigger.value:
                task.emit(parts, name, part=name)

    @pipeline.stage(on=parts, emits=checked, batch_max=4)
    def check(batch: Batch) -> None:
        for task in batch:
            if task.trigger.part == "bad":
                task.fail("a bad part")
            task.emit(checked, task.trigger.value)

    @pipeline.stage(on=checked.all_of(by=["number"], missing=missing), emits=packed)
    def pack(batch: Batch) -> None:
        for task in batch:
            task.emit(packed, [[member.part for member in task.members], task.complete])

    return pipeline


@pytest.mark.asyncio
async def test_a_join_that_may_fire_runs_with_what_is_there() -> None:
    """With missing="fire" a failed sibling leaves the join incomplete and the outcome OK, and both say so."""
    async with packing("fire").test_client(workers=2) as mesh:
        whole = await mesh.send("baskets", ["b", "a"], number=1)
        partial = await mesh.send("baskets", ["a", "bad"], number=2)

    assert whole.objects("packed")[0].value == [["a", "b"], True]
    assert not whole.incomplete
    assert partial.status is Status.OK
    assert partial.incomplete
    assert partial.objects("packed")[0].value == [["a"], False]


@pytest.mark.asyncio
async def test_a_join_that_may_not_fire_ends_its_cascade() -> None:
    """With missing="drop" a failed sibling is the event's failure, and the join does not run."""
    async with packing("drop").test_client(workers=2) as mesh:
        with pytest.raises(StageFailed, match="a bad part"):
            await mesh.send("baskets", ["a", "bad"], number=2)
        packed = await mesh.get("packed", number=2)

    assert packed is None


@pytest.mark.asyncio
async def test_large_payloads_travel_apart() -> None:
    """An event and a result over the inline limit arrive whole."""
    large = "x" * (3 * INLINE_BYTES_MAX)
    async with app.test_client(nodes=2) as mesh:
        result = await mesh.send(orders, large, shop="s", number=1)

    assert result.outcome.results[0].payload is None
    assert result.objects(done)[0].value == large


@pytest.mark.asyncio
async def test_puts_and_gets_are_versioned() -> None:
    """Versions grow, old ones can be asked for while they are kept, and an optimistic put refuses a stale one."""
    async with app.test_client() as mesh:
        first = await mesh.put(notes, b"1", previous_version=0, shop="s")
        second = await mesh.put(notes, b"2", previous_version=first.version, shop="s")
        with pytest.raises(VersionConflict):
            await mesh.put(notes, b"3", previous_version=first.version, shop="s")
        latest = await mesh.get(notes, shop="s")
        nobody = await mesh.get(notes, shop="nobody")

    assert second.version > first.version
    assert latest is not None
    assert (latest.value, latest.version, latest.shop) == (b"2", second.version, "s")
    assert nobody is None


@pytest.mark.asyncio
async def test_the_last_of_a_series_come_from_every_node() -> None:
    """Without a group rule a series is spread over the nodes, and `last` gathers it in index order."""
    async with collisions(False).test_client(nodes=3) as mesh:
        for tick in range(9):
            await mesh.put("positions", [float(tick), 0.0], scene="s", actor="a", tick=tick)
        found = await mesh.last("positions", 4, scene="s", actor="a")

    assert [each.tick for each in found] == [5, 6, 7, 8]
    assert found.complete


@pytest.mark.asyncio
async def test_a_subscription_sees_what_is_put_and_emitted() -> None:
    """Objects of a pool are streamed from the subscription on, whoever puts them."""
    async with app.test_client(nodes=2) as mesh, mesh.subscribe(done) as objects:
        await mesh.put(done, "put", shop="s", number=1)
        seen = [(await anext(objects)).value]
        await mesh.send(orders, "sent", shop="s", number=2)
        seen.append((await anext(objects)).value)

    assert seen == ["put", "sent"]


@pytest.mark.asyncio
async def test_a_late_event_has_an_outcome_in_time(held: threading.Event) -> None:
    """An event whose stage hangs is DEADLINE_EXCEEDED at its deadline, not when the stage comes back."""
    async with app.test_client() as mesh:
        started = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await mesh.send(orders, "wait", deadline_s=0.2, shop="s", number=1)
        elapsed = asyncio.get_running_loop().time() - started
        held.set()

    assert elapsed < 1.0


@pytest.mark.asyncio
async def test_an_event_can_be_taken_back(held: threading.Event) -> None:
    """A cancelled event's outcome is CANCELLED; an event that is not open is not found."""
    async with app.test_client() as mesh:
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(outcome_of(mesh.send(orders, "wait", id="order-1", shop="s", number=1)))
            while not await mesh.cancel("order-1"):  # noqa: ASYNC110  it has not been admitted yet
                await asyncio.sleep(0)
            reason = await sent
            held.set()
        again = await mesh.cancel("order-1")

    assert reason is Reason.CANCELLED
    assert not again


async def outcome_of(sending: Any) -> Reason | None:
    """The reason of the error that sending raises; None if it does not."""
    try:
        await sending
    except covey.CoveyError as error:
        return error.reason
    return None


@pytest.mark.asyncio
async def test_the_same_id_runs_once() -> None:
    """An event that is sent again with its id has the outcome that it had, and runs no stage again."""
    async with collisions(True).test_client() as mesh:
        for _ in range(3):
            result = await mesh.send("observations", np.zeros((1, 2)), id="e1", scene="s", tick=1)
            assert len(result.objects("sums")) == 1
        counted = await mesh.get("counts", scene="s")

    assert counted is not None
    assert counted.value == 1


@pytest.mark.asyncio
async def test_wrong_names_and_fields_are_clear_errors() -> None:
    """A field that the pool lacks, and a key of no pool, say what there is."""
    async with app.test_client() as mesh:
        with pytest.raises(InvalidArgument, match="has no field 'shops'"):
            await mesh.send(orders, 1, shops="s", number=1)
        with pytest.raises(InvalidArgument, match="needs the field 'number'"):
            await mesh.send(orders, 1, shop="s")
        with pytest.raises(NotFound, match="templates"):
            await mesh.client.send("/nowhere/1", 1)


@pytest.mark.asyncio
async def test_a_test_s_own_errors_come_through_plain() -> None:
    """What the body of the `async with` raises is not wrapped in a group, and every task has ended."""

    async def fail_within() -> None:
        async with app.test_client(nodes=2, workers=2) as mesh:
            await mesh.put(notes, b"1", shop="s")
            raise ZeroDivisionError

    before = len(asyncio.all_tasks())
    with pytest.raises(ZeroDivisionError):
        await fail_within()

    assert len(asyncio.all_tasks()) == before

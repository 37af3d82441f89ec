"""What a stage receives and what it gives back."""

import asyncio
from typing import Any

import numpy as np
import pytest

from covey.batch import Batch, EmittedObject, TaskInputs, TaskOutput
from covey.codec import decode, encode
from covey.declaration import Codec, Declaration
from covey.declare import Pipeline, Pool, pattern
from covey.errors import InvalidArgument, NotFound
from covey.messages import Task
from covey.model import ObjectRef, ObjectValue

Fields = tuple[tuple[str, str | int], ...]


class Model:
    def load(self, device: str) -> None: ...

    def __call__(self, history: Any) -> Any: ...


app = Pipeline("collisions", objective_s=0.2)
observations = app.pool("/observations/{scene}/{tick:int}", group="{scene}")
tracks = app.pool("/tracks/{scene}", group="{scene}")
positions = app.pool("/positions/{scene}/{actor}/{tick:int}", group="{scene}/{actor}", codec="array")
predictions = app.pool("/predictions/{scene}/{tick:int}/{actor}", group=pattern("^/predictions/(?P<group>[^/]+/[^/]+)"))
alerts = app.pool("/alerts/{scene}/{tick:int}/{pair}")


@app.stage(on=observations, needs=[tracks.latest(), observations.at(-2, 0)], emits=[positions, tracks])
def track(batch: Batch) -> None: ...


@app.stage(on=positions, needs=positions.last(3), emits=predictions, model=Model, batch_max=32)
def predict(batch: Batch, model: Model) -> None: ...


@app.stage(on=predictions.all_of(by=["scene", "tick"]), emits=alerts)
def collide(batch: Batch) -> None: ...


DECLARATION: Declaration = app.declaration()


def stored(pool: Pool, key: str, value: Any, version: int = 1) -> ObjectValue:
    return ObjectValue(ObjectRef(pool.name, key, "g", version), encode(pool.declaration.codec, value))


def task(*fields: tuple[str, str | int], incomplete: bool = False) -> Task:
    return Task(1, bytes(16), "e", None, (), (), fields, deadline=1.0, incomplete=incomplete)


def position(tick: int) -> ObjectValue:
    return stored(positions, f"/positions/s/a/{tick}", np.full(2, tick, np.float32))


def predicting(tick: int, *history: int, complete: bool = True) -> TaskInputs:
    fields: Fields = (("scene", "s"), ("actor", "a"), ("tick", tick))
    needs = {"positions": tuple(position(each) for each in history)}
    return TaskInputs(task(*fields), position(tick), (), needs, complete)


def tracking(tick: int, state: ObjectValue | None = None, seen: tuple[int, ...] = ()) -> TaskInputs:
    found = {
        "tracks": () if state is None else (state,),
        "observations": tuple(stored(observations, f"/observations/s/{at}", [float(at)]) for at in seen),
    }
    trigger = stored(observations, f"/observations/s/{tick}", [1.0, 2.0])
    return TaskInputs(task(("scene", "s"), ("tick", tick)), trigger, (), found, True)


def joining(tick: int, *actors: str, incomplete: bool = False) -> TaskInputs:
    members = tuple(stored(predictions, f"/predictions/s/{tick}/{actor}", [1.0, 2.0]) for actor in actors)
    return TaskInputs(task(("scene", "s"), ("tick", tick), incomplete=incomplete), None, members, {}, True)


def test_objects_have_typed_fields_and_a_decoded_value() -> None:
    """A trigger's key fields are attributes, typed, and its value is decoded once."""
    batch = Batch(DECLARATION, "predict", [predicting(7, 6, 7)])
    trigger = batch[0].trigger

    assert (trigger.scene, trigger.actor, trigger.tick) == ("s", "a", 7)
    assert dict(trigger.fields) == {"scene": "s", "actor": "a", "tick": 7}
    assert (trigger.key, trigger.version) == ("/positions/s/a/7", 1)
    assert trigger.value.tolist() == [7.0, 7.0]
    assert trigger.value is trigger.value
    with pytest.raises(AttributeError, match="has no field 'pair'; it has scene, actor, tick"):
        _ = trigger.pair


def test_needs_are_found_by_pool_or_name() -> None:
    """`needs` takes a pool or its name: objects in index order, or for `latest()` the one object or None."""
    state = stored(tracks, "/tracks/s", {"next": 3}, version=9)
    first, second = Batch(DECLARATION, "track", [tracking(1), tracking(2, state)])

    assert first.needs[tracks] is None
    assert second.needs["tracks"].value == {"next": 3}
    assert second.needs[tracks].version == 9
    assert [each.tick for each in Batch(DECLARATION, "predict", [predicting(7, 5, 6)])[0].needs[positions]] == [5, 6]
    with pytest.raises(InvalidArgument, match=r"'track' needs tracks, observations, not 'alerts'"):
        _ = first.needs[alerts]


def test_a_join_has_members_in_key_order_and_no_trigger() -> None:
    """A join's members come in key order whatever order they were read in; trigger and members exclude each other."""
    joined = Batch(DECLARATION, "collide", [joining(3, "b", "a", "c")])[0]

    assert [member.actor for member in joined.members] == ["a", "b", "c"]
    with pytest.raises(InvalidArgument, match="see `members`"):
        _ = joined.trigger
    with pytest.raises(InvalidArgument, match="see `trigger`"):
        _ = Batch(DECLARATION, "predict", [predicting(1)])[0].members


def test_a_task_knows_whether_it_is_complete() -> None:
    """An input that was lost, and a join that fired without what was missing, make a task incomplete."""
    assert Batch(DECLARATION, "predict", [predicting(1)])[0].complete
    assert not Batch(DECLARATION, "predict", [predicting(1, complete=False)])[0].complete
    assert not Batch(DECLARATION, "collide", [joining(1, "a", incomplete=True)])[0].complete


def test_emissions_inherit_fields_and_are_grouped_by_their_pool() -> None:
    """Fields default to the trigger's or the join's; the group is what the pool's own rule says, else the key."""
    batch = Batch(DECLARATION, "predict", [predicting(1), predicting(2)])
    batch[0].emit(predictions, [1.0])
    batch[0].emit("predictions", [2.0], actor="b", tick=np.int64(5))
    joined = Batch(DECLARATION, "collide", [joining(3, "a")])
    joined[0].emit(alerts, {}, pair="a-b")

    assert batch.outputs() == [
        TaskOutput(
            (
                EmittedObject("predictions", "/predictions/s/1/a", "s/1", encode(Codec.MSGPACK, [1.0])),
                EmittedObject("predictions", "/predictions/s/5/b", "s/5", encode(Codec.MSGPACK, [2.0])),
            )
        ),
        TaskOutput(),
    ]
    assert joined.outputs()[0].emissions[0].key == joined.outputs()[0].emissions[0].group == "/alerts/s/3/a-b"


def test_a_value_is_encoded_when_it_is_emitted() -> None:
    """What the stage does to a value after emitting it changes nothing."""
    batch = Batch(DECLARATION, "track", [tracking(1)])
    state = {"next": 1}
    batch[0].emit(tracks, state)
    state["next"] = 2

    assert decode(Codec.MSGPACK, batch.outputs()[0].emissions[0].payload) == {"next": 1}


def test_a_failed_task_emits_nothing() -> None:
    """`fail` ends its task alone and takes back what it emitted."""
    batch = Batch(DECLARATION, "predict", [predicting(1), predicting(2)])
    for each in batch:
        each.emit(predictions, [1.0])
    batch[0].fail("no history")

    assert batch.outputs()[0] == TaskOutput((), "no history")
    assert len(batch.outputs()[1].emissions) == 1


@pytest.mark.parametrize(
    ("pool", "value", "fields", "says"),
    [
        ("alerts", 1, {}, "'predict' emits predictions, not 'alerts'; add it to `emits=`"),
        ("predictions", object(), {}, "'predict' emits into 'predictions': msgpack can't hold"),
        ("predictions", 1, {"tick": "late"}, "'predict' emits into 'predictions': field 'tick' .* is an integer"),
        ("predictions", 1, {"actor": "a/b"}, "with a '/'"),
        ("predictions", 1, {"actr": "b"}, "has no field 'actr'"),
        ("predictions", 1, {"actor": "x" * 2000}, "at most 1024 bytes"),
    ],
)
def test_mistakes_in_an_emission_name_stage_and_pool(pool: str, value: Any, fields: dict[str, Any], says: str) -> None:
    """A wrong pool, field or value is an error at the line that emits, and emits nothing."""
    batch = Batch(DECLARATION, "predict", [predicting(1)])
    with pytest.raises(InvalidArgument, match=says):
        batch[0].emit(pool, value, **fields)
    assert batch.outputs() == [TaskOutput()]


def test_missing_fields_of_an_emission_are_named() -> None:
    """A field that neither the call nor the join gives is asked for."""
    batch = Batch(DECLARATION, "collide", [joining(3, "a")])
    with pytest.raises(InvalidArgument, match="'collide' emits into 'alerts': .* needs the field 'pair'"):
        batch[0].emit(alerts, 1)


def test_histories_are_padded_at_the_front() -> None:
    """`last(3)` of histories of 0, 1 and 3 objects is [3, 3, 2] float32 with the newest last."""
    stack, mask = Batch(DECLARATION, "predict", [predicting(1), predicting(1, 1), predicting(4, 2, 3, 4)]).stack(
        positions
    )

    assert stack.dtype == np.float32
    assert stack[:, :, 0].tolist() == [[0, 0, 0], [0, 0, 1], [2, 3, 4]]
    assert mask.tolist() == [[False, False, False], [False, False, True], [True, True, True]]


def test_offsets_are_stacked_in_their_places() -> None:
    """`at(-2, 0)` keeps a place for each offset, whichever objects there are."""
    batch = Batch(DECLARATION, "track", [tracking(5, seen=(5,)), tracking(6, seen=(4, 6)), tracking(7, seen=())])
    stack, mask = batch.stack(observations)

    assert stack.tolist() == [[[0], [5]], [[4], [6]], [[0], [0]]]
    assert mask.tolist() == [[False, True], [True, True], [False, False]]


def test_members_are_padded_at_the_end_and_states_not_at_all() -> None:
    """A join's members are [tasks, members, ...]; a state is [tasks, ...] with a mask of the tasks that have one."""
    joined, members = Batch(DECLARATION, "collide", [joining(1, "a"), joining(2, "a", "b")]).stack(predictions)
    state = stored(tracks, "/tracks/s", np.ones((2, 2)))
    states, known = Batch(DECLARATION, "track", [tracking(1), tracking(2, state)]).stack(tracks)

    assert joined.shape == (2, 2, 2)
    assert members.tolist() == [[True, False], [True, True]]
    assert states.tolist() == [[[0, 0], [0, 0]], [[1, 1], [1, 1]]]
    assert known.tolist() == [False, True]


def test_a_stack_without_objects_has_no_inner_shape() -> None:
    """Where no task has an object the inner dimensions are unknown, and an empty batch has no tasks."""
    assert [each.shape for each in Batch(DECLARATION, "predict", [predicting(1)]).stack(positions)] == [(1, 3), (1, 3)]
    assert [each.shape for each in Batch(DECLARATION, "track", [tracking(1)]).stack(tracks)] == [(1,), (1,)]


def test_what_cannot_be_stacked_is_a_clear_error() -> None:
    """Shapes that differ, values that are no arrays and pools that the stage doesn't read are named."""
    ragged = [tracking(1, stored(tracks, "/tracks/s", [1.0])), tracking(2, stored(tracks, "/tracks/s", [1.0, 2.0]))]
    with pytest.raises(InvalidArgument, match=r"'track' can't stack 'tracks': .*\(1,\) and \(2,\)"):
        Batch(DECLARATION, "track", ragged).stack(tracks)
    with pytest.raises(InvalidArgument, match="dict is not an array of numbers"):
        Batch(DECLARATION, "track", [tracking(1, stored(tracks, "/tracks/s", {"a": 1}))]).stack(tracks)
    with pytest.raises(NotFound, match="nothing to stack"):
        Batch(DECLARATION, "predict", [predicting(1)]).stack(alerts)


def test_stages_with_a_model_get_tensors_on_their_device() -> None:
    """`stack` gives torch tensors where the stage has a model, and numpy where it has none."""
    torch = pytest.importorskip("torch")
    history, mask = Batch(DECLARATION, "predict", [predicting(1, 1)], device="cpu").stack(positions)
    plain, _ = Batch(DECLARATION, "track", [tracking(1, seen=(1,))], device="cpu").stack(observations)

    assert (history.dtype, mask.dtype, history.device.type) == (torch.float32, torch.bool, "cpu")
    assert isinstance(plain, np.ndarray)


def test_a_task_can_read_what_it_could_not_name() -> None:
    """`get` asks the worker for (pool, key, group, version) and gives the object, or None."""
    asked: list[tuple[str, str, str, int]] = []

    async def read(pool: str, key: str, group: str, version: int) -> ObjectValue | None:
        asked.append((pool, key, group, version))
        return None if "nobody" in key else stored(positions, key, np.zeros(2))

    async def stage() -> tuple[Any, Any]:
        only = Batch(DECLARATION, "predict", [predicting(4)], read=read)[0]
        return await only.get(positions, actor="b", tick=1), await only.get("positions", version=7, actor="nobody")

    found, missing = asyncio.run(stage())

    assert asked == [
        ("positions", "/positions/s/b/1", "s/b", 0),
        ("positions", "/positions/s/nobody/4", "s/nobody", 7),
    ]
    assert found.actor == "b"
    assert missing is None

"""What a user writes: what it compiles to, and every mistake with the line to fix."""

import inspect
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import covey
from covey.declaration import Codec, Join, Missing, Need, NeedKind
from covey.declare import Pipeline
from covey.errors import DeclarationError, NotFound
from covey.loading import load_pipeline


class Model:
    def load(self, device: str) -> None: ...

    def __call__(self, history: Any, mask: Any) -> Any: ...


def stage(batch: Any) -> None: ...


def with_model(batch: Any, model: Model) -> None: ...


@contextmanager
def mistake(*says: str) -> Iterator[None]:
    """Expect a DeclarationError with these words, which ends with the line of the (one-line) `with` block."""
    caller = inspect.currentframe()
    assert caller is not None
    assert caller.f_back is not None
    assert caller.f_back.f_back is not None
    line = caller.f_back.f_back.f_lineno + 1
    with pytest.raises(DeclarationError) as caught:
        yield
    message = caught.value.message
    for words in says:
        assert words in message
    assert message.endswith(f", at {__file__}:{line}")


@pytest.fixture
def app() -> Pipeline:
    return covey.Pipeline("collisions", objective_s=0.2)


def test_the_design_s_pipeline_compiles(app: Pipeline) -> None:
    """The pipeline of the design becomes the declaration that it describes."""
    observations = app.pool("/observations/{scene}/{tick:int}", group="{scene}")
    tracks = app.pool("/tracks/{scene}", group="{scene}")
    positions = app.pool("/positions/{scene}/{actor}/{tick:int}", group="{scene}/{actor}", keep_last=8)
    predictions = app.pool("/predictions/{scene}/{tick:int}/{actor}", group="{scene}/{tick}", ttl_s=10)
    alerts = app.pool("/alerts/{scene}/{tick:int}/{pair}", durable=True, codec="bytes")
    app.stage(on=observations, needs=tracks.latest(), emits=[positions, tracks], name="track")(stage)
    app.stage(on=positions, needs=positions.last(8), emits=predictions, model=Model, batch_max=32, name="predict")(
        with_model
    )
    app.stage(on=predictions.all_of(by=["scene", "tick"]), emits=alerts, name="collide")(stage)

    compiled = app.declaration()

    assert [pool.name for pool in compiled.pools] == ["observations", "tracks", "positions", "predictions", "alerts"]
    assert compiled.pool("alerts").codec is Codec.BYTES
    assert [compiled.pool(name).ttl_s for name in ("tracks", "predictions", "alerts")] == [60.0, 10.0, math.inf]
    assert compiled.stage("track").state_pool == "tracks"
    assert compiled.stage("predict").needs == (Need("positions", NeedKind.LAST, count=8),)
    assert compiled.stage("predict").has_model
    assert compiled.stage("predict").batch_max == 32
    assert compiled.stage("collide").join == Join(("scene", "tick"), Missing.DROP, 0.0)
    assert app.stages["predict"].function is with_model
    assert app.stages["predict"].model is Model


def test_a_declaration_s_version_follows_its_content(app: Pipeline) -> None:
    """Compiling twice gives one version; a change of anything gives another."""
    app.pool("/a/{x}")
    first = app.declaration()
    again = app.declaration()
    app.pool("/b/{x}")

    assert first.version
    assert first == again
    assert app.declaration().version != first.version


def test_the_decorated_function_stays_a_function(app: Pipeline) -> None:
    """A stage can be called by hand, as in a unit test, since the decorator returns it unchanged."""
    decorated = app.stage(on=app.pool("/a/{x}"))(stage)

    assert decorated is stage


@pytest.mark.parametrize(
    ("template", "name"),
    [("/positions/{scene}", "positions"), ("/a/b/{x}/c", "a-b"), ("/all", "all"), ("/v1.2/{x}", "v1.2")],
)
def test_a_pool_is_named_after_its_leading_text(app: Pipeline, template: str, name: str) -> None:
    """The name of a pool defaults to the literal parts that its template starts with."""
    assert app.pool(template).name == name


def test_mistakes_in_a_pipeline() -> None:
    """A pipeline needs a plain name and a positive objective."""
    with mistake("can't name a pipeline"):
        covey.Pipeline("a/b", objective_s=1)
    with mistake("objective_s", "more than 0"):
        covey.Pipeline("a", objective_s=0)


def test_mistakes_in_a_template(app: Pipeline) -> None:
    """A template that can't be read is a mistake at its line."""
    with mistake("must start with '/'"):
        app.pool("positions/{scene}")
    with mistake("the field 'x' twice"):
        app.pool("/a/{x}/{x}")
    with mistake("two ':int' fields"):
        app.pool("/a/{x:int}/{y:int}")
    with mistake("names no pool", "`name=`"):
        app.pool("/{scene}/a")
    with mistake("can't call a field 'id'"):
        app.pool("/images/{id}")
    with mistake("can't name a pool"):
        app.pool("/a/{x}", name="a b")


def test_mistakes_in_a_group(app: Pipeline) -> None:
    """A group rule names fields that the key has, or is an RE2 pattern or a function that exists."""
    with mistake("names 'shop'", "it has scene, tick"):
        app.pool("/a/{scene}/{tick:int}", group="{shop}")
    with mistake("without their types"):
        app.pool("/a/{scene}/{tick:int}", group="{tick:int}")
    with mistake("names no group"):
        app.pool("/a/{scene}", group="")
    with mistake("is not RE2"):
        app.pool("/a/{scene}", group=covey.pattern("(?=a)"))
    with mistake("can't be imported"):
        app.pool("/a/{scene}", group=covey.function("no.such:thing"))
    with mistake("give a `group=` too"):
        app.pool("/a/{scene}", strict=True)


def test_mistakes_in_how_a_pool_keeps(app: Pipeline) -> None:
    """Retention and codec are checked where they are given."""
    with mistake("codec is one of msgpack, array, bytes"):
        app.pool("/a/{x}", codec="pickle")
    with mistake("ttl_s", "more than 0"):
        app.pool("/a/{x}", ttl_s=0)
    with mistake("keep_last", "not -1"):
        app.pool("/a/{x:int}", keep_last=-1)
    with mistake("keep_last=3 counts indices", "has none"):
        app.pool("/a/{x}", keep_last=3)
    with mistake("transient=True keeps nothing"):
        app.pool("/a/{x}", transient=True, durable=True)
    with mistake("latest()", "stored nowhere"):
        app.pool("/a/{x}", transient=True).latest()
    with mistake("all_of", "reads its members"):
        app.pool("/b/{x}", transient=True).all_of(by=["x"])


def test_two_pools_never_match_one_key(app: Pipeline) -> None:
    """A key belongs to one pool, whatever the fields are called, and names are unique."""
    app.pool("/a/{x}/{y}")
    with mistake("'/a/{x}/{y}' (pool 'a') can match the same key"):
        app.pool("/a/{scene}/b", name="b")
    with mistake("there is a pool 'a' already", "`name=`"):
        app.pool("/a/{x}")

    assert app.pool("/a/{x}/{y}/{z}", name="longer").name == "longer"


def test_mistakes_in_a_need(app: Pipeline) -> None:
    """A need follows an index where there is one, reaches only back, and no further than the pool keeps."""
    plain = app.pool("/plain/{x}")
    ordered = app.pool("/ordered/{x}/{tick:int}", keep_last=4)
    with mistake("plain.last(2)", "write `latest()`"):
        plain.last(2)
    with mistake("plain.at(-1)", "write `latest()`"):
        plain.at(-1)
    with mistake("ordered.latest()", "write `last(1)`"):
        ordered.latest()
    with mistake("at least 1"):
        ordered.last(0)
    with mistake("`at` takes offsets"):
        ordered.at()
    with mistake("at most 0"):
        ordered.at(-1, 1)
    with mistake("offsets differ"):
        ordered.at(-1, -1)
    with mistake("reaches 8 objects back and the pool keeps 4"):
        ordered.last(8)
    with mistake("reaches 5 objects back and the pool keeps 4"):
        ordered.at(-4, 0)


def test_mistakes_in_a_join(app: Pipeline) -> None:
    """A join names fields of its pool, and times out only if it may fire without what is missing."""
    pool = app.pool("/a/{x}/{tick:int}")
    with mistake("has no field 'y'; it has 'x', 'tick'"):
        pool.all_of(by=["y"])
    with mistake("names a field twice"):
        pool.all_of(by=["x", "x"])
    with mistake("by=['x']"):
        pool.all_of(by="x")
    with mistake("'drop' or 'fire'"):
        pool.all_of(by=["x"], missing="wait")
    with mistake("missing='fire'"):
        pool.all_of(by=["x"], timeout_s=1)
    with mistake("timeout_s"):
        pool.all_of(by=["x"], missing="fire", timeout_s=-1)


def test_mistakes_in_what_a_stage_names(app: Pipeline) -> None:
    """A stage has a trigger, and names pools of its own pipeline, each once."""
    a, b = app.pool("/a/{x}"), app.pool("/b/{x}")
    stranger = Pipeline("other", objective_s=1).pool("/a/{x}")
    given: Any = "a"
    with mistake("a stage needs a trigger"):
        app.stage(emits=a)
    with mistake("`on` takes a pool", "not 'a'"):
        app.stage(on=given)
    with mistake("`on` takes a pool"):
        app.stage(on=a.latest())  # type: ignore[arg-type]
    with mistake("`needs` takes pool.latest()"):
        app.stage(on=a, needs=b)  # type: ignore[arg-type]
    with mistake("`emits` takes a pool"):
        app.stage(on=a, emits=[b.latest()])  # type: ignore[list-item]
    with mistake("`on` names the pool 'a' of the pipeline 'other'"):
        app.stage(on=stranger)
    with mistake("`needs` names the pool 'a' of the pipeline 'other'"):
        app.stage(on=a, needs=[stranger.latest()])
    with mistake("`needs` names the pool 'b' twice"):
        app.stage(on=a, needs=[b.latest(), b.latest()])(stage)
    with mistake("`emits` names the pool 'b' twice"):
        app.stage(on=a, emits=[b, b])(stage)
    with mistake("batch_max", "at least 1"):
        app.stage(on=a, batch_max=0)(stage)


def test_mistakes_in_a_stage_s_code(app: Pipeline) -> None:
    """The function takes a batch, and the model if there is one; a model can be loaded and called."""
    a = app.pool("/a/{x}")
    instance: Any = Model()
    with mistake("takes (batch), since it has no model"):
        app.stage(on=a)(with_model)
    with mistake("takes (batch, model), since it has a model"):
        app.stage(on=a, model=Model)(stage)
    with mistake("`model` is a class"):
        app.stage(on=a, model=instance)(with_model)
    with mistake("dict has no `load`"):
        app.stage(on=a, model=dict)(with_model)
    with mistake("can't name a stage"):
        app.stage(on=a)(lambda batch: None)
    app.stage(on=a)(stage)
    with mistake("there is a stage 'stage' already, from", "`name=`"):
        app.stage(on=a)(stage)


def test_a_need_s_fields_come_from_the_trigger(app: Pipeline) -> None:
    """A need names its objects by the trigger's fields, a join's needs by the fields of the join."""
    scenes = app.pool("/scenes/{scene}/{tick:int}")
    actors = app.pool("/actors/{scene}/{actor}/{tick:int}")
    weather = app.pool("/weather/{region}")
    ids = app.pool("/ids/{scene}")
    with mistake("'weather' needs the field 'region'", "the trigger '/scenes/{scene}/{tick:int}' doesn't have"):
        app.stage(on=scenes, needs=weather.latest(), name="a")(stage)
    with mistake("'actors' needs the field 'actor'"):
        app.stage(on=scenes, needs=actors.last(3), name="b")(stage)
    with mistake("'actors' needs the field 'actor'", "a join by 'scene', 'tick' doesn't have"):
        app.stage(on=actors.all_of(by=["scene", "tick"]), needs=actors.last(3), name="c")(stage)
    with mistake("relative to the index 'tick'", "no field {tick:int}"):
        app.stage(on=ids, needs=scenes.last(3), name="d")(stage)
    with mistake("relative to the index 'tick'", "a join by 'scene' has no field {tick:int}"):
        app.stage(on=actors.all_of(by=["scene"]), needs=scenes.at(-1), name="e")(stage)

    app.stage(on=actors, needs=[scenes.at(-1, 0), ids.latest()], name="f")(stage)
    app.stage(on=scenes, emits=actors, name="g")(stage)
    app.stage(on=actors.all_of(by=["scene", "tick"]), needs=scenes.last(3), name="h")(stage)

    assert [named.name for named in app.declaration().stages] == ["f", "g", "h"]


def test_mistakes_in_state(app: Pipeline) -> None:
    """A stage has one state pool at most, whose fields the trigger has, and reads nothing that it is about to emit."""
    a = app.pool("/a/{x}/{tick:int}")
    one, two, wide = app.pool("/one/{x}"), app.pool("/two/{x}"), app.pool("/wide/{x}/{y}")
    with mistake("'one', 'two'", "one state pool at most"):
        app.stage(on=a, needs=[one.latest(), two.latest()], emits=[one, two])(stage)
    with mistake("'wide' is its state and needs the field 'y'"):
        app.stage(on=a, needs=wide.latest(), emits=wide)(stage)
    history = app.pool("/history/{x}/{tick:int}")
    with mistake("history.at(-1, 0) reads what the stage is about to emit"):
        app.stage(on=a, needs=history.at(-1, 0), emits=history)(stage)


def test_triggers_form_no_cycle_and_needs_may(app: Pipeline) -> None:
    """The stage that closes a cycle of triggers is refused at its line; the same cycle among needs is fine."""
    a, b = app.pool("/a/{x}"), app.pool("/b/{x}")
    app.stage(on=a, needs=b.latest(), emits=b, name="forth")(stage)
    with mistake("cycle: forth -> back -> forth"):
        app.stage(on=b, emits=a, name="back")(stage)
    with mistake("cycle: self -> self"):
        app.stage(on=a, emits=a, name="self")(stage)

    assert list(app.stages) == ["forth"]


def test_a_join_that_nothing_feeds_is_found_when_compiled(app: Pipeline) -> None:
    """Stages may be declared in any order, so that only `declaration()` knows; it points at the stage's line."""
    a, b = app.pool("/a/{x}"), app.pool("/b/{x}")
    app.stage(on=b.all_of(by=["x"]), name="join")(stage); line = sys._getframe().f_lineno  # fmt: skip  # noqa: E702
    with pytest.raises(DeclarationError, match=r"joins the pool 'b', which no stage emits.*, at .*:" + str(line)):
        app.declaration()
    app.stage(on=a, emits=b, name="feeder")(stage)

    assert app.declaration().stage("join").on == "b"


def test_grouping_changes_nothing_but_the_group(app: Pipeline) -> None:
    """Take every `group=` away and the same objects are named: keys, fields, series, stages and graph are equal."""

    def declared(grouped: bool) -> Any:
        pipeline = Pipeline("p", objective_s=1)
        positions = pipeline.pool("/positions/{scene}/{actor}/{tick:int}", group="{scene}" if grouped else None)
        found = pipeline.pool("/found/{scene}", group=covey.pattern("found/.*") if grouped else None)
        pipeline.stage(on=positions, needs=positions.last(3), emits=found)(stage)
        return pipeline.declaration()

    with_groups, without = declared(True), declared(False)
    key = "/positions/s/a/3"

    assert with_groups.stages == without.stages
    assert with_groups.pool_of_key(key)[1] == without.pool_of_key(key)[1]
    assert with_groups.pool("positions").group_of(key, {"scene": "s", "actor": "a", "tick": 3}) == ("s", True)
    assert without.pool("positions").group_of(key, {"scene": "s", "actor": "a", "tick": 3}) == (key, False)


def test_unknown_names_list_the_known_ones(app: Pipeline) -> None:
    """Asking a declaration for what it lacks says what it has."""
    app.stage(on=app.pool("/a/{x}"))(stage)
    with pytest.raises(NotFound, match="it has a"):
        app.declaration().pool("b")
    with pytest.raises(NotFound, match="it has stage"):
        app.declaration().stage("b")


SOURCE = "import covey\napp = covey.Pipeline('p', objective_s=1)\nother = 3\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a pipeline and a module that imports what is not there."""
    (tmp_path / "some_pipeline.py").write_text(SOURCE)
    (tmp_path / "broken_pipeline.py").write_text("import no_such_module\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_a_pipeline_is_loaded_from_the_current_directory(folder: Path) -> None:
    """`module:app` is found without installing anything."""
    assert load_pipeline("some_pipeline:app").name == "p"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("some_pipeline", "write module:attribute"),
        ("missing_pipeline:app", "no module 'missing_pipeline'"),
        ("some_pipeline:nothing", "has no such name.*some_pipeline:app"),
        ("some_pipeline:other", "is a int there"),
    ],
)
def test_a_pipeline_that_is_not_there_is_a_clear_error(folder: Path, name: str, says: str) -> None:
    """A wrong name says what was looked for, and what there is."""
    with pytest.raises(DeclarationError, match=says):
        load_pipeline(name)


def test_an_import_that_fails_inside_the_user_s_module_comes_through(folder: Path) -> None:
    """What the user's own module can't import is not mistaken for a missing pipeline."""
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_pipeline("broken_pipeline:app")


def test_public_names_are_sorted_and_whole() -> None:
    """`__all__` is sorted, names what `dir` shows, and every name of the library proper resolves."""
    assert covey.__all__ == sorted(covey.__all__) == dir(covey)
    resolved: list[Callable[..., Any]] = [getattr(covey, name) for name in covey.__all__]
    assert all(resolved)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = covey.nothing

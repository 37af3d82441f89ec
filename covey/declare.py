"""What a user writes: a pipeline, its pools and its stages.

    app = covey.Pipeline("collisions", objective_s=0.200)
    positions = app.pool("/positions/{scene}/{actor}/{tick:int}", group="{scene}/{actor}", keep_last=8)
    predictions = app.pool("/predictions/{scene}/{tick:int}/{actor}", group="{scene}/{tick}", ttl_s=10)

    @app.stage(on=positions, needs=positions.last(8), emits=predictions, batch_max=32)
    def predict(batch): ...

A mistake is a DeclarationError when the line runs, as far as that line alone can tell, and otherwise when the pipeline
is compiled; its message ends with the file and the line to fix. The rules themselves are in `covey.mistakes`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from covey import mistakes
from covey.declaration import (
    TRANSIENT_TTL_S,
    TTL_S,
    Codec,
    Declaration,
    Join,
    Missing,
    Need,
    NeedKind,
    PoolDeclaration,
    StageDeclaration,
    graph,
)
from covey.errors import DeclarationError
from covey.grouping import Template

if TYPE_CHECKING:
    from covey.testing import Mesh

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class GroupRuleText:
    """A group rule that is not a template; made by `pattern` and `function`."""

    kind: str
    text: str


def pattern(text: str) -> GroupRuleText:
    """A group that an RE2 pattern finds in the key: its group named `group`, else the whole match, if there is one."""
    return GroupRuleText("pattern", text)


def function(text: str) -> GroupRuleText:
    """A group that a Python function of the key computes, named `module:function`; None: the key is on its own.

    Gateways, schedulers and datastores import the module, so it must not need torch: keep it apart from the models.
    """
    return GroupRuleText("function", text)


class Pool:
    """The objects whose keys match one template. Made by `Pipeline.pool`."""

    def __init__(self, pipeline: Pipeline, declaration: PoolDeclaration) -> None:
        self.pipeline = pipeline
        self.declaration = declaration
        self.name = declaration.name

    def latest(self) -> PoolNeed:
        """The newest version of the one object whose fields are the trigger's; None as long as there is none."""
        return self._need(Need(self.name, NeedKind.LATEST))

    def last(self, count: int) -> PoolNeed:
        """The `count` greatest indices at or before the trigger's (before it, if the stage emits into this pool)."""
        return self._need(Need(self.name, NeedKind.LAST, count=count))

    def at(self, *offsets: int) -> PoolNeed:
        """The objects at these offsets from the trigger's index, such as `at(-7, 0)`."""
        return self._need(Need(self.name, NeedKind.AT, offsets=offsets))

    def all_of(self, *, by: Sequence[str], missing: str = Missing.DROP, timeout_s: float = 0.0) -> PoolJoin:
        """A trigger that waits for all of a cascade's objects, and runs once per value of the fields `by`.

        With missing="drop" a dropped upstream task ends the cascade; with missing="fire" the join runs with what is
        there, at the end or after `timeout_s` seconds, and is marked incomplete.
        """
        with _pointing_at(_users_line()):
            if isinstance(by, str):
                raise DeclarationError(f"all_of(by={by!r}) takes a list of fields: by=[{by!r}]")
            if missing not in tuple(Missing):
                raise DeclarationError(f"missing is 'drop' or 'fire', not {missing!r}")
            join = Join(tuple(by), Missing(missing), float(timeout_s))
            mistakes.check_join(self.declaration, join)
            return PoolJoin(self, join)

    def _need(self, need: Need) -> PoolNeed:
        with _pointing_at(_users_line()):
            mistakes.check_need(self.declaration, need)
            return PoolNeed(self, need)

    def __repr__(self) -> str:
        return f"<pool {self.name} {self.declaration.template}>"


@dataclass(frozen=True, slots=True)
class PoolNeed:
    """Objects of a pool that a stage reads; what `latest`, `last` and `at` return."""

    pool: Pool
    need: Need


@dataclass(frozen=True, slots=True)
class PoolJoin:
    """A pool as a trigger that waits for all of a cascade; what `all_of` returns."""

    pool: Pool
    join: Join


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with the user's code, for the worker; `line` is where it was declared."""

    declaration: StageDeclaration
    function: Callable[..., Any]
    model: type | None
    line: str


class Pipeline:
    """A DAG of stages with one latency objective, in seconds, from an event to its outcome."""

    def __init__(self, name: str, *, objective_s: float) -> None:
        with _pointing_at(_users_line()):
            mistakes.check_name("pipeline", name)
            mistakes.check_objective(objective_s)
        self.name = name
        self.objective_s = float(objective_s)
        self.pools: dict[str, Pool] = {}
        self.stages: dict[str, Stage] = {}

    def pool(
        self,
        template: str,
        group: str | GroupRuleText | None = None,
        *,
        codec: Codec | str = Codec.MSGPACK,
        durable: bool = False,
        ttl_s: float | None = None,
        keep_last: int = 0,
        strict: bool = False,
        transient: bool = False,
        name: str | None = None,
    ) -> Pool:
        """Declare the pool of all keys that match `template`, such as `/positions/{scene}/{actor}/{tick:int}`.

        `group` says which objects are used together: a template of the key's fields, `covey.pattern` or
        `covey.function`. Pools whose rules give the same text share that group, and so live together. It is a hint:
        without it the program computes the same, only slower. `strict` refuses keys that the rule doesn't match, and
        gets of several keys that are not of one group; other pools count both. Objects are kept `ttl_s` seconds, 60
        unless told otherwise, and for good in a durable pool; with an index also at most `keep_last` per series.
        Those of a `transient` pool only travel with events and outcomes, unless they are larger than 64 KiB: they cost
        no store, and nobody can get, await or subscribe to them. The name is the template's leading text.
        """
        rule = GroupRuleText("template", group) if isinstance(group, str) else group or GroupRuleText("", "")
        with _pointing_at(_users_line()):
            if codec not in tuple(Codec):
                raise DeclarationError(f"codec is one of {', '.join(Codec)}, not {codec!r}")
            declaration = PoolDeclaration(
                name=name_of(template) if name is None else name,
                template=template,
                group_kind=rule.kind,
                group=rule.text,
                codec=Codec(codec),
                durable=durable,
                ttl_s=_ttl_s(ttl_s, durable, transient),
                keep_last=keep_last,
                strict=strict,
                transient=transient,
            )
            mistakes.check_pool(declaration, [pool.declaration for pool in self.pools.values()])
        pool = self.pools[declaration.name] = Pool(self, declaration)
        return pool

    def stage(
        self,
        on: Pool | PoolJoin | None = None,
        *,
        needs: PoolNeed | Sequence[PoolNeed] = (),
        emits: Pool | Sequence[Pool] = (),
        model: type | None = None,
        batch_max: int = 1,
        name: str | None = None,
    ) -> Callable[[Function], Function]:
        """Declare a stage: a function, plain or `async def`, of a batch of tasks (and of its model, if it has one).

        `on` is what triggers it, `needs` what is read for each task before it runs, `emits` where its objects go. It
        runs at most `batch_max` tasks together. The decorated function stays as it is; its name names the stage.

        `model` is a class: made without arguments, loaded once by `load(device)`, called as the function likes. With
        `cuda_graph = True` it promises that a call only queues kernels, the same for the same shapes of its arguments,
        so that a GPU may replay a recording of it.
        """
        line = _users_line()
        with _pointing_at(line):
            trigger = self._trigger(on)
            needed = [
                self._own(need, PoolNeed, "`needs`", "pool.latest(), pool.last(8) or pool.at(0)")
                for need in _many(needs)
            ]
            emitted = [self._own(pool, Pool, "`emits`", "a pool") for pool in _many(emits)]

        def declare(function: Function) -> Function:
            declaration = StageDeclaration(
                name=function.__name__ if name is None else name,
                on=trigger.pool.name if isinstance(trigger, PoolJoin) else trigger.name,
                join=trigger.join if isinstance(trigger, PoolJoin) else None,
                needs=tuple(need.need for need in needed),
                emits=tuple(pool.name for pool in emitted),
                batch_max=batch_max,
                has_model=model is not None,
            )
            with _pointing_at(line):
                self._check(declaration, function, model)
            self.stages[declaration.name] = Stage(declaration, function, model, line)
            return function

        return declare

    def declaration(self) -> Declaration:
        """The pipeline as every service reads it, with its version."""
        declared = [stage.declaration for stage in self.stages.values()]
        for stage in self.stages.values():
            with _pointing_at(stage.line):
                mistakes.check_joins(stage.declaration, declared)
        return self._compiled(declared)

    def test_client(self, nodes: int = 1, workers: int = 1) -> AbstractAsyncContextManager[Mesh]:
        """The whole mesh in this process, for a test: `async with app.test_client() as mesh`."""
        from covey.testing import run_mesh

        return run_mesh(self, nodes=nodes, workers=workers)

    def _compiled(self, stages: Sequence[StageDeclaration]) -> Declaration:
        pools = tuple(pool.declaration for pool in self.pools.values())
        declaration = Declaration(self.name, self.objective_s, pools, tuple(stages)).versioned()
        graph(declaration)
        return declaration

    def _check(self, declaration: StageDeclaration, function: Callable[..., Any], model: type | None) -> None:
        if declaration.name in self.stages:
            taken = self.stages[declaration.name].line
            raise DeclarationError(
                f"there is a stage {declaration.name!r} already, from {taken}; give one another `name=`"
            )
        mistakes.check_stage(declaration, {name: pool.declaration for name, pool in self.pools.items()})
        mistakes.check_function(function, model, declaration.name)
        self._compiled([*(stage.declaration for stage in self.stages.values()), declaration])

    def _trigger(self, on: Pool | PoolJoin | None) -> Pool | PoolJoin:
        if on is None:
            raise DeclarationError("a stage needs a trigger: say `on=` a pool, or `on=pool.all_of(by=[...])`")
        kind = PoolJoin if isinstance(on, PoolJoin) else Pool
        trigger: Pool | PoolJoin = self._own(on, kind, "`on`", "a pool or pool.all_of(by=[...])")
        return trigger

    def _own(self, given: Any, kind: type, where: str, right: str) -> Any:
        """`given`, if it is of that kind and this pipeline's."""
        if not isinstance(given, kind):
            raise DeclarationError(f"{where} takes {right}, not {given!r}")
        pool: Pool = given if isinstance(given, Pool) else given.pool  # type: ignore[attr-defined]
        if self.pools.get(pool.name) is not pool:
            raise DeclarationError(
                f"{where} names the pool {pool.name!r} of the pipeline {pool.pipeline.name!r}; "
                f"declare one in this pipeline, {self.name!r}, with `pool(...)`"
            )
        return given


def _ttl_s(given: float | None, durable: bool, transient: bool) -> float:
    if given is not None:
        return float(given)
    return math.inf if durable else TRANSIENT_TTL_S if transient else TTL_S


def _many(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list | tuple) else (given,)


def name_of(template: str) -> str:
    """The leading literal parts of a template: `/positions/{scene}` is "positions"."""
    Template(template)  # says what is wrong with it, if anything
    parts = template.strip("/").split("/")
    literal = parts[: next((i for i, part in enumerate(parts) if "{" in part), len(parts))]
    if not literal:
        raise DeclarationError(f"template {template!r} starts with a field and so names no pool; give it a `name=`")
    return "-".join(literal)


def _users_line() -> str:
    """`file:line` of the innermost frame that is not Covey's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "covey":
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


@contextmanager
def _pointing_at(line: str) -> Iterator[None]:
    """Add the line to a mistake that is found within."""
    try:
        yield
    except DeclarationError as error:
        raise DeclarationError(f"{error.message}, at {line}") from None

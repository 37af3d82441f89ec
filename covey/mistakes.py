"""What can be wrong with a pool, a need, a join or a stage, each with what would be right. Pure.

These raise DeclarationErrors without a line; `covey.declare` adds the user's. `trigger` is always the pool whose
objects trigger the stage, and `given` the fields that its tasks have: the trigger's, or a join's `by`.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from covey.declaration import Join, Missing, Need, NeedKind, PoolDeclaration, StageDeclaration
from covey.errors import DeclarationError

NAME_CHARACTERS_MAX = 64
_TYPED_FIELD = re.compile(r"\{[^{}]*:")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")

FIELDS_TAKEN = frozenset(
    {
        "complete",
        "deadline_s",
        "fields",
        "group",
        "id",
        "key",
        "pool",
        "previous_version",
        "priority",
        "value",
        "version",
    }
)
"""Words that mean something else on an object, or beside the fields of a `send`."""


def check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX:
        raise DeclarationError(
            f"{name!r} can't name a {what}: use at most {NAME_CHARACTERS_MAX} letters, digits, '_', '-' and '.'"
        )


def check_objective(objective_s: float) -> None:
    if not 0 < objective_s < math.inf:
        raise DeclarationError(
            f"objective_s is the seconds that a whole cascade may take, more than 0, not {objective_s}"
        )


def check_pool(pool: PoolDeclaration, others: Sequence[PoolDeclaration]) -> None:
    """A pool by itself, and beside those that stand already."""
    check_name("pool", pool.name)
    template = pool.compiled
    for name in template.names:
        if name in FIELDS_TAKEN:
            raise DeclarationError(
                f"template {pool.template!r} can't call a field {name!r}, a word that objects and `send` use "
                f"themselves; be more specific, such as 'scene_{name}'"
            )
    for other in others:
        if other.name == pool.name:
            raise DeclarationError(
                f"there is a pool {pool.name!r} already ({other.template}); give one another `name=`"
            )
        if template.may_match_a_key_of(other.compiled):
            raise DeclarationError(
                f"{pool.template!r} and {other.template!r} (pool {other.name!r}) can match the same key; "
                f"let their literal parts differ, such as '/{pool.name}/...'"
            )
    if pool.group_kind and not pool.group:
        raise DeclarationError("group='' names no group; leave `group=` out, or name fields such as '{scene}'")
    if pool.group_kind == "template" and _TYPED_FIELD.search(pool.group):
        raise DeclarationError(f"group {pool.group!r} names fields without their types: '{{tick}}', not '{{tick:int}}'")
    rule = pool.rule  # compiles it, or says what is wrong with it
    if pool.strict and rule is None:
        raise DeclarationError("strict=True refuses the keys that the group rule doesn't match: give a `group=` too")
    if not pool.ttl_s > 0:
        raise DeclarationError(
            f"ttl_s is the seconds that an object is kept, more than 0 (math.inf: for good), not {pool.ttl_s}"
        )
    if pool.transient and (pool.durable or pool.keep_last):
        raise DeclarationError("transient=True keeps nothing: leave `durable=` and `keep_last=` out")
    if pool.keep_last < 0:
        raise DeclarationError(f"keep_last is a number of objects, or 0 to keep what ttl_s keeps, not {pool.keep_last}")
    if pool.keep_last and template.index is None:
        raise DeclarationError(
            f"keep_last={pool.keep_last} counts indices, and {pool.template!r} has none, so that each key keeps its "
            f"latest version; leave it out, or give the template an index such as {{tick:int}}"
        )


def check_need(pool: PoolDeclaration, need: Need) -> None:
    """A need by itself, as `pool.last(8)` makes it."""
    call, index = _written(need), pool.compiled.index
    if pool.transient:
        raise DeclarationError(
            f"{call}: the objects of a transient pool are stored nowhere; leave out `transient=True`"
        )
    if need.kind is NeedKind.LATEST:
        if index is not None:
            raise DeclarationError(
                f"{call}: the pool orders its objects by {index!r}; write `last(1)` for the newest, "
                f"or `at(0)` for the one with the trigger's {index!r}"
            )
        return
    if index is None:
        raise DeclarationError(
            f"{call} follows an index, and {pool.template!r} has none; write `latest()`, "
            f"or give the template an index such as {{tick:int}}"
        )
    if need.count < 1:
        raise DeclarationError(f"{call}: `last` takes the number of objects to read, at least 1")
    if need.kind is NeedKind.AT and not need.offsets:
        raise DeclarationError(f"{call}: `at` takes offsets from the trigger's {index!r}, such as `at(-1, 0)`")
    if len(set(need.offsets)) < len(need.offsets) or any(offset > 0 for offset in need.offsets):
        raise DeclarationError(
            f"{call}: offsets differ and are at most 0, for a task sees nothing later than its trigger"
        )
    reach = max(need.count, *(1 - offset for offset in need.offsets), 1)
    if 0 < pool.keep_last < reach:
        raise DeclarationError(
            f"{call} reaches {reach} objects back and the pool keeps {pool.keep_last}: raise keep_last"
        )


def check_join(pool: PoolDeclaration, join: Join) -> None:
    """A join by itself, as `pool.all_of(by=[...])` makes it."""
    if pool.transient:
        raise DeclarationError("all_of: a join reads its members from a store; leave out `transient=True`")
    for name in join.by:
        if name not in pool.compiled.names:
            raise DeclarationError(
                f"all_of(by={list(join.by)}): {pool.template!r} has no field {name!r}; "
                f"it has {_listed(pool.compiled.names)}"
            )
    if len(set(join.by)) < len(join.by):
        raise DeclarationError(f"all_of(by={list(join.by)}) names a field twice")
    if not 0 <= join.timeout_s < math.inf:
        raise DeclarationError(
            f"timeout_s is the seconds after which a join fires with what is there, not {join.timeout_s}"
        )
    if join.timeout_s and join.missing is not Missing.FIRE:
        raise DeclarationError(
            f"timeout_s={join.timeout_s} fires a join without what is missing: say so with missing='fire'"
        )


def check_stage(stage: StageDeclaration, pools: dict[str, PoolDeclaration]) -> None:
    """A stage by itself, among the pools that it names."""
    check_name("stage", stage.name)
    if stage.batch_max < 1:
        raise DeclarationError(f"batch_max is the most tasks that are run together, at least 1, not {stage.batch_max}")
    for what, names in (("needs", [need.pool for need in stage.needs]), ("emits", stage.emits)):
        for name in names:
            if list(names).count(name) > 1:
                raise DeclarationError(f"stage {stage.name!r}: `{what}` names the pool {name!r} twice")
    for need in stage.needs:
        _check_reachable(stage, need, pools)
    states = [need.pool for need in stage.needs if need.kind is NeedKind.LATEST and need.pool in stage.emits]
    if len(states) > 1:
        raise DeclarationError(
            f"stage {stage.name!r} reads the latest of, and emits into, {_listed(states)}; "
            f"a stage has one state pool at most: put the state into one object"
        )


def _check_reachable(stage: StageDeclaration, need: Need, pools: dict[str, PoolDeclaration]) -> None:
    """Whether a task's fields say which objects the need means."""
    pool, trigger = pools[need.pool], pools[stage.on].compiled
    given = stage.join.by if stage.join is not None else trigger.names
    source = f"a join by {_listed(given)}" if stage.join is not None else f"the trigger {trigger.text!r}"
    index = pool.compiled.index
    for name in pool.compiled.names:
        if name != index and name not in given:
            what = "is its state and " if need.kind is NeedKind.LATEST and need.pool in stage.emits else ""
            raise DeclarationError(
                f"stage {stage.name!r}: {need.pool!r} {what}needs the field {name!r} ({pool.template}), "
                f"which {source} doesn't have; read it with `await task.get(...)`, or change either template"
            )
    if need.kind is not NeedKind.LATEST and (index not in given or trigger.index != index):
        raise DeclarationError(
            f"stage {stage.name!r}: {_written(need)} is relative to the index {index!r} of the trigger, "
            f"and {source} has no field {{{index}:int}}"
        )
    if need.kind is NeedKind.AT and 0 in need.offsets and need.pool in stage.emits:
        raise DeclarationError(
            f"stage {stage.name!r}: {_written(need)} reads what the stage is about to emit; drop the 0"
        )


def check_function(function: Callable[..., Any], model: object, name: str) -> None:
    """Whether the stage's function and model can be called as a worker calls them."""
    wanted = ("batch", "model") if model is not None else ("batch",)
    try:
        inspect.signature(function).bind(*wanted)
    except TypeError:
        why = "it has a model" if model is not None else "it has no model"
        raise DeclarationError(f"stage {name!r} takes ({', '.join(wanted)}), since {why}") from None
    if model is None:
        return
    if not isinstance(model, type):
        raise DeclarationError(f"stage {name!r}: `model` is a class, which workers make and load, not {model!r}")
    for method in ("load", "__call__"):
        if not any(method in vars(base) for base in model.__mro__):
            raise DeclarationError(
                f"stage {name!r}: the model {model.__name__} has no `{method}`; a model has load(device) and __call__"
            )


def check_joins(stage: StageDeclaration, stages: Sequence[StageDeclaration]) -> None:
    """Whether something upstream can feed the stage's join; known when every stage stands."""
    if stage.join is not None and not any(stage.on in other.emits for other in stages):
        raise DeclarationError(
            f"stage {stage.name!r} joins the pool {stage.on!r}, which no stage emits, so that it would never run; "
            f"emit into it, or use `on={stage.on}` without `all_of` for objects that clients send"
        )


def _written(need: Need) -> str:
    """A need as the user wrote it."""
    match need.kind:
        case NeedKind.LATEST:
            return f"{need.pool}.latest()"
        case NeedKind.LAST:
            return f"{need.pool}.last({need.count})"
        case NeedKind.AT:
            return f"{need.pool}.at({', '.join(map(str, need.offsets))})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "no field"

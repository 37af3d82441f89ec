"""A pipeline as every service reads it: pools, stages and the graph between them, compiled and versioned. Pure.

`covey.declare` is what a user writes; `Declaration` is what it compiles to and what the registry holds. It names user
code (a group rule's function) but carries none.
"""

from __future__ import annotations

import enum
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from covey.errors import DeclarationError, InvalidArgument, NotFound, Reason
from covey.grouping import Fields, GroupRule, Template, check_key, checked_rule
from covey.model import INLINE_BYTES_MAX

TTL_S = 60.0
TRANSIENT_TTL_S = 10.0
"""Of what was too large to travel."""


class Codec(enum.StrEnum):
    """How a pool's payloads are written."""

    MSGPACK = "msgpack"  # msgpack with arrays
    ARRAY = "array"  # one raw array
    BYTES = "bytes"


class NeedKind(enum.StrEnum):
    """How a need picks objects of a pool for a trigger."""

    LATEST = "latest"
    LAST = "last"
    AT = "at"


class Missing(enum.StrEnum):
    """What a join does when one of its upstream tasks was dropped."""

    DROP = "drop"
    FIRE = "fire"


@dataclass(frozen=True, slots=True)
class PoolDeclaration:
    """A pool. `group_kind` is empty, or `template`, `pattern` or `function`, whose text is `group`."""

    name: str
    template: str
    group_kind: str = ""
    group: str = ""
    codec: Codec = Codec.MSGPACK
    durable: bool = False
    ttl_s: float = TTL_S
    keep_last: int = 0
    strict: bool = False
    transient: bool = False
    """Its objects travel with events, tasks and outcomes; only those too large for that are stored, not for long."""

    @property
    def compiled(self) -> Template:
        return _template(self.template)

    @property
    def rule(self) -> GroupRule | None:
        return _rule(self.group_kind, self.group, self.template) if self.group_kind else None

    def is_stored(self, size: int) -> bool:
        """Whether an object of so many bytes goes to its home."""
        return not self.transient or size > INLINE_BYTES_MAX

    def fields_of(self, key: str) -> dict[str, str | int]:
        """The fields of a key of this pool; raises InvalidArgument when the key is not one."""
        fields = self.compiled.match(key)
        if fields is None:
            raise InvalidArgument(f"key {key!r} does not match the template {self.template!r} of pool {self.name!r}")
        return fields

    def group_of(self, key: str, fields: Fields) -> tuple[str, bool]:
        """The group of a key, and whether the rule named it; a key that no rule matches is a group of its own."""
        rule = self.rule
        group = rule.group_of(key, fields) if rule is not None else None
        if group is not None:
            return group, True
        if self.strict and rule is not None:
            raise InvalidArgument(f"the group rule of pool {self.name!r} does not match key {key!r}", Reason.NO_GROUP)
        return key, False


@dataclass(frozen=True, slots=True)
class Need:
    """The objects of `pool` that a stage reads for each trigger.

    LAST reads `count` indices, AT reads the `offsets` relative to the trigger's index, LATEST reads one object.
    """

    pool: str
    kind: NeedKind
    count: int = 1
    offsets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Join:
    """Fires once per value of the fields `by`, when no upstream task of the cascade is open."""

    by: tuple[str, ...]
    missing: Missing = Missing.DROP
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StageDeclaration:
    """A stage: its trigger pool (through a join, if any), what it reads and where it puts what it emits."""

    name: str
    on: str
    join: Join | None = None
    needs: tuple[Need, ...] = ()
    emits: tuple[str, ...] = ()
    batch_max: int = 1
    has_model: bool = False

    @property
    def state_pool(self) -> str | None:
        """The pool through which the stage passes state to its own next task; None for a stage without state."""
        for need in self.needs:
            if need.kind is NeedKind.LATEST and need.pool in self.emits:
                return need.pool
        return None


@dataclass(frozen=True, slots=True)
class Declaration:
    """A compiled pipeline. `version` is the hash of everything else."""

    pipeline: str
    objective_s: float
    pools: tuple[PoolDeclaration, ...]
    stages: tuple[StageDeclaration, ...]
    version: str = field(default="")

    def __hash__(self) -> int:
        return hash((self.pipeline, self.version))  # graphs are looked up by declaration all the time

    def versioned(self) -> Declaration:
        """The same declaration with its version set."""
        bare = replace(self, version="")
        return replace(self, version=hashlib.blake2b(repr(bare).encode(), digest_size=6).hexdigest())

    def pool(self, name: str) -> PoolDeclaration:
        try:
            return graph(self).pools[name]
        except KeyError:
            known = ", ".join(pool.name for pool in self.pools)
            raise NotFound(
                f"pipeline {self.pipeline!r} has no pool {name!r}; it has {known}", Reason.UNKNOWN_POOL
            ) from None

    def stage(self, name: str) -> StageDeclaration:
        try:
            return graph(self).stages[name]
        except KeyError:
            known = ", ".join(stage.name for stage in self.stages)
            raise NotFound(
                f"pipeline {self.pipeline!r} has no stage {name!r}; it has {known}", Reason.UNKNOWN_STAGE
            ) from None

    def pool_of_key(self, key: str) -> tuple[PoolDeclaration, dict[str, str | int]]:
        """The pool that a key belongs to, and the key's fields. Raises InvalidArgument or NotFound."""
        check_key(key)
        for pool in self.pools:
            fields = pool.compiled.match(key)
            if fields is not None:
                return pool, fields
        known = ", ".join(pool.template for pool in self.pools)
        raise NotFound(f"no pool of {self.pipeline!r} has the key {key!r}; templates: {known}", Reason.UNKNOWN_POOL)


@dataclass(frozen=True)
class Graph:
    """What follows from a declaration alone, computed once per version."""

    pools: dict[str, PoolDeclaration]
    stages: dict[str, StageDeclaration]
    triggered: dict[str, tuple[StageDeclaration, ...]]
    """Pool -> the stages without a join that it triggers."""
    joined: dict[str, tuple[StageDeclaration, ...]]
    """Pool -> the stages that join it."""
    order: tuple[str, ...]
    """Stages, upstream first."""
    upstream: dict[str, tuple[str, ...]]
    """Stage -> every stage from whose tasks its own may descend."""
    results: frozenset[str]
    """Pools that no stage is triggered by or needs: what an outcome refers to."""
    needed: frozenset[str]
    """Pools that some stage names in its needs."""


@functools.lru_cache(maxsize=256)
def graph(declaration: Declaration) -> Graph:
    """The graph of a declaration. Raises DeclarationError for a cycle among triggers."""
    stages = {stage.name: stage for stage in declaration.stages}
    triggered: dict[str, list[StageDeclaration]] = {}
    joined: dict[str, list[StageDeclaration]] = {}
    for stage in declaration.stages:
        (triggered if stage.join is None else joined).setdefault(stage.on, []).append(stage)
    order = tuple(_upstream_first(declaration))
    upstream: dict[str, tuple[str, ...]] = {}
    for name in order:
        feeders = [other for other in order if stages[name].on in stages[other].emits]
        upstream[name] = tuple(dict.fromkeys([up for feeder in feeders for up in (*upstream[feeder], feeder)]))
    needed = frozenset(need.pool for stage in declaration.stages for need in stage.needs)
    read = needed | {stage.on for stage in declaration.stages}
    return Graph(
        pools={pool.name: pool for pool in declaration.pools},
        stages=stages,
        triggered={pool: tuple(found) for pool, found in triggered.items()},
        joined={pool: tuple(found) for pool, found in joined.items()},
        order=order,
        upstream=upstream,
        results=frozenset(pool.name for pool in declaration.pools) - read,
        needed=needed,
    )


def _upstream_first(declaration: Declaration) -> Iterator[str]:
    """Stages in topological order of their triggers (Kahn), in the order of declaration among equals."""
    waiting = {stage.name: stage for stage in declaration.stages}
    while waiting:
        emitted = {pool: stage.name for stage in waiting.values() for pool in stage.emits}
        ready = [name for name, stage in waiting.items() if stage.on not in emitted]
        if not ready:
            raise DeclarationError(f"the triggers form a cycle: {' -> '.join(_cycle(waiting))}")
        for name in ready:
            yield name
            del waiting[name]


def _cycle(waiting: dict[str, StageDeclaration]) -> list[str]:
    """One cycle among stages of which each is triggered by another."""
    path = [next(iter(waiting))]
    while True:
        trigger = waiting[path[-1]].on
        feeder = next(stage.name for stage in waiting.values() if trigger in stage.emits)
        if feeder in path:
            return [feeder, *reversed(path[path.index(feeder) :])]
        path.append(feeder)


@functools.lru_cache(maxsize=4096)
def _template(text: str) -> Template:
    return Template(text)


@functools.lru_cache(maxsize=4096)
def _rule(kind: str, text: str, template: str) -> GroupRule:
    return checked_rule(kind, text, _template(template))

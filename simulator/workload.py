"""The traffic of the simulation: the collision pipeline, with payloads that tell where they come from.

No stage code runs here. What a task emits follows from the scene and the tick; each payload says what its task has
read, so that a checker can follow every result back to its event:

    observation   event
    track         event, version of the state that was read
    position      event, actor, version of the state that was read
    prediction    event, actor, version of the state that was read, ticks of the history
    alert         event, then each member's actor, version and ticks
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from covey.declaration import (
    Codec,
    Declaration,
    Join,
    Need,
    NeedKind,
    PoolDeclaration,
    StageDeclaration,
)
from covey.grouping import Scope
from covey.messages import Task
from covey.model import ObjectRef, ObjectValue

SCOPE = Scope("default", "collisions")
HISTORY = 8


def collisions(grouped: bool = True, durable_state: bool = False, batch_max: int = 32) -> Declaration:
    """The pipeline of `examples/collisions`: track, predict, collide; without groups when not `grouped`."""

    def pool(name: str, template: str, group: str = "", **more: bool | float | int) -> PoolDeclaration:
        kind = "template" if grouped and group else ""
        return PoolDeclaration(name, template, kind, group if kind else "", Codec.BYTES, **more)  # type: ignore[arg-type]

    return Declaration(
        "collisions",
        objective_s=0.2,
        pools=(
            pool("observations", "/observations/{scene}/{tick:int}", "{scene}"),
            pool("tracks", "/tracks/{scene}", "{scene}", durable=durable_state),
            pool("positions", "/positions/{scene}/{actor}/{tick:int}", "{scene}/{actor}", keep_last=HISTORY),
            pool("predictions", "/predictions/{scene}/{tick:int}/{actor}", "{scene}/{tick}", ttl_s=10.0),
            pool("alerts", "/alerts/{scene}/{tick:int}/{pair}"),
        ),
        stages=(
            StageDeclaration(
                "track", "observations", needs=(Need("tracks", NeedKind.LATEST),), emits=("positions", "tracks")
            ),
            StageDeclaration(
                "predict",
                "positions",
                needs=(Need("positions", NeedKind.LAST, HISTORY),),
                emits=("predictions",),
                batch_max=batch_max,
                has_model=True,
            ),
            StageDeclaration("collide", "predictions", Join(("scene", "tick")), emits=("alerts",)),
        ),
    ).versioned()


class Sized(bytes):
    """A payload that counts as longer than it is, so that megabytes are simulated without being there."""

    size: int

    def __len__(self) -> int:
        return self.size


def sized(payload: bytes, size: int) -> bytes:
    """The payload, as one of `size` bytes; as it is when it is longer."""
    if size <= len(payload):
        return payload
    found = Sized(payload)
    found.size = size
    return found


class Inputs(NamedTuple):
    """What one task got to read."""

    trigger: ObjectValue | None
    members: Sequence[ObjectValue]
    needs: Mapping[str, Sequence[ObjectValue]]


class Emitted(NamedTuple):
    """An object that a task emits, before its home numbers it."""

    ref: ObjectRef
    payload: bytes


class Poisoned(Exception):
    """The stage raises on this task."""


class Member(NamedTuple):
    """What an alert says of one of the predictions that it was made from."""

    actor: str
    version: int
    ticks: tuple[int, ...]


class StageCode(Protocol):
    """A pipeline in the simulation, with what stands for the code of its stages."""

    @property
    def scope(self) -> Scope:
        """Whose pipeline it is."""

    @property
    def declaration(self) -> Declaration:
        """The pipeline."""

    def run(self, stage: str, task: Task, inputs: Inputs) -> tuple[Emitted, ...]:
        """What a stage emits for a task. Raises Poisoned where its code would."""


@dataclass(frozen=True)
class Traffic:
    """How many actors a scene has at a tick, which events are poison, and how large objects are."""

    declaration: Declaration
    actors: Callable[[str, int], int]
    poison: Mapping[str, None]
    """Ids of events on which `predict` raises."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Pool -> what its objects count as, in bytes; those of other pools count as long as they are."""

    @property
    def scope(self) -> Scope:
        return SCOPE

    def key(self, scene: str, tick: int) -> str:
        return f"/observations/{scene}/{tick}"

    def observation(self, event_id: str, padding: int = 0) -> bytes:
        """The payload of an event, with so many bytes more than it needs."""
        return sized(event_id.encode() + b" " * padding, self.sizes.get("observations", 0))

    def run(self, stage: str, task: Task, inputs: Inputs) -> tuple[Emitted, ...]:
        match stage:
            case "track":
                return self._track(task, inputs)
            case "predict":
                return self._predict(task, inputs)
            case "collide":
                return self._collide(task, inputs)
        raise AssertionError(f"no stage {stage!r}")

    def _track(self, task: Task, inputs: Inputs) -> tuple[Emitted, ...]:
        fields = dict(task.fields)
        scene, tick = str(fields["scene"]), int(fields["tick"])
        version = state_read(inputs)
        positions = [
            self._emit("positions", {**fields, "actor": actor}, f"{task.event_id} {actor} {version}")
            for actor in actors_of(self.actors(scene, tick))
        ]
        return (*positions, self._emit("tracks", fields, f"{task.event_id} {version}"))

    def _predict(self, task: Task, inputs: Inputs) -> tuple[Emitted, ...]:
        if task.event_id in self.poison:
            raise Poisoned(task.event_id)
        assert inputs.trigger is not None
        assert inputs.trigger.payload is not None
        event, actor, version = inputs.trigger.payload.decode().split()
        ticks = ",".join([value.ref.key.rpartition("/")[2] for value in inputs.needs["positions"]])
        return (self._emit("predictions", dict(task.fields), f"{event} {actor} {version} {ticks}"),)

    def _collide(self, task: Task, inputs: Inputs) -> tuple[Emitted, ...]:
        members = [(value.payload or b"").decode().partition(" ")[2] for value in inputs.members]
        return (self._emit("alerts", {**dict(task.fields), "pair": "all"}, ";".join([task.event_id, *members])),)

    def _emit(self, pool: str, fields: Mapping[str, str | int], payload: str) -> Emitted:
        declared = self.declaration.pool(pool)
        key = declared.compiled.render(fields)
        group, _ = declared.group_of(key, fields)
        written = sized(payload.encode(), self.sizes.get(pool, 0))
        return Emitted(ObjectRef(pool, key, group, 0, len(written)), written)


def state_read(inputs: Inputs) -> int:
    """The version of the state that a `track` task has read; 0 for none."""
    found = inputs.needs.get("tracks", ())
    return found[0].ref.version if found else 0


def actors_of(count: int) -> list[str]:
    return [f"a{number}" for number in range(count)]


def is_present(actor: str, count: int) -> bool:
    """Whether the actor is one of so many."""
    return int(actor[1:]) < count


def members_of(alert: bytes) -> tuple[str, list[Member]]:
    """The event that an alert belongs to, and what it was made from."""
    event, *texts = alert.decode().split(";")
    members = []
    for text in texts:
        actor, version, ticks = text.split(" ")
        members.append(Member(actor, int(version), tuple([int(tick) for tick in ticks.split(",") if tick])))
    return event, members


def drawn_actors(mean: float, rng: random.Random) -> Callable[[str, int], int]:
    """A number of actors for each scene and tick, that changes by one at most from tick to tick."""
    drawn: dict[str, list[int]] = {}

    def actors(scene: str, tick: int) -> int:
        counts = drawn.get(scene)
        if counts is None:
            counts = drawn[scene] = [max(0, round(rng.gauss(mean, mean / 4)))]
        while len(counts) <= tick:
            pull = 0.5 + 0.1 * (mean - counts[-1])
            step = (rng.random() < 0.3) * (1 if rng.random() < pull else -1)
            counts.append(max(0, counts[-1] + step))
        return counts[tick]

    return actors

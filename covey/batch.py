"""What a stage receives: a batch of tasks, each with its trigger and what it needs, and what it emits in return.

    def predict(batch, model):
        history, mask = batch.stack(positions)           # [tasks, 8, 3] float32, [tasks, 8] bool
        for task, path in zip(batch, model(history, mask)):
            task.emit(predictions, path)                 # fields default to the trigger's

A worker makes the batch from what it fetched, calls the stage, and takes the outputs. Nothing here is sent or stored:
emissions are encoded when they are emitted, so that a mistake shows at the user's line, and handed over at the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from covey.codec import decode, encode
from covey.declaration import Declaration, NeedKind, PoolDeclaration, StageDeclaration
from covey.errors import Bug, InvalidArgument, NotFound
from covey.grouping import check_key
from covey.messages import Task as TaskMessage
from covey.model import READS_RECORDED_MAX, ObjectName, ObjectRef, ObjectValue
from covey.stacking import stacked
from covey.values import dataclass

if TYPE_CHECKING:
    from covey.declare import Pool

ReadObject = Callable[[str, str, str, int], Awaitable[ObjectValue | None]]
"""Reads (pool, key, group) at a version, the current one for 0, wherever the group lives; None when there is none."""

Placed: TypeAlias = tuple[ObjectRef, npt.NDArray[Any]]
"""An object that is an array."""


class Place(Protocol):
    """Where a lane's model wants its inputs: a device."""

    def put(self, array: npt.NDArray[Any]) -> Any:
        """The array as a tensor there."""

    def gather(self, pool: str, rows: Sequence[Sequence[Placed | None]]) -> Any | None:
        """Objects of a pool as one float32 tensor [rows, width, ...] there, zero where there is None.

        None where the array that `stack` makes on the host does as well, or says what is wrong with the objects.
        """


@dataclass(frozen=True, slots=True)
class TaskInputs:
    """What a worker fetched for a task. `needs` is by pool, in index order; `complete` says that nothing was lost."""

    task: TaskMessage
    trigger: ObjectValue | None
    members: tuple[ObjectValue, ...]
    needs: dict[str, tuple[ObjectValue, ...]]
    complete: bool


@dataclass(frozen=True, slots=True)
class EmittedObject:
    """An object that a task emitted, on its way to the home of its group."""

    pool: str
    key: str
    group: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What a task emitted, in order; or why the stage failed it, and then nothing that it emitted counts."""

    emissions: tuple[EmittedObject, ...] = ()
    failed: str = ""
    read: tuple[ObjectName, ...] = ()
    """Of a task that is to be recorded: what it got by itself, each object once."""
    ungrouped: tuple[str, ...] = ()
    """For each key, of what it emitted or got, that its pool's group rule did not match: the pool."""


class Object:
    """An object as a stage sees it: its key's fields are attributes (`obj.scene`, `obj.tick`), `value` is decoded."""

    __slots__ = ("_decoded", "_fields", "_payload", "_pool", "_ref", "key", "version")

    def __init__(self, pool: PoolDeclaration, value: ObjectValue) -> None:
        self._pool = pool
        self._ref = value.ref
        self._payload = value.payload
        self._decoded: tuple[Any] | None = None
        self.key = value.ref.key
        self.version = value.ref.version
        self._fields: Mapping[str, str | int] | None = None

    @property
    def fields(self) -> Mapping[str, str | int]:
        """The key's fields, typed."""
        if self._fields is None:
            self._fields = MappingProxyType(self._pool.fields_of(self.key))
        return self._fields

    @property
    def value(self) -> Any:
        """The value, decoded once. Arrays are read-only, since objects are immutable."""
        if self._decoded is None:
            if self._payload is None:
                raise Bug(f"the payload of {self.key} was not fetched")
            self._decoded = (decode(self._pool.codec, self._payload),)
        return self._decoded[0]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(f"{self.key} has no field {name!r}; it has {', '.join(self.fields)}") from None

    def __repr__(self) -> str:
        return f"<object {self.key} version {self.version}>"


class Needs:
    """A task's needs by pool: an object or None for `latest()`, else a tuple of objects in index order."""

    def __init__(self, stage: StageDeclaration, objects: Mapping[str, tuple[Object, ...]]) -> None:
        self._stage = stage
        self._objects = objects

    def __getitem__(self, pool: Pool | str) -> Any:
        name = _name(pool)
        for need in self._stage.needs:
            if need.pool == name:
                objects = self._objects.get(name, ())
                if need.kind is NeedKind.LATEST:
                    return objects[0] if objects else None
                return objects
        known = ", ".join(need.pool for need in self._stage.needs) or "nothing"
        raise InvalidArgument(f"stage {self._stage.name!r} needs {known}, not {name!r}; add it to `needs=`")


class Task:
    """One call of a stage, for one trigger or one value of a join's fields."""

    def __init__(
        self, declaration: Declaration, stage: StageDeclaration, inputs: TaskInputs, read: ReadObject | None
    ) -> None:
        self._declaration = declaration
        self._stage = stage
        self._read = read
        self._emitted: list[EmittedObject] = []
        self._failed = ""
        self._recorded = inputs.task.record
        self._got: dict[ObjectName, None] = {}
        self._ungrouped: list[str] = []
        on = declaration.pool(stage.on)
        self._trigger = Object(on, inputs.trigger) if inputs.trigger is not None else None
        self._members = tuple(Object(on, value) for value in sorted(inputs.members, key=lambda value: value.ref.key))
        self.needs = Needs(stage, {name: self._objects(name, values) for name, values in inputs.needs.items()})
        self.fields: Mapping[str, str | int] = MappingProxyType(dict(inputs.task.fields))
        self.event_id = inputs.task.event_id
        self.complete = inputs.complete and not inputs.task.incomplete

    @property
    def trigger(self) -> Object:
        """The object that the task runs for."""
        if self._trigger is None:
            raise InvalidArgument(
                f"stage {self._stage.name!r} joins objects, so that it has no one trigger: see `members`"
            )
        return self._trigger

    @property
    def members(self) -> tuple[Object, ...]:
        """The objects that a join brought together, in key order."""
        if self._stage.join is None:
            raise InvalidArgument(f"stage {self._stage.name!r} is no join, so that it has no members: see `trigger`")
        return self._members

    def emit(self, pool: Pool | str, value: Any, /, **fields: str | int) -> None:
        """Emit an object. Fields of its key that are not given are those of the trigger, or of the join."""
        name = _name(pool)
        if name not in self._stage.emits:
            known = ", ".join(self._stage.emits) or "nothing"
            raise InvalidArgument(f"stage {self._stage.name!r} emits {known}, not {name!r}; add it to `emits=`")
        declaration = self._declaration.pool(name)
        try:
            key, group = self._address(declaration, fields)
            payload = encode(declaration.codec, value)
        except InvalidArgument as error:
            raise InvalidArgument(
                f"stage {self._stage.name!r} emits into {name!r}: {error.message}", error.reason
            ) from None
        self._emitted.append(EmittedObject(name, key, group, payload))

    def fail(self, reason: str) -> None:
        """End this task alone, as failed: nothing that it emitted counts, and a join takes it for dropped."""
        self._failed = reason or "the stage failed the task"

    async def get(self, pool: Pool | str, /, *, version: int = 0, **fields: str | int) -> Object | None:
        """Read what could not be named in `needs`: an object at a version, or the current one; None if there is none.

        Fields of its key that are not given are those of the trigger, or of the join.
        """
        name = _name(pool)
        if self._read is None:
            raise Bug(f"stage {self._stage.name!r} was given no way to read {name!r}")
        declaration = self._declaration.pool(name)
        try:
            key, group = self._address(declaration, fields)
        except InvalidArgument as error:
            raise InvalidArgument(
                f"stage {self._stage.name!r} gets from {name!r}: {error.message}", error.reason
            ) from None
        if self._recorded and len(self._got) < READS_RECORDED_MAX:
            self._got[ObjectName(name, key)] = None
        value = await self._read(name, key, group, version)
        return None if value is None else Object(declaration, value)

    def output(self) -> TaskOutput:
        """What the task came to, for the worker."""
        ungrouped = tuple(self._ungrouped)
        if self._failed:
            return TaskOutput(failed=self._failed, ungrouped=ungrouped)
        return TaskOutput(tuple(self._emitted), read=tuple(self._got), ungrouped=ungrouped)

    def _objects(self, pool: str, values: Sequence[ObjectValue]) -> tuple[Object, ...]:
        declaration = self._declaration.pool(pool)
        return tuple(Object(declaration, value) for value in values)

    def _address(self, declaration: PoolDeclaration, given: Mapping[str, Any]) -> tuple[str, str]:
        """The key with these fields, and its group, read off the key as everyone else will read it."""
        template = declaration.compiled
        fields = dict(self.fields)
        for name, value in given.items():
            if name not in template.names:
                raise InvalidArgument(f"{declaration.template!r} has no field {name!r}")
            fields[name] = value.item() if isinstance(value, np.generic) else value
        key = template.render(fields)
        check_key(key)
        group, matched = declaration.group_of(key, declaration.fields_of(key))
        if not matched and declaration.rule is not None:
            self._ungrouped.append(declaration.name)
        return key, group


class Batch:
    """The tasks that a stage runs together."""

    def __init__(
        self,
        declaration: Declaration,
        stage: str,
        inputs: Sequence[TaskInputs],
        read: ReadObject | None = None,
        device: str | Place | None = None,
    ) -> None:
        """`device` is where `stack` puts tensors, as torch names it, or how; without one it gives numpy arrays."""
        self.stage = declaration.stage(stage)
        self._declaration = declaration
        self._device = device if self.stage.has_model else None
        self._tasks = tuple(Task(declaration, self.stage, task, read) for task in inputs)

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    def __getitem__(self, index: int) -> Task:
        return self._tasks[index]

    def stack(self, pool: Pool | str) -> tuple[Any, Any]:
        """The arrays of a pool as one float32 array, and a mask that is True where there was an object.

        [tasks, k, ...] and [tasks, k] for `last(k)`, with short histories padded at the front, for k offsets of `at`,
        and for a join's members, padded at the end; [tasks, ...] and [tasks] for `latest()` and for triggers. A pool
        that is both trigger and need is stacked as the need. Padding is zero; the arrays must have one shape, and
        where no task has any the inner dimensions are unknown and left out. Tensors on the lane's device where the
        stage has a model, numpy otherwise.
        """
        name = _name(pool)
        rows, many = self._rows(name)
        values: Any = self._gathered(name, rows)
        if values is None:
            stack, mask = stacked([[_value(one) for one in row] for row in rows], name, self.stage.name)
            values = self._put(stack if many else stack[:, 0])
        else:
            mask = np.array([[one is not None for one in row] for row in rows], np.bool_)
            values = values if many else values[:, 0]
        return values, self._put(mask if many else mask[:, 0])

    def outputs(self) -> list[TaskOutput]:
        """What each task came to, in the order of the inputs; for the worker, after the stage has run."""
        return [task.output() for task in self._tasks]

    def _rows(self, pool: str) -> tuple[list[list[Object | None]], bool]:
        """For each task, its objects or None in their places; and whether there can be several."""
        for need in self.stage.needs:
            if need.pool != pool:
                continue
            found = [task.needs[pool] for task in self._tasks]
            match need.kind:
                case NeedKind.LATEST:
                    return [[each] for each in found], False
                case NeedKind.LAST:
                    return [[None] * (need.count - len(each)) + list(each) for each in found], True
                case NeedKind.AT:
                    index = self._declaration.pool(pool).compiled.index or ""
                    by_index = [{one.fields[index]: one for one in each} for each in found]
                    places = [[int(task.fields[index]) + offset for offset in need.offsets] for task in self._tasks]
                    return [[has.get(at) for at in row] for has, row in zip(by_index, places, strict=True)], True
        if pool != self.stage.on:
            self._refuse(pool)
        if self.stage.join is None:
            return [[task.trigger] for task in self._tasks], False
        width = max((len(task.members) for task in self._tasks), default=0)
        return [[*task.members, *[None] * (width - len(task.members))] for task in self._tasks], True

    def _gathered(self, pool: str, rows: list[list[Object | None]]) -> Any | None:
        """The stack, where the lane's device makes it of objects of its own."""
        if self._device is None or isinstance(self._device, str):
            return None
        placed = [[_placed(one) for one in row] for row in rows]
        if any(one is not None and not isinstance(one[1], np.ndarray) for row in placed for one in row):
            return None
        return self._device.gather(pool, placed)

    def _refuse(self, pool: str) -> NoReturn:
        raise NotFound(
            f"stage {self.stage.name!r} is neither triggered by nor needs {pool!r}; there is nothing to stack"
        )

    def _put(self, array: npt.NDArray[Any]) -> Any:
        if self._device is None:
            return array
        if not isinstance(self._device, str):
            return self._device.put(array)
        import torch

        return torch.from_numpy(array).to(self._device, non_blocking=True)


def _name(pool: Pool | str) -> str:
    return pool if isinstance(pool, str) else pool.name


def _value(found: Object | None) -> Any:
    return None if found is None else found.value


def _placed(found: Object | None) -> Placed | None:
    return None if found is None else (found._ref, found.value)

"""Objects that stay on the device after a job, so that the next one that needs them copies nothing.

What (scope, group, key, version) names never changes, so nothing here can be out of date. The least recently used
*group* makes room first, whole, by the same rule as in the worker's own memory (`core/residency.py`). Only objects that
are large enough are held: small ones come faster stacked, in one copy.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from covey.batch import Placed
from covey.codec import decode_array
from covey.declaration import Codec
from covey.grouping import Scope
from covey.model import ObjectRef, ObjectValue, Priority
from covey.services.worker.core.commands import Resident
from covey.services.worker.core.residency import Residency
from covey.services.worker.engine.base import Coming
from covey.services.worker.engine.staging import Copies, OnDevice

HELD_BYTES_MIN = 16 * 1024
"""From this size on an object is copied by itself, and held."""

COMING_MAX = 256
"""Objects that wait to be brought ahead; of more, the newest are not."""

_DTYPES = frozenset({"bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64"})


class DeviceObjects:
    """What is held on one device, `bytes_max` of it. Called from any thread."""

    def __init__(self, copies: Copies, bytes_max: int) -> None:
        self._copies = copies
        self._bytes_max = bytes_max
        self._changed = threading.Condition()
        self._coming: dict[Resident, None] = {}
        self._clear()

    def bring(self, scope: Scope, ref: ObjectRef, array: npt.NDArray[Any], urgent: bool) -> OnDevice:
        """The object on the device, copied there unless it is, or is on its way."""
        name = Resident(scope, ref.group, ref.key, ref.version)
        with self._changed:
            self._changed.wait_for(lambda: name not in self._coming)
            held = self._found(name, ref)
            if held is not None:
                return held
            self._coming[name] = None
        brought = None
        try:
            brought = self._copies.to_device(array, urgent)
        finally:
            with self._changed:
                del self._coming[name]
                if brought is not None:
                    self._hold(name, replace(ref, size=array.nbytes), brought)
                self._changed.notify_all()
        return brought

    def clear(self) -> None:
        """Let go of everything: memory is short."""
        with self._changed:
            self._clear()

    def _clear(self) -> None:
        self._residency = Residency(self._bytes_max)
        self._held: dict[Resident, OnDevice] = {}

    def _found(self, name: Resident, ref: ObjectRef) -> OnDevice | None:
        held = self._held.get(name)
        if held is not None:
            self._residency.keep(name.scope, replace(ref, size=0))  # its group is now the most recently used
        return held

    def _hold(self, name: Resident, ref: ObjectRef, brought: OnDevice) -> None:
        evicted = self._residency.keep(name.scope, ref)
        if evicted is not None:
            self._held[name] = brought
            for other in evicted:
                del self._held[other]


class LanePlace:
    """Where a job's inputs go: the device, for the stream of the job's lane."""

    def __init__(
        self, torch: Any, copies: Copies, objects: DeviceObjects, stream: Any, urgent: bool, scope: Scope | None
    ) -> None:
        self._torch = torch
        self._copies = copies
        self._objects = objects
        self._stream = stream
        self._urgent = urgent
        self._scope = scope
        self.gathered: dict[str, None] = {}
        """The pools whose objects were stacked on the device."""

    def put(self, array: npt.NDArray[Any]) -> Any:
        return self._copies.to_device(array, self._urgent).used_by(self._stream)

    def gather(self, pool: str, rows: Sequence[Sequence[Placed | None]]) -> Any | None:
        """One float32 tensor [rows, width, ...], zero where there is None; None if a plain copy does as well."""
        scope, present = self._scope, [each for row in rows for each in row if each is not None]
        if scope is None or not present or not _is_worth_gathering(present):
            return None
        self.gathered[pool] = None
        brought = {ref: self._objects.bring(scope, ref, array, self._urgent) for ref, array in dict(present).items()}
        there = {ref: each.used_by(self._stream) for ref, each in brought.items()}
        first, shape = present[0][0], present[0][1].shape
        blank = self._torch.zeros_like(there[first])
        flat = [blank if each is None else there[each[0]] for row in rows for each in row]
        return self._torch.stack(flat).view(len(rows), -1, *shape).to(self._torch.float32)


class Fetcher:
    """Brings objects ahead, one after the other, those for HIGH first. Its thread is the caller's."""

    def __init__(self, objects: DeviceObjects) -> None:
        self._objects = objects
        self._numbers = itertools.count()
        self._waiting: queue.PriorityQueue[tuple[Priority, int, Scope, ObjectValue]] = queue.PriorityQueue(COMING_MAX)

    def add(self, coming: Coming, pools: Collection[str]) -> int:
        """Note what is coming of these pools, as far as it is worth bringing; how many objects that are."""
        added = 0
        for value in coming.objects:
            declared = coming.declaration.pool(value.ref.pool)
            payload = value.payload or b""
            if value.ref.pool in pools and declared.codec is Codec.ARRAY and len(payload) >= HELD_BYTES_MIN:
                try:
                    self._waiting.put_nowait((coming.priority, next(self._numbers), coming.scope, value))
                except queue.Full:
                    break
                added += 1
        return added

    def bring_next(self) -> None:
        """Bring one object, for which `add` has said that it is there."""
        _, _, scope, value = self._waiting.get()
        array = decode_array(value.payload or b"")
        if _is_worth_gathering([(value.ref, array)]):
            self._objects.bring(scope, value.ref, array, urgent=False)


def _is_worth_gathering(present: Sequence[Placed]) -> bool:
    """Whether all are numbered arrays of one shape and one type that torch has, and large."""
    _, first = present[0]
    return (
        first.nbytes >= HELD_BYTES_MIN
        and first.dtype.name in _DTYPES
        and all(ref.version and array.shape == first.shape and array.dtype == first.dtype for ref, array in present)
    )

"""Storage within the process, for the test client: durable as long as the object lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from covey.clock import Clock
from covey.grouping import Scope
from covey.model import GroupId, ObjectRef
from covey.services.datastore.core.commands import Entry, FindKeys, Record
from covey.services.datastore.storage.base import StoredGroup


class MemoryStorage:
    """Several datastores may share one, as they share a Valkey."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: dict[GroupId, dict[ObjectRef, tuple[Record, float]]] = {}  # the record, and when it was put
        self._numbers: dict[GroupId, int] = {}
        self._keys: dict[tuple[Scope, str], dict[tuple[str, str], None]] = {}  # by (scope, pool)
        self._series: dict[tuple[Scope, str, str], dict[tuple[str, str], None]] = {}  # by (scope, pool, series)

    async def persist(self, group: GroupId, record: Record, entry: Entry | None) -> None:
        if entry is not None:
            located = (entry.key, group.group)
            self._keys.setdefault((group.scope, entry.pool), {})[located] = None
            if entry.series:
                self._series.setdefault((group.scope, entry.pool, entry.series), {})[located] = None
        self._groups.setdefault(group, {})[record.ref] = (record, self._clock.now())
        self._numbers[group] = record.ref.version

    async def remove(self, group: GroupId, refs: Sequence[ObjectRef], entries: Sequence[Entry]) -> None:
        for ref in refs:
            self._groups.get(group, {}).pop(ref, None)
        for entry in entries:
            located = (entry.key, group.group)
            self._keys.get((group.scope, entry.pool), {}).pop(located, None)
            self._series.get((group.scope, entry.pool, entry.series), {}).pop(located, None)

    async def load(self, group: GroupId) -> StoredGroup:
        now = self._clock.now()
        kept = sorted(self._groups.get(group, {}).values(), key=lambda found: found[0].ref.version)
        records = tuple([replace(record, age_s=now - put_at) for record, put_at in kept])
        return StoredGroup(self._numbers.get(group, 0), records)

    async def find(self, wanted: FindKeys) -> tuple[tuple[str, str], ...]:
        if wanted.series:
            return tuple(self._series.get((wanted.scope, wanted.pool, wanted.series), {}))
        keys = sorted(self._keys.get((wanted.scope, wanted.pool), {}))
        return tuple([found for found in keys if found[0].startswith(wanted.prefix)][: wanted.limit])

"""What durable objects are written to, in place of Valkey: it outlives the nodes that write."""

from __future__ import annotations

import random
from dataclasses import replace

from covey.grouping import Scope
from covey.model import GroupId
from covey.services.datastore.core.commands import Entry, FindKeys, LoadGroup, Persist, Record, Remove
from covey.services.datastore.core.stimuli import GroupLoaded, KeysFound, Persisted, Removed

DELAY_S = 300e-6


class Storage:
    """Records by group, and indices of their keys. Every operation is one step, as a script in Valkey is."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._records: dict[GroupId, list[tuple[float, Record]]] = {}
        self._numbers: dict[GroupId, int] = {}
        self._entries: dict[tuple[Scope, str, str], dict[str, str]] = {}
        """(scope, pool, series) -> key -> group."""

    def delay_s(self) -> float:
        """One way."""
        return DELAY_S * (0.5 + self._rng.expovariate(1.0))

    def apply(
        self, command: Persist | Remove | LoadGroup | FindKeys, now: float
    ) -> Persisted | Removed | GroupLoaded | KeysFound:
        """Carry out one operation."""
        match command:
            case Persist(group, record, entry):
                self._records.setdefault(group, []).append((now, record))
                self._numbers[group] = max(self._numbers.get(group, 0), record.ref.version)
                if entry is not None:
                    self._index(group, entry)[entry.key] = group.group
                return Persisted(group)
            case Remove(group, refs, entries):
                gone = {(ref.pool, ref.key, ref.version): None for ref in refs}
                kept = [
                    (put_at, record)
                    for put_at, record in self._records.get(group, [])
                    if (record.ref.pool, record.ref.key, record.ref.version) not in gone
                ]
                self._records[group] = kept
                for entry in entries:
                    self._index(group, entry).pop(entry.key, None)
                return Removed(group)
            case LoadGroup(group):
                records = tuple(replace(record, age_s=now - put_at) for put_at, record in self._records.get(group, []))
                return GroupLoaded(group, self._numbers.get(group, 0), records)
            case FindKeys():
                return KeysFound(command, self._find(command))

    def _index(self, group: GroupId, entry: Entry) -> dict[str, str]:
        return self._entries.setdefault((group.scope, entry.pool, entry.series), {})

    def _find(self, wanted: FindKeys) -> tuple[tuple[str, str], ...]:
        if wanted.series:
            return tuple(self._entries.get((wanted.scope, wanted.pool, wanted.series), {}).items())
        found = [
            (key, group)
            for (scope, pool, _), keys in self._entries.items()
            if scope == wanted.scope and pool == wanted.pool
            for key, group in keys.items()
            if key.startswith(wanted.prefix)
        ]
        return tuple(sorted(found)[: wanted.limit])

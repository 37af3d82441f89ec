"""Which objects are worth holding in memory, so that an exact read of them needs no round trip.

What (scope, group, key, version) names never changes, so there is nothing to invalidate. Only the newest version of a
key is held: the state that this worker has just written, the members that a join is about to read. The least recently
used *group* goes first, whole: its objects are used together, so that half of one is worth little.

As a cache (`caches`) it also holds what was read without a version, from a size on that is worth it. Such a read asks
again, and says which version is here; the home answers with that version's name alone if it is still the one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from covey.grouping import Scope
from covey.model import GroupId, KeyRead, LastRead, ObjectRef, Read
from covey.services.worker.core.commands import Resident

SERIES_MAX = 4096
"""Series whose last answer a cache remembers by name."""


class Residency:
    """The names and sizes of what is resident, bounded by `bytes_max`."""

    def __init__(self, bytes_max: int, caches: bool = False, cached_bytes_min: int = 0) -> None:
        self._bytes_max = bytes_max
        self._cached_bytes_min = cached_bytes_min
        self._groups: OrderedDict[GroupId, dict[str, ObjectRef]] = OrderedDict()
        self._series: OrderedDict[tuple[Scope, str, str], tuple[ObjectRef, ...]] = OrderedDict()
        self.caches = caches
        self.bytes = 0
        self.evicted = 0
        """Objects that had to make room, in all."""

    def holds(self, scope: Scope, read: KeyRead) -> bool:
        """Whether this exact version is here; its group is then the most recently used."""
        if read.as_of is not None:
            return False
        group = GroupId(scope, read.group)
        ref = self._held(group, read.key)
        if ref is None or read.version == 0 or ref.version != read.version:
            return False
        self._groups.move_to_end(group)
        return True

    def recall(self, scope: Scope, read: Read) -> tuple[ObjectRef, ...]:
        """What is held of that which such a read has found before; nothing unless this is a cache."""
        if not self.caches:
            return ()
        if isinstance(read, KeyRead):
            ref = self._held(GroupId(scope, read.group), read.key)
            return (ref,) if ref is not None and self.is_worth_caching(ref) else ()
        last = self._series.get((scope, read.pool, read.series), ()) if isinstance(read, LastRead) else ()
        return tuple([ref for ref in last if self._held(GroupId(scope, ref.group), ref.key) == ref])

    def is_worth_caching(self, ref: ObjectRef) -> bool:
        """Whether asking for it again by its version saves more than it costs."""
        return self.caches and ref.size >= self._cached_bytes_min

    def note(self, scope: Scope, read: Read, refs: list[ObjectRef]) -> None:
        """Remember what a read found, for the next read of the same series: the two overlap."""
        if isinstance(read, LastRead) and refs:
            self._series[scope, read.pool, read.series] = tuple(refs)
            self._series.move_to_end((scope, read.pool, read.series))
            if len(self._series) > SERIES_MAX:
                self._series.popitem(last=False)

    def keep(self, scope: Scope, ref: ObjectRef) -> list[Resident] | None:
        """Hold this object; the answer names what must go for it. None: it is too large, too old or here already."""
        group = GroupId(scope, ref.group)
        held = self._held(group, ref.key)
        if held is not None and held.version == ref.version:
            self._groups.move_to_end(group)
        if ref.size > self._bytes_max or (held is not None and held.version >= ref.version):
            return None
        evicted = []
        if held is not None:
            evicted.append(Resident(scope, ref.group, ref.key, held.version))
            self.bytes -= held.size
        self._groups.setdefault(group, {})[ref.key] = ref
        self._groups.move_to_end(group)
        self.bytes += ref.size
        while self.bytes > self._bytes_max:
            evicted += self._evict_oldest(ref, group)
        return evicted

    def keep_all(self, scope: Scope, refs: Iterable[ObjectRef]) -> tuple[tuple[ObjectRef, ...], tuple[Resident, ...]]:
        """Hold these: what is new here now, and what is here no more."""
        keep: dict[Resident, ObjectRef] = {}
        evict: dict[Resident, None] = {}
        for ref in refs:
            evicted = self.keep(scope, ref)
            if evicted is not None:
                keep[Resident(scope, ref.group, ref.key, ref.version)] = ref
                evict.update(dict.fromkeys(evicted))
        kept = tuple([ref for name, ref in keep.items() if name not in evict])
        return kept, tuple([name for name in evict if name not in keep])

    def _held(self, group: GroupId, key: str) -> ObjectRef | None:
        held = self._groups.get(group)
        return held.get(key) if held is not None else None

    def _evict_oldest(self, kept: ObjectRef, kept_group: GroupId) -> list[Resident]:
        """Drop the least recently used group; of the group that is being added to, all but the new object."""
        group, held = self._groups.popitem(last=False)
        stays = {kept.key: kept} if group == kept_group else {}
        if stays:
            self._groups[group] = stays
        gone = [ref for key, ref in held.items() if key not in stays]
        self.bytes -= sum(ref.size for ref in gone)
        self.evicted += len(gone)
        return [Resident(group.scope, group.group, ref.key, ref.version) for ref in gone]

    def check_invariants(self) -> None:
        sizes = [ref.size for held in self._groups.values() for ref in held.values()]
        assert self.bytes == sum(sizes), "the bytes held are the sum of the objects held"
        assert self.bytes <= self._bytes_max, "memory is bounded"
        assert all(self._groups.values()), "a group without objects is not held"
        assert len(self._series) <= SERIES_MAX, "series are bounded"

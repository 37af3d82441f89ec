"""Which objects are worth holding in memory, so that an exact read of them needs no round trip.

What (scope, group, key, version) names never changes, so there is nothing to invalidate. Only the newest version of a
key is held: the state that this worker has just written, the members that a join is about to read. The least recently
used *group* goes first, whole: its objects are used together, so that half of one is worth little.
"""

from __future__ import annotations

from collections import OrderedDict

from covey.grouping import Scope
from covey.model import GroupId, KeyRead, ObjectRef
from covey.services.worker.core.commands import Resident


class Residency:
    """The names and sizes of what is resident, bounded by `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._groups: OrderedDict[GroupId, dict[str, ObjectRef]] = OrderedDict()
        self.bytes = 0

    def holds(self, scope: Scope, read: KeyRead) -> bool:
        """Whether this exact version is here; its group is then the most recently used."""
        if read.as_of is not None:
            return False
        group = GroupId(scope, read.group)
        ref = self._groups.get(group, {}).get(read.key)
        if ref is None or read.version == 0 or ref.version != read.version:
            return False
        self._groups.move_to_end(group)
        return True

    def keep(self, scope: Scope, ref: ObjectRef) -> list[Resident] | None:
        """Hold this object; the answer names what must go for it. None: it is too large, too old or here already."""
        group = GroupId(scope, ref.group)
        held = self._groups.get(group, {}).get(ref.key)
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

    def _evict_oldest(self, kept: ObjectRef, kept_group: GroupId) -> list[Resident]:
        """Drop the least recently used group; of the group that is being added to, all but the new object."""
        group, held = self._groups.popitem(last=False)
        stays = {kept.key: kept} if group == kept_group else {}
        if stays:
            self._groups[group] = stays
        gone = [ref for key, ref in held.items() if key not in stays]
        self.bytes -= sum(ref.size for ref in gone)
        return [Resident(group.scope, group.group, ref.key, ref.version) for ref in gone]

    def check_invariants(self) -> None:
        sizes = [ref.size for held in self._groups.values() for ref in held.values()]
        assert self.bytes == sum(sizes), "the bytes held are the sum of the objects held"
        assert self.bytes <= self._bytes_max, "memory is bounded"
        assert all(self._groups.values()), "a group without objects is not held"

"""The seam to what keeps durable objects. Raises Unavailable (STORAGE_FAILED) when it can't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from covey.model import GroupId, ObjectRef
from covey.services.datastore.core.commands import Entry, FindKeys, Record


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """Everything of a group: the last number it gave to a put, and its records, oldest version first."""

    number: int = 0
    records: tuple[Record, ...] = ()


class Storage(Protocol):
    """Keeps records by group, and two indices of keys: by pool, in key order, and by series."""

    async def persist(self, group: GroupId, record: Record, entry: Entry | None) -> None:
        """Store a record, after its key is in the indices (if `entry` says that it is new). Returns when it is safe."""

    async def remove(self, group: GroupId, refs: Sequence[ObjectRef], entries: Sequence[Entry]) -> None:
        """Remove versions, then keys from the indices; what is not there is no error."""

    async def load(self, group: GroupId) -> StoredGroup:
        """Everything of a group, in one round trip."""

    async def find(self, wanted: FindKeys) -> tuple[tuple[str, str], ...]:
        """The keys that are wanted, each with its group; a key may be there whose put never came to an end."""

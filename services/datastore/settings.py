"""The datastore's settings, read once from the environment (`COVEY_<NAME>`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from covey.services.datastore.core.state import Limits


@dataclass(frozen=True, slots=True)
class DatastoreSettings:
    """`node` names this node; `listen` is host:port, port 0 for a free one; `advertise` is what others dial, the bound
    address if empty. Workers of this host get large payloads through files below `shared_folder` (in memory: somewhere
    under /dev/shm), which they are given, too; there are none without it, and `shared_bytes_max` at most.
    """

    redis_url: str
    node: str
    id: str = ""
    listen: str = "127.0.0.1:0"
    advertise: str = ""
    trace_to: Path | None = None
    reflection: bool = False
    grace_s: float = 2.0
    memory_bytes_max: int = Limits().memory_bytes_max
    shared_folder: Path | None = None
    shared_bytes_max: int = 128 * 1024 * 1024

    @property
    def limits(self) -> Limits:
        return Limits(memory_bytes_max=self.memory_bytes_max)

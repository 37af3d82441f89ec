"""The worker's settings, read once from the environment (`COVEY_<NAME>`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from covey.services.worker.core.state import Limits


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`app` is module:attribute; `listen` is host:port, port 0 for a free one.

    `advertise` is what the scheduler dials, the bound address if empty. `node` is the datastore node of this host.
    `local_datastore` (host:port) is where that node's datastore is reached from here, when others reach it by another
    address; `shared_folder` is the one that it was given, through which large payloads come and go, and
    `shared_bytes_max` how much of it this worker takes for what it puts. `cache_reads` keeps what other nodes were
    asked for, and asks them only whether it still holds. `device` is cpu, cuda, auto (cuda where a stage has a model
    and torch finds a device) or emulated, which takes the times of `device_profile` and counts in the file
    `device_ledger` what it was busy with. `load_at_start` has every model in memory before the worker is there; without
    it a scheduler that provisions says which, and when. `lanes` counts threads on a CPU, and on CUDA the streams for
    LOW, beside the one for HIGH.
    """

    redis_url: str
    app: str
    id: str = ""
    node: str = ""
    tenant: str = "default"
    listen: str = "127.0.0.1:0"
    advertise: str = ""
    local_datastore: str = ""
    shared_folder: Path | None = None
    shared_bytes_max: int = 32 * 1024 * 1024
    device: str = "auto"
    device_profile: Path | None = None
    device_ledger: Path | None = None
    load_at_start: bool = True
    lanes: int = 1
    trace_to: Path | None = None
    trace_share: float = 1.0
    reflection: bool = False
    grace_s: float = 2.0
    batches_max: int = 64
    resident_bytes_max: int = 256 * 1024 * 1024
    cache_reads: bool = True

    @property
    def limits(self) -> Limits:
        return Limits(
            batches_max=self.batches_max, resident_bytes_max=self.resident_bytes_max, cache_reads=self.cache_reads
        )

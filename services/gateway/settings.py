"""The gateway's settings, read once from the environment (`COVEY_<NAME>`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from covey.services.gateway.core.state import Limits


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """`listen` is host:port, port 0 for a free one; `advertise` is what clients dial, the bound address if empty.

    Large payloads go to datastores of the same host through `shared_folder`, `shared_bytes_max` of it, if it is given.
    `trace_share` of the traces that start here are recorded; a client's own traceparent decides for itself.
    """

    redis_url: str
    id: str = ""
    listen: str = "127.0.0.1:7700"
    advertise: str = ""
    trace_to: Path | None = None
    trace_share: float = 1.0
    reflection: bool = False
    grace_s: float = 2.0
    shared_folder: Path | None = None
    shared_bytes_max: int = 32 * 1024 * 1024
    open_max: int = Limits().open_max
    open_bytes_max: int = Limits().open_bytes_max

    @property
    def limits(self) -> Limits:
        return Limits(open_max=self.open_max, open_bytes_max=self.open_bytes_max)

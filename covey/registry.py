"""Who is there, what is declared and who leads: the registry that all services share, and its memory twin.

`covey.valkey.ValkeyRegistry` keeps it in Valkey or Redis (the key layout is drawn there); `MemoryRegistry` keeps it in
one process, for the test client. Losing the registry degrades: everyone goes on with what they know.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from covey.declaration import Declaration
from covey.errors import Unavailable

log = logging.getLogger(__name__)

RENEW_S = 1.0
REGISTERED_S = 5.0
"""How long a member that has stopped renewing counts as there."""


@dataclass(frozen=True, slots=True)
class Member:
    """A running service. `kind` is gateway, scheduler, worker or datastore; services of one `node` share a host."""

    kind: str
    id: str
    address: str
    node: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, in which epoch, and where it listens."""

    scheduler: str
    address: str
    epoch: int


class Registry(Protocol):
    """Raises Unavailable when it can't be reached."""

    async def register(self, member: Member, ttl_s: float) -> None:
        """Say that `member` is alive; forgotten after `ttl_s` unless said again."""

    async def unregister(self, member: Member) -> None: ...

    async def members(self, kind: str) -> list[Member]: ...

    async def publish(self, tenant: str, declaration: Declaration) -> None:
        """Make this the pipeline's current declaration."""

    async def declarations(self) -> list[tuple[str, Declaration]]:
        """The current declaration of every (tenant, pipeline)."""

    async def lead(self, scheduler: str, address: str, ttl_s: float, known_epoch: int) -> Leader:
        """Take the lease if it is free, or renew it if it is ours; the answer says who has it.

        Lease and epoch change in one atomic step. Taking the lease gives an epoch above both the stored one and
        `known_epoch` (the newest that any peer has reported).
        """

    async def step_down(self, scheduler: str) -> None: ...

    async def leader(self) -> Leader | None: ...


class MemoryRegistry:
    """A registry within one process. Nothing expires: a member that leaves says so."""

    def __init__(self) -> None:
        self._members: dict[tuple[str, str], Member] = {}
        self._declarations: dict[tuple[str, str], Declaration] = {}
        self._leader: Leader | None = None
        self._epoch = 0

    async def register(self, member: Member, ttl_s: float) -> None:
        self._members[member.kind, member.id] = member

    async def unregister(self, member: Member) -> None:
        self._members.pop((member.kind, member.id), None)

    async def members(self, kind: str) -> list[Member]:
        return [member for member in self._members.values() if member.kind == kind]

    async def publish(self, tenant: str, declaration: Declaration) -> None:
        self._declarations[tenant, declaration.pipeline] = declaration

    async def declarations(self) -> list[tuple[str, Declaration]]:
        return [(tenant, declaration) for (tenant, _), declaration in self._declarations.items()]

    async def lead(self, scheduler: str, address: str, ttl_s: float, known_epoch: int) -> Leader:
        if self._leader is None or (self._leader.scheduler == scheduler and self._leader.epoch < known_epoch):
            self._epoch = max(self._epoch, known_epoch) + 1
            self._leader = Leader(scheduler, address, self._epoch)
        return self._leader

    async def step_down(self, scheduler: str) -> None:
        if self._leader is not None and self._leader.scheduler == scheduler:
            self._leader = None

    async def leader(self) -> Leader | None:
        return self._leader


async def stay_registered(registry: Registry, member: Member) -> None:
    """Renew a member until cancelled, then have it leave. A registry that is away costs nothing but newcomers."""
    try:
        while True:
            try:
                await registry.register(member, REGISTERED_S)
            except Unavailable as error:
                log.warning("not registered: %s", error.message)
            await asyncio.sleep(RENEW_S)
    finally:
        try:
            await registry.unregister(member)
        except Unavailable as error:
            log.warning("not unregistered: %s", error.message)

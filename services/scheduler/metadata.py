"""The correlation metadata in Valkey: what is known of groups, written behind, and the pins that override homes.

    covey:<tenant>:<pipeline>:group:{<group>}    hash: home, epoch, objects, bytes, uses, and whether it is pinned
    covey:pins                                   hash: "<tenant>:<pipeline>:<group>" -> node

Names that users choose are percent-encoded, so that none of them can reach into another's keys or slots. The leader is
the only writer of records; operators write pins. Losing Valkey costs records and nothing else: the leader decides from
memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote, unquote

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from covey.errors import Unavailable
from covey.model import GroupId, Scope
from covey.services.scheduler.core.commands import GroupRecord

PINS = "covey:pins"

Pins = tuple[tuple[GroupId, str], ...]


class Metadata(Protocol):
    """Raises Unavailable when it can't be reached."""

    async def write(self, records: Sequence[GroupRecord]) -> None: ...

    async def pins(self) -> Pins: ...


class MemoryMetadata:
    """Metadata within one process, for the test client."""

    def __init__(self) -> None:
        self.records: dict[GroupId, GroupRecord] = {}
        self.pinned: dict[GroupId, str] = {}

    async def write(self, records: Sequence[GroupRecord]) -> None:
        self.records.update({record.group: record for record in records})

    async def pins(self) -> Pins:
        return tuple(self.pinned.items())


class ValkeyMetadata:
    """Metadata in Valkey or Redis, one server or a cluster."""

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._client = client

    async def write(self, records: Sequence[GroupRecord]) -> None:
        try:
            pipeline = self._client.pipeline(transaction=False)
            for record in records:
                key = group_key(record.group)
                fields = {
                    "home": record.home,
                    "epoch": record.placement_epoch,
                    "objects": record.objects,
                    "bytes": record.size,
                }
                pipeline.hset(key, mapping=fields)
                pipeline.hincrby(key, "uses", record.uses)
            await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable("the correlation metadata can't be written: Valkey does not answer") from error

    async def pins(self) -> Pins:
        try:
            found = await self._client.hgetall(PINS)  # type: ignore[misc]
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable("the correlation metadata can't be read: Valkey does not answer") from error
        return tuple((_group_of(_text(name)), _text(node)) for name, node in sorted(found.items()))

    async def pin(self, group: GroupId, node: str) -> None:
        """Have a group live on a node whatever hashing says."""
        await self._client.hset(PINS, _name(group), node)  # type: ignore[misc]
        await self._client.hset(group_key(group), "pinned", node)  # type: ignore[misc]


def group_key(group: GroupId) -> str:
    """The key of a group's record; the group is the hash tag."""
    tenant, pipeline, name = (quote(part, safe="") for part in (*group.scope, group.group))
    return f"covey:{tenant}:{pipeline}:group:{{{name}}}"


def _name(group: GroupId) -> str:
    return ":".join(quote(part, safe="") for part in (*group.scope, group.group))


def _group_of(name: str) -> GroupId:
    tenant, pipeline, group = (unquote(part) for part in name.split(":"))
    return GroupId(Scope(tenant, pipeline), group)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

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
from urllib.parse import unquote

from covey.model import GroupId, Scope
from covey.services.scheduler.core.commands import GroupRecord
from covey.valkey import Client, escaped, reaching

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

    def __init__(self, client: Client) -> None:
        self._client = client

    async def write(self, records: Sequence[GroupRecord]) -> None:
        with reaching("the correlation metadata"):
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

    async def pins(self) -> Pins:
        with reaching("the correlation metadata"):
            found = await self._client.hgetall(PINS)
        return tuple((_group_of(name.decode()), node.decode()) for name, node in sorted(found.items()))

    async def pin(self, group: GroupId, node: str) -> None:
        """Have a group live on a node whatever hashing says."""
        with reaching("the correlation metadata"):
            await self._client.hset(PINS, _name(group), node)
            await self._client.hset(group_key(group), "pinned", node)


def group_key(group: GroupId) -> str:
    """The key of a group's record; the group is the hash tag."""
    tenant, pipeline, name = (escaped(part) for part in (*group.scope, group.group))
    return f"covey:{tenant}:{pipeline}:group:{{{name}}}"


def _name(group: GroupId) -> str:
    return ":".join(escaped(part) for part in (*group.scope, group.group))


def _group_of(name: str) -> GroupId:
    tenant, pipeline, group = (unquote(part) for part in name.split(":"))
    return GroupId(Scope(tenant, pipeline), group)

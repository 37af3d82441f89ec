"""The correlation metadata in Valkey: what is known of groups, written behind, and the pins that override homes.

    covey:<tenant>:<pipeline>:group:{<group>}    hash: home, epoch, objects, bytes, uses, and whether it is pinned
    covey:pins                                   hash: "<tenant>:<pipeline>:<group>" -> node
    covey:<tenant>:<pipeline>:reads              list: covey.model.TaskReads as JSON, the newest READS_KEPT

Names that users choose are percent-encoded, so that none of them can reach into another's keys or slots. The leader is
the only writer of records; operators write pins. Losing Valkey costs records and nothing else: the leader decides from
memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import unquote

import msgspec

from covey.model import GroupId, Scope, TaskReads
from covey.services.scheduler.core.commands import GroupRecord
from covey.valkey import Client, escaped, reaching

PINS = "covey:pins"
READS_KEPT = 20_000
"""Tasks of a pipeline whose reads are kept: some megabytes."""

Pins = tuple[tuple[GroupId, str], ...]


class Metadata(Protocol):
    """Raises Unavailable when it can't be reached."""

    async def write(self, records: Sequence[GroupRecord]) -> None: ...

    async def pins(self) -> Pins: ...

    async def record_reads(self, scope: Scope, tasks: Sequence[TaskReads]) -> None:
        """Keep what these tasks read together, in place of the oldest."""

    async def reads(self, scope: Scope) -> list[TaskReads]:
        """What tasks of a pipeline have read together, the oldest first."""


class MemoryMetadata:
    """Metadata within one process, for the test client."""

    def __init__(self) -> None:
        self.records: dict[GroupId, GroupRecord] = {}
        self.pinned: dict[GroupId, str] = {}
        self._reads: dict[Scope, deque[TaskReads]] = {}

    async def write(self, records: Sequence[GroupRecord]) -> None:
        self.records.update({record.group: record for record in records})

    async def pins(self) -> Pins:
        return tuple(self.pinned.items())

    async def record_reads(self, scope: Scope, tasks: Sequence[TaskReads]) -> None:
        self._reads.setdefault(scope, deque(maxlen=READS_KEPT)).extend(tasks)

    async def reads(self, scope: Scope) -> list[TaskReads]:
        return list(self._reads.get(scope, ()))


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

    async def unpin(self, group: GroupId) -> bool:
        """Take a pin back; whether there was one."""
        with reaching("the correlation metadata"):
            await self._client.hdel(group_key(group), "pinned")
            return bool(await self._client.hdel(PINS, _name(group)))

    async def record_reads(self, scope: Scope, tasks: Sequence[TaskReads]) -> None:
        with reaching("the correlation metadata"):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.rpush(reads_key(scope), *[msgspec.json.encode(task) for task in tasks])
            pipeline.ltrim(reads_key(scope), -READS_KEPT, -1)
            await pipeline.execute()

    async def reads(self, scope: Scope) -> list[TaskReads]:
        with reaching("the correlation metadata"):
            found = await self._client.lrange(reads_key(scope), 0, -1)
        return [msgspec.json.decode(data, type=TaskReads) for data in found]


def reads_key(scope: Scope) -> str:
    """The key of what the tasks of a pipeline have read together."""
    return f"covey:{escaped(scope.tenant)}:{escaped(scope.pipeline)}:reads"


def group_key(group: GroupId) -> str:
    """The key of a group's record; the group is the hash tag."""
    tenant, pipeline, name = (escaped(part) for part in (*group.scope, group.group))
    return f"covey:{tenant}:{pipeline}:group:{{{name}}}"


def _name(group: GroupId) -> str:
    return ":".join(escaped(part) for part in (*group.scope, group.group))


def _group_of(name: str) -> GroupId:
    tenant, pipeline, group = (unquote(part) for part in name.split(":"))
    return GroupId(Scope(tenant, pipeline), group)

"""Durable objects in Valkey or Redis, a single server or a cluster.

    covey:<tenant>:<pipeline>:objects:{<group>}            hash: (pool, key, version) -> when, emission, payload; number
    covey:<tenant>:<pipeline>:keys:{<pool>}                sorted set, all scores 0: the keys of a pool, in order
    covey:<tenant>:<pipeline>:series:{<pool>:<series>}     set: the keys of a series

A group is one hash tag, so one slot: a put is one atomic script and a read of all of it another. The indices have slots
of their own and can't change in the same step, so that a key enters them before its first version is stored and leaves
them after its last: they may name a key that isn't there, and never lack one that is. Names that users choose are
escaped. Instants are the server's, so that ages are right after a restart and between nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from covey.grouping import Scope
from covey.model import GroupId, ObjectRef
from covey.services.datastore.core.commands import Entry, FindKeys, Record
from covey.services.datastore.storage.base import StoredGroup
from covey.valkey import Client, escaped, reaching

NUMBER = b"number"

# KEYS: objects. ARGV: field, value, number.
PERSIST = """
local t = redis.call('TIME')
local when = t[1] .. string.format('%06d', t[2])
return redis.call('HSET', KEYS[1], ARGV[1], when .. ':' .. ARGV[2], 'number', ARGV[3])
"""

LOAD = "return {redis.call('TIME'), redis.call('HGETALL', KEYS[1])}"

# KEYS: objects. ARGV: fields. A group of which nothing is left but its number is forgotten.
REMOVE = """
redis.call('HDEL', KEYS[1], unpack(ARGV))
if redis.call('HLEN', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
"""

REMOVED_AT_ONCE = 1_000
"""Lua's `unpack` takes a few thousand values."""


class ValkeyStorage:
    """Keeps records through a client of `covey.valkey.valkey_client`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def persist(self, group: GroupId, record: Record, entry: Entry | None) -> None:
        value = msgspec.msgpack.encode((record.emission, record.payload))
        with reaching("storage"):
            if entry is not None:
                await self._client.zadd(_keys_name(group.scope, entry.pool), {_located(entry.key, group.group): 0})
            if entry is not None and entry.series:
                await self._client.sadd(_series_name(group.scope, entry.pool, entry.series), _member(entry, group))
            field, number = _field(record.ref), record.ref.version
            await self._client.eval(PERSIST, 1, _objects_name(group), field, value, number)

    async def remove(self, group: GroupId, refs: Sequence[ObjectRef], entries: Sequence[Entry]) -> None:
        fields = [_field(ref) for ref in refs]
        with reaching("storage"):
            for start in range(0, len(fields), REMOVED_AT_ONCE):
                some = fields[start : start + REMOVED_AT_ONCE]
                await self._client.eval(REMOVE, 1, _objects_name(group), *some)
            for entry in entries:
                if entry.series:
                    await self._client.srem(_series_name(group.scope, entry.pool, entry.series), _member(entry, group))
                await self._client.zrem(_keys_name(group.scope, entry.pool), _located(entry.key, group.group))

    async def load(self, group: GroupId) -> StoredGroup:
        with reaching("storage"):
            (seconds, micros), flat = await self._client.eval(LOAD, 1, _objects_name(group))
        now_us = int(seconds) * 1_000_000 + int(micros)
        stored = dict(zip(flat[::2], flat[1::2], strict=True))
        number = int(stored.pop(NUMBER, 0))
        records = [_record(field, value, group, now_us) for field, value in stored.items()]
        records.sort(key=lambda record: record.ref.version)
        return StoredGroup(number, tuple(records))

    async def find(self, wanted: FindKeys) -> tuple[tuple[str, str], ...]:
        if wanted.series:
            with reaching("storage"):
                members = await self._client.smembers(_series_name(wanted.scope, wanted.pool, wanted.series))
            return tuple(sorted(msgspec.msgpack.decode(member, type=tuple[str, str]) for member in members))
        start = wanted.prefix.encode()
        name = _keys_name(wanted.scope, wanted.pool)
        with reaching("storage"):
            # No UTF-8 text has a byte 0xff, so this ends beyond every key under the prefix.
            members = await self._client.zrangebylex(name, b"[" + start, b"(" + start + b"\xff", 0, wanted.limit)
        return tuple([_split(member) for member in members])


def _name(scope: Scope, kind: str, tag: str) -> str:
    return f"covey:{escaped(scope.tenant)}:{escaped(scope.pipeline)}:{kind}:{{{tag}}}"


def _objects_name(group: GroupId) -> str:
    return _name(group.scope, "objects", escaped(group.group))


def _keys_name(scope: Scope, pool: str) -> str:
    return _name(scope, "keys", escaped(pool))


def _series_name(scope: Scope, pool: str, series: str) -> str:
    return _name(scope, "series", f"{escaped(pool)}:{escaped(series)}")


def _member(entry: Entry, group: GroupId) -> bytes:
    return msgspec.msgpack.encode((entry.key, group.group))


def _field(ref: ObjectRef) -> bytes:
    return msgspec.msgpack.encode((ref.pool, ref.key, ref.version))


def _record(field: bytes, value: bytes, group: GroupId, now_us: int) -> Record:
    when, _, rest = value.partition(b":")
    pool, key, version = msgspec.msgpack.decode(field, type=tuple[str, str, int])
    emission, payload = msgspec.msgpack.decode(rest, type=tuple[bytes, bytes])
    ref = ObjectRef(pool, key, group.group, version, len(payload))
    return Record(ref, payload, emission, max(0, now_us - int(when)) / 1e6)


def _located(key: str, group: str) -> bytes:
    """A key and its group as one member that sorts by the key; the key's length at the end says where it stops."""
    encoded = key.encode()
    return encoded + b"\0" + group.encode() + len(encoded).to_bytes(2, "big")


def _split(member: bytes) -> tuple[str, str]:
    length = int.from_bytes(member[-2:], "big")
    return member[:length].decode(), member[length + 1 : -2].decode()

"""The registry in Valkey or Redis, a single server or a cluster.

    covey:{leader}:lease                        hash: scheduler, address, epoch; expires unless renewed
    covey:{leader}:epoch                        a counter that only grows
    covey:registry:{<kind>}                     set: the ids of the members that were there lately
    covey:registry:{<kind>}:<id>                string: the member as JSON; expires unless renewed
    covey:declaration                           set: `<tenant>:<pipeline>` of what was ever declared
    covey:declaration:<tenant>:<pipeline>       hash: `version:<version>` -> covey.v1.Declaration; `current` -> version

Names that people choose are percent-encoded before they become part of a key, so that none can leave its place or
steer its slot. What is in braces decides the slot: keys that are used together share one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from covey.declaration import Declaration
from covey.errors import Reason, Unavailable
from covey.registry import Leader, Member
from covey.wire.convert.declaration import declaration_from_bytes, declaration_to_bytes

TIMEOUT_S = 0.5

LEASE = "covey:{leader}:lease"
EPOCH = "covey:{leader}:epoch"
DECLARATIONS = "covey:declaration"

Client: TypeAlias = Any
"""`Redis` or `RedisCluster` of redis.asyncio, whose annotations mix their blocking and awaitable halves."""

# KEYS: lease, epoch. ARGV: scheduler, address, ttl in ms, newest known epoch.
# The lease is renewed if it is ours, unless someone has seen a newer epoch than ours; it is taken if it is free.
_LEAD = """
local holder, epoch = unpack(redis.call('HMGET', KEYS[1], 'scheduler', 'epoch'))
local known = tonumber(ARGV[4])
if holder and holder ~= ARGV[1] then
    return redis.call('HMGET', KEYS[1], 'scheduler', 'address', 'epoch')
end
if not holder or tonumber(epoch) < known then
    local stored = tonumber(redis.call('GET', KEYS[2]) or '0')
    epoch = string.format('%.0f', math.max(stored, known) + 1)
    redis.call('SET', KEYS[2], epoch)
end
redis.call('HSET', KEYS[1], 'scheduler', ARGV[1], 'address', ARGV[2], 'epoch', epoch)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {ARGV[1], ARGV[2], epoch}
"""

# KEYS: lease. ARGV: scheduler.
_STEP_DOWN = """
if redis.call('HGET', KEYS[1], 'scheduler') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


def escaped(name: str) -> str:
    """A name as it may stand in a key: letters, digits and `_.-~`, all else percent-encoded."""
    return quote(name, safe="")


@asynccontextmanager
async def valkey_client(url: str, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Client]:
    """A client of the server, or of the cluster that it belongs to. Every command ends within about `timeout_s`; of a
    cluster whose nodes don't answer, within as much for each of them.

    Raises Unavailable when the server can't be reached.
    """
    limits: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    # One more attempt at once: a pooled connection may be one that the server has closed.
    single = Redis.from_url(url, retry=Retry(NoBackoff(), 1), **limits)
    try:
        with reaching(url):
            async with asyncio.timeout(2 * timeout_s):
                clustered = await _is_cluster(single)
        if not clustered:
            yield single
            return
    finally:
        await single.aclose()
    cluster = RedisCluster.from_url(url, **limits)
    try:
        yield cluster
    finally:
        await cluster.aclose()


async def _is_cluster(client: Client) -> bool:
    try:
        info = await client.info("cluster")
    except ResponseError:  # an account that may not ask belongs to no cluster of ours
        return False
    return bool(info.get("cluster_enabled"))


@contextmanager
def reaching(where: str = "the registry") -> Iterator[None]:
    """Turn what the client library raises into Unavailable."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError, TimeoutError) as error:  # the second is no RedisError
        raise Unavailable(f"{where} can't be reached: {str(error) or type(error).__name__}", Reason.NONE) from error


class ValkeyRegistry:
    """A `covey.registry.Registry` that outlives every process. Raises Unavailable when it can't be reached."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lead = client.register_script(_LEAD)
        self._step_down = client.register_script(_STEP_DOWN)

    async def register(self, member: Member, ttl_s: float) -> None:
        with reaching():
            await self._client.set(_member_key(member.kind, member.id), msgspec.json.encode(member), px=_ms(ttl_s))
            await self._client.sadd(_members_key(member.kind), member.id)

    async def unregister(self, member: Member) -> None:
        with reaching():
            await self._client.delete(_member_key(member.kind, member.id))
            await self._client.srem(_members_key(member.kind), member.id)

    async def members(self, kind: str) -> list[Member]:
        with reaching():
            ids = sorted([name.decode() for name in await self._client.smembers(_members_key(kind))])
            if not ids:
                return []
            found = await self._client.mget([_member_key(kind, name) for name in ids])
            gone = [name for name, data in zip(ids, found, strict=True) if data is None]
            if gone:  # one that returns at this moment is back with its next renewal
                await self._client.srem(_members_key(kind), *gone)
        return [msgspec.json.decode(data, type=Member) for data in found if data is not None]

    async def publish(self, tenant: str, declaration: Declaration) -> None:
        key = _declaration_key(escaped(tenant), escaped(declaration.pipeline))
        fields = {f"version:{declaration.version}": declaration_to_bytes(declaration), "current": declaration.version}
        with reaching():
            await self._client.hset(key, mapping=fields)
            await self._client.sadd(DECLARATIONS, key.removeprefix(f"{DECLARATIONS}:"))

    async def declarations(self) -> list[tuple[str, Declaration]]:
        with reaching():
            names = sorted([name.decode() for name in await self._client.smembers(DECLARATIONS)])
            return [await self._declaration(*name.split(":")) for name in names]

    async def _declaration(self, tenant: str, pipeline: str) -> tuple[str, Declaration]:
        key = _declaration_key(tenant, pipeline)
        version = await self._client.hget(key, "current")
        data = await self._client.hget(key, f"version:{version.decode()}")
        return unquote(tenant), declaration_from_bytes(data)

    async def lead(self, scheduler: str, address: str, ttl_s: float, known_epoch: int) -> Leader:
        with reaching():
            found = await self._lead(keys=[LEASE, EPOCH], args=[scheduler, address, _ms(ttl_s), known_epoch])
        return _leader(found)

    async def step_down(self, scheduler: str) -> None:
        with reaching():
            await self._step_down(keys=[LEASE], args=[scheduler])

    async def leader(self) -> Leader | None:
        with reaching():
            found = await self._client.hmget(LEASE, ["scheduler", "address", "epoch"])
        return None if found[0] is None else _leader(found)


def _ms(span_s: float) -> int:
    return max(1, round(span_s * 1000))


def _members_key(kind: str) -> str:
    return f"covey:registry:{{{escaped(kind)}}}"


def _member_key(kind: str, name: str) -> str:
    return f"{_members_key(kind)}:{escaped(name)}"


def _declaration_key(tenant: str, pipeline: str) -> str:
    return f"{DECLARATIONS}:{tenant}:{pipeline}"


def _leader(found: list[bytes]) -> Leader:
    scheduler, address, epoch = found
    return Leader(scheduler.decode(), address.decode(), int(epoch))

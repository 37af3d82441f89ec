"""Storage of durable objects: one contract, in memory, in Valkey, in Debian's Redis and in a cluster."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis, RedisCluster

from covey.clock import MonotonicClock
from covey.embedded_valkey import embedded_valkey
from covey.errors import Unavailable
from covey.grouping import Scope
from covey.model import GroupId, ObjectRef
from covey.services.datastore.core.commands import Entry, FindKeys, Record
from covey.services.datastore.storage.base import Storage
from covey.services.datastore.storage.memory import MemoryStorage
from covey.services.datastore.storage.valkey import ValkeyStorage
from covey.valkey import valkey_client

pytestmark = pytest.mark.asyncio

SCOPE = Scope("tenant:{x}", "pipe line")
GROUP = GroupId(SCOPE, "s/{1}:a")
SERIES = "/ledger/{x}/*"


def storages() -> list[object]:
    redis = shutil.which("redis-server")
    missing = pytest.mark.skip(reason="Debian's redis-server is not installed")
    return ["memory", "valkey", pytest.param("redis", marks=() if redis else missing)]


@pytest_asyncio.fixture(params=storages())
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    if request.param == "memory":
        yield MemoryStorage(MonotonicClock())
        return
    found = shutil.which("redis-server") if request.param == "redis" else None
    async with embedded_valkey(program=Path(found) if found else None) as url, valkey_client(url) as client:
        yield ValkeyStorage(client)


def record(key: str, version: int, payload: bytes = b"\x00\xff", emission: bytes = b"") -> Record:
    return Record(ObjectRef("ledger", key, GROUP.group, version, len(payload)), payload, emission)


def entry(key: str) -> Entry:
    return Entry("ledger", key, SERIES)


async def test_a_group_comes_back_as_it_was_stored(storage: Storage) -> None:
    """Records with payloads and emissions, oldest version first, the number, and how long ago each was put."""
    await storage.persist(GROUP, record("/ledger/{x}/1", 4, b"one", b"e1"), entry("/ledger/{x}/1"))
    await storage.persist(GROUP, record("/ledger/{x}/1", 12, b"two"), None)
    await storage.persist(GROUP, record("/ledger/{x}/0", 5), entry("/ledger/{x}/0"))

    stored = await storage.load(GROUP)

    assert [(r.ref, r.payload, r.emission) for r in stored.records] == [
        (record("/ledger/{x}/1", 4, b"one").ref, b"one", b"e1"),
        (record("/ledger/{x}/0", 5).ref, b"\x00\xff", b""),
        (record("/ledger/{x}/1", 12, b"two").ref, b"two", b""),
    ]
    assert all(0 <= r.age_s < 5 for r in stored.records)
    assert stored.number in (5, 12)


async def test_a_group_that_was_never_stored_is_empty(storage: Storage) -> None:
    """Nothing is there, and that is no error."""
    stored = await storage.load(GroupId(SCOPE, "nothing"))

    assert (stored.number, stored.records) == (0, ())


async def test_names_do_not_meet(storage: Storage) -> None:
    """Groups of other tenants, pipelines and names are others, whatever characters they are made of."""
    await storage.persist(GROUP, record("/ledger/{x}/1", 4), entry("/ledger/{x}/1"))

    for other in (
        GroupId(SCOPE, "s/{1}"),
        GroupId(Scope("tenant", "{x}:pipe line"), GROUP.group),
        GroupId(Scope(SCOPE.tenant, "pipe"), "line:" + GROUP.group),
    ):
        assert not (await storage.load(other)).records


async def test_keys_are_found_by_series_and_by_prefix(storage: Storage) -> None:
    """A series gives its keys with their groups; a prefix gives the first keys in key order."""
    for tick in (10, 2, 33):
        key = f"/ledger/{{x}}/{tick}"
        await storage.persist(GroupId(SCOPE, key), record(key, 1), entry(key))
    await storage.persist(GROUP, record("/ledger/é/1", 1), Entry("ledger", "/ledger/é/1", "/ledger/é/*"))

    def located(*ticks: int) -> list[tuple[str, str]]:
        return [(f"/ledger/{{x}}/{tick}", f"/ledger/{{x}}/{tick}") for tick in ticks]

    by_series = await storage.find(FindKeys(SCOPE, "ledger", series=SERIES))
    assert sorted(by_series) == located(10, 2, 33)
    prefix = "/ledger/{x}/"
    assert list(await storage.find(FindKeys(SCOPE, "ledger", prefix=prefix, limit=2))) == located(10, 2)
    assert list(await storage.find(FindKeys(SCOPE, "ledger", prefix=prefix + "3", limit=9))) == located(33)
    assert await storage.find(FindKeys(SCOPE, "ledger", prefix="/ledger/é", limit=9)) == (("/ledger/é/1", GROUP.group),)
    assert await storage.find(FindKeys(SCOPE, "other", prefix="/", limit=9)) == ()


async def test_what_is_removed_is_gone_from_the_indices_too(storage: Storage) -> None:
    """Versions go one by one, keys when they are named; removing twice is no error."""
    old, new = record("/ledger/{x}/1", 4), record("/ledger/{x}/1", 5)
    await storage.persist(GROUP, old, entry(old.ref.key))
    await storage.persist(GROUP, new, None)

    await storage.remove(GROUP, [old.ref], [])
    assert [r.ref for r in (await storage.load(GROUP)).records] == [new.ref]
    assert await storage.find(FindKeys(SCOPE, "ledger", series=SERIES))
    for _ in range(2):
        await storage.remove(GROUP, [new.ref], [entry(new.ref.key)])

    assert not (await storage.load(GROUP)).records
    assert not await storage.find(FindKeys(SCOPE, "ledger", series=SERIES))
    assert not await storage.find(FindKeys(SCOPE, "ledger", prefix="/", limit=9))


async def test_storing_twice_is_storing_once(storage: Storage) -> None:
    """A command that is repeated after a lost connection changes nothing."""
    for _ in range(2):
        await storage.persist(GROUP, record("/ledger/{x}/1", 4), entry("/ledger/{x}/1"))

    assert len((await storage.load(GROUP)).records) == 1


async def test_a_group_without_objects_leaves_nothing_behind() -> None:
    """When the last object of a group is removed, Valkey holds no key for it."""
    async with embedded_valkey() as url, valkey_client(url) as client:
        storage = ValkeyStorage(client)
        await storage.persist(GROUP, record("/ledger/{x}/1", 4), entry("/ledger/{x}/1"))
        await storage.remove(GROUP, [record("/ledger/{x}/1", 4).ref], [entry("/ledger/{x}/1")])

        assert await client.keys("*") == []


async def test_a_cluster_keeps_the_contract_too() -> None:
    """Every command reaches the slot of its group or index, though they are spread over the cluster."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bus = free.getsockname()[1]
    async with embedded_valkey(options=("--cluster-enabled", "yes", "--cluster-port", str(bus))) as url:
        await take_all_slots(url)
        async with valkey_client(url) as client:
            assert isinstance(client, RedisCluster)
            for holds in (
                test_a_group_comes_back_as_it_was_stored,
                test_keys_are_found_by_series_and_by_prefix,
                test_what_is_removed_is_gone_from_the_indices_too,
            ):
                await holds(ValkeyStorage(client))
                await client.flushall(target_nodes="primaries")


async def take_all_slots(url: str) -> None:
    """Make a cluster of one server."""
    async with Redis.from_url(url) as client, asyncio.timeout(10):
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in bytes(await client.execute_command("CLUSTER", "INFO")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_storage_that_is_gone_is_unavailable() -> None:
    """What the client library raises never leaves the storage."""
    async with AsyncExitStack() as kept, AsyncExitStack() as server:
        url = await server.enter_async_context(embedded_valkey())
        storage = ValkeyStorage(await kept.enter_async_context(valkey_client(url, 0.2)))
        await server.aclose()

        with pytest.raises(Unavailable):
            await storage.persist(GROUP, record("/ledger/{x}/1", 4), entry("/ledger/{x}/1"))
        with pytest.raises(Unavailable):
            await storage.load(GROUP)
        with pytest.raises(Unavailable):
            await storage.find(FindKeys(SCOPE, "ledger", series=SERIES))
        with pytest.raises(Unavailable):
            await storage.remove(GROUP, [record("/ledger/{x}/1", 4).ref], [])

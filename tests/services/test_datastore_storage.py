"""Storage of durable objects: one contract, in memory, in Valkey, in Debian's Redis and in a cluster."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
import pytest_asyncio

from covey.clock import MonotonicClock
from covey.embedded_valkey import embedded_valkey
from covey.errors import Unavailable
from covey.grouping import Scope
from covey.model import GroupId, ObjectRef
from covey.services.datastore.core.commands import Entry, FindKeys, Record
from covey.services.datastore.storage.base import Storage
from covey.services.datastore.storage.memory import MemoryStorage
from covey.services.datastore.storage.valkey import ValkeyStorage
from covey.valkey import Client, valkey_client
from tests.worlds_valkey import PRIMARIES, SERVERS

pytestmark = pytest.mark.asyncio

SCOPE = Scope("tenant:{x}", "pipe line")
GROUP = GroupId(SCOPE, "s/{1}:a")
SERIES = "/ledger/{x}/*"


@pytest.fixture(params=["memory", *SERVERS])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], str]) -> str:
    """The URL of a server of each kind in turn; empty for memory, which has none."""
    return "" if request.param == "memory" else start_server(request.param)


@pytest_asyncio.fixture
async def storage(server: str) -> AsyncIterator[Storage]:
    if not server:
        yield MemoryStorage(MonotonicClock())
        return
    async with valkey_client(server) as client:
        await client.flushall()
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


@pytest.mark.parametrize("server", SERVERS, indirect=True)
async def test_a_group_without_objects_leaves_nothing_behind(client: Client) -> None:
    """When the last object of a group is removed, the server holds no key for it."""
    storage = ValkeyStorage(client)
    await storage.persist(GROUP, record("/ledger/{x}/1", 4), entry("/ledger/{x}/1"))
    await storage.remove(GROUP, [record("/ledger/{x}/1", 4).ref], [entry("/ledger/{x}/1")])

    assert await client.dbsize() == 0


@pytest.mark.parametrize("server", SERVERS, indirect=True)
async def test_a_group_is_one_slot_and_one_round_trip(client: Client) -> None:
    """However many pools and objects a group has, all of it comes with one command to one server."""
    storage = ValkeyStorage(client)
    for number in range(50):
        ref = ObjectRef(f"pool-{number % 5}", f"/key/{number}", GROUP.group, number + 1)
        await storage.persist(GROUP, Record(ref, b"payload"), None)

    with counted_commands(client) as sent:
        stored = await storage.load(GROUP)

    assert len(stored.records) == 50
    assert [name for name, *_ in sent] == ["EVAL"]


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_groups_are_spread_over_a_cluster(client: Client) -> None:
    """The groups' own slots decide: each primary of a cluster holds some of them."""
    storage = ValkeyStorage(client)
    for number in range(60):
        group = GroupId(SCOPE, f"group-{number}")
        await storage.persist(group, Record(ObjectRef("ledger", "/ledger/1", group.group, 1), b""), None)

    sizes = [await client.dbsize(target_nodes=node) for node in client.get_primaries()]
    assert len(sizes) == PRIMARIES
    assert sum(sizes) == 60
    assert min(sizes) > 0


@contextmanager
def counted_commands(client: Client) -> Iterator[list[tuple[Any, ...]]]:
    """What goes through the client while the body runs, a tuple for each command."""
    sent: list[tuple[Any, ...]] = []
    execute = client.execute_command

    async def executed(*command: Any, **options: Any) -> Any:
        sent.append(command)
        return await execute(*command, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "execute_command", executed)
        yield sent


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

"""The registry in real servers: the embedded Valkey, Debian's Redis where it is installed, and a cluster of three."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from covey.declaration import Declaration, PoolDeclaration, StageDeclaration
from covey.embedded_valkey import embedded_valkey
from covey.errors import Unavailable
from covey.registry import Leader, Member
from covey.valkey import Client, ValkeyRegistry, valkey_client
from tests.worlds_valkey import SERVERS, running_server

pytestmark = pytest.mark.asyncio

DECLARATION = Declaration(
    "collisions",
    0.2,
    (PoolDeclaration("observations", "/observations/{scene}/{tick:int}"),),
    (StageDeclaration("track", "observations"),),
).versioned()


@pytest.fixture
def registry(client: Client) -> ValkeyRegistry:
    return ValkeyRegistry(client)


async def until_gone(registry: ValkeyRegistry, kind: str) -> None:
    async with asyncio.timeout(5):
        while await registry.members(kind):  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.01)


async def test_members_come_and_go(registry: ValkeyRegistry) -> None:
    """Who registered is listed under its kind until it leaves."""
    worker = Member("worker", "w:1 {x}", "127.0.0.1:7000", "node", "cpu")
    other = Member("worker", "w2", "127.0.0.1:7001")
    await registry.register(worker, 30)
    await registry.register(other, 30)
    await registry.register(Member("gateway", "g", "127.0.0.1:7002"), 30)

    assert sorted(await registry.members("worker"), key=lambda member: member.address) == [worker, other]
    await registry.unregister(worker)
    assert await registry.members("worker") == [other]
    assert await registry.members("scheduler") == []


async def test_a_silent_member_is_forgotten(registry: ValkeyRegistry) -> None:
    """A member that does not renew its entry is gone after its time to live."""
    await registry.register(Member("worker", "w", "127.0.0.1:7000"), 0.05)

    await until_gone(registry, "worker")


async def test_the_current_declaration_is_the_last_published(registry: ValkeyRegistry) -> None:
    """Each (tenant, pipeline) has one current declaration, whatever characters its names have."""
    newer = replace(DECLARATION, objective_s=0.5).versioned()
    await registry.publish("tenant:{a}/%", DECLARATION)
    await registry.publish("tenant:{a}/%", newer)
    await registry.publish("other", DECLARATION)

    assert sorted(await registry.declarations()) == sorted([("tenant:{a}/%", newer), ("other", DECLARATION)])


async def test_one_leader_at_a_time(registry: ValkeyRegistry) -> None:
    """The lease goes to who asks first; others learn who has it, and get it only when it is given up."""
    assert await registry.leader() is None
    first = await registry.lead("a", "addr-a", 30, 0)

    assert first == Leader("a", "addr-a", 1)
    assert await registry.lead("b", "addr-b", 30, 0) == first
    assert await registry.lead("a", "addr-a", 30, 1) == first
    await registry.step_down("b")
    assert await registry.leader() == first
    await registry.step_down("a")
    assert await registry.leader() is None
    assert await registry.lead("b", "addr-b", 30, 0) == Leader("b", "addr-b", 2)


async def test_an_expired_lease_is_free(registry: ValkeyRegistry) -> None:
    """A leader that does not renew loses its lease, and its successor's epoch is higher."""
    await registry.lead("a", "addr-a", 0.05, 0)

    async with asyncio.timeout(5):
        while (found := await registry.lead("b", "addr-b", 30, 0)).scheduler != "b":  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert found.epoch == 2


async def test_the_epoch_survives_a_registry_that_forgot(client: Client, registry: ValkeyRegistry) -> None:
    """After the server lost its memory, the epoch still rises above what any peer has seen."""
    for _ in range(3):
        await registry.lead("a", "addr-a", 30, 0)
        await registry.step_down("a")
    await client.flushall()

    assert (await registry.lead("a", "addr-a", 30, known_epoch=3)).epoch == 4


async def test_a_leader_that_was_overtaken_takes_a_new_epoch(registry: ValkeyRegistry) -> None:
    """A lease whose epoch is older than one that somebody has seen is no lease to be renewed."""
    await registry.lead("a", "addr-a", 30, 0)

    assert (await registry.lead("a", "addr-a", 30, known_epoch=7)).epoch == 8


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_registry_that_is_gone_is_unavailable(kind: str) -> None:
    """Both a lost server and one that was never there are Unavailable, within about a second."""
    async with running_server(kind) as url:
        stack = valkey_client(url)
        client = await stack.__aenter__()
        registry = ValkeyRegistry(client)
        await registry.members("worker")

    async with asyncio.timeout(3):
        with pytest.raises(Unavailable):
            await registry.members("worker")
        with pytest.raises(Unavailable):
            await registry.lead("a", "addr", 1, 0)
        await stack.__aexit__(None, None, None)
        with pytest.raises(Unavailable):
            async with valkey_client(url):
                pass


async def test_a_frozen_registry_is_unavailable() -> None:
    """A server that accepts commands and does not answer costs about a second, not a hang."""
    async with embedded_valkey() as url, valkey_client(url) as client:
        await client.execute_command("CLIENT", "PAUSE", "3000", "ALL")

        async with asyncio.timeout(2):
            with pytest.raises(Unavailable):
                await ValkeyRegistry(client).leader()


async def test_a_logged_server_finds_its_keys_again(tmp_path: Path) -> None:
    """With a directory, what was written is there after a restart."""
    for attempt in range(2):
        async with embedded_valkey(tmp_path) as url, valkey_client(url) as client:
            registry = ValkeyRegistry(client)
            if attempt == 0:
                await registry.publish("tenant", DECLARATION)

            assert await registry.declarations() == [("tenant", DECLARATION)]


async def test_a_program_that_is_no_server_is_unavailable() -> None:
    """A server that ends at once is reported, not waited for."""
    with pytest.raises(Unavailable):
        async with embedded_valkey(program=Path("/bin/false")):
            pass

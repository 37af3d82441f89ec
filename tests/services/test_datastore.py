"""A datastore as a process runs it: served over gRPC, registered, durable in Valkey."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from covey.beside import beside
from covey.clock import MonotonicClock
from covey.embedded_valkey import embedded_valkey
from covey.errors import Reason, Status, Unavailable
from covey.link import Link
from covey.messages import Beat, Horizon, LeaderJoined, NodeJoined, View
from covey.model import KeyRead, LastRead, Node, ObjectRef, Placement, ScanRead
from covey.registry import Member
from covey.services.datastore.app import run_datastore
from covey.services.datastore.settings import DatastoreSettings
from covey.settings import environment_with
from covey.tether import tethered
from covey.valkey import Client, ValkeyRegistry, valkey_client
from covey.wire.datastore_client import DatastoreClient
from covey.wire.endpoints import dial_datastore, dial_datastore_lead
from tests.worlds_datastore import COLLISIONS, SCOPE
from tests.worlds_processes import PYTHON, ROOT

pytestmark = pytest.mark.asyncio

CLOCK = MonotonicClock()


def soon(seconds: float = 10.0) -> float:
    return CLOCK.now() + seconds


@asynccontextmanager
async def serving(url: str, name: str = "datastore-a") -> AsyncIterator[Member]:
    """A datastore that runs until the body ends; gives it as the registry has it."""
    settings = DatastoreSettings(redis_url=url, node="node-a", id=name, grace_s=0.5)
    async with beside(run_datastore(settings)):
        yield await registered(url, name)


@asynccontextmanager
async def killable(url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Member]]:
    """A datastore as a process of its own, which the test kills."""
    settings = {"COVEY_REDIS_URL": url, "COVEY_NODE": "node-a", "COVEY_ID": "killed", "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *tethered([str(PYTHON), "-m", "covey.services.datastore"]), env=environment_with(settings)
    )
    try:
        yield process, await registered(url, "killed")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def registered(url: str, name: str) -> Member:
    """The datastore of that name, once it is in the registry."""
    async with valkey_client(url) as client, asyncio.timeout(20):
        while True:
            for member in await ValkeyRegistry(client).members("datastore"):
                if member.id == name:
                    return member
            await asyncio.sleep(0.01)  # the registry tells nobody


@asynccontextmanager
async def led(member: Member, epoch: int = 1) -> AsyncIterator[Link[Any, Any]]:
    """The datastore acts upon a view of its leader while the body runs."""
    async with dial_datastore_lead(member.address) as lead:
        lead.send(LeaderJoined(epoch, "scheduler"))
        placement = Placement(epoch, (Node(member.node, member.address),))
        lead.send(View(epoch, 7, placement, (("default", COLLISIONS),)))
        heard: list[object] = []
        while not any(isinstance(message, Beat) and message.view == 7 for message in heard):
            heard.extend(await lead.receive())
        assert isinstance(heard[0], NodeJoined)
        yield lead


@asynccontextmanager
async def client_of(member: Member) -> AsyncIterator[DatastoreClient]:
    async with DatastoreClient(dial_datastore, CLOCK) as client:
        client.set_nodes(Placement(1, (Node(member.node, member.address),)))
        yield client


async def put(client: DatastoreClient, key: str, payload: bytes, group: str, emission: bytes = b"") -> ObjectRef:
    ref = ObjectRef(key.split("/")[1], key, group, size=len(payload))
    return await client.put("node-a", SCOPE, ref, payload, soon(), emission=emission)


async def test_objects_are_stored_and_read_over_the_wire() -> None:
    """Small and large payloads come back as they were put, by key, by series and by prefix, in one get."""
    large = bytes(range(256)) * 8192
    async with embedded_valkey() as url, serving(url) as member, led(member), client_of(member) as client:
        for tick in range(12):
            await put(client, f"/observations/s/{tick}", bytes([tick]), "s")
        await put(client, "/tracks/s", large, "s")

        reads = (
            KeyRead("tracks", "/tracks/s", "s", 0, "node-a", False),
            LastRead("observations", "/observations/s/*", 3, 10, False, ("node-a",)),
            ScanRead("observations", "/observations/s/1", "", 9, ("node-a",)),
        )
        key, last, scan = (await client.get(SCOPE, reads, soon(), local_node="node-a")).answers

        assert key.objects[0].payload == large
        assert [value.payload for value in last.objects] == [bytes([tick]) for tick in (8, 9, 10)]
        assert [value.ref.key for value in scan.objects] == [f"/observations/s/{tick}" for tick in (1, 10, 11)]


async def test_an_acknowledged_durable_put_survives_a_restart(server: str, client: Client) -> None:
    """After the process ends, another finds the object, its version and its emission; volatile ones are gone."""
    async with serving(server) as member, led(member), client_of(member) as datastore:
        kept = await put(datastore, "/journal/s", b"kept", "s", emission=b"e1")
        for tick in range(3):
            await put(datastore, f"/ledger/s/{tick}", bytes([tick]), f"/ledger/s/{tick}")
        lost = await put(datastore, "/tracks/s", b"lost", "s")
    async with serving(server) as member, led(member), client_of(member) as datastore:
        again = await put(datastore, "/journal/s", b"again", "s", emission=b"e1")
        reads = (
            KeyRead("journal", "/journal/s", "s", 0, "node-a", False),
            LastRead("ledger", "/ledger/s/*", 2, None, False, ("node-a",)),
            KeyRead("tracks", "/tracks/s", "s", lost.version, "node-a", False),
        )
        journal, ledger, tracks = (await datastore.get(SCOPE, reads, soon())).answers

        assert again == kept
        assert (journal.objects[0].ref, journal.objects[0].payload) == (kept, b"kept")
        assert [value.payload for value in ledger.objects] == [b"\x01", b"\x02"]
        assert (tracks.objects, tracks.complete) == ((), False)
        assert (await put(datastore, "/tracks/s", b"new", "s")).version > lost.version


async def test_every_acknowledged_durable_put_survives_kill_9(server: str, client: Client) -> None:
    """A datastore that is killed while puts are under way has lost none that it had acknowledged."""
    acknowledged: list[ObjectRef] = []

    async def put_until_it_dies(datastore: DatastoreClient) -> None:
        for number in itertools.count():
            try:
                acknowledged.append(await put(datastore, f"/ledger/s/{number}", b"%d" % number, "s"))
            except Unavailable:
                return

    async with killable(server) as (process, member), led(member), client_of(member) as datastore:
        async with asyncio.TaskGroup() as group:
            putting = group.create_task(put_until_it_dies(datastore))
            while len(acknowledged) < 50:
                assert not putting.done()
                await asyncio.sleep(0.01)
            process.kill()
        await process.wait()
    async with serving(server, "datastore-b") as member, led(member), client_of(member) as datastore:
        reads = [KeyRead("ledger", ref.key, "s", ref.version, "node-a", False) for ref in acknowledged]
        answers = (await datastore.get(SCOPE, reads, soon())).answers

    assert [answer.objects[0].ref for answer in answers] == acknowledged


async def test_an_acknowledged_durable_put_survives_a_restart_of_valkey(tmp_path: Path) -> None:
    """With a logged Valkey nothing that was acknowledged is lost when both processes end."""
    for attempt in range(2):
        async with (
            embedded_valkey(tmp_path) as url,
            serving(url) as member,
            led(member),
            client_of(member) as client,
        ):
            if attempt == 0:
                kept = await put(client, "/journal/s", b"kept", "s")
                continue
            read = KeyRead("journal", "/journal/s", "s", 0, "node-a", False)
            [answer] = (await client.get(SCOPE, [read], soon())).answers
            assert answer.objects[0].ref == kept


async def test_a_lost_valkey_fails_durable_puts_alone() -> None:
    """Volatile pools go on; a durable put is UNAVAILABLE with STORAGE_FAILED, and the process stays up."""
    async with AsyncExitStack() as stack, AsyncExitStack() as server:
        url = await server.enter_async_context(embedded_valkey())
        member = await stack.enter_async_context(serving(url))
        await stack.enter_async_context(led(member))
        client = await stack.enter_async_context(client_of(member))
        await server.aclose()

        with pytest.raises(Unavailable) as raised:
            await put(client, "/journal/s", b"x", "s")

        assert raised.value.reason is Reason.STORAGE_FAILED
        assert (await put(client, "/tracks/s", b"x", "s")).version


async def test_a_datastore_that_stops_leaves_the_registry() -> None:
    """It is registered with its address and node while it serves, and no longer."""
    async with embedded_valkey() as url:
        async with serving(url) as member:
            assert (member.kind, member.id, member.node) == ("datastore", "datastore-a", "node-a")
        async with valkey_client(url) as client:
            assert await ValkeyRegistry(client).members("datastore") == []


async def test_a_leader_of_an_older_epoch_is_told_of_the_newer() -> None:
    """It learns the epoch from the answer to its joining, and its views change nothing."""
    async with embedded_valkey() as url, serving(url) as member, led(member, epoch=5):
        async with dial_datastore_lead(member.address) as old:
            old.send(LeaderJoined(4, "old"))
            old.send(View(4, 99, Placement(), ()))
            old.send(Horizon(4, 0.0))
            [joined] = await old.receive()
            assert isinstance(joined, NodeJoined)
            assert (joined.node, joined.epoch, joined.placement.epoch) == ("node-a", 5, 5)
        async with client_of(member) as client:
            await put(client, "/tracks/s", b"x", "s")


async def test_a_datastore_without_a_leader_says_so() -> None:
    """Before a view has come, puts and gets are UNAVAILABLE with NO_LEADER."""
    async with embedded_valkey() as url, serving(url) as member, client_of(member) as client:
        read = KeyRead("tracks", "/tracks/s", "s", 0, "node-a", False)
        [answer] = (await client.get(SCOPE, [read], soon())).answers

        assert (answer.status, answer.reason) == (Status.UNAVAILABLE, Reason.NO_LEADER)

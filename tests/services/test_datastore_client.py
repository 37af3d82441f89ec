"""The client of the datastores against real shells over links within the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from covey.clock import MonotonicClock
from covey.errors import (
    DeadlineExceeded,
    InvalidArgument,
    Moved,
    NotFound,
    Reason,
    ResourceExhausted,
    Status,
    Unavailable,
    VersionConflict,
)
from covey.grouping import rendezvous
from covey.link import Link, MemoryNetwork
from covey.messages import LeaderJoined, View
from covey.model import KeyRead, LastRead, Node, ObjectRef, Placement, Scope
from covey.services.datastore.app import make_datastore
from covey.services.datastore.core.state import check_invariants
from covey.services.datastore.shell import Shell
from covey.services.datastore.storage.memory import MemoryStorage
from covey.wire.datastore_client import DatastoreClient
from covey.wire.listeners import WATCH_UNREAD_MAX
from tests.worlds_datastore import COLLISIONS, SCOPE

pytestmark = pytest.mark.asyncio

NODES = (Node("node-a", "a:1"), Node("node-b", "b:1"))
NAMES = tuple(node.id for node in NODES)


class Mesh:
    """Two datastores that know a view, and a client of them."""

    def __init__(self) -> None:
        self.clock = MonotonicClock()
        self.network = MemoryNetwork()
        self.shells: dict[str, Shell] = {}
        self.links: list[Link[Any, Any]] = []
        self.client = DatastoreClient(self.network.dial, self.clock)

    def soon(self, seconds: float = 5.0) -> float:
        return self.clock.now() + seconds

    async def put(self, key: str, payload: bytes = b"x", **more: Any) -> ObjectRef:
        ref = ref_of(key)
        node = more.pop("node", home_of(ref.group))
        return await self.client.put(node, SCOPE, ref, payload, self.soon(), **more)


def ref_of(key: str) -> ObjectRef:
    pool = next(pool for pool in COLLISIONS.pools if pool.compiled.match(key) is not None)
    return ObjectRef(pool.name, key, pool.group_of(key, pool.fields_of(key))[0])


def home_of(group: str) -> str:
    return rendezvous(SCOPE, group, NAMES)


def read_of(key: str, required: bool = False) -> KeyRead:
    ref = ref_of(key)
    return KeyRead(ref.pool, key, ref.group, 0, home_of(ref.group), required)


@asynccontextmanager
async def running() -> AsyncIterator[Mesh]:
    mesh = Mesh()
    storage = MemoryStorage(mesh.clock)
    view = View(1, 1, Placement(1, NODES), (("default", COLLISIONS),))
    async with asyncio.TaskGroup() as group, mesh.client:
        tasks = []
        for node in NODES:
            shell = mesh.shells[node.id] = make_datastore(
                node.id, node.address, storage, mesh.clock, dial=mesh.network.dial
            )

            async def serve(link: Link[Any, Any], shell: Shell = shell) -> None:
                mesh.links.append(link)
                await shell.serve_exchange(link)

            mesh.network.listen(f"lead {node.address}", shell.serve_lead)
            mesh.network.listen(node.address, serve)
            tasks.append(group.create_task(shell.run()))
            async with mesh.network.dial(f"lead {node.address}") as lead:
                lead.send(LeaderJoined(1, "scheduler"))
                lead.send(view)
                while not any(getattr(message, "view", 0) for message in await lead.receive()):
                    pass
        mesh.client.set_nodes(view.placement)
        yield mesh
        for shell in mesh.shells.values():
            check_invariants(shell.core.state)
        for task in tasks:
            task.cancel()


async def test_what_is_put_is_read() -> None:
    """A put comes back with its version, and a get with the payload."""
    async with running() as mesh:
        ref = await mesh.put("/tracks/s", b"state")
        fetched = await mesh.client.get(SCOPE, [read_of("/tracks/s")], mesh.soon())

        assert (fetched.answers[0].objects[0].ref, fetched.answers[0].objects[0].payload) == (ref, b"state")
        assert ref.version > 0


async def test_a_history_over_several_nodes_is_merged() -> None:
    """Without a group rule all nodes are asked, in parallel, and what came from elsewhere is counted."""
    async with running() as mesh:
        for tick in range(20):
            await mesh.put(f"/predictions/s/{tick}/a", bytes(10))
        assert all(shell.core.state.objects for shell in mesh.shells.values())
        read = LastRead("predictions", "/predictions/s/*/a", 5, 15, False, NAMES)

        fetched = await mesh.client.get(SCOPE, [read, read_of("/tracks/s")], mesh.soon(), local_node="node-a")

        keys = [value.ref.key for value in fetched.answers[0].objects]
        assert keys == [f"/predictions/s/{tick}/a" for tick in range(11, 16)]
        assert fetched.remote_gets == 1 + (home_of("s") == "node-b")
        assert fetched.bytes_moved > 0


async def test_puts_raise_what_the_datastore_says() -> None:
    """Each refusal is the error that stands for it."""
    async with running() as mesh:
        other = next(node for node in NAMES if node != home_of("s"))
        with pytest.raises(Moved):
            await mesh.put("/tracks/s", node=other)
        with pytest.raises(VersionConflict):
            await mesh.put("/tracks/s", previous_version=7)
        with pytest.raises(NotFound):
            await mesh.client.put(NAMES[0], Scope("default", "nope"), ref_of("/tracks/s"), b"", mesh.soon())
        ref = ObjectRef("tracks", "/observations/s/1", "s")
        with pytest.raises(InvalidArgument):
            await mesh.client.put(home_of("s"), SCOPE, ref, b"", mesh.soon())
        with pytest.raises(Unavailable) as raised:
            await mesh.put("/tracks/s", node="node-z")
        assert raised.value.reason is Reason.NO_HOME


async def test_a_node_that_is_gone_fails_its_reads_alone() -> None:
    """The answers of the other nodes stand."""
    async with running() as mesh:
        scenes = {home_of(scene): scene for scene in "abcdefgh"}
        await mesh.put(f"/tracks/{scenes['node-a']}")
        mesh.client.set_nodes(Placement(1, (NODES[0], Node("node-b", "nobody:1"))))
        reads = [read_of(f"/tracks/{scenes[node]}") for node in NAMES]

        fetched = await mesh.client.get(SCOPE, reads, mesh.soon())

        assert [answer.status for answer in fetched.answers] == [Status.OK, Status.UNAVAILABLE]
        assert fetched.answers[1].reason is Reason.HOME_LOST
        with pytest.raises(Unavailable):
            await mesh.put(f"/tracks/{scenes['node-b']}")


async def test_a_lost_link_fails_what_waits_and_the_next_use_opens_another() -> None:
    """Outstanding gets and watches end with HOME_LOST; then everything works again."""
    async with running() as mesh:
        watch = mesh.client.watch(home_of("s"), SCOPE, "tracks")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(mesh.client.get(SCOPE, [read_of("/tracks/s", required=True)], mesh.soon()))
            watching = group.create_task(caught(anext(watch)))
            await until(lambda: mesh.shells[home_of("s")].core.state.watches)
            await until(lambda: mesh.shells[home_of("s")].core.state.parked)
            for link in mesh.links:
                link.close()

        assert waiting.result().answers[0].reason is Reason.HOME_LOST
        assert isinstance(watching.result(), Unavailable)
        assert (await mesh.put("/tracks/s")).version
        await until(lambda: not mesh.shells[home_of("s")].core.state.watches)


async def test_a_datastore_that_does_not_answer_is_late() -> None:
    """A put raises DeadlineExceeded and a get answers so, at the deadline."""
    async with running() as mesh:

        async def silence(link: Link[Any, Any]) -> None:
            while True:
                await link.receive()

        mesh.network.listen("silent:1", silence)
        mesh.client.set_nodes(Placement(1, (Node("node-a", "silent:1"), Node("node-b", "silent:1"))))
        with pytest.raises(DeadlineExceeded):
            await mesh.client.put("node-a", SCOPE, ref_of("/tracks/s"), b"", mesh.soon(0.01))
        fetched = await mesh.client.get(SCOPE, [read_of("/tracks/s")], mesh.soon(0.01))

        assert fetched.answers[0].status is Status.DEADLINE_EXCEEDED
        assert fetched.answers[0].reason is Reason.LATE


async def test_a_read_waits_for_a_put_that_is_under_way() -> None:
    """A required object may be asked for before it is put."""
    async with running() as mesh:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(mesh.client.get(SCOPE, [read_of("/tracks/s", required=True)], mesh.soon()))
            await until(lambda: mesh.shells[home_of("s")].core.state.parked)
            await mesh.put("/tracks/s", b"late")

        assert reading.result().answers[0].objects[0].payload == b"late"


async def test_a_watch_brings_every_object_put_from_then_on() -> None:
    """And it is ended at the datastore when nobody reads it any more."""
    async with running() as mesh:
        state = mesh.shells[home_of("s")].core.state
        watch = mesh.client.watch(home_of("s"), SCOPE, "tracks")
        async with asyncio.TaskGroup() as group:
            first = group.create_task(taken(watch))
            await until(lambda: state.watches)
            await mesh.put("/tracks/s", b"1")
        await mesh.put("/tracks/s", b"2")

        assert [first.result().payload, (await anext(watch)).payload] == [b"1", b"2"]
        await watch.aclose()  # type: ignore[attr-defined]  # an async generator
        await until(lambda: not state.watches)


async def test_a_watch_of_an_unknown_pool_says_so() -> None:
    """The refusal is raised where the watch is read."""
    async with running() as mesh:
        with pytest.raises(NotFound):
            await anext(mesh.client.watch("node-a", SCOPE, "nope"))


async def test_a_slow_watcher_is_cut_off() -> None:
    """Who leaves too much unread gets what was kept, then SLOW_READER; nobody else is held up."""
    async with running() as mesh:
        watch = mesh.client.watch(home_of("s"), SCOPE, "tracks")
        async with asyncio.TaskGroup() as group:
            group.create_task(taken(watch))
            await until(lambda: mesh.shells[home_of("s")].core.state.watches)
            await mesh.put("/tracks/s")
        for _ in range(WATCH_UNREAD_MAX + 5):
            await mesh.put("/tracks/s")

        with pytest.raises(ResourceExhausted) as raised:
            await read_to_the_end(watch)
        assert raised.value.reason is Reason.SLOW_READER
        await until(lambda: not mesh.shells[home_of("s")].core.state.watches)


async def until(happened: Any) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110  # state that tells nobody
            await asyncio.sleep(0)


async def read_to_the_end(watch: Any) -> None:
    async for _ in watch:
        pass


async def taken(watch: Any) -> Any:
    return await anext(watch)


async def caught(work: Any) -> BaseException | None:
    try:
        await work
    except Unavailable as error:
        return error
    return None

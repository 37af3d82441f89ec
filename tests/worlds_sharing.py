"""A datastore and a client that share memory, and what they say to one another."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from covey.beside import beside
from covey.clock import MonotonicClock
from covey.errors import CoveyError
from covey.link import Link, MemoryNetwork
from covey.messages import Get, GetDone, LeaderJoined, Put, SharedPlace, View
from covey.model import KeyRead, Node, ObjectRef, ObjectValue, Placement
from covey.services.datastore.app import make_datastore
from covey.services.datastore.servicer import services
from covey.services.datastore.sharing import SharedObjects
from covey.services.datastore.storage.memory import MemoryStorage
from covey.wire.datastore_client import DatastoreClient, NewPut
from covey.wire.endpoints import dial_datastore, dial_datastore_lead
from covey.wire.server import serve
from covey.wire.sharing import SharedFiles, SharedRing
from tests.worlds_datastore import COLLISIONS, SCOPE

LARGE = bytes(range(256)) * 512
CLOCK = MonotonicClock()
NODE = Node("node-a", "a:1")


class Counted:
    """A link that counts what a datastore says, and how much of it was payload."""

    def __init__(self, link: Link[Any, Any], heard: list[Any], said: list[Any], near: bool = False) -> None:
        self._link, self._heard, self._said = link, heard, said
        self.peer, self.queued, self.near = link.peer, 0, near

    def send(self, message: Any) -> None:
        self._said.append(message)
        self._link.send(message)

    async def receive(self) -> Any:
        messages = await self._link.receive()
        self._heard.extend(messages)
        return messages

    async def hear(self, take: Any) -> None:
        while True:
            await take(await self.receive())

    def close(self) -> None:
        self._link.close()


class World:
    """One datastore that shares, and a client on its host."""

    def __init__(self, client: DatastoreClient, network: MemoryNetwork, heard: list[Any], said: list[Any]) -> None:
        self.client, self.network, self.heard, self.said = client, network, heard, said
        self.emissions = itertools.count(1)

    async def put(self, payload: bytes, key: str = "/tracks/s") -> ObjectRef:
        ref = ObjectRef("tracks", key, key.split("/")[2], size=len(payload))
        return await self.client.put(NODE.id, SCOPE, ref, payload, CLOCK.now() + 5)

    async def put_all(self, *objects: tuple[str, bytes], local: str = NODE.id) -> list[ObjectRef | CoveyError]:
        """As a worker does; each object is a key and a payload."""
        puts = [
            NewPut(
                NODE.id,
                ObjectRef("tracks", key, key.split("/")[2], size=len(payload)),
                payload,
                next(self.emissions).to_bytes(8, "big"),
            )
            for key, payload in objects
        ]
        return await self.client.put_all(SCOPE, puts, CLOCK.now() + 5, local)

    async def get(self, *keys: str, local: str = NODE.id) -> list[ObjectValue]:
        reads = [KeyRead("tracks", key, key.split("/")[2], 0, NODE.id, False) for key in keys or ("/tracks/s",)]
        fetched = await self.client.get(SCOPE, reads, CLOCK.now() + 5, local)
        assert all(len(answer.objects) == 1 for answer in fetched.answers), fetched
        return [answer.objects[0] for answer in fetched.answers]

    @property
    def gets(self) -> list[Get]:
        return [message for message in self.heard if isinstance(message, Get)]

    @property
    def puts(self) -> list[Put]:
        return [message for message in self.heard if isinstance(message, Put)]

    @property
    def places(self) -> list[SharedPlace]:
        """Where payloads were, of all answers."""
        return [each.place for message in self.said if isinstance(message, GetDone) for each in message.files]

    @property
    def sent_inline(self) -> int:
        """Payload bytes that went through the link in answers."""
        done = [message for message in self.said if isinstance(message, GetDone)]
        return sum(len(value.payload or b"") for each in done for answer in each.answers for value in answer.objects)


@asynccontextmanager
async def world(
    folder: Path | None, seen: Path | None = None, bytes_max: int = 1 << 20, ring_max: int = 1 << 20, near: bool = False
) -> AsyncIterator[World]:
    """A datastore that shares below `folder` if there is one, and a client that does below `seen`, else there too: a
    process of its own, unless it is `near`."""
    network = MemoryNetwork()

    @asynccontextmanager
    async def dial(address: str) -> AsyncIterator[Link[Any, Any]]:
        async with network.dial(address) as link:
            yield Counted(link, [], [], near)

    heard: list[Any] = []
    said: list[Any] = []
    here = seen or folder
    assert here is not None
    with (
        SharedObjects(folder, bytes_max) if folder is not None else nullcontext() as sharing,
        SharedFiles(here) as shared,
        SharedRing(here, ring_max) as ring,
    ):
        client = DatastoreClient(dial, CLOCK, shared=shared, ring=ring)
        shell = make_datastore(NODE.id, NODE.address, MemoryStorage(CLOCK), CLOCK, sharing=sharing)
        network.listen(NODE.address, lambda link: shell.serve_exchange(Counted(link, heard, said)))
        network.listen("lead", shell.serve_lead)
        async with beside(shell.run()), client, led(network.dial("lead"), NODE) as placement:
            client.set_nodes(placement)
            yield World(client, network, heard, said)


@asynccontextmanager
async def grpc_world(folder: Path, bytes_max: int) -> AsyncIterator[World]:
    """The same over gRPC; what is said there is not recorded."""
    with (
        SharedObjects(folder, bytes_max) as sharing,
        SharedFiles(folder) as shared,
        SharedRing(folder, bytes_max) as ring,
    ):
        shell = make_datastore(NODE.id, "", MemoryStorage(CLOCK), CLOCK, sharing=sharing)
        async with (
            beside(shell.run()),
            serve(services(shell, CLOCK), grace_s=0.5) as address,
            DatastoreClient(dial_datastore, CLOCK, shared=shared, ring=ring) as client,
            led(dial_datastore_lead(address), Node(NODE.id, address)) as placement,
        ):
            client.set_nodes(placement)
            yield World(client, MemoryNetwork(), [], [])


@asynccontextmanager
async def led(dialing: AbstractAsyncContextManager[Link[Any, Any]], node: Node) -> AsyncIterator[Placement]:
    """The datastore has a view in which it is the only node."""
    placement = Placement(1, (node,))
    async with dialing as lead:
        lead.send(LeaderJoined(1, "scheduler"))
        lead.send(View(1, 1, placement, (("default", COLLISIONS),)))
        while not any(getattr(message, "view", 0) for message in await lead.receive()):
            pass
        yield placement

"""Subscriptions: one stream of a pool's objects out of the watches on every node, through changes of the view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from covey.beside import beside
from covey.errors import CoveyError, Reason, ResourceExhausted, Unavailable
from covey.model import Node, ObjectValue, Placement, Scope
from covey.wire.datastore_client import DatastoreClient

UNREAD_MAX = 10_000
"""Objects that a reader may be behind before it is cut off."""

RETRY_S = 0.2


class Watches:
    """Knows the nodes of now, and tells every subscription when they change."""

    def __init__(self, datastores: DatastoreClient) -> None:
        self._datastores = datastores
        self._nodes: tuple[Node, ...] = ()
        self._changed = asyncio.Event()

    def adopt(self, placement: Placement) -> None:
        if placement.nodes != self._nodes:
            self._nodes = placement.nodes
            self._changed.set()
            self._changed = asyncio.Event()

    @asynccontextmanager
    async def watch(self, scope: Scope, pool: str) -> AsyncIterator[AsyncIterator[ObjectValue]]:
        """What is put into a pool on any node from now on. A slow reader ends with ResourceExhausted."""
        unread: asyncio.Queue[ObjectValue | CoveyError] = asyncio.Queue(UNREAD_MAX)
        async with beside(self._watch_nodes(scope, pool, unread)):
            yield _read(unread)

    async def _watch_nodes(self, scope: Scope, pool: str, unread: asyncio.Queue[ObjectValue | CoveyError]) -> None:
        """One watch for each node of the view."""
        running: dict[Node, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                changed = self._changed
                for node in [node for node in running if node not in self._nodes]:
                    running.pop(node).cancel()
                for node in self._nodes:
                    if node not in running:
                        running[node] = group.create_task(self._watch_node(node, scope, pool, unread))
                await changed.wait()

    async def _watch_node(
        self, node: Node, scope: Scope, pool: str, unread: asyncio.Queue[ObjectValue | CoveyError]
    ) -> None:
        """Watch one node for as long as the view names it, again after it was away."""
        while True:
            try:
                async with aclosing(self._datastores.watch(node.id, scope, pool)) as objects:
                    async for value in objects:
                        if unread.qsize() >= UNREAD_MAX:
                            raise ResourceExhausted(f"{UNREAD_MAX:,} objects were left unread", Reason.SLOW_READER)
                        unread.put_nowait(value)
            except Unavailable:
                await asyncio.sleep(RETRY_S)  # the node is gone: until it is back, or the view no longer names it
            except CoveyError as error:
                await unread.put(error)
                return


async def _read(unread: asyncio.Queue[ObjectValue | CoveyError]) -> AsyncIterator[ObjectValue]:
    while True:
        value = await unread.get()
        if isinstance(value, CoveyError):
            raise value
        yield value

"""The datastore under asyncio: owns the core and performs what it commands.

`serve_exchange` and `serve_lead` are what its links speak to, whatever they are made of.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import assert_never

from covey.clock import Clock
from covey.driver import Driver
from covey.errors import CoveyError, Reason, Unavailable
from covey.link import Dial, Link, LinkClosed
from covey.messages import (
    DatastoreToScheduler,
    FromDatastore,
    Get,
    GetDone,
    Put,
    PutDone,
    SchedulerToDatastore,
    ToDatastore,
    Watched,
)
from covey.model import Node
from covey.services.datastore.core.commands import (
    Command,
    FindKeys,
    LeaveNode,
    LoadGroup,
    Persist,
    ReachNode,
    Remove,
    Report,
    Send,
    Tell,
)
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.stimuli import (
    Asked,
    GroupLoaded,
    KeysFound,
    LeaderSaid,
    LinkEnded,
    NodeLost,
    NodeReached,
    NodeSaid,
    Persisted,
    ReaderFellBehind,
    Removed,
    Stimulus,
)
from covey.services.datastore.sharing import SharedObjects
from covey.services.datastore.spans import RequestSpans
from covey.services.datastore.storage.base import Storage
from covey.telemetry import Tracer

log = logging.getLogger(__name__)

WATCHED_UNREAD_MAX = 1_000
"""What may wait to be written to a watcher before it is cut off; gets that wait beside it count too."""


class Shell:
    """One datastore. `run` drives it for as long as it is awaited."""

    def __init__(
        self,
        core: DatastoreCore,
        storage: Storage,
        dial: Dial[ToDatastore, FromDatastore],
        clock: Clock,
        tracer: Tracer | None = None,
        sharing: SharedObjects | None = None,
    ) -> None:
        """`dial` reaches other datastores, to hand groups over."""
        self.core = core
        self._dial = dial
        self._others: dict[int, Link[ToDatastore, FromDatastore] | None] = {}
        """Links to other datastores, by the core's numbers; None while they open."""
        self._sharing = sharing
        self._spans = RequestSpans(tracer) if tracer is not None else None
        self._storage = storage
        self._driver: Driver[Stimulus, Command] = Driver(core, self._perform, clock)
        self._exchanges: dict[int, Link[FromDatastore, ToDatastore]] = {}
        self._leads: dict[int, Link[DatastoreToScheduler, SchedulerToDatastore]] = {}
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        await self._driver.run()

    async def serve_exchange(self, link: Link[FromDatastore, ToDatastore]) -> None:
        """Answer puts, gets and watches until the link ends."""
        number = next(self._numbers)
        self._exchanges[number] = link
        try:
            await link.hear(partial(self._take_asked, number, link))
        except LinkClosed:
            return
        finally:
            del self._exchanges[number]
            if self._spans is not None:
                self._spans.forget(number)
            if self._sharing is not None:
                self._sharing.forget(number)
            self._driver.post(LinkEnded(number))

    async def serve_lead(self, link: Link[DatastoreToScheduler, SchedulerToDatastore]) -> None:
        """Listen to a leader until the link ends."""
        number = next(self._numbers)
        self._leads[number] = link
        try:
            await link.hear(partial(self._take_told, number))
        except LinkClosed:
            return
        finally:
            del self._leads[number]
            self._driver.post(LinkEnded(number))

    async def _take_asked(
        self, number: int, link: Link[FromDatastore, ToDatastore], messages: Sequence[ToDatastore]
    ) -> None:
        whole = self._whole(number, link, messages)
        if self._spans is not None:
            self._spans.begin(number, whole)
        await self._driver.accept(*[Asked(number, message) for message in whole])

    async def _take_told(self, number: int, messages: Sequence[SchedulerToDatastore]) -> None:
        await self._driver.accept(*[LeaderSaid(number, message) for message in messages])

    async def _take_said(self, number: int, messages: Sequence[FromDatastore]) -> None:
        await self._driver.accept(*[NodeSaid(number, message) for message in messages])

    def _whole(
        self, number: int, link: Link[FromDatastore, ToDatastore], messages: Sequence[ToDatastore]
    ) -> list[ToDatastore]:
        """What came in, with the payloads that stand in shared memory; a put whose payload does not is answered."""
        whole: list[ToDatastore] = []
        for message in messages:
            match message:
                case Put(place=place) if place is not None:
                    try:
                        if self._sharing is None:
                            raise Unavailable("this datastore sees no files; send the payload", Reason.FILE_UNSEEN)
                        whole.append(self._sharing.whole(number, message, place))
                    except CoveyError as error:
                        link.send(PutDone(message.request, None, error.status, error.reason, error.message))
                    continue
                case Get(shared=True) if self._sharing is not None:
                    self._sharing.note(number, message)
            whole.append(message)
        return whole

    def _perform(self, command: Command) -> Awaitable[Stimulus | None] | None:
        match command:
            case Send(number, message):
                self._send(number, message)
                return None
            case Report(number, report):
                if number in self._leads:
                    self._leads[number].send(report)
                return None
            case Persist():
                return self._persist(command)
            case Remove():
                return self._remove(command)
            case LoadGroup():
                return self._load(command)
            case FindKeys():
                return self._find(command)
            case ReachNode(number, node):
                self._others[number] = None
                return self._speak_with(number, node)
            case Tell(number, message):
                other = self._others.get(number)
                if other is not None:
                    other.send(message)
                return None
            case LeaveNode(number):
                other = self._others.pop(number, None)
                if other is not None:
                    other.close()
                return None
            case _:
                assert_never(command)

    async def _speak_with(self, number: int, node: Node) -> NodeLost:
        """Hear another datastore for as long as the link to it lasts."""
        try:
            async with self._dial(node.address) as link:
                if number in self._others:  # else it was left before it answered
                    self._others[number] = link
                    self._driver.post(NodeReached(number))
                    await link.hear(partial(self._take_said, number))
        except Unavailable as error:
            log.info("datastore %s at %s: %s", node.id, node.address, error.message)
        finally:
            self._others.pop(number, None)
        return NodeLost(number)

    def _send(self, number: int, message: FromDatastore) -> None:
        if self._spans is not None:
            self._spans.end(number, message)
        link = self._exchanges.get(number)
        if link is None:
            return  # it ended while the answer was found
        if self._sharing is not None and isinstance(message, GetDone):
            message = self._sharing.answer(number, message)
        link.send(message)
        if isinstance(message, Watched) and link.queued > WATCHED_UNREAD_MAX:
            self._driver.post(ReaderFellBehind(number))

    async def _persist(self, command: Persist) -> Persisted:
        try:
            await self._storage.persist(command.group, command.record, command.entry)
        except Unavailable:
            return Persisted(command.group, failed=True)
        return Persisted(command.group)

    async def _remove(self, command: Remove) -> Removed:
        try:
            await self._storage.remove(command.group, command.refs, command.entries)
        except Unavailable:
            return Removed(command.group, failed=True)
        return Removed(command.group)

    async def _load(self, command: LoadGroup) -> GroupLoaded:
        try:
            stored = await self._storage.load(command.group)
        except Unavailable:
            return GroupLoaded(command.group, failed=True)
        return GroupLoaded(command.group, stored.number, stored.records)

    async def _find(self, command: FindKeys) -> KeysFound:
        try:
            return KeysFound(command, await self._storage.find(command))
        except Unavailable:
            return KeysFound(command, failed=True)

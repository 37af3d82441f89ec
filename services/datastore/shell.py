"""The datastore under asyncio: owns the core and performs what it commands.

`serve_exchange` and `serve_lead` are what its links speak to, whatever they are made of.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable
from typing import assert_never

from covey.clock import Clock
from covey.driver import Driver
from covey.errors import Unavailable
from covey.link import Link, LinkClosed
from covey.messages import DatastoreToScheduler, FromDatastore, SchedulerToDatastore, ToDatastore, Watched
from covey.services.datastore.core.commands import Command, FindKeys, LoadGroup, Persist, Remove, Report, Send
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.stimuli import (
    Asked,
    GroupLoaded,
    KeysFound,
    LeaderSaid,
    LinkEnded,
    Persisted,
    ReaderFellBehind,
    Removed,
    Stimulus,
)
from covey.services.datastore.spans import RequestSpans
from covey.services.datastore.storage.base import Storage
from covey.telemetry import Tracer

WATCHED_UNREAD_MAX = 1_000
"""What may wait to be written to a watcher before it is cut off; gets that wait beside it count too."""


class Shell:
    """One datastore. `run` drives it for as long as it is awaited."""

    def __init__(self, core: DatastoreCore, storage: Storage, clock: Clock, tracer: Tracer | None = None) -> None:
        self.core = core
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
            while True:
                messages = await link.receive()
                if self._spans is not None:
                    self._spans.begin(number, messages)
                await self._driver.accept(*[Asked(number, message) for message in messages])
        except LinkClosed:
            return
        finally:
            del self._exchanges[number]
            if self._spans is not None:
                self._spans.forget(number)
            self._driver.post(LinkEnded(number))

    async def serve_lead(self, link: Link[DatastoreToScheduler, SchedulerToDatastore]) -> None:
        """Listen to a leader until the link ends."""
        number = next(self._numbers)
        self._leads[number] = link
        try:
            while True:
                await self._driver.accept(*[LeaderSaid(number, message) for message in await link.receive()])
        except LinkClosed:
            return
        finally:
            del self._leads[number]
            self._driver.post(LinkEnded(number))

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
            case _:
                assert_never(command)

    def _send(self, number: int, message: FromDatastore) -> None:
        if self._spans is not None:
            self._spans.end(number, message)
        link = self._exchanges.get(number)
        if link is None:
            return  # it ended while the answer was found
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

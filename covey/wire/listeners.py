"""Who hears what a datastore says: whoever waits for one answer, for many, or for the objects of a watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from covey.errors import CoveyError, DeadlineExceeded, Reason, ResourceExhausted, Status
from covey.messages import FromDatastore, GetDone, PutDone, Watched
from covey.model import ObjectValue
from covey.wire.status import error_of

WATCH_UNREAD_MAX = 1_000
"""Objects that a watch may leave unread before it is ended with SLOW_READER."""


class Listener(Protocol):
    """Whom the answers to one request go to."""

    def hear(self, message: FromDatastore) -> bool:
        """Take an answer; whether more may come."""

    def lose(self, error: CoveyError) -> None:
        """No answer will come."""


class Reply:
    """The one answer to a put or a get."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[PutDone | GetDone] = asyncio.get_running_loop().create_future()

    def hear(self, message: FromDatastore) -> bool:
        if not self.answer.done() and isinstance(message, PutDone | GetDone):
            self.answer.set_result(message)
        return False

    def lose(self, error: CoveyError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Replies:
    """The answers to many puts, in their places; `all_there` is done when none is awaited any more."""

    def __init__(self, count: int) -> None:
        late = DeadlineExceeded("a datastore did not answer in time")
        self.answers: list[FromDatastore | CoveyError] = [late] * count
        self.all_there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited = count
        if not count:
            self.all_there.set_result(None)

    def take(self, position: int, answer: FromDatastore | CoveyError) -> None:
        self.answers[position] = answer
        self._awaited -= 1
        if not self._awaited:
            self.all_there.set_result(None)


class OneOfReplies(NamedTuple):
    """The listener of one of many puts."""

    replies: Replies
    position: int

    def hear(self, message: FromDatastore) -> bool:
        self.replies.take(self.position, message)
        return False

    def lose(self, error: CoveyError) -> None:
        self.replies.take(self.position, error)


class PlacedPut(NamedTuple):
    """The listener of a put that names the place of its payload; `send_whole` is for when it can't be read there."""

    listener: Listener
    send_whole: Callable[[Reason], None]

    def hear(self, message: FromDatastore) -> bool:
        if isinstance(message, PutDone) and message.reason in (Reason.FILE_UNSEEN, Reason.FILE_OVERWRITTEN):
            self.send_whole(message.reason)
            return False
        return self.listener.hear(message)

    def lose(self, error: CoveyError) -> None:
        self.listener.lose(error)


class Watcher:
    """What a watch has brought and nobody has taken yet."""

    def __init__(self) -> None:
        self._unread: list[ObjectValue] = []
        self._failure: CoveyError | None = None
        self._arrived = asyncio.Event()

    def hear(self, message: FromDatastore) -> bool:
        if not isinstance(message, Watched):
            return True
        if message.value is not None and message.status is Status.OK:
            self._unread.append(message.value)
        else:
            self._failure = error_of(message.status, message.reason, message.message)
        if self._failure is None and len(self._unread) > WATCH_UNREAD_MAX:
            unread = f"a watch left {WATCH_UNREAD_MAX:,} objects unread"
            self._failure = ResourceExhausted(unread, Reason.SLOW_READER)
        self._arrived.set()
        return self._failure is None

    def lose(self, error: CoveyError) -> None:
        self._failure = error
        self._arrived.set()

    async def take(self) -> list[ObjectValue]:
        """What has come, at least one; raises what ended the watch, after everything that came before."""
        while not self._unread:
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()
        unread, self._unread = self._unread, []
        return unread

"""Reads that were made before any task asked for them, because the leader knew that one would.

They are kept by event, for the tasks of that event alone: a read as of the event's admission finds the same whenever it
is made, so that nothing here can be out of date. An event's reads are forgotten when each of them has served a task,
when its deadline has passed, and, the oldest event first, when there is no room. What has been forgotten, or has
failed, is simply read again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from covey.errors import Status
from covey.grouping import Scope
from covey.messages import Prefetch
from covey.model import KeyRead, Read
from covey.services.worker.core.commands import FetchAhead, ForgetAhead
from covey.services.worker.core.stimuli import Found

READS_MAX = 64
"""Reads that one event may have made ahead of it."""


class EventKey(NamedTuple):
    """Names an event."""

    scope: Scope
    event_id: str


class ObjectKey(NamedTuple):
    """What makes two reads of one event the same: their instants differ by the time that messages travel."""

    pool: str
    key: str
    group: str


@dataclass(slots=True)
class ReadAhead:
    """A read of `FetchAhead` number `number`; `found` is None while it is under way."""

    number: int
    read: KeyRead
    found: Found | None = None
    used: bool = False


@dataclass(slots=True)
class EventReads:
    """What was read ahead for one event, until `deadline`; `size` is in payload bytes."""

    deadline: float
    reads: dict[ObjectKey, ReadAhead] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    size: int = 0


def finds_the_same_always(read: Read) -> bool:
    """Whether a read may be made ahead: it is as of an instant, and of no state that tasks hand on."""
    return isinstance(read, KeyRead) and read.as_of is not None and not read.version and not read.before


class Prefetches:
    """The events that something was read ahead for, `events_max` and `bytes_max` payload bytes at most."""

    def __init__(self, events_max: int, bytes_max: int) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._events: OrderedDict[EventKey, EventReads] = OrderedDict()
        self._under_way: dict[int, EventKey] = {}
        self._last_number = 0
        self._forgotten: list[int] = []
        self.bytes = 0
        self.unused = 0
        """Reads that were forgotten before they served a task, in all."""

    def begin(self, prefetch: Prefetch) -> list[FetchAhead]:
        """What is to be read now; nothing when all of it has been, or may not be read ahead."""
        event = EventKey(prefetch.scope, prefetch.event_id)
        held = self._events.get(event)
        known = held.reads if held is not None else {}
        room = READS_MAX - len(known)
        wanted = [read for read in prefetch.reads if finds_the_same_always(read) and _key(read) not in known][:room]
        if not wanted:
            return []
        if held is None:
            held = self._events[event] = EventReads(prefetch.deadline)
        self._last_number += 1
        number = self._last_number
        held.reads.update({_key(read): ReadAhead(number, read) for read in wanted})
        held.numbers.append(number)
        self._under_way[number] = event
        if len(self._events) > self._events_max:
            self._forget(next(iter(self._events)))
        return [FetchAhead(number, prefetch.scope, tuple(wanted), prefetch.deadline)]

    def take(self, number: int, found: tuple[Found, ...]) -> None:
        """A `FetchAhead` has returned, with one answer per read; what failed is as if nobody had read it."""
        event = self._under_way.pop(number, None)
        held = self._events.get(event) if event is not None else None
        if event is None or held is None or number not in held.numbers:
            self._forgotten.append(number)
            return
        mine = [(key, ahead) for key, ahead in held.reads.items() if ahead.number == number]
        for (key, ahead), answer in zip(mine, found, strict=True):
            if answer.status is Status.OK and answer.complete:
                ahead.found = answer
                size = sum([ref.size for ref in answer.objects])
                held.size += size
                self.bytes += size
            else:
                del held.reads[key]
        if not held.reads or held.size > self._bytes_max:
            self._forget(event)
        while self.bytes > self._bytes_max:
            self._forget(next(iter(self._events)))

    def find(self, scope: Scope, event_id: str, read: KeyRead) -> ReadAhead | None:
        """What was read ahead for this read of a task, or is about to be."""
        held = self._events.get(EventKey(scope, event_id)) if self._events else None
        return held.reads.get(_key(read)) if held is not None else None

    def use(self, scope: Scope, event_ids: dict[str, None]) -> None:
        """Tasks of these events were served: forget those that have nothing left to give."""
        for event in [EventKey(scope, event_id) for event_id in event_ids]:
            if all(ahead.used for ahead in self._events[event].reads.values()):
                self._forget(event)

    def forget_late(self, now: float) -> None:
        """Forget the events whose deadline has passed."""
        for event in [event for event, held in self._events.items() if held.deadline <= now]:
            self._forget(event)

    def forget_all(self) -> None:
        for event in list(self._events):
            self._forget(event)

    def let_go(self) -> list[ForgetAhead]:
        """What has been forgotten since this was last asked."""
        numbers, self._forgotten = self._forgotten, []
        return [ForgetAhead(tuple(numbers))] if numbers else []

    def _forget(self, event: EventKey) -> None:
        held = self._events.pop(event)
        self.bytes -= held.size
        self.unused += sum([not ahead.used for ahead in held.reads.values()])
        self._forgotten += [number for number in held.numbers if number not in self._under_way]

    def check_invariants(self) -> None:
        assert len(self._events) <= self._events_max, "events read ahead for are bounded"
        assert self.bytes == sum([held.size for held in self._events.values()]) <= self._bytes_max, "bytes are bounded"
        for held in self._events.values():
            assert 0 < len(held.reads) <= READS_MAX, "an event without reads is not held"
            for ahead in held.reads.values():
                assert (ahead.found is None) == (ahead.number in self._under_way), "what is read has been found"


def _key(read: KeyRead) -> ObjectKey:
    return ObjectKey(read.pool, read.key, read.group)

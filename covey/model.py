"""The values that every room shares, in our own words. Pure, immutable, and equal when their parts are.

Instants (`deadline`, `as_of`) are seconds of the monotonic clock of the process that holds the value. They never
travel: `covey.wire.convert` writes what remains (or has passed) and makes an instant of it again on arrival.
"""

from __future__ import annotations

import enum
import functools
import hashlib
from dataclasses import field
from typing import NamedTuple

from covey.errors import Reason, Status
from covey.grouping import Scope as Scope
from covey.values import dataclass

INLINE_BYTES_MAX = 64 * 1024
"""Payloads up to here travel inside messages; larger ones go through the datastore only."""

OBJECT_BYTES_MAX = 64 * 1024 * 1024
"""The largest object: what one message at the edge can carry."""


class Priority(enum.IntEnum):
    """The two classes of traffic; smaller runs first."""

    HIGH = 0
    LOW = 1


class GroupId(NamedTuple):
    """The identity of a group."""

    scope: Scope
    group: str


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Names one version of one object. `version` is 0 as long as its home has not numbered it."""

    pool: str
    key: str
    group: str
    version: int = 0
    size: int = 0


class ObjectName(NamedTuple):
    """Names an object in whatever version."""

    pool: str
    key: str


@dataclass(frozen=True, slots=True)
class ObjectValue:
    """An object with its payload; `payload` is None where it travels apart (over INLINE_BYTES_MAX)."""

    ref: ObjectRef
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event as the gateway admitted it.

    `payload` is None when it is too large to travel inline; it is then under `ref` at the group's home, or on its way.
    """

    scope: Scope
    id: str
    ref: ObjectRef
    payload: bytes | None
    priority: Priority
    deadline: float
    declaration: str
    explicit_group: bool = False
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class StageTime:
    """Where a cascade's time went in one stage: the sums over its tasks, in seconds."""

    stage: str
    tasks: int
    queue_s: float
    fetch_s: float
    wait_s: float
    compute_s: float
    store_s: float
    batch_size_sum: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The one terminal answer of an event."""

    scope: Scope
    event_id: str
    status: Status
    reason: Reason = Reason.NONE
    message: str = ""
    results: tuple[ObjectValue, ...] = ()
    incomplete: bool = False
    stages: tuple[StageTime, ...] = ()
    remote_gets: int = 0
    bytes_moved: int = 0
    elapsed_s: float = 0.0
    retry_after_s: float = 0.0
    packed: bytes = b""
    """At a gateway, which only hands them on: results, stages and what else it need not know, as they came."""

    def lasting(self, elapsed_s: float) -> Outcome:
        """The same, after so many seconds; `dataclasses.replace` takes three times as long."""
        return Outcome(
            self.scope,
            self.event_id,
            self.status,
            self.reason,
            self.message,
            self.results,
            self.incomplete,
            self.stages,
            self.remote_gets,
            self.bytes_moved,
            elapsed_s,
            self.retry_after_s,
            self.packed,
        )


# --- reads: how a task, or a client, names the objects that it wants -------------------------------------------------


@dataclass(frozen=True, slots=True)
class LastRead:
    """The `count` greatest indices of a series at or before `as_of` (before it, if `exclusive`; any, if None).

    `nodes` are asked in parallel and their answers merged. `awaits` is a key whose put is under way to the first of
    the nodes: that node's answer waits, within the budget, until it is there.
    """

    pool: str
    series: str
    count: int
    as_of: int | None
    exclusive: bool
    nodes: tuple[str, ...]
    awaits: str = ""


@dataclass(frozen=True, slots=True)
class KeyRead:
    """One key at a version; version 0 is the version that was current at the instant `as_of` (the latest, if None).
    With both, it is the later of the two.

    `required` says that the object is known to exist, or to be on its way, so that a read waits for it. `before` is
    the identity of a task: a version that it has put itself, and any later one, is not for it to read, or a task that
    is run again would begin with its own result.
    """

    pool: str
    key: str
    group: str
    version: int
    node: str
    required: bool
    as_of: float | None = None
    before: bytes = b""


@dataclass(frozen=True, slots=True)
class ScanRead:
    """Every current object of a group or under a key prefix, in key order, at most `limit`. For clients."""

    pool: str
    prefix: str
    group: str
    limit: int
    nodes: tuple[str, ...]


Read = LastRead | KeyRead | ScanRead

READS_RECORDED_MAX = 64
"""Objects that one task tells of; a larger join tells of its first."""


@dataclass(frozen=True, slots=True)
class TaskReads:
    """What one task read together, recorded for `covey suggest`.

    `trigger` is None for a join. When it came `inline` it needed no read; when it was read it is among `read`, too.
    """

    stage: str
    trigger: ObjectName | None
    inline: bool
    read: tuple[ObjectName, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one read found, in index order (in key order for a scan).

    `complete` is False when something that was there has been lost or evicted; a history that is short because it
    began recently is complete.
    """

    objects: tuple[ObjectValue, ...] = ()
    complete: bool = True
    status: Status = Status.OK
    reason: Reason = Reason.NONE
    message: str = ""
    epoch: int = 0
    """Of a read that several nodes answer: the placement by which this node did. Parts of two make no whole."""


# --- placement -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """A datastore node and where it listens.

    `joined` names its membership: it is another one after the node was taken for lost, and what it had is gone.
    """

    id: str
    address: str
    joined: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where groups live; `covey.homes` reads it. The default is rendezvous hashing over the nodes."""

    epoch: int = 0
    nodes: tuple[Node, ...] = ()
    exceptions: dict[GroupId, str] = field(default_factory=dict)
    """Groups that live elsewhere than by default: placed by load, moved or pinned."""
    together: tuple[Scope, ...] = ()
    """Pipelines whose branches live with their stems."""
    replicas: dict[GroupId, tuple[str, ...]] = field(default_factory=dict)
    """Groups that further nodes hold for reads."""
    copies: int = 1
    """Nodes that hold each group for reads, its home among them."""


# --- identities: what makes execution repeatable ---------------------------------------------------------------------
# The same event, stage, parent and emission give the same identity on every attempt and under every leader, so that a
# home recognises an emission that it already has.


def event_identity(scope: Scope, event_id: str) -> bytes:
    """16 bytes that name an event among all tenants and pipelines."""
    return _hashed(_told_scope(scope) + _told(event_id.encode()))


def task_identity(event: bytes, stage: str, parent: bytes, part: str) -> bytes:
    """16 bytes that name a task: `part` is the index of its parent's emission, or the fields of a join."""
    return _hashed(_told(event) + _told_word(stage) + _told(parent) + _told_word(part))


def emission_id(task: bytes, index: int) -> bytes:
    """20 bytes that name the `index`-th object that a task emits."""
    return task + index.to_bytes(4, "big")


@functools.lru_cache(maxsize=1024)
def _told_scope(scope: Scope) -> bytes:
    return _told(scope.tenant.encode()) + _told(scope.pipeline.encode())


@functools.lru_cache(maxsize=1024)
def _told_word(word: str) -> bytes:
    return _told(word.encode())


def _told(part: bytes) -> bytes:
    """With its length, so that no two lists of parts are told alike."""
    return len(part).to_bytes(4, "big") + part


def _hashed(told: bytes) -> bytes:
    return hashlib.blake2b(told, digest_size=16).digest()

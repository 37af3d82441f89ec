"""What clients ask of the mesh, in our own words; gateway.proto mirrors it. Pure.

`covey.client.Edge` is what answers: a gateway over gRPC, or a gateway's shell within this process.
"""

from __future__ import annotations

from typing import NamedTuple

from covey.declaration import Declaration
from covey.errors import CoveyError, InvalidArgument
from covey.model import Node, Priority, Scope
from covey.values import dataclass


def priority_from_triton(value: int) -> Priority:
    """What the request parameter `priority` of Triton Inference Server means here: 1 is the highest, and larger numbers
    are lower; 0 stands for the server's default, which is HIGH here. Raises InvalidArgument for a negative one."""
    if value < 0:
        raise InvalidArgument(f"a priority is 0, for the default, or 1 and more, not {value}")
    return Priority.HIGH if value <= 1 else Priority.LOW


class EventName(NamedTuple):
    """What an event is known by: its id, within its tenant and pipeline."""

    scope: Scope
    id: str


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event as a client sends it: an empty `id` is minted, a `budget_s` of None is the pipeline's objective."""

    scope: Scope
    key: str
    payload: bytes
    id: str = ""
    priority: Priority = Priority.HIGH
    budget_s: float | None = None
    group: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object as a client puts it. An `id` makes the put repeatable; `previous_version` 0: only if there is none."""

    scope: Scope
    key: str
    payload: bytes
    group: str = ""
    previous_version: int | None = None
    id: str = ""
    budget_s: float | None = None


@dataclass(frozen=True, slots=True)
class KeyWanted:
    """One object: the version, or the latest if 0. `group` is the explicit one that it was put with.

    With `age_s`, the version that was current so many seconds ago.
    """

    key: str
    version: int = 0
    group: str = ""
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """Several objects in the order of their keys: the latest ones, or those that were current `age_s` seconds ago."""

    keys: tuple[str, ...]
    group: str = ""
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class SeriesWanted:
    """The last `count` objects of a series (a key with `*` for its index) at or before the index `as_of`."""

    series: str
    count: int = 1
    as_of: int | None = None


@dataclass(frozen=True, slots=True)
class PrefixWanted:
    """The current objects under a key prefix, in key order."""

    prefix: str
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class GroupWanted:
    """The current objects of a group in one pool, or (`pool` empty) in all of the pipeline's, in key order."""

    pool: str
    group: str
    limit: int = 1000


Wanted = KeyWanted | KeysWanted | SeriesWanted | PrefixWanted | GroupWanted


@dataclass(frozen=True, slots=True)
class Misread:
    """An event of a stream that can't be read as one; `name` is as far as it could."""

    name: EventName
    error: CoveyError


ToEdge = NewEvent | EventName
"""What a client says on a stream: an event, or the name of one that it takes back."""


@dataclass(frozen=True, slots=True)
class Description:
    """The pipelines that a tenant may use, the nodes of the mesh, and what no worker runs: (pipeline, stage) each."""

    declarations: tuple[Declaration, ...]
    nodes: tuple[Node, ...]
    unserved: tuple[tuple[str, str], ...] = ()

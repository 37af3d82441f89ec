"""What a datastore knows, and what must always hold of it. No behaviour. Pure.

An object's *history* is its versions, oldest first; the last one is current until it *lapses*: it is superseded,
overflows `keep_last`, or outlives `ttl_s`. A lapsed version is removed when no open event can need it any more.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from covey.declaration import PoolDeclaration
from covey.grouping import Scope
from covey.homes import Homes
from covey.messages import Get, Put, View
from covey.model import GroupId, ObjectRef, Placement
from covey.services.datastore.core.commands import Entry, FindKeys
from covey.services.datastore.core.moving import Moves
from covey.services.datastore.core.sorted_keys import SortedKeys

OVERHEAD_BYTES = 512
"""What an object costs beside its payload; counted, so that many small objects are bounded too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a datastore may hold. `parked_max` requests wait; `marks_max` evicted keys, and series, are remembered."""

    memory_bytes_max: int = 1 << 30
    parked_max: int = 10_000
    watches_max: int = 1_000
    marks_max: int = 100_000


class PoolId(NamedTuple):
    scope: Scope
    pool: str


class SeriesId(NamedTuple):
    scope: Scope
    pool: str
    series: str


class Address(NamedTuple):
    """Where an object is found, whatever its version."""

    scope: Scope
    pool: str
    group: str
    key: str


@dataclass(slots=True, eq=False)
class Place:
    """Where a key belongs: its pool and group, and its index and series in a pool that has an index (None, "")."""

    pool: PoolDeclaration
    group: GroupId
    index: int | None
    series: str


IndexEntry = tuple[int, str, str]
"""An object of a series: its index, group and key."""


@dataclass(slots=True, eq=False)
class Version:
    """One version of an object, put at the instant `put_at`, current until `lapsed_at`."""

    ref: ObjectRef
    payload: bytes
    put_at: float
    emission: bytes = b""
    lapsed_at: float = math.inf

    @property
    def cost(self) -> int:
        """Bytes."""
        return self.ref.size + OVERHEAD_BYTES


@dataclass(slots=True, eq=False)
class Series:
    """The keys of a pool that differ in their index alone, on this node, sorted by it.

    Of a durable pool, `complete` says that the keys of storage are among them.
    """

    id: SeriesId
    pool: PoolDeclaration
    entries: list[IndexEntry] = field(default_factory=list)
    put_at: float = -math.inf
    complete: bool = False


@dataclass(slots=True, eq=False)
class History:
    """The versions of one object, oldest first. What was current before `lost_before` may be gone."""

    address: Address
    pool: PoolDeclaration
    index: int | None
    series: Series | None
    versions: list[Version] = field(default_factory=list)
    lost_before: float = -math.inf


class Loading(enum.Enum):
    """Whether the durable objects of a group are in memory."""

    ABSENT = 0
    UNDER_WAY = 1
    DONE = 2


@dataclass(slots=True, eq=False)
class Removal:
    """What is to be removed from storage, for one group."""

    refs: list[ObjectRef] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Group:
    """A group that lives here. `number` is the last that it gave to a put.

    `listed` are the entries of series that storage names and that are not in memory yet.
    Storage is told one thing of a group at a time: `writing` is under way, `writes` wait.
    """

    id: GroupId
    number: int
    histories: dict[tuple[str, str], History] = field(default_factory=dict)  # (pool, key)
    listed: dict[tuple[SeriesId, IndexEntry], None] = field(default_factory=dict)
    cost: int = 0
    loading: Loading = Loading.ABSENT
    writing: PendingPut | Removal | None = None
    writes: deque[Parked | Removal] = field(default_factory=deque)
    ours: bool = False
    """What is here is known to be the group; else that follows from its having stayed, or the node's being settled."""
    leaving: bool = False
    """It lives elsewhere, and is kept until it is there."""
    copies: dict[str, int] = field(default_factory=dict)
    """Reader -> the process of it (`Peer.tenure`) that has been sent the whole group, and is sent each put."""
    spreads: int = 0
    """Puts that wait for readers."""
    copy_of: str = ""
    """The home, if this is a reader's copy, whole since the placement `copied_at`."""
    copied_at: int = -1
    is_stale: bool = False
    """More was put into storage while its durable objects were being read."""
    given: int = 0
    """The last message of its hand-over, while that is not acknowledged: whose the group is, is not known here."""


# --- what waits ------------------------------------------------------------------------------------------------------


class GroupLoad(NamedTuple):
    """The durable objects of a group are on their way into memory."""

    group: GroupId


class ObjectPut(NamedTuple):
    """An object's put is under way."""

    scope: Scope
    pool: str
    key: str


@dataclass(frozen=True)
class Arrival:
    """A group is being handed over to this node."""

    group: GroupId


@dataclass(frozen=True)
class Settling:
    """Groups are still on their way between nodes."""


Blocker = GroupLoad | FindKeys | ObjectPut | Arrival | Settling
"""What a request waits for."""


@dataclass(slots=True, eq=False)
class Parked:
    """A request that waits. `found` and `failed` keep what storage said in the meantime."""

    number: int
    link: int
    request: Put | Get
    since: float
    blockers: tuple[Blocker, ...] = ()
    found: dict[Blocker, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    failed: list[Blocker] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class PendingPut:
    """A durable put that storage is being told of; nobody sees its version before storage has it."""

    parked: Parked
    put: Put
    place: Place
    version: Version


# --- all of it -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Counts:
    """What has happened, for the metrics."""

    puts: int = 0
    gets: int = 0
    known_emissions: int = 0
    moved: int = 0
    refused: int = 0
    incomplete: int = 0
    removed: int = 0
    evicted: int = 0
    slow_readers: int = 0
    stale: int = 0
    groups_handed_over: int = 0
    bytes_handed_over: int = 0
    parked_for_arrival: int = 0
    storage_failures: int = 0


@dataclass(slots=True)
class State:
    """All that the core knows. `groups` are in order of use, the least recently used first."""

    node: str
    address: str
    limits: Limits
    number_floor: int
    """A group that is new here numbers its puts from beyond this, so that no version is ever given twice."""
    life: int = 0
    """Tells the processes of a node apart."""

    # what the leader says
    epoch: int = 0
    view: View | None = None
    homes: Homes = field(default_factory=lambda: Homes(Placement()))
    moves: Moves = field(default_factory=Moves)
    pools: dict[PoolId, tuple[PoolDeclaration, ...]] = field(default_factory=dict)
    pipelines: dict[Scope, None] = field(default_factory=dict)
    leads: dict[int, int] = field(default_factory=dict)  # link -> epoch
    horizon: float = -math.inf
    horizon_heard_at: float = -math.inf

    # objects
    groups: OrderedDict[GroupId, Group] = field(default_factory=OrderedDict)
    series: dict[SeriesId, Series] = field(default_factory=dict)
    keys: dict[PoolId, SortedKeys] = field(default_factory=dict)
    emissions: dict[tuple[Scope, bytes], Version] = field(default_factory=dict)
    cost: int = 0
    objects: int = 0
    evicted_series: OrderedDict[SeriesId, int] = field(default_factory=OrderedDict)
    evicted_keys: OrderedDict[Address, None] = field(default_factory=OrderedDict)
    evicted_in_pool: dict[PoolId, int] = field(default_factory=dict)
    lapsed_in_pool: dict[PoolId, float] = field(default_factory=dict)
    """Pool -> the instant before which keys that are here no more may have been current."""

    # retention: (instant, number, what lapses then or is idle since); and what storage is to remove, or load first
    lapses: list[tuple[float, int, Lapse]] = field(default_factory=list)
    lapse_number: int = 0
    swept_at: float = -math.inf
    removals: dict[GroupId, Removal] = field(default_factory=dict)
    loads: dict[GroupId, None] = field(default_factory=dict)

    # requests that wait; by what they wait for; and until when
    parked: dict[int, Parked] = field(default_factory=dict)
    waiting: dict[Blocker, dict[int, Parked]] = field(default_factory=dict)
    patience: list[tuple[float, int]] = field(default_factory=list)
    parked_number: int = 0

    watches: dict[PoolId, dict[tuple[int, int], None]] = field(default_factory=dict)  # (link, request)
    counts: Counts = field(default_factory=Counts)


@dataclass(slots=True, eq=False)
class Lapse:
    """A version that has lapsed, or (`version` None) a history or series whose ttl runs from its last put."""

    of: History | Series
    version: Version | None = None


def history_at(state: State, scope: Scope, pool: str, group: str, key: str) -> History | None:
    """The history of an object, if it is in memory."""
    found = state.groups.get(GroupId(scope, group))
    return found.histories.get((pool, key)) if found is not None else None


def lives_here(state: State, group: GroupId) -> bool:
    """Whether the placement gives the group to this node."""
    return state.moves.member and state.homes.of(group) == state.node


def is_busy(group: Group) -> bool:
    """Whether storage is being asked or told something of this group, so that it must stay in memory."""
    return group.writing is not None or bool(group.writes) or group.loading is Loading.UNDER_WAY


def check_invariants(state: State) -> None:
    """Raise AssertionError unless the tables agree with one another."""
    _check_objects(state)
    _check_moves(state)
    indexed = {
        (history.series.id, entry)
        for group in state.groups.values()
        for history in group.histories.values()
        if history.series is not None and history.index is not None
        for entry in [(history.index, group.id.group, history.address.key)]
    }
    to_load = {listed for group in state.groups.values() for listed in group.listed}
    listed = {(series.id, entry) for series in state.series.values() for entry in series.entries}
    for series in state.series.values():
        assert series.entries == sorted(set(series.entries)), f"series {series.id} is not sorted"
        assert series.entries, f"series {series.id} is empty"
    assert not indexed & to_load, "an object that is in memory is to be loaded"
    assert indexed | to_load == listed, "a series names other objects than there are"
    for blocker, waiting in state.waiting.items():
        assert waiting, f"nobody waits for {blocker}"
        assert all(state.parked.get(number) is parked for number, parked in waiting.items()), "a request waits unparked"
    assert len(state.parked) <= state.limits.parked_max, "too many requests wait"
    assert len(state.evicted_keys) <= state.limits.marks_max, "too many evicted keys are remembered"
    assert len(state.evicted_series) <= state.limits.marks_max, "too many evicted series are remembered"


def _check_moves(state: State) -> None:
    moves = state.moves
    for group_id in moves.leaving:
        assert state.groups[group_id].leaving, f"{group_id} is to leave and does not know it"
    for name, peer in moves.peers.items():
        assert all(moves.leaving.get(group_id) == name for group_id in peer.queue), f"{name} is given what is not its"
        assert peer.bytes_sent == sum(message.size for message in peer.sent), f"bytes sent to {name} are off"
    if moves.done == state.homes.placement.epoch:
        assert not moves.leaving, "all was handed over, and something is left"


def _check_objects(state: State) -> None:
    keys: dict[PoolId, set[tuple[str, str]]] = {}
    emissions = {}
    cost = 0
    for group_id, group in state.groups.items():
        assert group.id == group_id, "a group stands under another's name"
        is_kept = group.histories or group.listed or is_busy(group) or group.leaving or group.spreads
        assert is_kept or group_id in state.moves.arriving, f"{group_id} is empty"
        versions = [version for history in group.histories.values() for version in history.versions]
        cost_of_group = sum(version.cost for version in versions) + OVERHEAD_BYTES * len(group.listed)
        assert group.cost == cost_of_group, "bytes of a group are off"
        cost += group.cost
        for (pool, key), history in group.histories.items():
            address = history.address
            assert address == Address(group_id.scope, pool, group_id.group, key), (
                "an object stands under another's name"
            )
            assert history.versions, f"{address} has no version"
            numbers = [version.ref.version for version in history.versions]
            assert numbers == sorted(set(numbers)), f"versions of {address} are not in order"
            instants = [version.put_at for version in history.versions]
            assert instants == sorted(instants), f"versions of {address} are not in the order of their puts"
            assert numbers[-1] <= group.number, f"{address} has a version that its group never gave"
            assert all(v.lapsed_at < math.inf for v in history.versions[:-1]), f"{address} has two current versions"
            keys.setdefault(PoolId(address.scope, pool), set()).add((key, group_id.group))
            emissions.update({(group_id.scope, v.emission): v for v in history.versions if v.emission})
    assert cost == state.cost, "bytes in all are off"
    assert sum(map(len, keys.values())) == state.objects, "objects in all are off"
    assert emissions == state.emissions, "known emissions are off"
    assert keys == {pool: set(found) for pool, found in state.keys.items()}, "keys by prefix are off"

"""The gateway's data, and the invariants that hold after every step. No behaviour.

An *open event* is admitted and has no outcome yet; its header and payload are kept until then, so that it can be
stored and submitted again. A *held* stimulus came before the gateway knew any view, and waits for one.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from covey.declaration import Declaration
from covey.edge import EventName
from covey.errors import CoveyError
from covey.homes import Homes
from covey.messages import Put, View
from covey.model import Event, Outcome, Placement, Scope
from covey.services.gateway.core.stimuli import EventReceived, GetRequested, PutRequested


class Limits(NamedTuple):
    """Bounds and patience. Times in seconds, sizes in bytes."""

    open_max: int = 20_000
    """Calls that wait for an outcome; also puts and gets under way, each."""
    open_bytes_max: int = 1 << 30
    kept_for_high: float = 0.1
    """Share of both that LOW events leave to HIGH ones."""
    recent_max: int = 10_000
    recent_bytes_max: int = 64 << 20
    budget_s_max: float = 3600.0
    put_budget_s: float = 10.0
    get_budget_s: float = 10.0
    patience_s: float = 1.0
    """How long requests wait for a leader before they are refused for want of one."""
    attempts_max: int = 16
    """Tries of one put or get."""
    backoff_s: float = 0.02
    backoff_s_max: float = 0.5
    retry_after_s: float = 0.1
    beat_s: float = 0.5
    silence_s_max: float = 2.0
    """A leader that says nothing for so long is taken for lost."""


class Leadership(enum.Enum):
    """What the link to the leader stands at."""

    LOST = "lost"
    JOINING = "joining"
    """Connected; its view has not come, or was older than what we know."""
    FOLLOWING = "following"


MOVES: dict[Leadership, tuple[Leadership, ...]] = {
    Leadership.LOST: (Leadership.JOINING,),
    Leadership.JOINING: (Leadership.FOLLOWING, Leadership.LOST),
    Leadership.FOLLOWING: (Leadership.LOST, Leadership.JOINING),
}
LOST, JOINING, FOLLOWING = Leadership
"""The legal moves. FOLLOWING -> JOINING: an older leader spoke on this link, or it went silent, and it is hung up."""


class IllegalMove(AssertionError):
    """The shell reported what cannot have happened: a bug of ours."""


@dataclass(slots=True)
class OpenEvent:
    """An event without an outcome. `calls` wait for it, one entry for each time that it was received."""

    event: Event
    payload: bytes
    named: bool
    """The client chose the id, so it may come again."""
    opened_at: float
    must_store: bool
    """Without its object stored, the event can't end OK."""
    stored_first: bool
    """Submit only what has been stored: a stage reads the pool, or the leader asked to store again."""
    is_kept: bool = True
    """Its object goes to its home: the pool is not transient, or the object too large to travel."""
    store: int = 0
    """The number of the put under way; 0: none."""
    parent: str = ""
    """The traceparent that the client sent."""
    calls: list[int] = field(default_factory=list)
    stored: bool = False
    submitted: bool = False
    outcome: Outcome | None = None
    """OK, and waits for the put's acknowledgement."""


@dataclass(slots=True)
class Store:
    """A put under way, of an event or of a client's call (`owner`)."""

    put: Put
    deadline: float
    owner: EventName | int
    node: str = ""
    attempts: int = 0
    retry_at: float | None = None


@dataclass(slots=True)
class Reading:
    """A get under way, which came at the instant `at`. `counted`: its keys are in the counts."""

    request: GetRequested
    at: float
    deadline: float
    counted: bool = False
    attempts: int = 0
    retry_at: float | None = None


class Recent(NamedTuple):
    """An outcome that a client may ask for again, and the digest of the event that it belongs to."""

    digest: int
    outcome: Outcome
    size: int


@dataclass(frozen=True, slots=True)
class Held:
    """A request that came before any view."""

    received_at: float
    request: EventReceived | PutRequested | GetRequested


class PoolOf(NamedTuple):
    """A pool, among those of all pipelines."""

    scope: Scope
    pool: str


@dataclass(slots=True)
class State:
    gateway: str
    limits: Limits
    leaderless_since: float | None
    """Since when no leader is known; None while one is."""
    leadership: Leadership = Leadership.LOST
    heard_at: float = 0.0
    beat_at: float = 0.0
    view: View | None = None
    homes: Homes = field(default_factory=lambda: Homes(Placement()))
    declarations: dict[Scope, Declaration] = field(default_factory=dict)
    """The current declaration of every pipeline; a new leader that has not read them all yet takes none away."""
    served: dict[Scope, None] = field(default_factory=dict)
    """The pipelines that the leader of now takes events for: it has their declarations, and nodes."""
    homeless_since: float | None = None
    """Since when the view has no node; None while it has."""
    draining: bool = False
    open: dict[EventName, OpenEvent] = field(default_factory=dict)
    """In the order of admission."""
    waiting: dict[int, dict[EventName, None]] = field(default_factory=dict)
    """Call -> the open events that it waits for."""
    waits: int = 0
    bytes: int = 0
    """Payloads of open events, of puts under way and of held requests."""
    stores: dict[int, Store] = field(default_factory=dict)
    readings: dict[int, Reading] = field(default_factory=dict)
    last_number: int = 0
    held: list[Held] = field(default_factory=list)
    recent: OrderedDict[EventName, Recent] = field(default_factory=OrderedDict)
    recent_bytes: int = 0
    timers: list[tuple[float, int, EventName | int]] = field(default_factory=list)
    """A heap of (when, tie, whom to look at); an entry whose cause is gone is skipped."""
    finished: int = 0
    ungrouped: dict[PoolOf, int] = field(default_factory=dict)
    """Keys of events, puts and gets that their pool's group rule did not match."""
    spanning: dict[Scope, int] = field(default_factory=dict)
    """Gets of several keys that were not of one group."""
    last_error: dict[EventName, CoveyError] = field(default_factory=dict)
    """Why the last put of an open event failed."""


def size_of(request: EventReceived | PutRequested | GetRequested) -> int:
    """Bytes of payload."""
    match request:
        case EventReceived(event=new) | PutRequested(object=new):
            return len(new.payload)
        case GetRequested():
            return 0
        case _:
            assert_never(request)


def check_invariants(state: State) -> None:
    """Raise AssertionError when the state contradicts itself."""
    timed = [entry for _, _, entry in state.timers]
    for name, opened in state.open.items():
        assert (opened.event.scope, opened.event.id) == name
        assert opened.calls, f"nobody waits for {name.id}"
        assert name in timed, f"nothing ends {name.id}"
        assert name not in state.recent, f"{name.id} is open and has an outcome"
        assert not opened.submitted or state.leadership is Leadership.FOLLOWING
        assert opened.event.scope in state.declarations
        assert opened.stored or not opened.stored_first or not opened.submitted
        assert not opened.store or state.stores[opened.store].owner == name
        assert all(name in state.waiting[call] for call in opened.calls)
    for names in state.waiting.values():
        assert names
        assert all(name in state.open for name in names)
    for number, store in state.stores.items():
        assert isinstance(store.owner, int) or state.open[store.owner].store == number
        assert store.retry_at is None or number in timed
    for number, reading in state.readings.items():
        assert reading.retry_at is None or number in timed
    assert state.waits == sum(len(opened.calls) for opened in state.open.values())
    assert state.bytes == _bytes(state)
    assert state.recent_bytes == sum(recent.size for recent in state.recent.values())
    assert all(name in state.open for name in state.last_error)
    assert (state.leaderless_since is None) == (state.leadership is Leadership.FOLLOWING)
    assert not state.held or state.view is None
    assert (state.homeless_since is not None) == (state.view is not None and not state.homes.nodes)
    _check_bounds(state)


def _check_bounds(state: State) -> None:
    limits = state.limits
    assert state.waits + len(state.held) <= limits.open_max
    assert state.bytes <= limits.open_bytes_max
    assert len(state.recent) <= limits.recent_max
    assert state.recent_bytes <= limits.recent_bytes_max
    assert len(state.timers) <= 4 * (len(state.open) + len(state.stores) + len(state.readings)) + 64


def _bytes(state: State) -> int:
    events = sum(len(opened.payload) for opened in state.open.values())
    puts = sum(len(store.put.payload) for store in state.stores.values() if isinstance(store.owner, int))
    held = sum(size_of(one.request) for one in state.held)
    return events + puts + held

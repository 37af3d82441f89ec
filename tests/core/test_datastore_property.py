"""The datastore's core under random puts, reads, horizons, evictions and restarts, against a list of all puts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from covey.errors import Status
from covey.messages import View
from covey.model import ObjectRef, Placement, ScanRead
from covey.services.datastore.core.retention import HORIZON_MARGIN_S
from covey.services.datastore.core.state import OVERHEAD_BYTES, Limits
from tests.worlds_datastore import COLLISIONS, NODES, Stored, World, key, keys_of, last, pool_of

LONG = 1e6
POOLS = tuple([replace(pool, ttl_s=LONG) for pool in COLLISIONS.pools])
VIEW = View(1, 1, Placement(1, NODES), (("default", replace(COLLISIONS, pools=POOLS).versioned()),))
KEEP_LAST = {pool.name: pool.keep_last for pool in POOLS}
DURABLE = {pool.name for pool in POOLS if pool.durable}

names = st.sampled_from(["s", "t"])
ticks = st.integers(0, 6)
keys = st.one_of(
    st.builds("/observations/{}/{}".format, names, ticks),
    st.builds("/positions/s/s/{}".format, ticks),
    st.builds("/predictions/s/{}/a".format, ticks),
    st.builds("/tracks/{}".format, names),
    st.builds("/ledger/s/{}".format, ticks),
    st.builds("/journal/{}".format, names),
)
SERIES = ["/observations/s/*", "/positions/s/s/*", "/predictions/s/*/a", "/ledger/s/*"]


@dataclass
class Known:
    """A version as the list of all puts has it; current until `lapsed_at`."""

    ref: ObjectRef
    payload: bytes
    index: int
    series: str
    lapsed_at: float = math.inf


def index_and_series(name: str) -> tuple[int, str]:
    parts = name.split("/")
    at = next((at for at, part in enumerate(parts) if part.isdecimal()), None)
    return (int(parts[at]), "/".join([*parts[:at], "*", *parts[at + 1 :]])) if at is not None else (0, name)


class Datastore(RuleBasedStateMachine):
    """`check_invariants` runs after every step of the world; the rules compare answers with the list."""

    emissions = Bundle("emissions")

    @initialize(is_small=st.booleans())
    def start(self, is_small: bool) -> None:
        self.limits = Limits(memory_bytes_max=6 * OVERHEAD_BYTES) if is_small else Limits()
        self.is_small = is_small
        self.stored = Stored()
        self.world = World(self.limits, self.stored, VIEW)
        self.known: list[Known] = []
        self.horizon = -math.inf
        self.count = 0

    @rule(target=emissions, name=keys, fails=st.booleans(), optimistic=st.booleans())
    def put(self, name: str, fails: bool, optimistic: bool) -> object:
        self.count += 1
        payload = str(self.count).encode()
        current = self.current(name)
        may_be_lost = self.is_small and pool_of(name) not in DURABLE
        previous = (current.ref.version if current else 0) if optimistic and not may_be_lost else None
        self.stored.fails = fails
        done = self.world.put(name, payload, emission=payload, previous=previous)
        self.stored.fails = False
        if fails and pool_of(name) in DURABLE:
            assert done.status is Status.UNAVAILABLE
            return multiple()
        assert done.ref is not None, done
        assert all(known.ref.version < done.ref.version for known in self.known if known.ref.group == done.ref.group)
        self.remember(name, payload, done.ref)
        return (name, payload, done.ref)

    @rule(emission=emissions)
    def put_again(self, emission: tuple[str, bytes, ObjectRef]) -> None:
        name, payload, ref = emission
        if self.current(name) is None or self.is_small or all(known.ref != ref for known in self.known):
            return
        if self.must_be_there(next(known for known in self.known if known.ref == ref)):
            assert self.world.put(name, b"again", emission=payload).ref == ref

    @rule(emission=consumes(emissions))
    def put_with_a_stale_version(self, emission: tuple[str, bytes, ObjectRef]) -> None:
        name, _, ref = emission
        current = self.current(name)
        if current is not None and current.ref != ref:
            assert self.world.put(name, previous=ref.version).status is Status.ABORTED

    @rule(seconds=st.floats(0, 5))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(age_s=st.floats(0, 10))
    def hear_horizon(self, age_s: float) -> None:
        self.horizon = max(self.horizon, self.world.now - age_s - HORIZON_MARGIN_S)
        self.world.horizon(age_s)
        for known in self.known:
            self.read(known)

    @rule()
    def restart(self) -> None:
        now = self.world.now
        floor = self.world.state.number_floor + 1000
        self.world = World(self.limits, self.stored, VIEW)
        self.world.now = now
        self.world.state.number_floor = floor
        self.known = [known for known in self.known if known.ref.pool in DURABLE]

    @rule(name=keys)
    def read_latest(self, name: str) -> None:
        answer = self.world.get(key(name))
        current = self.current(name)
        if answer.objects:
            assert current is not None
            assert answer.objects[0].payload == current.payload
        elif current is not None:
            assert not answer.complete or current.lapsed_at < self.horizon
            assert self.may_be_lost(current)

    @rule(
        name=st.sampled_from(SERIES),
        as_of=st.one_of(st.none(), ticks),
        exclusive=st.booleans(),
        count=st.integers(1, 3),
    )
    def read_last(self, name: str, as_of: int | None, exclusive: bool, count: int) -> None:
        answer = self.world.get(last(name, count, as_of, exclusive))
        bound = math.inf if as_of is None else as_of - exclusive
        of_series = {known.ref.key: known for known in self.known if known.series == name and known.index <= bound}
        expected = sorted(of_series.values(), key=lambda known: known.index)[-count:]
        if all(self.must_be_there(known) for known in expected):
            found = [(value.ref, value.payload) for value in answer.objects]
            is_right = found == [(known.ref, known.payload) for known in expected]
            assert is_right or (self.is_small and not answer.complete)
            assert answer.complete or self.is_small

    @rule(scene=names)
    def scan(self, scene: str) -> None:
        prefix = f"/observations/{scene}/"
        answer = self.world.get(ScanRead("observations", prefix, "", 100, ("node-a",)))
        expected = sorted({known.ref.key for known in self.known if known.ref.key.startswith(prefix)})
        assert keys_of(answer) == expected or (self.is_small and not answer.complete)

    def read(self, known: Known) -> None:
        """Read a version that was put: it is there, or it may be gone and the answer says so."""
        answer = self.world.get(key(known.ref.key, known.ref.group, known.ref.version))
        if answer.objects:
            assert (answer.objects[0].ref, answer.objects[0].payload) == (known.ref, known.payload)
        else:
            assert not answer.complete
            assert self.may_be_lost(known)

    def remember(self, name: str, payload: bytes, ref: ObjectRef) -> None:
        """Add a put to the list, and let lapse what it supersedes or overflows."""
        now = self.world.now
        current = self.current(name)
        if current is not None:
            current.lapsed_at = min(current.lapsed_at, now)
        index, of = index_and_series(name)
        self.known.append(Known(ref, payload, index, of))
        keep = KEEP_LAST[ref.pool]
        of_series = {known.ref.key: known for known in self.known if known.series == of}
        for beyond in sorted(of_series.values(), key=lambda known: known.index)[: -keep or len(self.known)]:
            if keep:
                beyond.lapsed_at = min(beyond.lapsed_at, now)

    def current(self, name: str) -> Known | None:
        return next((known for known in reversed(self.known) if known.ref.key == name), None)

    def must_be_there(self, known: Known) -> bool:
        return known.lapsed_at >= self.horizon

    def may_be_lost(self, known: Known) -> bool:
        return not self.must_be_there(known) or (self.is_small and known.ref.pool not in DURABLE)


TestDatastore = Datastore.TestCase
TestDatastore.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

"""Reads in time: what was current at an instant, found by bisection, and what may be gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from covey.model import Answer, GroupId, KeyRead, ObjectRef, emission_id
from covey.services.datastore.core.answering import answer, version_of
from covey.services.datastore.core.state import Address, History, Version
from tests.worlds_datastore import COLLISIONS, SCOPE, Stored, World, key


def test_a_key_is_read_as_of_an_instant() -> None:
    """The version that was current at `as_of` is read, and none before the first."""
    world = World()
    before = world.now
    world.pass_time(1)
    world.put("/tracks/s", b"old")
    between = world.now + 0.5
    world.pass_time(1)
    world.put("/tracks/s", b"new")

    assert world.get(key("/tracks/s", as_of=between)).objects[0].payload == b"old"
    assert world.get(key("/tracks/s", as_of=world.now)).objects[0].payload == b"new"
    assert world.get(key("/tracks/s", as_of=before)).objects == ()
    assert world.get(key("/tracks/s", as_of=before, required=True)).objects[0].payload == b"old"


def test_a_time_before_what_is_kept_is_incomplete() -> None:
    """What was current may be gone: superseded and removed, with its key or without; a key that never was is not."""
    world = World()
    long_ago = world.now
    world.pass_time(1)
    world.put("/tracks/s", b"old")
    world.put("/tracks/other", b"x")
    world.pass_time(1)
    world.put("/tracks/s", b"new")
    superseded_at = world.now
    world.pass_time(2)
    world.horizon()

    assert world.get(key("/tracks/s", as_of=superseded_at - 0.5)) == Answer((), complete=False)
    assert world.get(key("/tracks/s", as_of=superseded_at)).objects[0].payload == b"new"
    assert world.get(key("/tracks/never", as_of=long_ago)) == Answer(())

    world.pass_time(70)
    world.horizon()
    assert world.get(key("/tracks/other", as_of=superseded_at)) == Answer((), complete=False)
    assert world.get(key("/tracks/other", as_of=world.now)) == Answer(())


def test_what_storage_held_before_its_first_record_is_not_known() -> None:
    """A durable object that is loaded again says that an earlier version may have been there."""
    stored = Stored()
    before = World(stored=stored)
    before.put("/journal/s", b"kept")

    world = World(stored=stored)
    world.now = before.now + 5

    assert world.get(key("/journal/s", as_of=before.now)).objects[0].payload == b"kept"
    assert world.get(key("/journal/s", as_of=before.now - 1)) == Answer((), complete=False)


class CountedVersions(list[Version]):
    """Counts the versions that are looked at, and refuses to be walked through."""

    looked_at = 0

    def __getitem__(self, at: Any) -> Any:
        self.looked_at += 1
        return super().__getitem__(at)

    def __iter__(self) -> Iterator[Version]:
        raise AssertionError("a read went through all versions")

    __reversed__ = __iter__


def test_a_read_in_time_looks_at_few_versions() -> None:
    """Finding a version by instant or number, among many, is a bisection."""
    world = World()
    numbers = []
    for number in range(1000):
        numbers.append(world.version_of("/tracks/s", b"%d" % number))
        world.now += 0.001
    group = world.state.groups[GroupId(SCOPE, "s")]
    history = group.histories["tracks", "/tracks/s"]
    history.versions = versions = CountedVersions(history.versions)

    found = [
        answer(world.state, SCOPE, read, {})
        for read in (key("/tracks/s", as_of=100.3335), key("/tracks/s", version=numbers[700]))
    ]

    assert [each.objects[0].payload for each in found if isinstance(each, Answer)] == [b"333", b"700"]
    assert versions.looked_at < 2 * 15


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 40),
    st.none() | st.integers(0, 30),
    st.booleans(),
    st.booleans(),
)
def test_a_version_is_found_as_by_going_through_all(
    puts: list[tuple[int, int, bool]], number: int, as_of: int | None, required: bool, is_own: bool
) -> None:
    """The bisections find what the law says, read off one version after the other, newest first."""
    task = b"t" * 16
    history = History(Address(SCOPE, "tracks", "s", "/tracks/s"), COLLISIONS.pool("tracks"), None, None)
    at, instant = 0, 0
    for step, later, own in puts:
        at, instant = at + step, instant + later
        ref = ObjectRef("tracks", "/tracks/s", "s", at)
        history.versions.append(Version(ref, b"", instant, emission_id(task if own else b"u" * 16, at)))
    read = KeyRead("tracks", "/tracks/s", "s", number, "node-a", required, as_of, task if is_own else b"")

    assert version_of(history, read) is by_going_through(history.versions, read)


def by_going_through(versions: list[Version], read: KeyRead) -> Version | None:
    if read.version and read.as_of is None:
        return next((version for version in versions if version.ref.version == read.version), None)
    own = next((version for version in versions if read.before and version.emission.startswith(read.before)), None)
    for version in reversed(versions):
        if own is not None and version.ref.version >= own.ref.version:
            continue
        if own is None and version.ref.version < read.version:
            return None
        if version.ref.version == read.version or read.as_of is None or version.put_at <= read.as_of:
            return version
    return versions[0] if read.required else None

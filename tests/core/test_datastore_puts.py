"""Puts: numbering, repeated emissions, conflicts, refusals, and who is told."""

import pytest

from covey.errors import Reason, Status
from covey.grouping import rendezvous
from covey.messages import EndWatch, Put, View, Watch, Watched
from covey.model import GroupId, Node, ObjectRef, Placement, Scope
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.state import Limits
from covey.services.datastore.core.stimuli import Asked, LinkEnded, ReaderFellBehind
from tests.worlds_datastore import COLLISIONS, LINK, SCOPE, World, key, keys_of


def test_versions_grow_within_a_group() -> None:
    """A home numbers the puts of a group, across the pools and keys of the group."""
    world = World()

    first = world.version_of("/observations/s/1")
    second = world.version_of("/tracks/s")
    third = world.version_of("/observations/s/1")

    assert first < second < third


def test_a_group_that_comes_back_never_gives_a_version_twice() -> None:
    """When everything of a group has gone, its next put has a greater version than any before."""
    world = World()
    before = world.version_of("/predictions/s/1/a")
    world.pass_time(70)
    world.horizon()
    assert not world.state.groups

    assert world.version_of("/predictions/s/1/a") > before


def test_a_known_emission_has_the_version_that_it_got() -> None:
    """An emission that is put again is answered with the same ref, and nothing is stored or watched twice."""
    world = World()
    world.tell(Asked(LINK, Watch(99, SCOPE, "tracks")))
    first = world.put("/tracks/s", b"one", emission=b"e1")

    again = world.put("/tracks/s", b"other bytes", emission=b"e1")

    assert again.ref == first.ref
    assert len(world.watched()) == 1
    assert world.get(key("/tracks/s")).objects[0].payload == b"one"


def test_an_emission_is_forgotten_with_its_object() -> None:
    """Known emissions are bounded by what is stored: they go when their object does."""
    world = World()
    world.put("/tracks/s", emission=b"e1")
    world.pass_time(70)
    world.horizon()

    assert not world.state.emissions


def test_a_put_with_the_wrong_previous_version_conflicts() -> None:
    """An optimistic put succeeds on the current version alone, and 0 means that there is none."""
    world = World()
    first = world.put("/tracks/s", previous=0)
    assert first.status is Status.OK

    stale = world.put("/tracks/s", previous=0)
    assert (stale.status, stale.reason) == (Status.ABORTED, Reason.VERSION_CONFLICT)

    assert first.ref is not None
    assert world.put("/tracks/s", previous=first.ref.version).status is Status.OK
    assert world.put("/tracks/other", previous=7).status is Status.ABORTED


@pytest.mark.parametrize(
    ("ref", "scope", "status", "reason"),
    [
        (ObjectRef("tracks", "/tracks/s", "s"), Scope("default", "nope"), Status.NOT_FOUND, Reason.UNKNOWN_PIPELINE),
        (ObjectRef("nope", "/tracks/s", "s"), SCOPE, Status.NOT_FOUND, Reason.UNKNOWN_POOL),
        (ObjectRef("tracks", "/alerts/s", "s"), SCOPE, Status.INVALID_ARGUMENT, Reason.MALFORMED),
        (ObjectRef("tracks", "tracks/s", "s"), SCOPE, Status.INVALID_ARGUMENT, Reason.MALFORMED),
        (ObjectRef("tracks", "/tracks/s", "g" * 2000), SCOPE, Status.INVALID_ARGUMENT, Reason.MALFORMED),
        (ObjectRef("observations", f"/observations/s/{2**64}", "s"), SCOPE, Status.INVALID_ARGUMENT, Reason.MALFORMED),
        (ObjectRef("tracks", "/tracks/s", "s", size=1 << 40), SCOPE, Status.INVALID_ARGUMENT, Reason.TOO_LARGE),
    ],
)
def test_a_put_that_nobody_could_take_is_refused(ref: ObjectRef, scope: Scope, status: Status, reason: Reason) -> None:
    """A put is refused with a reason when its pipeline, pool, key, group, index or size can't be."""
    world = World()

    world.tell(Asked(LINK, Put(7, scope, ref, b"")))

    done = world.put_done(7)
    assert (done.status, done.reason) == (status, reason)
    assert done.message
    assert not world.state.groups


def test_a_datastore_without_a_view_takes_nothing() -> None:
    """Before a leader has spoken, puts and gets are UNAVAILABLE, so that callers try again."""
    core = DatastoreCore("node-a", "a:1", Limits())

    [command] = core.handle([Asked(1, Put(1, SCOPE, ObjectRef("tracks", "/tracks/s", "s"), b"x"))], 1.0)

    assert command.message.reason is Reason.NO_LEADER  # type: ignore[union-attr]


def test_a_put_into_the_wrong_home_is_moved() -> None:
    """A node of the view refuses groups that live elsewhere by hashing or exception, and takes those that live here."""
    nodes = (Node("node-a", "a:1"), Node("node-b", "b:1"))
    names = [f"s{number}" for number in range(20)]
    mine = [name for name in names if rendezvous(SCOPE, name, ("node-a", "node-b")) == "node-a"]
    theirs = [name for name in names if name not in mine]
    exceptions = {
        GroupId(SCOPE, theirs[0]): "node-a",
        GroupId(SCOPE, mine[0]): "node-b",
        GroupId(SCOPE, mine[1]): "gone",
    }
    world = World(view=View(1, 1, Placement(1, nodes, exceptions), (("default", COLLISIONS),)))

    def reason(name: str) -> Reason:
        return world.put(f"/tracks/{name}").reason

    assert [reason(name) for name in (theirs[0], mine[1], mine[2])] == [Reason.NONE] * 3
    assert [reason(name) for name in (mine[0], theirs[1])] == [Reason.MOVED] * 2
    assert world.state.counts.moved == 2


def test_a_node_that_the_placement_does_not_name_takes_nothing() -> None:
    """A node that has not been placed yet, or was taken for lost, refuses everything as moved."""
    world = World(view=View(1, 1, Placement(1, (Node("node-b", "b:1"),)), (("default", COLLISIONS),)))

    assert world.put("/tracks/s").reason is Reason.MOVED


def test_a_key_of_an_older_declaration_is_taken_during_an_update() -> None:
    """With two declarations of a pipeline in the view, a key of either template is stored."""
    older = type(COLLISIONS.pools[0])("tracks", "/tracks/{scene}/{part}", "template", "{scene}")
    both = (("default", COLLISIONS), ("default", type(COLLISIONS)("collisions", 0.2, (older,), ()).versioned()))
    world = World(view=View(1, 1, Placement(1, (Node("node-a", "a:1"),)), both))

    assert world.put("/tracks/s").status is Status.OK
    assert world.put("/tracks/s/left").status is Status.OK


# --- watches ---------------------------------------------------------------------------------------------------------


def test_a_watch_tells_of_every_put_from_then_on() -> None:
    """A watcher gets each new object of its pool, with its payload, until it ends its watch."""
    world = World()
    world.put("/tracks/before")
    world.tell(Asked(LINK, Watch(99, SCOPE, "tracks")))
    world.put("/tracks/s", b"one")
    world.put("/observations/s/1")
    world.tell(Asked(LINK, EndWatch(99)))
    world.put("/tracks/after")

    [told] = world.watched()
    assert told.request == 99
    assert told.value is not None
    assert (told.value.ref.key, told.value.payload) == ("/tracks/s", b"one")


def test_a_slow_watcher_is_cut_off_and_told_so() -> None:
    """A reader that fell behind is ended with SLOW_READER; other links' watches go on."""
    world = World()
    world.tell(Asked(1, Watch(98, SCOPE, "tracks")), Asked(2, Watch(99, SCOPE, "tracks")))

    world.tell(ReaderFellBehind(1))
    world.put("/tracks/s")

    ended, told = world.watched()
    assert (ended.request, ended.status, ended.reason) == (98, Status.RESOURCE_EXHAUSTED, Reason.SLOW_READER)
    assert (told.request, told.status) == (99, Status.OK)


def test_watches_are_bounded_and_end_with_their_link() -> None:
    """One watch too many is refused, an unknown pool is NOT_FOUND, and a link that ends frees its watches."""
    world = World(Limits(watches_max=1))
    world.tell(
        Asked(1, Watch(1, SCOPE, "tracks")), Asked(1, Watch(2, SCOPE, "tracks")), Asked(1, Watch(3, SCOPE, "no"))
    )
    assert [(ended.request, ended.status) for ended in world.watched()] == [
        (2, Status.RESOURCE_EXHAUSTED),
        (3, Status.NOT_FOUND),
    ]

    world.tell(LinkEnded(1))

    assert not world.state.watches


def test_an_explicit_group_is_part_of_the_address() -> None:
    """The same key put with another group is another object."""
    world = World()
    world.put("/tracks/s", b"mine")
    world.put("/tracks/s", b"other", group="elsewhere")

    assert world.get(key("/tracks/s")).objects[0].payload == b"mine"
    assert world.get(key("/tracks/s", group="elsewhere")).objects[0].payload == b"other"
    assert keys_of(world.get(key("/tracks/s", group="nowhere"))) == []


def test_watched_objects_are_values() -> None:
    """What a watcher is told names the version, so that it can tell a repetition."""
    world = World()
    world.tell(Asked(LINK, Watch(99, SCOPE, "tracks")))
    done = world.put("/tracks/s")

    assert isinstance(world.watched()[0], Watched)
    assert world.watched()[0].value.ref == done.ref  # type: ignore[union-attr]

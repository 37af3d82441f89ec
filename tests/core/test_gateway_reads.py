"""Puts and gets at the gateway: which pool, which nodes, and again when a group has moved."""

import pytest

from covey.edge import GroupWanted, KeysWanted, KeyWanted, NewObject, PrefixWanted, SeriesWanted, Wanted
from covey.errors import CoveyError, Moved, Reason, Status, Unavailable, VersionConflict
from covey.model import Answer, KeyRead, LastRead, ObjectRef, ObjectValue, ScanRead
from covey.services.gateway.core.commands import AnswerGet, AnswerPut, ReadObjects, Refuse, StorePayload
from covey.services.gateway.core.homes import home_of
from covey.services.gateway.core.state import Limits
from covey.services.gateway.core.stimuli import GetRequested, PutRequested, ReadDone
from tests.worlds_gateway import SCOPE, World, view

ALL = ("node-a", "node-b")


def home(world: World, group: str) -> str:
    return home_of(world.core.state, SCOPE, group).id


def refused(world: World, call: int = 1) -> CoveyError:
    refuse = world.last(Refuse)
    assert refuse.call == call
    return refuse.error


def test_a_put_is_answered_with_its_version() -> None:
    """A put goes to the home of its key's group and comes back with the version that the home gave."""
    world = World.following()

    world.tell(PutRequested(1, NewObject(SCOPE, "/positions/s/a/3", b"x", previous_version=0)))
    put = world.last(StorePayload)
    world.store(version=4)

    assert put.node.id == home(world, "s/a")
    assert put.put.previous_version == 0
    assert world.last(AnswerPut) == AnswerPut(1, ObjectRef("positions", "/positions/s/a/3", "s/a", 4, 1))


def test_a_put_with_an_id_is_the_same_put_again() -> None:
    """The id names the emission, apart from the object of an event of the same id."""
    world = World.following()
    world.send(1)
    for _ in range(2):
        world.tell(PutRequested(2, NewObject(SCOPE, "/observations/s1/2", b"x", id="e1")))

    event, first, second = (command.put.emission for command in world.all(StorePayload))

    assert first == second != event


def test_a_put_that_fails_for_good_says_why() -> None:
    """A conflict is the caller's to solve: it is told at once, as what it is."""
    world = World.following()
    world.tell(PutRequested(1, NewObject(SCOPE, "/positions/s/a/3", b"x", previous_version=2)))

    world.fail_store(VersionConflict("the version is 5, not 2"))

    assert refused(world).status is Status.ABORTED
    assert "the version is 5, not 2" in refused(world).message
    assert world.core.is_drained


def test_a_moved_put_is_tried_again_and_never_says_moved() -> None:
    """MOVED stays within the mesh; after enough tries the client is told that it may come again."""
    world = World.following(limits=Limits(attempts_max=2))
    world.tell(PutRequested(1, NewObject(SCOPE, "/positions/s/a/3", b"x")))

    for _ in range(2):
        world.fail_store(Moved("not here"))
        world.wait(1)

    assert len(world.all(StorePayload)) == 2
    assert (refused(world).status, refused(world).reason) == (Status.UNAVAILABLE, Reason.NO_HOME)


def test_a_put_without_a_home_ends_at_its_deadline() -> None:
    """When every node has gone, a put waits for one within its budget."""
    world = World.following()
    world.tell(PutRequested(1, NewObject(SCOPE, "/positions/s/a/3", b"x", budget_s=2)))
    world.tell(view(number=2, nodes=()))
    world.fail_store(Unavailable("gone", Reason.HOME_LOST))

    world.wait(2)

    assert refused(world).status is Status.DEADLINE_EXCEEDED
    assert world.core.is_drained


@pytest.mark.parametrize(
    ("wanted", "pool", "nodes"),
    [
        (SeriesWanted("/positions/s/a/*", 8), "positions", "s/a"),
        (SeriesWanted("/alerts/s/*"), "alerts", ALL),
        (PrefixWanted("/positions/s/"), "positions", ALL),
        (PrefixWanted("/ob"), "observations", ALL),
        (GroupWanted("positions", "s/a"), "positions", "s/a"),
        (GroupWanted("", "s/a"), "", "s/a"),
    ],
)
def test_a_read_asks_the_home_where_the_group_can_be_named(
    wanted: Wanted, pool: str, nodes: str | tuple[str, ...]
) -> None:
    """One node answers for a group that the request names; else all are asked."""
    world = World.following()

    world.tell(GetRequested(1, SCOPE, wanted))

    read = world.last(ReadObjects).reads[0]
    assert isinstance(read, LastRead | ScanRead)
    assert read.pool == pool
    assert read.nodes == (nodes if isinstance(nodes, tuple) else (home(world, nodes),))


def test_a_key_is_read_at_its_home() -> None:
    """A key is in its group, or in the explicit one that the request names."""
    world = World.following()

    world.tell(GetRequested(1, SCOPE, KeyWanted("/positions/s/a/3", 2)))
    world.tell(GetRequested(2, SCOPE, KeyWanted("/positions/s/a/3", group="mine")))

    ruled, explicit = (command.reads[0] for command in world.all(ReadObjects))
    assert ruled == KeyRead("positions", "/positions/s/a/3", "s/a", 2, home(world, "s/a"), required=False)
    assert explicit == KeyRead("positions", "/positions/s/a/3", "mine", 0, home(world, "mine"), required=False)


@pytest.mark.parametrize(
    ("wanted", "status", "sentence"),
    [
        (SeriesWanted("/positions/s/a/3"), Status.INVALID_ARGUMENT, "one '*'"),
        (SeriesWanted("/positions/s/*/3"), Status.INVALID_ARGUMENT, "has its index"),
        (SeriesWanted("/positions/s/a/*", 0), Status.INVALID_ARGUMENT, "1 to 10,000"),
        (PrefixWanted("/"), Status.INVALID_ARGUMENT, "make it longer"),
        (PrefixWanted("positions"), Status.INVALID_ARGUMENT, "starts with '/'"),
        (PrefixWanted("/nothing"), Status.NOT_FOUND, "no key of 'collisions' begins with"),
        (PrefixWanted("/alerts/s/1/2/3"), Status.NOT_FOUND, "no key of"),
        (GroupWanted("nothing", "g"), Status.NOT_FOUND, "has no pool 'nothing'"),
        (KeyWanted("/nothing"), Status.NOT_FOUND, "no pool of"),
        (KeysWanted(("/positions/s/a/3", "/nothing")), Status.NOT_FOUND, "no pool of"),
        (KeysWanted(()), Status.INVALID_ARGUMENT, "1 to 10,000"),
        (KeyWanted("/positions/s/a/3", age_s=-1.5), Status.INVALID_ARGUMENT, "1.500 s in the future"),
        (KeyWanted("/positions/s/a/3", version=2, age_s=1), Status.INVALID_ARGUMENT, "a version or a time"),
        (KeysWanted(("/strict/a/1", "/strict/b/1")), Status.INVALID_ARGUMENT, "'strict' is strict"),
        (KeysWanted(("/positions/s/a/3", "/strict/b/1")), Status.INVALID_ARGUMENT, "'strict' is strict"),
        (KeyWanted("/strict/B/1"), Status.INVALID_ARGUMENT, "does not match key"),
    ],
)
def test_a_mistaken_read_is_refused_with_a_sentence(wanted: Wanted, status: Status, sentence: str) -> None:
    """Every mistake of a reader has its status and a sentence."""
    world = World.following()

    world.tell(GetRequested(1, SCOPE, wanted))

    assert refused(world).status is status
    assert sentence in refused(world).message


def test_a_time_is_looked_back_to_from_when_the_get_came() -> None:
    """An age becomes an instant once, so that a get that is asked again asks for the same."""
    world = World.following()
    came = world.now
    world.tell(GetRequested(1, SCOPE, KeyWanted("/positions/s/a/3", age_s=30)))
    moved = Answer((), False, Status.UNAVAILABLE, Reason.MOVED, "not here")
    world.tell(ReadDone(world.last(ReadObjects).number, (moved,)))
    world.wait(0.1)

    first, again = (command.reads[0] for command in world.all(ReadObjects))
    assert isinstance(first, KeyRead)
    assert first.as_of == came - 30
    assert again == first


def test_several_keys_are_one_get_and_one_answer() -> None:
    """Each key is read at its home; the answer has them in order, and is incomplete when one of them is."""
    world = World.following()
    keys = ("/positions/s/a/3", "/positions/s/b/3", "/observations/s/1")
    world.tell(GetRequested(1, SCOPE, KeysWanted(keys)))

    command = world.last(ReadObjects)
    there = ObjectValue(ObjectRef("positions", keys[0], "s/a", 1, 1), b"x")
    also = ObjectValue(ObjectRef("observations", keys[2], "s", 1, 1), b"y")
    world.tell(ReadDone(command.number, (Answer((there,)), Answer((), complete=False), Answer((also,)))))

    reads = [read for read in command.reads if isinstance(read, KeyRead)]
    assert [(read.key, read.node) for read in reads] == [
        (key, home(world, group)) for key, group in zip(keys, ("s/a", "s/b", "s"), strict=True)
    ]
    assert world.last(AnswerGet) == AnswerGet(1, Answer((there, also), complete=False))


def test_keys_without_a_group_and_gets_across_groups_are_counted() -> None:
    """By pool where its rule did not match a key, whatever the request; a pool without a rule is per key anyhow."""
    world = World.following()
    world.send(1, id="e1", key="/loose/UPPER/1")
    world.tell(PutRequested(2, NewObject(SCOPE, "/loose/UPPER/2", b"x")))
    world.tell(GetRequested(3, SCOPE, KeyWanted("/loose/UPPER/2")))
    world.tell(GetRequested(4, SCOPE, KeysWanted(("/loose/a/1", "/loose/b/1", "/alerts/s/1"))))
    world.tell(GetRequested(5, SCOPE, KeysWanted(("/loose/a/1", "/loose/a/2"))))
    world.tell(
        ReadDone(world.last(ReadObjects).number, (Answer((), False, Status.UNAVAILABLE, Reason.MOVED, ""), Answer()))
    )
    world.wait(0.1)

    assert world.core.state.ungrouped == {(SCOPE, "loose"): 3}
    assert world.core.state.spanning == {SCOPE: 1}


def test_pools_with_the_same_group_live_together() -> None:
    """A group is its name: objects of any pool whose rules yield it have one home, and one read finds them all."""
    world = World.following()
    for scene in "abcdefgh":
        world.tell(PutRequested(1, NewObject(SCOPE, f"/observations/{scene}/1", b"x")))
        world.tell(PutRequested(1, NewObject(SCOPE, f"/loose/{scene}/1", b"x")))
        world.tell(GetRequested(2, SCOPE, GroupWanted("", scene)))

        first, second = world.all(StorePayload)[-2:]
        assert first.node == second.node
        (read,) = world.last(ReadObjects).reads
        assert isinstance(read, ScanRead)
        assert read.nodes == (first.node.id,)


def test_a_read_that_met_a_moved_group_is_asked_again() -> None:
    """The newest view is asked after a moment; the client sees the answer only."""
    world = World.following()
    world.tell(GetRequested(1, SCOPE, KeyWanted("/positions/s/a/3")))

    world.tell(
        ReadDone(world.last(ReadObjects).number, (Answer((), False, Status.UNAVAILABLE, Reason.MOVED, "not here"),))
    )
    world.wait(0.1)
    answer = Answer(complete=True)
    world.tell(ReadDone(world.last(ReadObjects).number, (answer,)))

    assert len(world.all(ReadObjects)) == 2
    assert world.all(AnswerGet) == [AnswerGet(1, answer)]


def test_requests_wait_a_little_for_the_first_view() -> None:
    """A get or put that comes as the gateway starts is served once it knows the mesh, and refused if it never does."""
    world = World()
    world.tell(GetRequested(1, SCOPE, KeyWanted("/positions/s/a/3")))
    world.tell(PutRequested(2, NewObject(SCOPE, "/positions/s/a/3", b"x")))

    world.wait(1.1)

    assert [refuse.error.reason for refuse in world.all(Refuse)] == [Reason.NO_LEADER, Reason.NO_LEADER]
    assert world.core.is_drained

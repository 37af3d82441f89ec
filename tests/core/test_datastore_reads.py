"""Reads: by key and version, by series, by prefix and group, and what they wait for."""

from dataclasses import replace

from covey.errors import Reason, Status
from covey.messages import GetDone, View
from covey.model import Answer, Node, Placement, ScanRead, emission_id
from covey.services.datastore.core.parking import ANSWER_MARGIN_S, WAIT_S_MAX
from covey.services.datastore.core.sorted_keys import BLOCK_MAX, SortedKeys
from covey.services.datastore.core.state import Limits
from covey.services.datastore.core.stimuli import LinkEnded
from tests.worlds_datastore import COLLISIONS, LINK, Stored, World, key, keys_of, last

AB = (Node("node-a", "a:1"), Node("node-b", "b:1"))


def test_a_key_is_read_at_a_version_or_latest() -> None:
    """Version 0 is the newest; a superseded version is there until retention takes it; an unknown one is incomplete."""
    world = World()
    old, new = world.version_of("/tracks/s", b"old"), world.version_of("/tracks/s", b"new")

    assert world.get(key("/tracks/s")).objects[0].payload == b"new"
    assert world.get(key("/tracks/s", version=old)).objects[0].payload == b"old"
    assert world.get(key("/tracks/s", version=new)).objects[0].payload == b"new"
    missing = world.get(key("/tracks/s", version=new + 5))
    assert (missing.objects, missing.complete, missing.status) == ((), False, Status.OK)


def test_a_key_that_was_never_put_is_empty_and_complete() -> None:
    """A read that requires nothing finds nothing, and nothing was lost."""
    answer = World().get(key("/tracks/s"))

    assert (answer.objects, answer.complete, answer.status) == ((), True, Status.OK)


def test_a_task_reads_what_was_before_it() -> None:
    """A version that the task `before` has put, and any later one, is not for it to read."""
    world = World()
    task, other = b"t" * 16, b"u" * 16
    world.put("/tracks/s", b"one")
    world.put("/tracks/s", b"two", emission=emission_id(task, 3))
    world.put("/tracks/s", b"three", emission=emission_id(other, 3))
    read = replace(key("/tracks/s", as_of=world.now), before=task)

    assert world.get(read).objects[0].payload == b"one"
    assert world.get(replace(read, before=other)).objects[0].payload == b"two"
    assert world.get(replace(read, before=b"v" * 16)).objects[0].payload == b"three"


def test_what_was_before_a_task_may_be_lost() -> None:
    """A task whose own version is there, and none before it any more, reads nothing, incomplete."""
    world = World()
    task = b"t" * 16
    world.put("/tracks/s", b"one")
    world.put("/tracks/s", b"two", emission=emission_id(task, 3))
    world.pass_time(2)
    world.horizon()

    assert world.get(replace(key("/tracks/s", as_of=world.now), before=task)) == Answer((), complete=False)


def test_a_version_and_an_instant_name_the_later_one() -> None:
    """What is newer than the version and was current at the instant is read; never what is older than the version."""
    world = World()
    first = world.version_of("/tracks/s", b"one")
    then = world.now
    world.pass_time(1)
    second = world.version_of("/tracks/s", b"two")

    assert world.get(key("/tracks/s", version=first, as_of=world.now)).objects[0].payload == b"two"
    assert world.get(key("/tracks/s", version=second, as_of=then)).objects[0].payload == b"two"
    assert world.get(key("/tracks/s", version=second + 1, as_of=then)) == Answer((), complete=False)


def test_last_reads_the_greatest_indices_at_or_before_an_index() -> None:
    """`last(k)` is in index order, whatever the order of the puts, and sees nothing beyond `as_of`."""
    world = World()
    for tick in (10, 2, 33, -4, 7):
        world.put(f"/observations/s/{tick}")
    series = "/observations/s/*"

    def ticks(count: int, as_of: int | None = None, exclusive: bool = False) -> list[int]:
        return [int(found.rsplit("/", 1)[1]) for found in keys_of(world.get(last(series, count, as_of, exclusive)))]

    assert ticks(2) == [10, 33]
    assert ticks(3, as_of=10) == [2, 7, 10]
    assert ticks(3, as_of=10, exclusive=True) == [-4, 2, 7]
    assert ticks(9, as_of=8) == [-4, 2, 7]
    assert ticks(9, as_of=-5) == []


def test_last_looks_across_the_groups_of_a_node() -> None:
    """Without a group rule each key is its own group, and `last(k)` finds the same objects."""
    world = World()
    for tick in range(12):
        for actor in "ab":
            world.put(f"/predictions/s/{tick}/{actor}")

    found = world.get(last("/predictions/s/*/a", count=3, as_of=10))

    assert keys_of(found) == [f"/predictions/s/{tick}/a" for tick in (8, 9, 10)]
    assert found.complete


def test_a_history_that_is_short_because_it_began_recently_is_complete() -> None:
    """Fewer than `count` objects are no loss by themselves."""
    world = World()
    world.put("/observations/s/1")

    answer = world.get(last("/observations/s/*", count=8))

    assert (len(answer.objects), answer.complete) == (1, True)


def test_a_scan_reads_a_prefix_or_a_group_in_key_order() -> None:
    """Both see current versions alone, at most `limit`, in key order."""
    world = World()
    for name in ("/observations/s/2", "/observations/s/1", "/observations/t/1", "/observations/s/1", "/tracks/s"):
        world.put(name)

    def scan(pool: str, prefix: str = "", group: str = "", limit: int = 10) -> list[str]:
        return keys_of(world.get(ScanRead(pool, prefix, group, limit, ("node-a",))))

    assert scan("observations", prefix="/observations/s/") == ["/observations/s/1", "/observations/s/2"]
    assert scan("observations", prefix="/observations/", limit=2) == ["/observations/s/1", "/observations/s/2"]
    assert scan("observations", group="s") == ["/observations/s/1", "/observations/s/2"]
    assert scan("tracks", group="s") == ["/tracks/s"]
    assert scan("observations", prefix="/observations/x") == []


def test_a_whole_group_is_read_across_pools() -> None:
    """Without a pool, a read of a group gives what every pool has of it, durable objects too, in key order."""
    world = World(stored=Stored())
    for name in ("/tracks/s", "/observations/s/2", "/observations/s/10", "/journal/s", "/tracks/other"):
        world.put(name)
    whole = ScanRead("", "", "s", 9, ("node-a",))

    assert keys_of(world.get(whole)) == ["/journal/s", "/observations/s/10", "/observations/s/2", "/tracks/s"]
    assert keys_of(world.get(replace(whole, limit=2))) == ["/journal/s", "/observations/s/10"]
    assert keys_of(world.get(replace(whole, group="nobody"))) == []

    again = World(stored=world.stored)
    assert keys_of(again.get(whole)) == ["/journal/s"]


def test_an_unknown_pool_is_not_found_and_the_other_reads_are_answered() -> None:
    """Each read has its own answer, in the order of the reads."""
    world = World()
    world.put("/tracks/s")

    done = world.got(world.begin_get(key("/nope/s"), key("/tracks/s"), last("/tracks/*")))

    assert done is not None
    assert [answer.status for answer in done.answers] == [Status.NOT_FOUND, Status.OK, Status.INVALID_ARGUMENT]


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_a_required_key_is_waited_for() -> None:
    """A get whose object is on its way is answered when the put arrives, with all its reads."""
    world = World()
    world.put("/tracks/s", b"track")
    request = world.begin_get(key("/tracks/s"), key("/observations/s/1", required=True))
    assert world.got(request) is None

    world.put("/observations/s/1", b"payload")

    done = world.got(request)
    assert done is not None
    assert [answer.objects[0].payload for answer in done.answers] == [b"track", b"payload"]
    assert not world.state.parked
    assert not world.state.waiting


def test_a_required_version_is_waited_for() -> None:
    """A read of a version that is yet to come waits for that version and not for the key alone."""
    world = World()
    version = world.version_of("/tracks/s", b"one")
    request = world.begin_get(key("/tracks/s", version=version + 2, required=True))

    world.put("/tracks/s", b"two")
    assert world.got(request) is None
    world.put("/tracks/s", b"three")

    done = world.got(request)
    assert done is not None
    assert done.answers[0].objects[0].payload == b"three"


def test_a_required_version_that_can_not_come_any_more_is_not_waited_for() -> None:
    """A version that is gone is answered at once, as NOT_FOUND and incomplete."""
    world = World()
    old = world.version_of("/tracks/s")
    world.put("/tracks/s")
    world.pass_time(2)
    world.horizon()

    answer = world.get(key("/tracks/s", version=old, required=True))

    assert (answer.status, answer.reason, answer.complete) == (Status.NOT_FOUND, Reason.UNKNOWN_OBJECT, False)


def test_waiting_for_a_put_has_an_end() -> None:
    """What does not come within a second was lost with another home, and its reader learns it before its deadline."""
    world = World()
    request = world.begin_get(key("/tracks/s", required=True), within_s=600)
    world.pass_time(WAIT_S_MAX)

    done = world.got(request)
    assert done is not None
    assert done.answers[0].status is Status.NOT_FOUND


def test_waiting_ends_shortly_before_the_deadline() -> None:
    """What has not come by then is NOT_FOUND; what is there is answered."""
    world = World()
    world.put("/tracks/s", b"track")
    request = world.begin_get(key("/tracks/s"), key("/tracks/t", required=True), within_s=0.5)
    assert world.core.wake_at == world.now + 0.5 - ANSWER_MARGIN_S

    world.pass_time(0.5)

    done = world.got(request)
    assert done is not None
    assert done.answers[0].objects[0].payload == b"track"
    assert (done.answers[1].status, done.answers[1].reason) == (Status.NOT_FOUND, Reason.UNKNOWN_OBJECT)
    assert not world.state.waiting


def test_last_waits_for_what_it_awaits() -> None:
    """A history whose newest object is on its way is answered when that is there."""
    world = World()
    world.put("/observations/s/1")
    request = world.begin_get(last("/observations/s/*", as_of=2, awaits="/observations/s/2"))
    world.put("/observations/s/3")
    assert world.got(request) is None

    world.put("/observations/s/2")

    done = world.got(request)
    assert done is not None
    assert keys_of(done.answers[0]) == ["/observations/s/1", "/observations/s/2"]
    assert keys_of(world.get(last("/observations/s/*", as_of=2, awaits="/observations/s/2"))) == keys_of(
        done.answers[0]
    )


def test_only_the_first_node_of_a_read_waits() -> None:
    """The awaited put arrives at the first of a read's nodes; the others answer with what they have."""
    world = World(view=View(1, 1, Placement(1, AB), (("default", COLLISIONS),)))
    read = last("/observations/s/*", as_of=2, awaits="/observations/s/2")
    other = type(read)(read.pool, read.series, 3, 2, False, ("node-b", "node-a"), read.awaits)

    assert world.got(world.begin_get(other)) is not None
    assert world.got(world.begin_get(read)) is None


def test_requests_that_wait_are_bounded() -> None:
    """One too many is turned away with RESOURCE_EXHAUSTED instead of waiting."""
    world = World(Limits(parked_max=1))
    waiting = world.begin_get(key("/tracks/s", required=True))
    turned_away = world.got(world.begin_get(key("/tracks/t", required=True), key("/tracks/u")))

    assert turned_away is not None
    assert {answer.status for answer in turned_away.answers} == {Status.RESOURCE_EXHAUSTED}
    world.put("/tracks/s")
    assert world.got(waiting) is not None


def test_a_link_that_ends_takes_its_waiting_gets_along() -> None:
    """Nothing is kept for a caller that is gone."""
    world = World()
    request = world.begin_get(key("/tracks/s", required=True), link=LINK)
    world.tell(LinkEnded(LINK))
    world.put("/tracks/s")

    assert world.got(request) is None
    assert not world.state.parked


def test_one_put_answers_all_who_wait_for_it() -> None:
    """Every get that waits for a key is answered by its put, each once."""
    world = World()
    requests = [world.begin_get(key("/tracks/s", required=True)) for _ in range(5)]

    world.put("/tracks/s")

    assert all(isinstance(world.got(request), GetDone) for request in requests)


def test_sorted_keys_stay_sorted_across_blocks() -> None:
    """Thousands of keys, added in any order and partly removed, come back in order under each prefix."""
    names = SortedKeys()
    numbers = [(number * 7919) % (3 * BLOCK_MAX) for number in range(3 * BLOCK_MAX)]
    for number in numbers:
        names.add(f"/k/{number:05}", "g")
        names.add(f"/k/{number:05}", "g")
    for number in numbers[::3]:
        names.remove(f"/k/{number:05}", "g")
    left = sorted(set(numbers) - set(numbers[::3]))

    assert [found for found, _ in names] == [f"/k/{number:05}" for number in left]
    assert [found for found, _ in names.under("/k/012")] == [f"/k/{n:05}" for n in left if 1200 <= n < 1300]
    assert list(names.under("/x")) == []

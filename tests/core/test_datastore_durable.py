"""Durable pools: acknowledged when storage has them, loaded on first touch, and what happens when storage fails."""

from covey.errors import Reason, Status
from covey.messages import Watch
from covey.model import ScanRead
from covey.services.datastore.core.commands import FindKeys, LoadGroup, Persist, Remove
from covey.services.datastore.core.state import Limits
from covey.services.datastore.core.stimuli import Asked, Persisted
from tests.worlds_datastore import LINK, SCOPE, Stored, World, key, keys_of, last


def test_a_durable_put_is_acknowledged_when_storage_has_it() -> None:
    """Until then nobody sees the version: no answer, no read, no watch."""
    world = World()
    world.tell(Asked(LINK, Watch(99, SCOPE, "journal")))
    world.put("/journal/s", b"old")
    world.holds_storage = True
    request = world.begin_put("/journal/s", b"new")
    assert world.get(key("/journal/s")).objects[0].payload == b"old"
    assert len(world.watched()) == 1

    world.let_storage_answer()

    assert world.put_done(request).status is Status.OK
    assert world.get(key("/journal/s")).objects[0].payload == b"new"
    assert len(world.watched()) == 2


def test_a_durable_version_is_current_from_its_acknowledgement_on() -> None:
    """Reading as of an instant before it finds what was current then, however early the put came."""
    world = World()
    world.put("/journal/s", b"old")
    world.holds_storage = True
    world.begin_put("/journal/s", b"new")
    world.pass_time(1)
    meanwhile = world.now - 0.5

    world.let_storage_answer()

    assert world.get(key("/journal/s", as_of=meanwhile)).objects[0].payload == b"old"
    assert world.get(key("/journal/s", as_of=world.now)).objects[0].payload == b"new"


def test_puts_of_a_group_reach_storage_one_by_one_in_order() -> None:
    """While one is written the others wait, so that storage holds what some prefix of the puts made."""
    world = World()
    world.put("/journal/s")
    world.holds_storage = True
    requests = [world.begin_put("/journal/s", payload) for payload in (b"1", b"2", b"3")]
    assert [type(command) for command in world.held] == [Persist]

    while world.held:
        world.let_storage_answer()
        world.holds_storage = True

    versions = [done.ref.version for done in map(world.put_done, requests) if done.ref is not None]
    assert versions == sorted(versions)
    assert world.get(key("/journal/s")).objects[0].payload == b"3"


def test_groups_are_written_side_by_side() -> None:
    """Another group's put does not wait."""
    world = World()
    world.put("/journal/s")
    world.put("/journal/t")
    world.holds_storage = True

    world.begin_put("/journal/s")
    world.begin_put("/journal/t")

    assert len(world.held) == 2


def test_what_was_acknowledged_survives_a_restart() -> None:
    """A new core over the same storage finds objects, versions, known emissions and numbers."""
    stored = Stored()
    first = World(stored=stored).put("/journal/s", b"x", emission=b"e1")
    assert first.ref is not None
    world = World(stored=stored)

    assert world.put("/journal/s", b"again", emission=b"e1").ref == first.ref
    assert world.get(key("/journal/s")).objects[0].payload == b"x"
    assert world.put("/journal/s", previous=first.ref.version).status is Status.OK
    assert world.version_of("/journal/s") > first.ref.version


def test_a_group_is_loaded_once_and_requests_wait_meanwhile() -> None:
    """Puts and gets that come while a group is loaded are answered when it is there."""
    stored = Stored()
    World(stored=stored).put("/journal/s", b"x")
    world = World(stored=stored)
    world.holds_storage = True
    get, put = world.begin_get(key("/journal/s")), world.begin_put("/journal/s", previous=0)
    assert [type(command) for command in world.held] == [LoadGroup]

    world.let_storage_answer()

    done = world.got(get)
    assert done is not None
    assert done.answers[0].objects[0].payload == b"x"
    assert world.put_done(put).status is Status.ABORTED


def test_last_finds_what_storage_has_of_a_series() -> None:
    """After a restart `last(k)` of a pool without a group rule finds the keys, then their groups, and reads them."""
    stored = Stored()
    before = World(stored=stored)
    for tick in (1, 2, 3, 10):
        before.put(f"/ledger/s/{tick}", str(tick).encode())
    world = World(stored=stored)

    answer = world.get(last("/ledger/s/*", count=2, as_of=9))

    assert [value.payload for value in answer.objects] == [b"2", b"3"]
    assert answer.complete
    commands = world.tell()
    world.get(last("/ledger/s/*", count=2, as_of=9))
    assert not any(isinstance(command, FindKeys) for command in commands)


def test_a_scan_finds_what_storage_has() -> None:
    """After a restart a scan by prefix or by group reads from storage, in key order, at most `limit`."""
    stored = Stored()
    before = World(stored=stored)
    for scene in "cab":
        before.put(f"/journal/{scene}")
    world = World(stored=stored)

    by_prefix = world.get(ScanRead("journal", "/journal/", "", 2, ("node-a",)))
    by_group = world.get(ScanRead("journal", "", "c", 2, ("node-a",)))

    assert keys_of(by_prefix) == ["/journal/a", "/journal/b"]
    assert keys_of(by_group) == ["/journal/c"]


def test_a_key_whose_put_never_ended_is_no_object() -> None:
    """The indices of storage may name a key that is not there: reads pass over it, and come to an end."""
    stored = Stored()
    before = World(stored=stored)
    for tick in (1, 2, 5):
        before.put(f"/ledger/s/{tick}")
    for tick in (3, 4):
        stored.keys["ledger", "/ledger/s/*"].add((f"/ledger/s/{tick}", f"/ledger/s/{tick}"))
    world = World(stored=stored)

    answer = world.get(last("/ledger/s/*", count=3))
    scan = world.get(ScanRead("ledger", "/ledger/", "", 9, ("node-a",)))

    assert keys_of(answer) == keys_of(scan) == ["/ledger/s/1", "/ledger/s/2", "/ledger/s/5"]


def test_what_overflows_leaves_storage_too() -> None:
    """`keep_last` holds across a restart: what is beyond it goes from storage and from its indices."""
    stored = Stored()
    before = World(stored=stored)
    for tick in range(3):
        before.put(f"/ledger/s/{tick}")
    world = World(stored=stored)
    for tick in (3, 4):
        world.put(f"/ledger/s/{tick}")
    world.pass_time(2)
    world.horizon()
    world.horizon()

    left = [f"/ledger/s/{tick}" for tick in (2, 3, 4)]
    assert sorted(found for found, _ in stored.keys["ledger", "/ledger/s/*"]) == left
    assert sorted(found for group in stored.groups.values() for _, found, _ in group) == left
    assert keys_of(World(stored=stored).get(last("/ledger/s/*", count=9))) == left


def test_a_superseded_version_leaves_storage() -> None:
    """The latest version of a key stays, older ones go with the horizon."""
    world = World()
    world.put("/journal/s", b"old")
    world.put("/journal/s", b"new")
    world.pass_time(2)

    world.horizon()

    [group] = world.stored.groups.values()
    assert [record.payload for record, _ in group.values()] == [b"new"]


def test_a_put_that_storage_refused_is_unavailable() -> None:
    """The caller is told, and what the group holds is read again before the next put."""
    world = World()
    world.put("/journal/s", b"old")
    world.stored.fails = True
    failed = world.put("/journal/s", b"new", emission=b"e1")
    assert (failed.status, failed.reason) == (Status.UNAVAILABLE, Reason.STORAGE_FAILED)

    world.stored.fails = False

    assert world.put("/journal/s", b"new", emission=b"e1").status is Status.OK
    assert world.get(key("/journal/s")).objects[0].payload == b"new"


def test_a_put_that_storage_took_without_saying_so_is_known_on_retry() -> None:
    """A failure may hide a success: the emission is found when the group is read again, and stored once."""
    world = World()
    world.put("/journal/s", b"old")
    world.holds_storage = True
    failed = world.begin_put("/journal/s", b"new", emission=b"e1")
    [persist] = world.held
    world.stored.answer(persist, world.now)
    world.held, world.holds_storage = [], False
    assert isinstance(persist, Persist)
    world.tell(Persisted(persist.group, failed=True))
    assert world.put_done(failed).status is Status.UNAVAILABLE

    again = world.put("/journal/s", b"new", emission=b"e1")

    assert again.ref == persist.record.ref


def test_a_read_that_storage_fails_is_unavailable() -> None:
    """A get of durable objects says STORAGE_FAILED at once and does not take the volatile ones along."""
    world = World()
    world.put("/tracks/s")
    world.stored.fails = True

    done = world.got(world.begin_get(key("/tracks/s"), key("/journal/s"), last("/ledger/s/*")))

    assert done is not None
    assert [answer.reason for answer in done.answers] == [Reason.NONE, Reason.STORAGE_FAILED, Reason.STORAGE_FAILED]
    assert world.put("/journal/s").reason is Reason.STORAGE_FAILED


def test_storage_that_does_not_answer_is_given_up_at_the_deadline() -> None:
    """A get ends in time, and a later answer of storage finds nobody waiting."""
    world = World()
    world.holds_storage = True
    request = world.begin_get(key("/journal/s"), within_s=0.5)

    world.pass_time(1)
    done = world.got(request)
    world.let_storage_answer()

    assert done is not None
    assert done.answers[0].reason is Reason.STORAGE_FAILED
    assert not world.state.groups


def test_evicted_durable_objects_are_read_back() -> None:
    """Memory pressure costs durable objects a read of storage and nothing else."""
    world = World(Limits(memory_bytes_max=4_000))
    for tick in range(3):
        world.put(f"/ledger/s/{tick}", b"x" * 1000)
    assert world.state.counts.evicted

    answer = world.get(last("/ledger/s/*", count=3))

    assert keys_of(answer) == ["/ledger/s/0", "/ledger/s/1", "/ledger/s/2"]
    assert answer.complete
    assert not world.state.evicted_keys


def test_removals_wait_for_the_put_that_is_written() -> None:
    """A removal and a put of one group never race: a key that comes back stays in the indices."""
    world = World()
    world.put("/journal/s", b"1")
    world.put("/journal/s", b"2")
    world.holds_storage = True
    request = world.begin_put("/journal/s", b"3")
    world.pass_time(2)
    world.horizon()
    assert [type(command) for command in world.held] == [Persist]

    world.let_storage_answer()

    assert world.put_done(request).status is Status.OK
    assert any(isinstance(command, Remove) for command in world.sent)
    assert keys_of(World(stored=world.stored).get(key("/journal/s"))) == ["/journal/s"]

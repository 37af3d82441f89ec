"""Retention: what lapses, what the horizon protects, and what memory pressure takes."""

import pytest

from covey.errors import Status
from covey.messages import Beat, Horizon, LeaderJoined, NodeJoined, View
from covey.model import Node, Placement, ScanRead
from covey.services.datastore.core.commands import Report
from covey.services.datastore.core.retention import HORIZON_SILENCE_S_MAX
from covey.services.datastore.core.state import OVERHEAD_BYTES, Limits
from covey.services.datastore.core.stimuli import LinkEnded
from tests.worlds_datastore import COLLISIONS, LEAD, NODES, World, key, keys_of, last


def held(world: World) -> int:
    """How many versions are in memory."""
    return sum(len(h.versions) for group in world.state.groups.values() for h in group.histories.values())


def test_a_superseded_version_goes_when_the_horizon_has_passed_it() -> None:
    """What was current when the oldest open event was admitted stays readable; then it goes, and the latest stays."""
    world = World()
    old = world.version_of("/tracks/s", b"old")
    world.pass_time(5)
    world.put("/tracks/s", b"new")
    world.pass_time(5)

    world.horizon(age_s=4.9)
    assert world.get(key("/tracks/s", version=old)).objects
    world.horizon(age_s=0)

    answer = world.get(key("/tracks/s", version=old))
    assert (answer.objects, answer.complete) == ((), False)
    assert world.get(key("/tracks/s")).objects[0].payload == b"new"


def test_reading_as_of_an_instant_before_the_horizon_says_what_is_lost() -> None:
    """An answer that would have been a removed version is incomplete, and no other version stands in for it."""
    world = World()
    world.put("/tracks/s", b"old")
    between = world.now
    world.pass_time(5)
    world.put("/tracks/s", b"new")
    world.pass_time(5)
    world.horizon()

    answer = world.get(key("/tracks/s", as_of=between))

    assert (answer.objects, answer.complete) == ((), False)


def test_overflow_stays_readable_as_of_an_earlier_index() -> None:
    """Beyond `keep_last` nothing goes before the horizon has passed it: reads are as of their trigger."""
    world = World()
    for tick in range(8):
        world.put(f"/positions/s/a/{tick}")
    series = "/positions/s/a/*"

    world.horizon(age_s=5)
    assert keys_of(world.get(last(series, as_of=3))) == [f"/positions/s/a/{tick}" for tick in (1, 2, 3)]
    world.horizon(age_s=0)

    assert keys_of(world.get(last(series, count=8))) == [f"/positions/s/a/{tick}" for tick in (5, 6, 7)]


def test_a_late_index_beyond_keep_last_goes_and_the_newer_stay() -> None:
    """An object put out of order overflows by its index, not by when it came."""
    world = World()
    for tick in (5, 7, 8, 1, 2, 6):
        world.put(f"/positions/s/a/{tick}")
    assert len(world.get(last("/positions/s/a/*", count=9)).objects) == 6
    world.horizon()

    world.horizon()

    assert keys_of(world.get(last("/positions/s/a/*", count=9))) == [f"/positions/s/a/{tick}" for tick in (6, 7, 8)]


def test_ttl_ends_an_object_and_waits_for_the_horizon() -> None:
    """An object goes `ttl_s` after its put, unless an open event was admitted while it was there."""
    world = World()
    world.put("/observations/s/1")
    world.pass_time(50)
    world.horizon()
    assert held(world) == 1

    world.pass_time(15)
    world.horizon(age_s=10)
    assert held(world) == 1
    world.horizon()

    assert held(world) == 0
    assert not world.state.groups
    assert not world.state.series
    assert not world.state.keys


def test_ttl_runs_from_the_last_put() -> None:
    """The latest version of a key, and the last objects of a series that is fed, live on while puts come."""
    world = World()
    for tick in range(10):
        world.put("/tracks/s", str(tick).encode())
        world.put(f"/positions/s/a/{tick}")
        world.pass_time(30)
        world.horizon()

    assert len(world.get(last("/positions/s/a/*")).objects) == 3
    assert world.get(key("/tracks/s")).objects[0].payload == b"9"
    assert held(world) == 4

    world.pass_time(62)
    world.horizon()
    assert held(world) == 0


def test_without_a_leader_retention_falls_back_on_ttl() -> None:
    """When no horizon has come for a while, it is taken to be a ttl ago, so that memory does not fill."""
    world = World()
    world.put("/tracks/s", b"old")
    world.put("/tracks/s", b"new")
    world.lead(Horizon(1, 3600.0))
    world.pass_time(HORIZON_SILENCE_S_MAX - 1)
    assert held(world) == 2

    world.pass_time(35)
    assert held(world) == 1
    world.pass_time(60)
    assert held(world) == 0


def test_timers_do_not_pile_up() -> None:
    """A state that is put over and over leaves no trail of timers behind."""
    world = World()
    for _ in range(1000):
        world.put("/tracks/s")
        world.pass_time(0.01)
        world.lead(Horizon(1, 0.0))
    world.pass_time(3)

    assert len(world.state.lapses) < 150


# --- memory pressure -------------------------------------------------------------------------------------------------


def small_world(objects: int) -> World:
    """A world that holds so many objects of a kilobyte."""
    return World(Limits(memory_bytes_max=objects * (1000 + OVERHEAD_BYTES)))


def test_memory_pressure_takes_the_least_recently_used_groups() -> None:
    """The bytes are bounded, and a group that is read stays before one that is not."""
    world = small_world(3)
    for scene in "abc":
        world.put(f"/tracks/{scene}", b"x" * 1000)
    world.get(key("/tracks/a"))

    world.put("/tracks/d", b"x" * 1000)

    assert [bool(world.get(key(f"/tracks/{scene}")).objects) for scene in "abcd"] == [True, False, True, True]
    assert world.state.cost <= world.state.limits.memory_bytes_max
    assert world.state.counts.evicted == 1


def test_reads_say_what_memory_pressure_took() -> None:
    """An evicted key, history or scan is incomplete; once put again, or beyond it, reads are complete."""
    world = small_world(6)
    for tick in range(3):
        world.put(f"/positions/s/a/{tick}", b"x" * 1000)
    for tick in range(5):
        world.put(f"/observations/t/{tick}", b"x" * 1000)

    assert not world.get(key("/positions/s/a/1")).complete
    assert not world.get(last("/positions/s/a/*")).complete
    assert not world.get(ScanRead("positions", "", "s/a", 9, ("node-a",))).complete
    assert world.get(last("/positions/s/b/*")).complete
    assert world.get(last("/observations/t/*")).complete

    world.put("/positions/s/a/3")
    assert not world.get(last("/positions/s/a/*", count=2)).complete
    world.put("/positions/s/a/4")
    assert world.get(last("/positions/s/a/*", count=2)).complete


def test_a_history_with_a_hole_is_incomplete() -> None:
    """When what is read is older than something that was evicted, its number alone does not make it complete."""
    world = small_world(4)
    for tick in range(3):
        world.put(f"/positions/s/a/{tick}", b"x" * 1000)
    for tick in range(4):
        world.put(f"/observations/t/{tick}", b"x" * 1000)
    for tick in range(2):
        world.put(f"/positions/s/a/{tick}", b"x")

    answer = world.get(last("/positions/s/a/*", count=2))

    assert (len(answer.objects), answer.complete) == (2, False)


def test_a_required_object_that_was_evicted_is_not_waited_for() -> None:
    """It will not come again by itself, so the answer is NOT_FOUND at once and the cascade can start over."""
    world = small_world(1)
    world.put("/tracks/a", b"x" * 1000)
    world.put("/tracks/b", b"x" * 1000)

    answer = world.get(key("/tracks/a", required=True))

    assert (answer.status, answer.complete) == ("NOT_FOUND", False)


def test_the_last_used_group_is_never_evicted() -> None:
    """What was just acknowledged stays, whatever it weighs."""
    world = small_world(2)
    for tick in range(5):
        world.put(f"/observations/s/{tick}", b"x" * 1000)

    assert len(world.get(last("/observations/s/*", count=9)).objects) == 5


def test_what_was_evicted_is_remembered_within_bounds() -> None:
    """Marks of evicted keys and series are as many as the limits say, the newest ones."""
    world = World(Limits(memory_bytes_max=2 * (1000 + OVERHEAD_BYTES), marks_max=3))
    for number in range(10):
        world.put(f"/predictions/s/{number}/a{number}", b"x" * 1000)

    assert len(world.state.evicted_keys) == 3
    assert not world.get(key("/predictions/s/7/a7")).complete
    assert world.get(key("/predictions/s/1/a1")).complete


# --- leaders ---------------------------------------------------------------------------------------------------------


def test_a_leader_is_answered_with_who_we_are_and_what_we_act_upon() -> None:
    """LeaderJoined brings NodeJoined; views and beats bring a beat with the number of the newest view."""
    world = World()
    request = world.begin_get(key("/tracks/s", required=True), within_s=9)
    world.pass_time(0.5)

    assert world.lead(LeaderJoined(1, "s")) == [Report(LEAD, NodeJoined("node-a", "a:1", 1, Placement(1, NODES)))]
    assert world.lead(Beat()) == [Report(LEAD, Beat(queued=1, oldest_s=0.5, finished=0, view=1, settled=1))]
    [report] = world.lead(View(1, 5, Placement(1, NODES), (("default", COLLISIONS),)))
    assert report.message.view == 5  # type: ignore[union-attr]
    assert world.got(request) is None


def test_a_node_that_was_taken_for_lost_comes_back_empty() -> None:
    """What it held is out of date by then: reads say that it is gone. Durable objects are read from storage again."""
    world = World(view=View(1, 5, Placement(1, NODES), (("default", COLLISIONS),)))
    world.put("/tracks/s")
    world.put("/positions/s/a/1")
    world.lead(View(1, 6, Placement(2, ()), (("default", COLLISIONS),)))
    world.lead(View(1, 7, Placement(3, NODES), (("default", COLLISIONS),)))

    found = world.get(key("/tracks/s"))
    assert (found.objects, found.complete) == ((), False)
    assert not world.get(last("/positions/s/a/*")).complete


def test_a_trigger_that_is_gone_is_not_passed_over() -> None:
    """A history that awaits an object which was evicted can't be answered: the trigger would be missing from it."""
    world = World(view=View(1, 5, Placement(1, NODES), (("default", COLLISIONS),)))
    for tick in (1, 2):
        world.put(f"/positions/s/a/{tick}")
    world.lead(View(1, 6, Placement(2, ()), (("default", COLLISIONS),)))
    world.lead(View(1, 7, Placement(3, NODES), (("default", COLLISIONS),)))
    world.put("/positions/s/a/1")

    found = world.get(last("/positions/s/a/*", as_of=2, awaits="/positions/s/a/2"))
    assert (found.objects, found.status) == ((), Status.NOT_FOUND)


def test_a_change_of_leader_loses_nothing() -> None:
    """The first view of a new leader names no homes yet, and that says nothing of what is here."""
    world = World(view=View(1, 5, Placement(1, NODES), (("default", COLLISIONS),)))
    world.put("/tracks/s")
    world.lead(LeaderJoined(2, "newer"))
    world.lead(View(2, 100, Placement(0, ()), (("default", COLLISIONS),)))
    world.lead(View(2, 101, Placement(1, NODES), (("default", COLLISIONS),)))

    assert len(world.get(key("/tracks/s")).objects) == 1


def test_an_older_view_changes_nothing() -> None:
    """Within an epoch the greatest number wins; the answer names the view that is acted upon."""
    world = World(view=View(1, 5, Placement(1, NODES), (("default", COLLISIONS),)))

    [report] = world.lead(View(1, 4, Placement(1, ()), ()))

    assert report.message.view == 5  # type: ignore[union-attr]
    assert world.put("/tracks/s").ref is not None


@pytest.mark.parametrize("message", [View(1, 9, Placement(), ()), Horizon(1, 0.0), Beat()])
def test_a_leader_of_an_older_epoch_is_ignored(message: View | Horizon | Beat) -> None:
    """After a newer leader has spoken, the old one's views, horizons and beats are counted and change nothing."""
    world = World()
    world.lead(LeaderJoined(2, "newer"), link=LEAD + 1)
    horizon, view = world.state.horizon, world.state.view

    assert world.lead(message) == []

    assert (world.state.horizon, world.state.view, world.state.counts.stale) == (horizon, view, 1)
    assert world.lead(LeaderJoined(1, "old")) == [Report(LEAD, NodeJoined("node-a", "a:1", 2, Placement(1, NODES)))]


def test_a_new_leader_starts_its_views_anew() -> None:
    """A view of a newer epoch is adopted whatever its number, and a link that ends takes its epoch along."""
    world = World(view=View(1, 50, Placement(1, NODES), (("default", COLLISIONS),)))
    world.lead(LeaderJoined(2, "newer"), link=LEAD + 1)

    world.lead(View(2, 1, Placement(2, (Node("node-z", "z:1"),)), ()), link=LEAD + 1)
    world.tell(LinkEnded(LEAD))

    assert world.state.homes.nodes == ("node-z",)
    assert world.state.leads == {LEAD + 1: 2}

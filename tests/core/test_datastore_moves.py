"""Groups that move between datastores: what travels, who answers meanwhile, and what a lost link or node changes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from covey.errors import Reason, Status
from covey.messages import HandOver, PutDone, View
from covey.model import GroupId, LastRead, Placement
from covey.services.datastore.core.handing_over import MESSAGES_SENT_MAX, VERSIONS_SENT_MAX
from covey.services.datastore.core.retention import evict_all
from covey.services.datastore.core.stimuli import Asked, LeaderSaid
from tests.worlds_moves import LEAD, POOL, SCOPE, MovingWorld, note


def home_of(world: MovingWorld, group: str) -> str:
    return world.homes.of(GroupId(SCOPE, group))


def elsewhere(world: MovingWorld, group: str) -> str:
    """A node where the group does not live."""
    return next(name for name in world.stations if name != home_of(world, group))


def reason(world: MovingWorld, request: int) -> Reason:
    done = world.answers[request]
    assert isinstance(done, PutDone)
    return done.reason


def adopt(world: MovingWorld, *names: str) -> None:
    """These nodes act upon the newest placement at once; the others have yet to hear of it."""
    for name in names:
        world.stations[name].views.clear()
        world.tell(name, LeaderSaid(LEAD, world.view))


def test_a_group_that_moves_takes_its_objects_numbers_and_emissions_along() -> None:
    """The new home has every version with its number and age, goes on numbering, and knows repeated emissions."""
    world = MovingWorld()
    old, new = home_of(world, "g"), elsewhere(world, "g")
    first = world.version(world.put(old, "g", "one", b"1", b"e1"))
    second = world.version(world.put(old, "g", "one", b"2")) or 0
    put_at = world.now
    world.now += 5.0

    world.place("g", new)
    world.publish()
    world.settle()

    assert not world.stations[old].state.groups
    [history] = world.stations[new].state.groups[GroupId(SCOPE, "g")].histories.values()
    assert [version.ref.version for version in history.versions] == [first, second]
    assert [version.put_at for version in history.versions] == [put_at, put_at]
    assert history.versions[0].lapsed_at < math.inf
    assert world.version(world.put(new, "g", "one", b"again", b"e1")) == first
    assert (world.version(world.put(new, "g", "one")) or 0) > second


def test_the_old_home_says_moved_and_the_new_one_lets_wait() -> None:
    """From the adoption on: also to those who wait there already; the new home answers when the group has come."""
    world = MovingWorld(("a", "b"))
    old, new = home_of(world, "g"), elsewhere(world, "g")
    world.put(old, "g", "one")
    waiting = world.get(old, replace(note("g", "two", old), required=True))
    world.place("g", new)
    world.publish()

    adopt(world, new)
    request, put = world.get(new, note("g", "one", new)), world.put(new, "g", "two")
    assert world.answer(request) is None
    assert put not in world.answers
    adopt(world, old)
    moved = world.answer(waiting)
    assert moved is not None
    assert moved.reason is Reason.MOVED
    assert reason(world, world.put(old, "g", "one")) is Reason.MOVED

    world.settle()
    found = world.answer(request)
    assert found is not None
    assert [value.ref.key for value in found.objects] == ["/notes/g/one"]
    assert world.version(put) is not None


def test_a_group_that_nobody_announces_is_new_and_waits_for_nothing_else() -> None:
    """While others are still being handed over, a group that did not exist before is served at its home."""
    world = MovingWorld(("a", "b"))
    groups = [f"g{number}" for number in range(2 * MESSAGES_SENT_MAX)]
    mine = [group for group in groups if home_of(world, group) == "a"]
    for group in mine:
        world.put("a", group, "one")
        world.place(group, "b")
    fresh = next(name for name in (f"new{n}" for n in range(99)) if home_of(world, name) == "a")
    world.place(fresh, "b")
    world.publish()
    adopt(world, "b", "a")
    [line] = world.stations["a"].lines.values()
    while not isinstance(line.forth[0], HandOver):
        world.tell("b", Asked(line.accepted_as, line.forth.popleft()))

    assert world.version(world.put("b", fresh, "one")) is not None
    assert world.version(world.put("b", mine[-1], "two")) is None
    world.settle()


def test_what_is_handed_over_at_a_time_is_bounded() -> None:
    """However much moves, no more than a window of it is under way to one node."""
    world = MovingWorld(("a", "b"))
    for number in range(600):
        world.put("a" if home_of(world, "g") == "a" else "b", "g", f"n{number}")
    old, new = home_of(world, "g"), elsewhere(world, "g")
    world.place("g", new)
    world.publish()
    most = 0
    while world.step():
        for line in world.stations[old].lines.values():
            pieces = [message for message in line.forth if isinstance(message, HandOver)]
            most = max(most, sum(len(piece.versions) for piece in pieces))
            assert len(pieces) <= MESSAGES_SENT_MAX

    assert 0 < most <= VERSIONS_SENT_MAX + 64
    assert len(world.stations[new].state.groups[GroupId(SCOPE, "g")].histories) == 600
    assert not world.stations[old].state.groups


def test_a_link_that_breaks_loses_and_doubles_nothing() -> None:
    """What was not acknowledged is asked about on the next link; what was taken meanwhile is not taken back."""
    for seed in range(20):
        world = MovingWorld(("a", "b"), seed)
        old, new = home_of(world, "g"), elsewhere(world, "g")
        versions = [world.version(world.put(old, "g", f"n{number}")) for number in range(200)]
        world.place("g", new)
        world.publish()
        for _ in range(world.rng.randrange(30)):
            world.step()
        for line in world.lines:
            world.cut(line)
        world.settle()

        histories = world.stations[new].state.groups[GroupId(SCOPE, "g")].histories.values()
        assert sorted(version.ref.version for found in histories for version in found.versions) == versions
        assert not world.stations[old].state.groups


def test_a_group_whose_new_home_dies_goes_back() -> None:
    """What was under way to a node that dies is kept where it was until somebody else has it."""
    world = MovingWorld(("a", "b", "c"))
    old, new = home_of(world, "g"), elsewhere(world, "g")
    world.put(old, "g", "one")
    world.place("g", new)
    world.publish()
    adopt(world, old)
    world.die(new)
    world.publish()
    world.settle()

    home = home_of(world, "g")
    found = world.answer(world.get(home, note("g", "one", home)))
    assert found is not None
    assert found.objects


def test_a_node_that_was_lost_and_is_back_has_nothing_and_hands_over_nothing() -> None:
    """Its groups live on elsewhere, and what it still had does not come back with it."""
    world = MovingWorld(("a", "b"))
    old = home_of(world, "g")
    other = elsewhere(world, "g")
    lost = world.version(world.put(old, "g", "one", b"old")) or 0
    station = world.stations.pop(old)  # cut off: it hears of nothing
    del world.members[old]
    for line in [line for line in world.stations[other].lines.values() if line.to is station]:
        world.cut(line)
    world.publish()
    world.settle()
    newer = world.version(world.put(other, "g", "one", b"new")) or 0
    assert newer > lost

    world.stations[old] = station
    station.views.clear()
    world.tell(old, LeaderSaid(LEAD, world.view))
    world.births += 1
    station.node = world.members[old] = replace(station.node, joined=world.births)
    world.publish()
    world.settle()
    home = home_of(world, "g")
    found = world.answer(world.get(home, note("g", "one", home)))
    assert found is not None
    assert [value.payload for value in found.objects] == [b"new"]


def test_what_was_evicted_is_told_at_the_new_home() -> None:
    """Marks of what was lost travel with a group, even when nothing else is left of it."""
    world = MovingWorld(("a", "b"))
    old, new = home_of(world, "g"), elsewhere(world, "g")
    world.put(old, "g", "one")
    evict_all(world.stations[old].state)
    world.place("g", new)
    world.publish()
    world.settle()

    found = world.answer(world.get(new, note("g", "one", new)))
    assert found is not None
    assert (found.objects, found.complete) == ((), False)


def test_a_read_that_spans_nodes_waits_until_all_have_settled() -> None:
    """Else it could miss what is on its way. Parts by two placements make no whole, and a node left out makes none."""
    world = MovingWorld(("a", "b"))
    for tick in range(9):
        key = f"/ticks/s/{tick}"
        world.put_tick(world.homes.of(GroupId(SCOPE, key)), key)
    read = LastRead("ticks", "/ticks/s/*", 9, None, False, ("a", "b"))
    key = "/ticks/s/3"
    old = world.homes.of(GroupId(SCOPE, key))
    new = "b" if old == "a" else "a"
    world.place(key, new)
    world.publish()
    adopt(world, new)
    waiting = world.get(new, read)
    assert world.answer(waiting) is None
    world.settle()

    found = [world.answer(request) for request in (waiting, world.get(old, read))]
    assert all(answer is not None and answer.epoch == world.epoch for answer in found)
    assert sum(len(answer.objects) for answer in found if answer is not None) == 9
    partial = world.answer(world.get(new, replace(read, nodes=(new,))))
    assert partial is not None
    assert (partial.status, partial.reason) == (Status.UNAVAILABLE, Reason.MOVED)


def test_an_older_placement_of_a_newer_leader_changes_no_home() -> None:
    """A new leader may know less than its datastores do; they go on by the newest placement."""
    world = MovingWorld(("a", "b"))
    world.publish()
    world.settle()
    world.tell("a", LeaderSaid(LEAD, View(2, 99, Placement(1, ()), world.view.declarations)))

    assert world.stations["a"].state.homes.placement.epoch == world.epoch


# --- copies ----------------------------------------------------------------------------------------------------------


def test_a_reader_has_every_put_before_it_is_acknowledged() -> None:
    """A put into a group with readers is answered when each of them has it; then each answers with it."""
    world = MovingWorld(("a", "b", "c"), copies=3)
    home = home_of(world, "g")
    request = world.put(home, "g", "one")
    assert world.version(request) is None

    world.settle()
    assert world.version(request) is not None
    for name in world.stations:
        found = world.answer(world.get(name, note("g", "one", name)))
        assert found is not None
        assert [value.ref.version for value in found.objects] == [world.version(request)]


def test_a_new_reader_is_sent_the_whole_group_first() -> None:
    """Until it has that, its reads wait; a node that is no reader any more lets go of its copy."""
    world = MovingWorld(("a", "b"))
    home, reader = home_of(world, "g"), elsewhere(world, "g")
    world.put(home, "g", "one")
    world.copies = 2
    world.publish()
    adopt(world, reader)
    request = world.get(reader, note("g", "one", reader))
    assert world.answer(request) is None
    world.settle()
    found = world.answer(request)
    assert found is not None
    assert found.objects

    world.copies = 1
    world.publish()
    world.settle()
    assert not world.stations[reader].state.groups
    moved = world.answer(world.get(reader, note("g", "one", reader)))
    assert moved is not None
    assert moved.reason is Reason.MOVED


def test_a_copy_becomes_the_group_when_its_home_dies() -> None:
    """Nothing that was acknowledged is lost with the home, and no number is given twice."""
    world = MovingWorld(("a", "b", "c"), copies=3)
    home = home_of(world, "g")
    request = world.put(home, "g", "one")
    world.settle()
    world.die(home)
    world.publish()
    world.settle()

    heir = home_of(world, "g")
    found = world.answer(world.get(heir, note("g", "one", heir)))
    assert found is not None
    assert found.objects
    again = world.put(heir, "g", "one")
    world.settle()
    assert (world.version(again) or 0) > (world.version(request) or 0)


@pytest.mark.parametrize("told", [True, False])
def test_a_put_does_not_wait_for_a_reader_that_is_gone(told: bool) -> None:
    """It is answered when the reader has left the placement, or has reconnected as another process."""
    world = MovingWorld(("a", "b"), copies=2)
    home, reader = home_of(world, "g"), elsewhere(world, "g")
    world.settle()
    world.die(reader)
    request = world.put(home, "g", "one")
    assert world.version(request) is None
    if told:
        world.publish()
    else:
        world.join(reader)
        world.publish()
    world.settle()
    assert world.version(request) is not None


def test_a_group_is_forgotten_when_its_last_put_is_answered_after_it_has_lapsed() -> None:
    """What waits for readers keeps its group in memory, empty or not, and no longer than it waits."""
    world = MovingWorld(("a", "b"), copies=2)
    home, reader = home_of(world, "g"), elsewhere(world, "g")
    world.die(reader)
    request = world.put(home, "g", "one")
    world.now += 2 * POOL.ttl_s
    world.tell(home)
    assert world.version(request) is None
    assert not world.stations[home].state.objects

    world.publish()
    world.settle()
    assert world.version(request) is not None
    assert not world.stations[home].state.groups

"""What a worker holds in memory, and which reads it serves from there."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from covey.grouping import Scope
from covey.model import KeyRead, LastRead, ObjectRef
from covey.services.worker.core.commands import Compute, Fetch, Report, Resident, Retain, Store
from covey.services.worker.core.residency import Residency
from covey.services.worker.core.stimuli import Found, Stored
from tests.builders_worker import SCOPE, Bench, a_batch, a_ref, a_state_read, a_task, every, the

STATE = a_ref("tracks", "/tracks/a")


def wrote_state(bench: Bench, number: int, version: int) -> None:
    """Run a batch that leaves the state at this version."""
    compute = the(Compute, bench.say(a_batch(number)))
    store = the(Store, bench.computed(compute, STATE))
    assert the(Retain, bench.stored(store, Stored(replace(STATE, version=version)))).keep[0].version == version


def test_the_state_that_this_worker_wrote_is_not_read_again() -> None:
    """An exact read of it is served from memory, and counted."""
    bench = Bench()
    wrote_state(bench, 1, version=3)
    fetch = the(Fetch, bench.say(a_batch(2, a_task(2, needs=[a_state_read(3)]))))

    assert (fetch.reads, fetch.resident) == ((), (a_state_read(3),))
    assert bench.core.state.counters.resident_hits == 1
    assert every(Compute, bench.fetched(fetch))


def test_another_version_is_read_from_its_home() -> None:
    """Neither an older nor a newer version passes for the one that was named, nor does "the latest"."""
    bench = Bench(fetching_max=9)
    wrote_state(bench, 1, version=3)
    for number, version in ((2, 2), (3, 4), (4, 0)):
        fetch = the(Fetch, bench.say(a_batch(number, a_task(number, needs=[a_state_read(version)]))))
        assert (fetch.reads, fetch.resident) == ((a_state_read(version),), ())


def test_a_newer_version_takes_the_place_of_the_older() -> None:
    """One version of a key is held: the state of a busy group does not crowd out the others."""
    bench = Bench()
    wrote_state(bench, 1, version=3)
    wrote_state(bench, 2, version=4)

    assert every(Retain, bench.commands)[-1].evict == (Resident(SCOPE, "a", "/tracks/a", 3),)


def test_exact_reads_are_held_and_results_are_not() -> None:
    """What was read by its version may be read so again; what only a client reads is not worth the room."""
    bench = Bench()
    read = a_state_read(5)
    fetch = the(Fetch, bench.say(a_batch(1, a_task(1, needs=[read]))))
    commands = bench.fetched(fetch)
    assert the(Retain, commands).keep == (a_ref("tracks"),)

    store = the(Store, bench.computed(the(Compute, commands), a_ref("alerts", "/alerts/a/1")))
    assert [type(command) for command in bench.stored(store)] == [Report]


def test_the_least_recently_used_group_goes_first_and_whole() -> None:
    """A read counts as use."""
    residency = Residency(bytes_max=40)
    for group, key in (("a", "/x/1"), ("a", "/x/2"), ("b", "/y/1")):
        residency.keep(SCOPE, ObjectRef("p", key, group, 1, 10))
    assert residency.holds(SCOPE, replace(a_state_read(1), key="/x/1", group="a"))

    assert residency.keep(SCOPE, ObjectRef("p", "/z/1", "c", 1, 20)) == [Resident(SCOPE, "b", "/y/1", 1)]
    gone = residency.keep(SCOPE, ObjectRef("p", "/z/2", "c", 1, 10))
    assert gone == [Resident(SCOPE, "a", "/x/1", 1), Resident(SCOPE, "a", "/x/2", 1)]


FAR = KeyRead("tracks", "/tracks/a", "a", 0, "n2", False, 1.0)
LAST = LastRead("points", "/points/a/*", 2, 9, False, ("n1", "n2"))


def points(*ticks: int) -> tuple[ObjectRef, ...]:
    return tuple(a_ref("points", f"/points/a/{tick}", "a", tick) for tick in ticks)


def test_a_cache_tells_a_home_what_is_here() -> None:
    """What another node has answered once is named with its version when it is asked again."""
    bench = Bench(cache_reads=True, cached_bytes_min=0)
    first = the(Fetch, bench.say(a_batch(1, a_task(1, needs=[FAR, LAST]))))
    assert first.known == {}
    state = a_ref("tracks", "/tracks/a", version=4)
    bench.fetched(first, Found((state,), remote_gets=1), Found(points(7, 8), remote_gets=1))
    second = the(Fetch, bench.say(a_batch(2, a_task(2, needs=[FAR, replace(LAST, as_of=10)]))))

    assert (second.reads, second.resident) == ((FAR, replace(LAST, as_of=10)), ())
    assert second.known == {FAR: (state,), replace(LAST, as_of=10): points(7, 8)}
    bench.fetched(second, Found((state,), remote_gets=1, unchanged=1), Found(points(8, 9), remote_gets=2, unchanged=1))
    counters = bench.core.state.counters
    assert (counters.cache_hits, counters.cache_misses) == (2, 4)


def test_only_a_cache_holds_what_was_read_without_a_version() -> None:
    """Without one such reads leave nothing behind; with it, what is small does not either."""
    for limits in ({"cache_reads": False, "cached_bytes_min": 0}, {"cached_bytes_min": 1000}):
        bench = Bench(**limits)
        bench.fetched(the(Fetch, bench.say(a_batch(1, a_task(1, needs=[FAR])))), Found(points(1), remote_gets=1))
        assert the(Fetch, bench.say(a_batch(2, a_task(2, needs=[FAR])))).known == {}
        assert bench.core.state.residency.bytes == 0


def test_what_has_been_evicted_is_not_named() -> None:
    """The home then sends it again."""
    residency = Residency(bytes_max=25, caches=True)
    residency.note(SCOPE, LAST, list(points(7, 8)))
    residency.keep_all(SCOPE, points(7, 8))
    assert residency.recall(SCOPE, LAST) == points(7, 8)
    residency.keep(SCOPE, ObjectRef("p", "/y/1", "b", 1, 20))
    assert residency.recall(SCOPE, LAST) == ()
    assert residency.evicted == 2


def test_what_is_larger_than_all_room_is_not_held() -> None:
    """It would empty the memory for nothing."""
    assert Residency(bytes_max=5).keep(SCOPE, a_ref(version=1, size=6)) is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("kl"), st.integers(1, 4), st.integers(1, 30))))
def test_what_is_held_is_what_was_kept_and_not_evicted(
    steps: list[tuple[str, str, int, int]],
) -> None:
    """A shell that follows the answers holds exactly what the core believes it does."""
    residency = Residency(bytes_max=50)
    shell: dict[Resident, None] = {}
    for group, key, version, size in steps:
        scope = Scope("t", "p")
        evicted = residency.keep(scope, ObjectRef("p", f"/{key}", group, version, size))
        if evicted is not None:
            shell[Resident(scope, group, f"/{key}", version)] = None
            for name in evicted:
                del shell[name]
        residency.check_invariants()
    for name in shell:
        assert residency.holds(name.scope, replace(a_state_read(name.version), key=name.key, group=name.group))

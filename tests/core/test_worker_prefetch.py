"""Reads made ahead of the tasks that make them: when they serve, when they don't, and what they may cost."""

from dataclasses import replace

import pytest

from covey.errors import Reason, Status
from covey.messages import LeaderJoined, Prefetch
from covey.model import KeyRead
from covey.services.worker.core.commands import Ahead, Command, Compute, Fetch, FetchAhead, ForgetAhead
from covey.services.worker.core.stimuli import FetchedAhead, Found
from tests.builders_worker import SCOPE, Bench, a_batch, a_ref, a_state_read, a_task, a_view, ends, every, the

GONE = Found(status=Status.UNAVAILABLE, reason=Reason.HOME_LOST)


def read_of(key: str = "/points/a/1", as_of: float = 1.0) -> KeyRead:
    return KeyRead("points", key, "a", 0, "n2", False, as_of)


def found_of(read: KeyRead, size: int = 10) -> Found:
    return Found((a_ref("points", read.key, "a", 1, size),), remote_gets=1, bytes_moved=size)


def prefetch(bench: Bench, *reads: KeyRead, event: int = 1, deadline: float = 100.0, epoch: int = 1) -> list[Command]:
    return bench.say(Prefetch(epoch, SCOPE, f"event-{event}", reads or (read_of(),), deadline))


def fetched_ahead(bench: Bench, ahead: FetchAhead, *found: Found) -> list[Command]:
    return bench.do(FetchedAhead(ahead.number, found or tuple(found_of(read) for read in ahead.reads)))


def run(bench: Bench, *reads: KeyRead, number: int = 1, event: int = 1) -> list[Command]:
    """A batch of one task of that event, which makes these reads."""
    task = replace(a_task(number, needs=reads or (read_of(as_of=1.5),)), event_id=f"event-{event}")
    return bench.say(a_batch(number, task))


def test_what_was_read_ahead_serves_the_task() -> None:
    """Its homes are not asked again, although the instants of the two reads differ by the time messages travel."""
    bench = Bench()
    ahead = the(FetchAhead, prefetch(bench))
    assert ahead.reads == (read_of(),)
    fetched_ahead(bench, ahead)
    fetch = the(Fetch, run(bench))

    assert (fetch.reads, fetch.ahead) == ((), (Ahead(read_of(as_of=1.5), ahead.number, read_of()),))
    assert every(Compute, bench.fetched(fetch))
    assert bench.core.state.counters.prefetch_hits == 1


def test_what_it_cost_is_the_tasks_that_used_it() -> None:
    """Remote gets and bytes are counted, once, as if the task had made the read."""
    bench = Bench()
    fetched_ahead(bench, the(FetchAhead, prefetch(bench, read_of(), read_of("/points/a/2"))))
    for number in (1, 2):
        bench.fetched(the(Fetch, run(bench, number=number)))
    costs = [
        (t.remote_gets, t.bytes_moved) for batch in bench.core.state.batches.values() for t in batch.tasks.values()
    ]

    assert costs == [(1, 10), (0, 0)]


def test_a_task_waits_for_what_is_being_read() -> None:
    """The read is not made twice; what else the task reads is fetched meanwhile."""
    bench = Bench()
    ahead = the(FetchAhead, prefetch(bench))
    fetch = the(Fetch, run(bench, read_of(as_of=1.5), a_state_read(3)))
    assert (fetch.reads, fetch.ahead) == ((a_state_read(3),), ())
    assert not every(Compute, bench.fetched(fetch))

    second = the(Fetch, fetched_ahead(bench, ahead))
    assert (second.reads, len(second.ahead)) == ((), 1)
    assert every(Compute, bench.fetched(second))


def test_a_task_that_waits_for_nothing_else_issues_no_fetch_of_its_own() -> None:
    """Until the prefetch is there, nothing is commanded for it."""
    bench = Bench()
    ahead = the(FetchAhead, prefetch(bench))
    assert every(Fetch, run(bench)) == []
    assert len(the(Fetch, fetched_ahead(bench, ahead)).ahead) == 1


@pytest.mark.parametrize("failure", [GONE, Found(complete=False)])
def test_what_failed_is_read_again(failure: Found) -> None:
    """A task that waited for it asks the homes itself, and is judged by their answer alone."""
    bench = Bench()
    ahead = the(FetchAhead, prefetch(bench))
    run(bench)
    fetch = the(Fetch, fetched_ahead(bench, ahead, failure))

    assert (fetch.reads, fetch.ahead) == ((read_of(as_of=1.5),), ())
    assert every(Compute, bench.fetched(fetch, found_of(read_of())))
    assert not ends(bench.commands)


def test_only_tasks_of_the_event_are_served() -> None:
    """Another event's read is as of another instant."""
    bench = Bench()
    fetched_ahead(bench, the(FetchAhead, prefetch(bench)))
    assert the(Fetch, run(bench, event=2)).reads == (read_of(as_of=1.5),)
    assert bench.core.state.counters.prefetch_misses == 1


def test_states_and_latest_versions_are_never_read_ahead() -> None:
    """What a read finds must not depend on when it is made."""
    bench = Bench()
    refused = (a_state_read(3), replace(read_of(), as_of=None), replace(read_of(), before=b"task"), a_state_read(0))
    assert every(FetchAhead, prefetch(bench, *refused)) == []
    assert the(FetchAhead, prefetch(bench, *refused, read_of())).reads == (read_of(),)


def test_a_read_is_made_ahead_once() -> None:
    """A second hint adds what is new in it."""
    bench = Bench()
    prefetch(bench)
    assert the(FetchAhead, prefetch(bench, read_of(), read_of("/points/a/2"))).reads == (read_of("/points/a/2"),)


def test_an_event_is_forgotten_when_all_of_it_has_served() -> None:
    """The memory goes with the last read that a task has used."""
    bench = Bench()
    ahead = the(FetchAhead, prefetch(bench, read_of(), read_of("/points/a/2")))
    fetched_ahead(bench, ahead)
    assert every(ForgetAhead, run(bench)) == []
    assert the(ForgetAhead, run(bench, read_of("/points/a/2"), number=2)).numbers == (ahead.number,)
    assert bench.core.state.prefetches.bytes == 0


def test_an_event_is_forgotten_at_its_deadline() -> None:
    """What no task has used by then is counted as unused."""
    bench = Bench()
    ahead = the(FetchAhead, prefetch(bench, deadline=5.0))
    fetched_ahead(bench, ahead)
    assert the(ForgetAhead, bench.do(at=6.0)).numbers == (ahead.number,)
    assert bench.core.state.prefetches.unused == 1


def test_events_are_bounded_and_the_oldest_goes() -> None:
    """What is under way for it is let go of when it returns."""
    bench = Bench(prefetch_events_max=2)
    aheads = [the(FetchAhead, prefetch(bench, event=event)) for event in (1, 2, 3)]
    assert the(ForgetAhead, fetched_ahead(bench, aheads[0])).numbers == (aheads[0].number,)
    fetched_ahead(bench, aheads[1])
    assert the(ForgetAhead, prefetch(bench, event=4)).numbers == (aheads[1].number,)


def test_bytes_are_bounded_and_the_oldest_event_goes() -> None:
    """An eighth of the room for residents is for what was read ahead."""
    bench = Bench(resident_bytes_max=160)
    aheads = [the(FetchAhead, prefetch(bench, event=event)) for event in (1, 2, 3)]
    fetched_ahead(bench, aheads[0])
    fetched_ahead(bench, aheads[1])
    assert the(ForgetAhead, fetched_ahead(bench, aheads[2])).numbers == (aheads[0].number,)
    fourth = the(FetchAhead, prefetch(bench, event=4))
    too_large = the(ForgetAhead, fetched_ahead(bench, fourth, found_of(read_of(), size=21)))
    assert too_large.numbers == (fourth.number,), "it would empty the memory for nothing"


def test_a_new_placement_forgets_all_and_nobody_waits_in_vain() -> None:
    """The reads name nodes of before; a task that waited for one makes it itself."""
    bench = Bench()
    ahead = the(FetchAhead, prefetch(bench))
    run(bench)
    placed = replace(a_view("n1", "n2", number=2), placement=replace(a_view("n1", "n2").placement, epoch=2))
    assert the(Fetch, bench.say(placed)).reads == (read_of(as_of=1.5),)
    assert the(ForgetAhead, fetched_ahead(bench, ahead)).numbers == (ahead.number,)


def test_a_new_leader_begins_afresh() -> None:
    """What an old leader asked for is forgotten, and it can't ask any more."""
    bench = Bench()
    ahead = the(FetchAhead, prefetch(bench))
    fetched_ahead(bench, ahead)
    assert the(ForgetAhead, bench.say(LeaderJoined(2, "s2"), link=2)).numbers == (ahead.number,)
    assert every(FetchAhead, prefetch(bench, event=2)) == []
    assert bench.core.state.counters.stale_refused == 1

"""The life of an event at the gateway: admitted or refused, stored, submitted, and ended exactly once."""

from dataclasses import replace

import pytest

from covey.declaration import PoolDeclaration
from covey.errors import Moved, Reason, Status, Unavailable
from covey.messages import GatewayJoined, OutcomeReady, StoreAgain, SubmitEvent, View
from covey.model import INLINE_BYTES_MAX, GroupId, Outcome, Placement, Priority, Scope, emission_id, event_identity
from covey.services.gateway.core import admission, state
from covey.services.gateway.core.commands import AnswerCancel, Deliver, HangUp, StorePayload
from covey.services.gateway.core.state import IllegalMove, Limits
from covey.services.gateway.core.stimuli import CancelRequested, ClientGone, DrainStarted, LeaderConnected, LeaderLost
from tests.worlds_gateway import COLLISIONS, NODES, SCOPE, World, name, view

LARGE = b"y" * (INLINE_BYTES_MAX + 1)
POSITION = "/positions/s1/a1/5"


def test_an_event_is_stored_and_submitted_in_parallel() -> None:
    """A small payload travels inline with the header while its object is put into its home."""
    world = World.following()

    commands = world.send(1)

    assert [type(command) for command in commands] == [StorePayload, SubmitEvent]
    event = world.last(SubmitEvent).event
    assert (event.payload, event.ref.group, event.deadline) == (b"x", "s1", world.now + COLLISIONS.objective_s)
    put = world.last(StorePayload).put
    assert put.emission == emission_id(event_identity(SCOPE, "e1"), 0)


def test_a_large_payload_goes_to_its_home_only() -> None:
    """Over 64 KiB the header travels without the payload."""
    world = World.following()

    world.send(1, payload=LARGE)

    assert world.last(SubmitEvent).event.payload is None
    assert world.last(StorePayload).put.payload == LARGE


def test_an_event_of_a_pool_that_a_stage_reads_is_stored_first() -> None:
    """What a later trigger may read is there, with its version, before the leader hears of the event."""
    world = World.following()

    world.send(1, key=POSITION)
    assert world.submitted() == []
    world.store(version=7)

    assert world.last(SubmitEvent).event.ref.version == 7


def test_an_outcome_is_delivered_once() -> None:
    """The leader's outcome ends the event; what comes later changes nothing."""
    world = World.following()
    world.send(1)
    world.store()

    world.now += 0.05
    world.conclude()
    world.conclude(status=Status.UNAVAILABLE)
    world.wait(1)

    assert world.verdict() == (Status.OK, Reason.NONE)
    assert world.outcome().elapsed_s == pytest.approx(0.05)


def test_an_ok_outcome_waits_for_the_put() -> None:
    """A client that has an OK outcome finds its object."""
    world = World.following()
    world.send(1)

    world.conclude()
    assert world.outcomes == {}
    world.store()

    assert world.verdict() == (Status.OK, Reason.NONE)


@pytest.mark.parametrize(
    ("options", "status", "reason", "sentence"),
    [
        ({"scope": Scope("default", "none")}, Status.NOT_FOUND, Reason.UNKNOWN_PIPELINE, "no pipeline 'none'"),
        ({"scope": Scope("other", "collisions")}, Status.NOT_FOUND, Reason.UNKNOWN_PIPELINE, "known: none"),
        ({"key": "/nothing/1"}, Status.NOT_FOUND, Reason.UNKNOWN_POOL, "no pool of 'collisions'"),
        ({"key": "observations"}, Status.INVALID_ARGUMENT, Reason.MALFORMED, "starts with '/'"),
        ({"key": "/observations/s/x"}, Status.NOT_FOUND, Reason.UNKNOWN_POOL, "/observations/{scene}/{tick:int}"),
        ({"id": "i" * 129}, Status.INVALID_ARGUMENT, Reason.MALFORMED, "at most 128 characters"),
        ({"group": "g" * 2000}, Status.INVALID_ARGUMENT, Reason.MALFORMED, "a group has at most"),
        ({"budget_s": 0.0}, Status.DEADLINE_EXCEEDED, Reason.LATE, "had passed when it came"),
    ],
)
def test_a_mistake_is_refused_with_a_sentence(
    options: dict[str, object], status: Status, reason: Reason, sentence: str
) -> None:
    """Every mistake of a client has its status, its reason and a sentence."""
    world = World.following()

    world.send(1, **options)

    assert world.verdict() == (status, reason)
    assert sentence in world.outcome().message


def test_a_payload_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object has a largest size."""
    monkeypatch.setattr(admission, "OBJECT_BYTES_MAX", 10)
    world = World.following()

    world.send(1, payload=b"x" * 11)

    assert world.verdict() == (Status.INVALID_ARGUMENT, Reason.TOO_LARGE)


def test_a_missing_id_is_minted() -> None:
    """Two events without an id are two events."""
    world = World.following()

    world.send(1, id="")
    world.send(2, id="")

    first, second = world.submitted()
    assert first != second


def test_a_budget_is_at_most_an_hour() -> None:
    """No event is kept for longer than an hour."""
    world = World.following()

    world.send(1, budget_s=1e9)

    assert world.last(SubmitEvent).event.deadline == world.now + 3600


def test_an_explicit_group_overrides_the_rule() -> None:
    """The group that a client names is where its object is stored."""
    world = World.following()

    world.send(1, group="mine")

    event = world.last(SubmitEvent).event
    assert (event.ref.group, event.explicit_group) == ("mine", True)


def test_open_events_are_bounded() -> None:
    """One event too many is refused, says when to try again, and is welcome once there is room."""
    world = World.following(limits=Limits(open_max=1))
    world.send(1, id="a")

    world.send(2, id="b")
    assert world.verdict(2) == (Status.RESOURCE_EXHAUSTED, Reason.NOT_ADMITTED)
    assert world.outcome(2).retry_after_s > 0
    world.store()
    world.conclude("a")
    world.send(3, id="b")

    assert world.submitted() == ["a", "b"]


def test_low_events_leave_room_to_high_ones() -> None:
    """Of ten places, and of a hundred bytes, LOW gets nine tenths; HIGH may have the rest."""
    for limits, size in ((Limits(open_max=10), 1), (Limits(open_bytes_max=100), 10)):
        world = World.following(limits=limits)
        for call in range(9):
            world.send(call, id=f"low{call}", payload=b"x" * size, priority=Priority.LOW)
        world.send(10, id="one-too-many", payload=b"x" * size, priority=Priority.LOW)
        world.send(11, id="high", payload=b"x" * size)

        assert world.verdict(10) == (Status.RESOURCE_EXHAUSTED, Reason.NOT_ADMITTED)
        assert world.submitted() == [*[f"low{call}" for call in range(9)], "high"]


def test_open_bytes_are_bounded() -> None:
    """Payloads are kept for resubmission, so their sum has a limit."""
    world = World.following(limits=Limits(open_bytes_max=10))
    world.send(1, id="a", payload=b"x" * 8)

    world.send(2, id="b", payload=b"x" * 8)

    assert world.verdict(2) == (Status.RESOURCE_EXHAUSTED, Reason.NOT_ADMITTED)


def test_a_draining_gateway_finishes_and_takes_nothing_new() -> None:
    """What is open ends as it should while new events are sent elsewhere."""
    world = World.following()
    world.send(1, id="a")

    world.tell(DrainStarted())
    world.send(2, id="b")
    world.store()
    world.conclude("a")

    assert world.verdict(1) == (Status.OK, Reason.NONE)
    assert world.verdict(2) == (Status.UNAVAILABLE, Reason.DRAINING)
    assert world.core.is_drained


def test_without_nodes_there_is_no_home() -> None:
    """An event whose object has nowhere to live waits for a node, and after a second of none is refused at once."""
    world = World()
    world.tell(LeaderConnected(), view(nodes=()))
    world.send(1)

    world.wait(1.1)
    world.send(2, id="e2")

    assert world.verdict(1) == world.verdict(2) == (Status.UNAVAILABLE, Reason.NO_HOME)
    assert world.outcome(1).elapsed_s == pytest.approx(COLLISIONS.objective_s)
    assert world.outcome(2).elapsed_s == 0


def test_a_new_leader_is_given_events_once_it_serves_their_pipeline() -> None:
    """A leader that has just begun knows neither declarations nor nodes; nothing is refused for that."""
    world = World.following()
    world.send(1, id="open", budget_s=5)
    world.store()

    world.tell(LeaderLost())
    world.tell(LeaderConnected(), view(epoch=2, nodes=(), declared=False))
    world.send(2, id="new", budget_s=5)
    assert world.submitted() == ["open"]
    world.tell(view(epoch=2, number=2, declared=False))
    assert world.submitted() == ["open"]
    world.tell(view(epoch=2, number=3))

    assert world.submitted() == ["open", "open", "new"]
    assert world.outcomes == {}


# --- the same id again -----------------------------------------------------------------------------------------------


def test_a_duplicate_waits_for_the_same_outcome() -> None:
    """Two calls with one event get one outcome each, and the cascade runs once."""
    world = World.following()
    world.send(1)
    world.send(2)
    world.store()

    world.conclude()

    assert world.submitted() == ["e1"]
    assert world.outcome(1) == world.outcome(2)


def test_an_ended_event_is_answered_again() -> None:
    """A retry after the outcome gets the outcome, and runs nothing."""
    world = World.following()
    world.send(1)
    world.store()
    world.conclude()

    world.send(2)

    assert world.outcome(2) == world.outcome(1)
    assert world.submitted() == ["e1"]


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("other", [{"payload": b"other"}, {"key": "/observations/s1/2"}, {"group": "g"}])
def test_an_id_names_one_event(other: dict[str, object], ended: bool) -> None:
    """The id of another event is refused, while that is open and after."""
    world = World.following()
    world.send(1)
    if ended:
        world.store()
        world.conclude()

    world.send(2, **other)

    assert world.verdict(2) == (Status.ALREADY_EXISTS, Reason.ID_REUSED)


def test_what_the_mesh_could_not_do_may_be_tried_again() -> None:
    """An id whose event ended UNAVAILABLE runs again when it is sent again."""
    world = World.following()
    world.send(1)
    world.conclude(status=Status.UNAVAILABLE, reason=Reason.NO_WORKER)

    world.send(2)

    assert world.submitted() == ["e1", "e1"]


def test_remembered_outcomes_are_bounded() -> None:
    """The oldest outcome is forgotten first; its event would run again."""
    world = World.following(limits=Limits(recent_max=1))
    for id in ("a", "b"):
        world.send(1, id=id)
        world.store()
        world.conclude(id)

    world.send(2, id="b")
    world.send(3, id="a")

    assert world.submitted() == ["a", "b", "a"]


# --- deadlines, cancels, clients that leave --------------------------------------------------------------------------


def test_a_deadline_ends_an_event() -> None:
    """At its deadline, an event without an outcome is late, the leader is told, and a late outcome is not heard."""
    world = World.following()
    world.send(1)
    world.store()

    world.wait(0.2)
    world.conclude()

    assert world.verdict() == (Status.DEADLINE_EXCEEDED, Reason.LATE)
    assert world.cancelled() == ["e1"]


def test_a_cancel_ends_an_event() -> None:
    """The waiting call gets CANCELLED, the caller hears that the event was open, the leader is told."""
    world = World.following()
    world.send(1)

    world.tell(CancelRequested(9, name()), CancelRequested(10, name()))

    assert world.verdict() == (Status.CANCELLED, Reason.CANCELLED)
    assert world.all(AnswerCancel) == [AnswerCancel(9, True), AnswerCancel(10, False)]
    assert world.cancelled() == ["e1"]


def test_a_client_that_leaves_withdraws_what_nobody_else_waits_for() -> None:
    """The events of a lost call are cancelled, save those that another call waits for."""
    world = World.following()
    world.send(1, id="alone")
    world.send(1, id="shared")
    world.send(2, id="shared")

    world.tell(ClientGone(1))
    world.conclude("shared", Status.FAILED_PRECONDITION, Reason.STAGE_FAILED)

    assert world.cancelled() == ["alone"]
    assert list(world.outcomes) == [2]


def test_an_id_runs_again_after_its_client_was_lost() -> None:
    """A client that reconnects and sends its event again is served."""
    world = World.following()
    world.send(1)
    world.tell(ClientGone(1))

    world.send(2)

    assert world.submitted() == ["e1", "e1"]


# --- stores that fail ------------------------------------------------------------------------------------------------


def test_a_moved_group_is_found_by_the_newest_view() -> None:
    """A put that came to the wrong home goes to the right one as soon as a view names it."""
    world = World.following()
    world.send(1, payload=LARGE, budget_s=5)
    first = world.last(StorePayload)

    world.fail_store(Moved("not here"))
    (other,) = (node for node in NODES if node != first.node)
    world.tell(view(number=2, nodes=(other,)))

    assert world.last(StorePayload).node == other
    assert world.last(StorePayload).put == first.put


def test_a_put_is_tried_again_within_the_budget() -> None:
    """A home that does not answer is asked again, less and less often, and the event ends at its deadline at last."""
    world = World.following()
    world.send(1, payload=LARGE)

    tries = 0
    while not world.outcomes:
        if len(world.all(StorePayload)) > tries:
            tries += 1
            world.fail_store(Unavailable("no answer", Reason.HOME_LOST))
        world.wait(0.01)

    assert world.outcome().status in (Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED)
    assert "no answer" in world.outcome().message
    assert 2 < tries < 16


def test_tries_are_bounded() -> None:
    """With a long budget, a put is given up after a number of tries and the event is UNAVAILABLE."""
    world = World.following(limits=Limits(attempts_max=3))
    world.send(1, payload=LARGE, budget_s=100)

    for _ in range(3):
        world.fail_store(Moved("not here"))
        world.wait(1)

    assert world.verdict() == (Status.UNAVAILABLE, Reason.NO_HOME)
    assert world.cancelled() == ["e1"]


@pytest.mark.parametrize(("key", "status"), [("/observations/s1/1", Status.OK), ("/ledger/s1/1", Status.UNAVAILABLE)])
def test_an_inline_event_can_do_without_its_object_unless_it_is_durable(key: str, status: Status) -> None:
    """The cascade has a small payload inline; only a durable pool's promise needs the put."""
    world = World.following(limits=Limits(attempts_max=1))
    world.send(1, key=key)

    world.fail_store(Unavailable("full", Reason.STORAGE_FAILED))
    world.conclude()

    assert world.outcome().status is status


def test_the_leader_can_ask_to_store_again() -> None:
    """A lost object is put again, in the home of now, and then the event is submitted again."""
    world = World.following()
    world.send(1, payload=LARGE)
    world.store()

    world.tell(StoreAgain(SCOPE, "e1"), StoreAgain(SCOPE, "unknown"))
    assert world.submitted() == ["e1"]
    world.store(version=2)

    assert len(world.all(StorePayload)) == 2
    assert world.submitted() == ["e1", "e1"]


# --- leaders ---------------------------------------------------------------------------------------------------------


def test_unfinished_events_go_to_every_new_leader() -> None:
    """The gateway names itself first, and on the leader's view submits what is open, in the order of admission."""
    world = World.following()
    for id in ("a", "b", "c"):
        world.send(1, id=id)
        world.store()
    world.conclude("b")

    world.tell(LeaderLost())
    joined = world.tell(LeaderConnected())
    world.tell(view(epoch=2))

    assert joined == [GatewayJoined("gateway-1", 1)]
    assert world.submitted() == ["a", "b", "c", "a", "c"]


def test_an_older_leader_is_not_heard() -> None:
    """A leader of an older epoch is hung up on, and its outcomes count for nothing."""
    world = World.following()
    world.change_leader(epoch=5)
    world.send(1)
    world.tell(LeaderLost())

    commands = world.tell(LeaderConnected(), view(epoch=4), OutcomeReady(Outcome(SCOPE, "e1", Status.OK)))

    assert HangUp() in commands
    assert world.outcomes == {}


def test_an_older_view_of_the_same_leader_is_ignored() -> None:
    """Views are ordered by number within an epoch."""
    world = World.following()
    world.tell(view(number=3))

    world.tell(View(1, 2, Placement(), ()))

    assert world.core.state.view == view(number=3)


def test_a_silent_leader_is_hung_up_on() -> None:
    """Nothing heard for two seconds is as good as gone: beats would have come."""
    world = World.following()

    commands = world.wait(2.1, silent=True)

    assert HangUp() in commands


def test_events_wait_a_little_for_the_first_leader() -> None:
    """What comes before the gateway knows any view is admitted as soon as it does, on its own time."""
    world = World()
    world.send(1, budget_s=5)
    world.wait(0.5)

    world.tell(LeaderConnected(), view())

    assert world.last(SubmitEvent).event.deadline == pytest.approx(105)


def test_a_held_event_can_be_cancelled_or_left() -> None:
    """A request that waits for a view is withdrawn like any other."""
    world = World()
    world.send(1, id="a")
    world.send(2, id="b")

    world.tell(CancelRequested(9, name("a")), ClientGone(2))

    assert world.verdict(1) == (Status.CANCELLED, Reason.CANCELLED)
    assert world.core.is_drained


@pytest.mark.parametrize("following", [False, True])
def test_without_a_leader_events_are_refused_after_a_while(following: bool) -> None:
    """After a second without a leader, new events are refused at once; those before are held."""
    world = World.following() if following else World()
    if following:
        world.tell(LeaderLost())
    world.send(1, id="held", budget_s=2)

    world.wait(1.1)
    world.send(2, id="refused")

    assert world.verdict(2) == (Status.UNAVAILABLE, Reason.NO_LEADER)
    assert (1 in world.outcomes) is not following
    world.wait(1)
    assert world.verdict(1) == (Status.UNAVAILABLE, Reason.NO_LEADER)


def test_illegal_reports_raise() -> None:
    """What cannot have happened is a bug of the shell, and changes nothing."""
    world = World()

    with pytest.raises(IllegalMove):
        world.core.handle([LeaderLost()], world.now)
    with pytest.raises(IllegalMove):
        world.core.handle([view()], world.now)
    world.tell(LeaderConnected())
    with pytest.raises(IllegalMove):
        world.core.handle([LeaderConnected()], world.now)

    state.check_invariants(world.core.state)


def test_the_heap_of_timers_stays_in_proportion() -> None:
    """Events that end long before their deadline leave no growing heap behind."""
    world = World.following()

    for number in range(500):
        world.send(1, id=f"e{number}", budget_s=3000)
        world.store()
        world.conclude(f"e{number}")

    assert len(world.core.state.timers) < 100
    assert len(world.all(Deliver)) == 500


def test_a_pinned_group_is_stored_where_it_is_pinned() -> None:
    """The placement's exceptions come before rendezvous hashing."""
    world = World.following()
    world.send(1)
    (other,) = (node for node in NODES if node != world.last(StorePayload).node)

    pinned = Placement(2, NODES, {GroupId(SCOPE, "s1"): other.id})
    world.tell(View(1, 2, pinned, (("default", COLLISIONS),)))
    world.send(2, id="e2")

    assert world.last(StorePayload).node == other


def test_a_group_function_that_raises_ends_its_event_only() -> None:
    """A mistake in a user's function of the key is told to whoever sent the key."""
    pools = (PoolDeclaration("tests", "/tests/{name}", "function", "operator:neg"),)  # no string has a negative
    world = World()
    world.tell(LeaderConnected(), View(1, 1, Placement(1, NODES), (("default", replace(COLLISIONS, pools=pools)),)))

    world.send(1, key="/tests/a")

    assert world.verdict() == (Status.INVALID_ARGUMENT, Reason.NO_GROUP)
    assert "operator:neg" in world.outcome().message

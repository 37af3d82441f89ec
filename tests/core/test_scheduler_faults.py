"""The scheduler's core: peers that die, fall silent, come back or lag behind."""

from __future__ import annotations

import dataclasses

from covey.errors import Reason, Status
from covey.messages import BatchReport, Beat, GatewayJoined, StoreAgain, SubmitEvent, TaskReport, View
from covey.model import GroupId, KeyRead
from covey.services.scheduler.core.commands import Conclude
from covey.services.scheduler.core.state import Limits
from covey.services.scheduler.core.stimuli import Declared, GatewayConnected, GroupsPinned, PeerSaid, StopRequested
from tests.builders import SCOPE, collisions, event
from tests.worlds import GATEWAY, NODE, WORKER, SchedulerWorld


def test_work_of_a_dead_worker_runs_elsewhere() -> None:
    """Tasks of a worker that is gone run again on another, and the event ends OK."""
    world = SchedulerWorld(workers=2, nodes=1)
    world.submit(event())
    (peer, _) = world.batches[1]
    world.lose(peer)
    ((other, again),) = world.batches.values()
    assert other != peer
    assert again.tasks[0].event_id == "s-0"
    world.run_all()

    assert world.outcomes["s-0"].status is Status.OK


def test_a_task_whose_worker_died_runs_alone() -> None:
    """Whichever task of the batch was poisonous, it takes no others with it the second time."""
    world = SchedulerWorld(lanes=8)
    world.submit(event())
    world.finish(1)
    world.lose(WORKER)
    world.join_worker(0, peer=WORKER + 50)

    assert [len(batch.tasks) for batch in world.running("predict")] == [1, 1, 1]


def test_a_task_that_kills_its_workers_is_given_up() -> None:
    """After three attempts the event ends with the reason, and nothing of it is left."""
    world = SchedulerWorld()
    world.submit(event())
    for attempt in range(3):
        world.lose(WORKER + 50 * attempt)
        world.join_worker(0, peer=WORKER + 50 * (attempt + 1))

    outcome = world.outcomes["s-0"]
    assert (outcome.status, outcome.reason) == (Status.UNAVAILABLE, Reason.WORKER_LOST)
    assert not world.core.state.tasks


def test_the_first_report_of_a_task_is_the_one_that_counts() -> None:
    """A worker that was thought dead reports after its task was handed on: its children are made once."""
    world = SchedulerWorld(workers=2)
    world.submit(event())
    (first, batch) = world.batches.pop(1)
    reports = tuple(world.report(batch, task) for task in batch.tasks)
    world.lose(first)
    world.finish(min(world.batches))
    made = world.core.state.last_task
    world.join_worker(0, peer=WORKER + 50)
    world.tell(PeerSaid(WORKER + 50, BatchReport(batch.number, batch.epoch, reports)))

    assert world.core.state.last_task == made
    world.run_all()
    assert [answer.status for answer in world.answers] == [Status.OK]


def test_reports_of_another_epoch_are_ignored() -> None:
    """What a worker did for an earlier leader changes nothing."""
    world = SchedulerWorld()
    world.submit(event())
    (_, batch) = world.batches[1]
    reports = tuple(world.report(batch, task) for task in batch.tasks)
    world.tell(PeerSaid(WORKER, BatchReport(batch.number, batch.epoch - 1, reports)))

    assert world.core.state.tasks[batch.tasks[0].number].phase.value == "dispatched"


def test_a_task_that_is_missing_from_its_report_runs_again() -> None:
    """A report ends its batch; tasks that it does not mention are not lost."""
    world = SchedulerWorld(lanes=2)
    world.submit(event())
    world.finish(1)
    (batch,) = world.running("predict")
    world.finish(batch.number, only=lambda task: task.number != batch.tasks[0].number)
    world.wait(0.1)

    (again,) = world.running("predict")
    assert [task.number for task in again.tasks] == [batch.tasks[0].number]


def test_a_refusal_of_the_worker_is_tried_again() -> None:
    """A worker that is draining, or met a group that has moved, costs an attempt and not the event."""
    world = SchedulerWorld(workers=2)
    world.submit(event())
    world.fail(1, Status.UNAVAILABLE, Reason.MOVED)
    assert not world.batches
    world.wait(0.1)
    world.run_all()

    assert world.outcomes["s-0"].status is Status.OK


def test_a_task_that_is_turned_away_for_ever_is_given_up() -> None:
    """The pauses between attempts grow, and the event ends with the last reason."""
    world = SchedulerWorld()
    world.submit(event(deadline=60.0))
    attempts = 0
    while "s-0" not in world.outcomes:
        for number in list(world.batches):
            world.fail(number, Status.UNAVAILABLE, Reason.MOVED, "the group lives elsewhere")
            attempts += 1
        world.wait(0.1)

    assert (world.outcomes["s-0"].status, world.outcomes["s-0"].reason) == (Status.UNAVAILABLE, Reason.MOVED)
    assert attempts == Limits().pauses_max + 1


def test_a_silent_worker_is_hung_up_on() -> None:
    """A peer that says nothing for the limit is gone, whatever its connection says, and its work is handed on."""
    world = SchedulerWorld(workers=2, nodes=1)
    world.submit(event(deadline=60.0))
    (peer, _) = world.batches[1]
    other = WORKER + (peer == WORKER)
    for _ in range(40):
        world.now += 0.1
        beat = Beat(view=world.core.state.view_number)
        world.tell(*(PeerSaid(heard, beat) for heard in (GATEWAY, NODE, other)))

    assert world.hung_up == [peer]
    assert {to for to, _ in world.batches.values()} == {peer, other}
    world.batches.pop(1)
    world.run_all()
    assert world.outcomes["s-0"].status is Status.OK


def test_work_without_any_worker_ends_with_a_reason() -> None:
    """Nothing hangs: after the patience, open and new events are told that no worker runs their stage."""
    world = SchedulerWorld(limits=Limits(patience_s=1.0))
    world.submit(event(0, deadline=60.0))
    world.lose(WORKER)
    world.wait(1.5)
    world.submit(event(1, deadline=60.0))

    assert [(o.status, o.reason) for o in world.answers] == [(Status.UNAVAILABLE, Reason.NO_WORKER)] * 2


def test_the_first_worker_is_believed_at_once() -> None:
    """An event that comes right behind the worker that everyone waited for is admitted."""
    world = SchedulerWorld(limits=Limits(patience_s=1.0), workers=0)
    world.wait(1.5)
    world.join_worker(0)
    world.submit(event(0, deadline=60.0))
    world.run_all()

    assert world.outcomes["s-0"].status is Status.OK


def test_an_event_starts_again_when_a_home_is_lost() -> None:
    """A cascade that lost inputs with their node begins anew, within its budget."""
    world = SchedulerWorld(nodes=2, workers=2, lanes=4)
    world.submit(event(deadline=60.0))
    world.finish(1)
    homes = {batch.tasks[0].needs[0][1][0].nodes[0] for batch in world.running("predict")}
    lost = sorted(homes)[0]
    world.batches.clear()
    world.lose(NODE + int(lost[1]))
    assert world.running("track")
    world.run_all()

    assert world.outcomes["s-0"].status is Status.OK
    assert len(world.answers) == 1


def test_a_restarted_cascade_reads_the_state_that_it_read_then() -> None:
    """A track task that was accepted once commits no second state, and does not read its own."""
    world = SchedulerWorld(nodes=2, workers=2, lanes=4)
    track_home = None
    for tick in range(2):
        world.submit(event(tick, deadline=60.0))
        (batch,) = world.running("track")
        (read,) = batch.tasks[0].needs[0][1]
        assert isinstance(read, KeyRead)
        track_home = read.node
        world.finish(batch.number)
        if tick == 0:
            world.run_all()
    (line,) = world.core.state.lines.values()
    read_then, left = read.version, line.version
    other = "n1" if track_home == "n0" else "n0"
    world.batches.clear()
    world.lose(NODE + int(other[1]))

    (again,) = world.running("track")
    (read,) = again.tasks[0].needs[0][1]
    assert isinstance(read, KeyRead)
    assert read.version == read_then
    world.run_all()
    assert line.version == left
    assert world.outcomes["s-1"].status is Status.OK


def test_a_state_that_was_lost_starts_anew_and_says_so() -> None:
    """When the home of a state is gone the next task starts from None, and its outcome is incomplete."""
    world = SchedulerWorld(nodes=2, workers=2, lanes=4)
    world.submit(event(0, deadline=60.0))
    (batch,) = world.running("track")
    (read,) = batch.tasks[0].needs[0][1]
    assert isinstance(read, KeyRead)
    world.run_all()
    world.lose(NODE + int(read.node[1]))
    world.submit(event(1, deadline=60.0))

    (batch,) = world.running("track")
    assert batch.tasks[0].needs == (("tracks", ()),)
    world.run_all()
    assert world.outcomes["s-1"].status is Status.OK
    assert world.outcomes["s-1"].incomplete


def test_a_large_payload_that_was_lost_is_asked_for_again() -> None:
    """A payload that is not inline is put once more by the gateway before its cascade starts again."""
    world = SchedulerWorld(nodes=2, workers=2)
    large = event(payload=None, deadline=60.0)
    world.submit(large)
    (_, batch) = world.batches[1]
    home = world.core.state.tasks[batch.tasks[0].number].home
    world.batches.clear()
    world.lose(NODE + int(home[1]))
    assert [sent.message for sent in world.sent if isinstance(sent.message, StoreAgain)] == [StoreAgain(SCOPE, "s-0")]
    assert not world.batches
    world.submit(large)
    world.run_all()

    assert world.outcomes["s-0"].status is Status.OK


def test_a_gateway_that_comes_back_gets_its_outcomes() -> None:
    """Outcomes go to the link on which the event was submitted last."""
    world = SchedulerWorld()
    world.submit(event())
    world.lose(GATEWAY)
    world.tell(GatewayConnected(2, GatewayJoined("g")))
    world.tell(PeerSaid(2, SubmitEvent(event())))
    world.batches = {1: world.batches.get(1, (WORKER, None))} if 1 in world.batches else world.batches
    world.run_all()

    conclusion = next(command for command in world.commands if type(command).__name__ == "Conclude")
    assert conclusion.peers == (2,)
    assert conclusion.outcome.status is Status.OK


def test_an_event_that_two_gateways_sent_is_answered_to_both() -> None:
    """A client that asks another gateway with the same id has its outcome there, and the first has it too."""
    world = SchedulerWorld()
    world.tell(GatewayConnected(2, GatewayJoined("h")))
    world.submit(event())
    world.tell(PeerSaid(2, SubmitEvent(event())))
    world.run_all()

    (conclusion,) = [command for command in world.commands if isinstance(command, Conclude)]
    assert conclusion.peers == (GATEWAY, 2)


def test_an_unknown_peer_is_not_listened_to() -> None:
    """What a peer says after it was hung up on counts for nothing."""
    world = SchedulerWorld()
    world.tell(PeerSaid(999, SubmitEvent(event())))
    world.tell(PeerSaid(999, BatchReport(1, 1, (TaskReport(1, Status.OK),))))

    assert not world.core.state.cascades


def test_a_datastore_is_a_home_only_once_it_acts_upon_a_view() -> None:
    """A node that has connected and acknowledged nothing is in no placement."""
    world = SchedulerWorld(nodes=0)
    world.submit(event())
    assert world.answers[-1].reason in (Reason.NO_HOME, Reason.UNKNOWN_PIPELINE)
    world.join_node(0)
    assert [node.id for node in world.views(GATEWAY)[-1].placement.nodes] == ["n0"]


def test_a_new_declaration_reaches_gateways_after_every_datastore_knows_it() -> None:
    """No put ever meets a home that lacks its pool: datastores are told first, and acknowledge."""
    world = SchedulerWorld(nodes=2)
    changed = dataclasses.replace(collisions(), objective_s=0.5).versioned()
    world.tell(Declared(SCOPE.tenant, changed))

    def known(peer: int) -> list[str]:
        view = world.views(peer)[-1]
        assert isinstance(view, View)
        return [declaration.version for _, declaration in view.declarations]

    assert changed.version in known(NODE)
    assert changed.version not in known(GATEWAY)
    world.tell(PeerSaid(NODE, Beat(view=world.core.state.view_number)))
    assert changed.version not in known(GATEWAY)
    world.tell(PeerSaid(NODE + 1, Beat(view=world.core.state.view_number)))
    assert known(GATEWAY)[-1] == changed.version


def test_pins_override_the_default_home() -> None:
    """A group that the metadata pins lives there, and everyone is told with a new placement epoch."""
    world = SchedulerWorld(nodes=2, workers=2)
    before = world.views(GATEWAY)[-1].placement
    world.submit(event())
    (_, batch) = world.batches[1]
    (read,) = batch.tasks[0].needs[0][1]
    assert isinstance(read, KeyRead)
    other = "n1" if read.node == "n0" else "n0"
    world.run_all()

    world.tell(GroupsPinned(((GroupId(SCOPE, "s"), other),)))
    world.submit(event(1))
    (batch,) = world.running("track")
    (read,) = batch.tasks[0].needs[0][1]
    assert isinstance(read, KeyRead)
    assert read.node == other
    assert world.views(GATEWAY)[-1].placement.epoch > before.epoch


def test_a_stopping_scheduler_finishes_what_is_open_and_admits_nothing() -> None:
    """Draining refuses new events with a reason and concludes the old ones normally."""
    world = SchedulerWorld()
    world.submit(event(0))
    world.tell(StopRequested())
    world.submit(event(1))
    world.run_all()

    assert (world.outcomes["s-1"].status, world.outcomes["s-1"].reason) == (Status.UNAVAILABLE, Reason.DRAINING)
    assert world.outcomes["s-0"].status is Status.OK


def test_a_prediction_that_is_too_high_does_not_drop_for_ever() -> None:
    """One in `probe_every` tasks that are predicted late runs all the same, and mends the prediction."""
    world = SchedulerWorld(limits=Limits(probe_every=5), emits=lambda batch, task: [])
    world.submit(event(0, "slow", deadline=100.0))
    world.wait(5.0)
    world.finish(1)
    statuses = []
    for tick in range(5):
        world.submit(event(tick, f"s{tick}", deadline=world.now + 1.0))
        statuses.append(world.answers[-1].reason if f"s{tick}-{tick}" in world.outcomes else None)
    assert statuses == [Reason.PREDICTED_LATE] * 4 + [None]


def test_a_leader_that_was_held_up_hangs_up_on_nobody() -> None:
    """After a pause of its own a leader has heard nothing of anyone, and that says nothing of them."""
    world = SchedulerWorld()
    world.wait(1.0)
    world.now += 10 * world.limits.silence_s_max
    world.tell()

    assert world.hung_up == []

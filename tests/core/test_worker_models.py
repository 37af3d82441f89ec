"""The worker's core: which stage a lane serves, and the models that it loads for that."""

from covey.messages import AssignLane, LaneReady, LeaderJoined
from covey.services.worker.core.commands import Command, Compute, LoadModel, Send, UnloadModel
from covey.services.worker.core.stimuli import ModelLoaded
from tests.builders_worker import Bench, a_batch, a_view, every, the

TRACK, LOOK = "demo/track", "demo/look"


def assign(bench: Bench, stage: str, lane: int = 0) -> list[Command]:
    return bench.say(AssignLane(1, lane, stage))


def told(commands: list[Command]) -> list[LaneReady]:
    return [sent.message for sent in every(Send, commands) if isinstance(sent.message, LaneReady)]


def test_a_lane_takes_its_stage_once_the_model_is_loaded() -> None:
    """Until then its batches wait, and the leader is told when they need not any more."""
    bench = Bench()
    assert every(LoadModel, assign(bench, TRACK)) == [LoadModel(0, TRACK)]
    assert not every(Compute, bench.say(a_batch(1)))

    commands = bench.do(ModelLoaded(0, TRACK))

    assert told(commands) == [LaneReady(1, 0, TRACK)]
    assert the(Compute, commands).run.number == 1


def test_a_lane_takes_no_other_stage() -> None:
    """A batch of another stage waits for a lane that serves it."""
    bench = Bench(lanes=(None, None))
    assign(bench, LOOK, 0)
    assign(bench, TRACK, 1)
    bench.do(ModelLoaded(0, LOOK), ModelLoaded(1, TRACK))

    assert the(Compute, bench.say(a_batch(1))).lane == 1
    assert not every(Compute, bench.say(a_batch(2)))


def test_the_model_before_goes_first() -> None:
    """A lane that changes hands lets go of what it had, before it loads what it is to have."""
    bench = Bench()
    assign(bench, TRACK)
    bench.do(ModelLoaded(0, TRACK))

    assert assign(bench, LOOK) == [UnloadModel(TRACK), LoadModel(0, LOOK)]
    assert assign(bench, "") == []
    assert bench.do(ModelLoaded(0, LOOK)) == [UnloadModel(LOOK)]


def test_lanes_share_a_model() -> None:
    """A second lane of the same stage is ready at once, and the model stays until neither serves it."""
    bench = Bench(lanes=(None, None))
    assign(bench, TRACK, 0)
    bench.do(ModelLoaded(0, TRACK))

    assert told(assign(bench, TRACK, 1)) == [LaneReady(1, 1, TRACK)]
    assert assign(bench, "", 0) == []
    assert assign(bench, "", 1) == [UnloadModel(TRACK)]


def test_what_is_called_off_while_it_loads_is_let_go() -> None:
    """The later assignment is answered when its own model is loaded, whatever comes first."""
    bench = Bench()
    assign(bench, TRACK)
    assign(bench, LOOK)

    assert bench.do(ModelLoaded(0, TRACK)) == [UnloadModel(TRACK)]
    assert told(bench.do(ModelLoaded(0, LOOK))) == [LaneReady(1, 0, LOOK)]


def test_a_model_that_can_not_be_loaded_is_reported() -> None:
    """The lane serves nobody, so that the leader may try again, there or elsewhere."""
    bench = Bench()
    assign(bench, TRACK)

    assert told(bench.do(ModelLoaded(0, TRACK, failed=True))) == [LaneReady(1, 0, "")]


def test_a_new_leader_is_told_of_models_and_assigns_anew() -> None:
    """What is loaded outlives the leader that wanted it; until the next has assigned lanes, they take anything."""
    bench = Bench()
    assign(bench, TRACK)
    bench.do(ModelLoaded(0, TRACK))

    joined = the(Send, bench.say(LeaderJoined(2, "s2"), a_view(epoch=2, number=2), link=2)[:1]).message

    assert getattr(joined, "loaded", None) == (TRACK,)
    assert told(bench.say(AssignLane(2, 0, TRACK), link=2)) == [LaneReady(2, 0, TRACK)]
    assert not every(LoadModel, bench.commands[-3:])


def test_an_assignment_of_an_earlier_leader_is_refused() -> None:
    """Two leaders never move the same lane to and fro."""
    bench = Bench()
    bench.say(LeaderJoined(2, "s2"), link=2)

    assert assign(bench, TRACK) == []
    assert bench.core.state.counters.stale_refused == 1

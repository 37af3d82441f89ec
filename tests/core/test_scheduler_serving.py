"""A scheduler that provisions: which lane serves which stage, what replicas run, what the provisioner sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from covey.declaration import Declaration, Join, PoolDeclaration, StageDeclaration
from covey.errors import Reason, Status
from covey.messages import AssignLane, CancelTasks, LaneReady, RunBatch, Task, WorkerJoined
from covey.model import Event, ObjectRef, Priority
from covey.services.scheduler.core.provision import Backlog, Choice, Edge, Pipeline, Provision, Share, Waiting, Window
from covey.services.scheduler.core.served import Replica, Serving
from covey.services.scheduler.core.stimuli import PeerSaid, WorkerConnected
from tests.builders import SCOPE
from tests.builders_provision import profile_of
from tests.worlds import WORKER, SchedulerWorld

FAN_OUT = 3

DECLARED = Declaration(
    SCOPE.pipeline,
    0.2,
    pools=(
        PoolDeclaration("frames", "/frames/{id}", transient=True),
        PoolDeclaration("objects", "/objects/{id}/{part:int}", transient=True),
        PoolDeclaration("faces", "/faces/{id}/{part:int}", "template", "{id}"),
    ),
    stages=(
        StageDeclaration("detect", "frames", emits=("objects",), batch_max=4),
        StageDeclaration("classify", "objects", emits=("faces",), batch_max=4),
        StageDeclaration("gather", "faces", Join(("id",)), batch_max=4),
    ),
).versioned()
"""A frame has three objects, each of them a face; a join reads all of them."""

FAN_OUTS = {Edge("", "detect"): 1.0, Edge("detect", "classify"): 3.0, Edge("classify", "gather"): 1 / 3}
PIPELINE = Pipeline(
    ("detect", "classify", "gather"),
    tuple(FAN_OUTS),
    FAN_OUTS,
    {stage: profile_of(10, 11, 12, 13) for stage in ("detect", "classify", "gather")},
    0.2,
)
QUALIFIED = {f"{SCOPE.pipeline}/{stage}": stage for stage in PIPELINE.stages}


def emissions(batch: RunBatch, task: Task) -> list[tuple[str, str, str]]:
    id_ = str(dict(task.fields)["id"])
    match batch.stage:
        case "detect":
            return [("objects", key, key) for key in [f"/objects/{id_}/{part}" for part in range(FAN_OUT)]]
        case "classify":
            return [("faces", f"/faces/{id_}/{dict(task.fields)['part']}", id_)]
    return []


@dataclass
class Wish:
    """A provisioner that wants what a test wants, and a batcher that takes what waits unless told to drop it."""

    replicas: dict[str, int]
    windows: list[Window] = field(default_factory=list)
    told: list[Provision] = field(default_factory=list)
    drop: str = ""
    """The stage whose oldest task is dropped."""
    again_at: float | None = None
    ends: list[tuple[str, int, int]] = field(default_factory=list)

    def decide(self, window: Window) -> Provision:
        self.windows.append(window)
        return {stage: Share(count, 4, 0.05) for stage, count in self.replicas.items()}

    def provisioned(self, provision: Provision) -> None:
        self.told.append(provision)

    def choose(self, stage: str, waiting: Sequence[Waiting], backlogs: Mapping[str, Backlog], now: float) -> Choice:
        if self.again_at is not None and now < self.again_at:
            return Choice(again_at=self.again_at)
        numbers = [task.number for task in waiting]
        return Choice(drop=numbers[:1]) if stage == self.drop else Choice(numbers[:4])

    def ended(self, stage: str, size: int, seconds: float, late: int, now: float) -> None:
        self.ends.append((stage, size, late))


class ServedWorld(SchedulerWorld):
    """Workers whose models are loaded when a test says so."""

    def assigned(self) -> list[tuple[int, str]]:
        """(worker, stage) of every assignment so far, in their order."""
        return [
            (sent.peer - WORKER, QUALIFIED.get(sent.message.stage, sent.message.stage))
            for sent in self.sent
            if isinstance(sent.message, AssignLane)
        ]

    def load(self) -> None:
        """Every model that is awaited is loaded."""
        served = self.core.state.served
        assert served is not None
        for replica in list(served.replicas.values()):
            if replica.stage and not replica.is_ready:
                said = LaneReady(self.epoch, replica.lane, f"{SCOPE.pipeline}/{replica.stage}")
                self.tell(PeerSaid(replica.worker, said))

    def replicas(self) -> list[Replica]:
        served = self.core.state.served
        assert served is not None
        return list(served.replicas.values())

    def serving_stages(self) -> list[str]:
        """By worker: what its lane serves; in brackets while it does not yet, with what it becomes behind an arrow."""
        return [
            (each.stage if each.is_ready else f"({each.stage})")
            + (f"->{each.becomes}" if each.becomes is not None else "")
            for each in self.replicas()
        ]


def world_of(workers: int, wish: Wish, load: bool = True) -> ServedWorld:
    serving = Serving(SCOPE, PIPELINE, wish, wish)
    world = ServedWorld(declaration=DECLARED, workers=workers, emits=emissions, serving=serving)
    if load:
        world.load()
    return world


def frame(name: str, deadline: float = 10.0) -> Event:
    return Event(SCOPE, name, ObjectRef("frames", f"/frames/{name}", name, size=1), b"x", Priority.HIGH, deadline, "")


def each(detect: int = 1, classify: int = 1, gather: int = 1) -> dict[str, int]:
    return {"detect": detect, "classify": classify, "gather": gather}


# --- which lane serves which stage -----------------------------------------------------------------------------------


def test_lanes_are_given_as_workers_come() -> None:
    """Each worker that joins gets what is still short, and one that nobody needs gets nothing."""
    world = world_of(5, Wish(each(classify=2)), load=False)

    assert world.serving_stages() == ["(detect)", "(classify)", "(gather)", "(classify)", "()"]
    assert world.core.state.wanted_workers == 4


def test_a_replica_runs_nothing_before_its_model_is_loaded() -> None:
    """The cold start is the worker's own."""
    world = world_of(3, Wish(each()), load=False)
    world.submit(frame("a"))
    assert not world.batches

    world.load()

    assert [batch.stage for _, batch in world.batches.values()] == ["detect"]


def test_what_grows_takes_free_lanes_first() -> None:
    """Nobody loses a lane while another serves nobody."""
    wish = Wish(each())
    world = world_of(4, wish)
    before = world.assigned()

    wish.replicas = each(classify=2)
    world.wait(1.0)

    assert world.assigned()[len(before) :] == [(3, "classify")]


def test_a_replica_is_drained_before_it_changes_hands() -> None:
    """It ends its batch, takes no other, and only then loads the other model."""
    wish = Wish(each(detect=2))
    world = world_of(4, wish)
    world.submit(*[frame(f"{number}") for number in range(8)])
    assert len(world.running("detect")) == 2

    wish.replicas = each(classify=2)
    world.wait(1.0)
    assert "detect->classify" in world.serving_stages()
    draining = world.serving_stages().index("detect->classify")
    world.finish(next(number for number, (peer, _) in world.batches.items() if peer == WORKER + draining))

    assert world.serving_stages()[draining] == "(classify)"
    assert world.assigned()[-1] == (draining, "classify")


def test_a_replica_that_is_wanted_again_stays() -> None:
    """A change of mind while it drains costs nothing."""
    wish = Wish(each(detect=2))
    world = world_of(4, wish)
    world.submit(*[frame(f"{number}") for number in range(8)])
    before = world.assigned()
    wish.replicas = each(classify=2)
    world.wait(1.0)
    wish.replicas = each(detect=2)
    world.wait(1.0)

    assert world.assigned() == before
    assert sorted(world.serving_stages()) == ["classify", "detect", "detect", "gather"]


def test_what_is_coming_is_called_off_first() -> None:
    """A stage that needs less gives up a lane that is not up yet rather than one that works."""
    wish = Wish(each(classify=2))
    world = world_of(4, wish, load=False)
    wish.replicas = each(detect=2)
    world.wait(1.0)

    assert sorted(world.serving_stages()) == ["(classify)", "(detect)", "(detect)", "(gather)"]
    assert wish.windows[-1].stages["classify"].coming == 2


def test_what_nobody_needs_lets_go_of_its_model() -> None:
    """A lane is given back when its stage has too many and no other has too few."""
    wish = Wish(each(classify=2))
    world = world_of(4, wish)
    wish.replicas = each()
    world.wait(1.0)

    assert world.assigned()[-1][1] == ""
    assert world.serving_stages().count("()") == 1


def test_more_than_there_is_is_given_in_proportion() -> None:
    """Every stage has a lane, and the workers that are wanted are published."""
    world = world_of(6, Wish(each(2, 8, 2)), load=False)

    assert world.serving_stages().count("(classify)") == 4
    assert world.core.state.wanted_workers == 12


def test_a_lost_workers_stage_goes_elsewhere() -> None:
    """Its tasks wait again, and a lane that serves nobody takes its place at once."""
    world = world_of(4, Wish(each()))
    world.submit(frame("a"))
    (batch,) = world.running("detect")
    world.lose(WORKER)
    assert world.assigned()[-1] == (3, "detect")

    world.load()

    assert [task.event_id for task in world.running("detect")[-1].tasks] == [task.event_id for task in batch.tasks]


def test_a_worker_keeps_what_an_earlier_leader_had_it_load() -> None:
    """The lane is assigned the stage whose model it has, if that is wanted."""
    world = world_of(2, Wish(each()), load=False)
    joined = WorkerJoined("w9", "n0", "cpu", 1, (), loaded=(f"{SCOPE.pipeline}/gather",))
    world.tell(WorkerConnected(WORKER + 9, joined))

    assert world.assigned()[-1] == (9, "gather")
    assert world.serving_stages() == ["(detect)", "(classify)", "(gather)"]


def test_a_lane_that_could_not_load_is_tried_again() -> None:
    """With the next look of the provisioner, not at once and for ever."""
    world = world_of(3, Wish(each()), load=False)
    world.tell(PeerSaid(WORKER, LaneReady(1, 0, "")))
    assert world.serving_stages()[0] == "()"

    world.wait(1.0)

    assert world.serving_stages()[0] == "(detect)"


# --- what replicas run -----------------------------------------------------------------------------------------------


def test_an_event_goes_through_and_its_windows_say_so() -> None:
    """Counts are of what was offered, of what became ready, and of what it led to, joins included."""
    wish = Wish(each())
    world = world_of(3, wish)
    world.submit(frame("a"), frame("b"))
    world.run_all(compute_s=0.01)
    world.wait(1.0)

    assert [world.outcomes[name].status for name in "ab"] == [Status.OK, Status.OK]
    window = next(window for window in wish.windows if window.offered)
    seen = window.stages
    assert window.offered == 2
    assert [seen[stage].arrived for stage in PIPELINE.stages] == [2, 6, 2]
    assert [seen[stage].processed for stage in PIPELINE.stages] == [2, 6, 2]
    assert (seen["detect"].led_to, seen["classify"].led_to) == ({"classify": 6}, {"gather": 2})
    assert all(each.queued == each.running == 0 for each in seen.values())
    assert ("classify", 4, 0) in wish.ends
    assert len(wish.told) == len(wish.windows)


def test_a_stage_runs_on_its_own_replicas_only() -> None:
    """Batches go to the workers that serve the stage, whoever else is idle."""
    world = world_of(3, Wish(each()))
    world.submit(*[frame(f"{number}") for number in range(16)])

    assert {peer for peer, _ in world.batches.values()} == {WORKER}


def test_the_next_batch_is_sent_when_the_one_before_is_about_to_end() -> None:
    """Not ahead of time, when a better one might still come together, and no more than one."""
    world = world_of(3, Wish(each()))
    world.submit(*[frame(f"{number}") for number in range(16)])
    assert len(world.running("detect")) == 1

    world.wait(0.014)  # four take 13 ms

    assert len(world.running("detect")) == 2


def test_what_is_dropped_ends_its_cascade_at_once() -> None:
    """Siblings that wait go too, and are counted; the client hears why."""
    wish = Wish(each(), drop="classify")
    world = world_of(3, wish)
    world.submit(frame("a"))
    world.finish(min(world.batches), compute_s=0.01)

    assert (world.outcomes["a"].status, world.outcomes["a"].reason) == (
        Status.DEADLINE_EXCEEDED,
        Reason.PREDICTED_LATE,
    )
    assert not world.core.state.tasks
    world.wait(1.0)
    assert sum(window.stages["classify"].dropped for window in wish.windows) == 3


def test_siblings_that_run_are_called_off() -> None:
    """A worker need not start what nobody waits for."""
    wish = Wish(each(classify=1))
    world = world_of(3, wish)
    world.submit(frame("a"), frame("b"))
    world.finish(min(world.batches), compute_s=0.01)
    assert len(world.running("classify")) == 1
    wish.drop = "classify"
    world.wait(0.014)

    assert any(isinstance(sent.message, CancelTasks) for sent in world.sent)
    assert world.outcomes["b"].reason is Reason.PREDICTED_LATE


def test_a_batcher_that_waits_is_asked_again_then() -> None:
    """`again_at` wakes the core though nothing happens."""
    wish = Wish(each(), again_at=0.05)
    world = world_of(3, wish)
    world.submit(frame("a"))
    assert not world.batches
    assert world.core.wake_at == pytest.approx(0.05)

    world.wait(0.05)

    assert len(world.batches) == 1


def test_refused_events_count_as_offered() -> None:
    """What is turned away for want of room is load all the same."""
    wish = Wish(each())
    world = world_of(3, wish)
    world.core.state.stopping = True
    world.submit(frame("a"))
    world.wait(1.0)

    assert world.outcomes["a"].status is Status.UNAVAILABLE
    assert sum(window.offered for window in wish.windows) == 1


def test_a_pipeline_that_is_not_provisioned_is_refused() -> None:
    """All lanes belong to the one that is, as it was declared then."""
    wish = Wish(each())
    serving = Serving(SCOPE._replace(tenant="other"), PIPELINE, wish, wish)
    world = ServedWorld(declaration=DECLARED, workers=3, emits=emissions, serving=serving)
    world.submit(frame("a"))

    assert world.outcomes["a"].reason is Reason.NO_WORKER

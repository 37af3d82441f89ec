"""A scheduler whose devices two priorities share: what the policy says becomes batches, drops and spans."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from covey.declaration import Declaration, Need, NeedKind, PoolDeclaration, StageDeclaration
from covey.errors import InvalidArgument, Reason, Status
from covey.messages import BatchReport, CancelEvent, RunBatch, Task, TaskReport, WorkerJoined
from covey.model import Event, ObjectRef, Priority
from covey.profiles import LatencyTable
from covey.services.scheduler.app import shared_of
from covey.services.scheduler.core.commands import RecordTraces, TaskTrace
from covey.services.scheduler.core.contention import Load, Rule
from covey.services.scheduler.core.guessing import FIRST_S
from covey.services.scheduler.core.provision import Curve
from covey.services.scheduler.core.shared import Shared
from covey.services.scheduler.core.sharing import shared_devices
from covey.services.scheduler.core.stimuli import Declared, PeerLost, PeerSaid, WorkerConnected
from covey.services.scheduler.settings import SchedulerSettings
from tests.builders import SCOPE, event
from tests.worlds import GATEWAY, WORKER, SchedulerWorld

HIGH, LOW = Priority.HIGH, Priority.LOW
MODEL = f"{SCOPE.tenant}/{SCOPE.pipeline}/see"
SECONDS = 0.1
LATE = (Status.DEADLINE_EXCEEDED, Reason.PREDICTED_LATE)


def declared(batch_max: int = 4, objective_s: float = 1.0, needs: tuple[Need, ...] = ()) -> Declaration:
    """One stage; with `needs`, one that hands on a state."""
    pools = (
        PoolDeclaration("frames", "/frames/{camera}/{tick:int}", "template", "{camera}"),
        PoolDeclaration("states", "/states/{camera}", "template", "{camera}"),
    )
    stage = StageDeclaration("see", "frames", needs=needs, emits=("states",), batch_max=batch_max)
    return Declaration(SCOPE.pipeline, objective_s, pools, (stage,)).versioned()


def state_of(batch: RunBatch, task: Task) -> list[tuple[str, str, str]]:
    camera = str(dict(task.fields)["camera"])
    return [("states", f"/states/{camera}", camera)]


def frame(
    number: int,
    priority: Priority = HIGH,
    budget_s: float = 10.0,
    *,
    now: float = 0.0,
    traceparent: str = "",
    camera: str = "",
) -> Event:
    camera = camera or f"c{number}"
    ref = ObjectRef("frames", f"/frames/{camera}/{number}", camera, size=5)
    return Event(SCOPE, f"e{number}", ref, b"frame", priority, now + budget_s, "", traceparent=traceparent)


def curves(seconds: float = SECONDS) -> Mapping[str, Curve]:
    """Each task takes as long."""
    return {MODEL: LatencyTable((1, 2), (seconds, 2 * seconds))}


def world(
    known: Mapping[str, Curve] | None = None,
    workers: int = 1,
    lanes: int = 1,
    declaration: Declaration | None = None,
    kept: tuple[int, int] = (0, 0),
) -> SchedulerWorld:
    shared = shared_devices(curves() if known is None else known)
    declaration = declaration or declared()
    return SchedulerWorld(
        workers=workers, lanes=lanes, declaration=declaration, emits=state_of, shared=shared, kept=kept
    )


def shared_in(world: SchedulerWorld) -> Shared:
    assert world.core.state.shared is not None
    return world.core.state.shared


def runs(world: SchedulerWorld) -> list[tuple[int, Priority, int]]:
    """(worker, priority, tasks) of every batch that is under way."""
    return [(peer - WORKER, batch.priority, len(batch.tasks)) for peer, batch in world.batches.values()]


def finish(world: SchedulerWorld, seconds: float = SECONDS) -> RunBatch:
    """The oldest batch ends after it has computed for so long."""
    world.now += seconds
    return world.finish(min(world.batches), compute_s=seconds)


def test_a_batch_is_of_one_priority_and_high_goes_first() -> None:
    """LOW waits though it came first and is more urgent; what waits of one priority runs together."""
    found = world()
    found.submit(frame(0))
    found.submit(frame(1, LOW, 5.0), frame(2), frame(3), frame(4, LOW, 5.0))
    assert runs(found) == [(0, HIGH, 1)]
    finish(found)
    assert runs(found) == [(0, HIGH, 2)]
    finish(found, 2 * SECONDS)
    assert runs(found) == [(0, LOW, 2)]
    finish(found, 2 * SECONDS)
    assert all(outcome.status is Status.OK for outcome in found.outcomes.values())


def test_a_worker_has_as_many_batches_as_lanes_and_two_at_most() -> None:
    """The policy allows two side by side; none waits at a worker for a lane."""
    for lanes, expected in ((1, 1), (2, 2), (4, 2)):
        found = world(lanes=lanes, declaration=declared(batch_max=1))
        found.submit(*[frame(number) for number in range(6)])
        assert len(runs(found)) == expected, lanes


def test_lanes_that_are_kept_for_a_priority_take_no_other() -> None:
    """On CUDA one lane is for HIGH: a second HIGH batch waits for it, and LOW has the other."""
    found = world(lanes=2, declaration=declared(batch_max=1), kept=(1, 1))
    found.submit(frame(0), frame(1), frame(2, LOW), frame(3, LOW))
    assert runs(found) == [(0, HIGH, 1), (0, LOW, 1)]


def test_what_can_not_make_it_is_dropped_and_the_client_told_why() -> None:
    """One event has less time than a task takes alone; the other has once it has waited for half of its time."""
    found = world()
    found.submit(frame(0, budget_s=0.05))
    assert (found.outcomes["e0"].status, found.outcomes["e0"].reason) == LATE
    assert "predicted to end after the deadline" in found.outcomes["e0"].message
    found.submit(frame(1))
    found.submit(frame(2, budget_s=0.15))
    assert runs(found) == [(0, HIGH, 1)]
    found.wait(0.1)
    assert (found.outcomes["e2"].status, found.outcomes["e2"].reason) == LATE


def test_the_scheduler_wakes_when_the_policy_wants_to_be_asked() -> None:
    """Nothing else happens: the drop comes when the task has become hopeless, not at the next tick."""
    found = world()
    found.submit(frame(0))
    found.submit(frame(1, budget_s=0.15))
    wake_at = found.core.wake_at
    assert wake_at is not None
    found.now = wake_at
    found.tell()
    assert found.now == pytest.approx(0.05, abs=0.001)
    assert found.outcomes["e1"].reason is Reason.PREDICTED_LATE


def test_an_event_that_is_taken_back_is_not_run() -> None:
    """Its task leaves the policy's lines with it."""
    found = world()
    found.submit(frame(0), frame(1))
    found.tell(PeerSaid(GATEWAY, CancelEvent(SCOPE, "e1")))
    finish(found)
    assert not found.batches
    assert not any(shared_in(found).waiting.values())


def test_a_stage_without_profile_is_tried_and_then_known() -> None:
    """Before the first batch a task is taken to be short, so it runs; then nothing starts that can't make it."""
    found = world(known={})
    assert shared_in(found).profiles == {}
    found.submit(frame(0, budget_s=0.01))
    policy, load = shared_in(found).policy, Load(MODEL, 1, HIGH)
    assert runs(found) == [(0, HIGH, 1)], "nobody knows better"
    assert shared_in(found).profiles[MODEL].curve.mean_s(1) == FIRST_S
    finish(found, 0.5)
    assert shared_in(found).profiles[MODEL].curve.mean_s(1) == pytest.approx(0.5)
    assert not shared_in(found).profiles[MODEL].measured
    assert policy._slowdowns.solo_s(load) == pytest.approx(0.5, rel=0.05)
    found.submit(frame(1, budget_s=0.3, now=found.now))
    assert (found.outcomes["e1"].status, found.outcomes["e1"].reason) == LATE


def test_the_declaration_says_how_large_batches_are() -> None:
    """Also where the profile goes further, and for a version that allows larger ones."""
    found = world(lanes=1, declaration=declared(batch_max=2))
    found.submit(*[frame(number) for number in range(6)])
    finish(found)
    assert runs(found) == [(0, HIGH, 2)]
    found.tell(Declared(SCOPE.tenant, declared(batch_max=4, objective_s=2.0)))
    found.wait(0.3)
    found.submit(*[frame(number, now=found.now) for number in range(10, 16)])
    sizes = []
    while found.batches:
        sizes.append(len(finish(found).tasks))
    assert sizes[-1] in (2, 4)
    assert max(sizes) == 4


def test_tasks_of_two_versions_share_no_batch() -> None:
    """They wait in one line, for they are one stage; what the first does not take along waits again."""
    found = world()
    old = declared()
    found.submit(frame(0))
    found.submit(replace(frame(1), declaration=old.version))
    new = declared(objective_s=2.0)
    found.tell(Declared(SCOPE.tenant, new))
    found.wait(0.3)
    found.submit(replace(frame(2, now=found.now), declaration=new.version))
    versions = []
    while found.batches:
        batch = finish(found)
        versions.append((batch.declaration, len(batch.tasks)))
    assert versions == [(old.version, 1), (old.version, 1), (new.version, 1)]
    assert [outcome.status for outcome in found.outcomes.values()] == [Status.OK] * 3


def test_what_ran_on_a_worker_that_is_lost_runs_alone_elsewhere() -> None:
    """Its device leaves the policy; each of its tasks runs by itself on one that came late."""
    found = world()
    found.submit(frame(0))
    found.submit(frame(1), frame(2))
    finish(found)
    assert runs(found) == [(0, HIGH, 2)]
    found.lose(WORKER)
    assert not found.batches
    assert not shared_in(found).policy.devices
    found.join_worker(1)
    sizes = []
    while found.batches:
        assert runs(found)[0][0] == 1
        sizes.append(len(finish(found).tasks))
    assert sizes == [1, 1]
    assert {outcome.status for outcome in found.outcomes.values()} == {Status.OK}


def test_a_batch_that_is_turned_away_frees_its_slot_and_is_tried_again() -> None:
    """It pauses and comes back; a refusal says nothing of how long a batch takes."""
    found = world()
    found.submit(frame(0))
    policy = shared_in(found).policy
    before = policy._slowdowns.solo_s(Load(MODEL, 1, HIGH))
    found.now += 0.001
    found.fail(min(found.batches), Status.UNAVAILABLE, Reason.NO_WORKER)
    assert policy._slowdowns.solo_s(Load(MODEL, 1, HIGH)) == before
    found.submit(frame(1))
    assert runs(found) == [(0, HIGH, 1)]
    finish(found)
    found.wait(0.1)
    finish(found)
    assert {outcome.status for outcome in found.outcomes.values()} == {Status.OK}


def test_reports_teach_how_long_batches_take() -> None:
    """A model that takes twice as long as was measured is predicted so after a while; the way there counts too."""
    found = world()
    for number in range(40):
        found.submit(frame(number, now=found.now))
        found.wait(2 * SECONDS + 0.02)
        (key,) = found.batches
        peer, batch = found.batches.pop(key)
        reports = tuple(found.report(batch, task) for task in batch.tasks)
        found.tell(PeerSaid(peer, BatchReport(key, batch.epoch, reports, compute_s=2 * SECONDS, store_s=0.01)))
    found.submit(frame(99, now=found.now))
    why = next(iter(found.core.state.batches.values())).tasks[0].why
    assert why is not None
    assert why.predicted_s == pytest.approx(2 * SECONDS + 0.02, rel=0.1)


def test_a_low_task_that_high_waits_for_runs_as_high() -> None:
    """The task behind it on the same state lends it priority and deadline, and takes them back where they can't be
    kept: the LOW event has time enough."""
    needs = (Need("states", NeedKind.LATEST),)
    found = world(declaration=declared(1, needs=needs))
    found.submit(frame(0, camera="other"))
    found.submit(frame(1, LOW, 9.0, camera="mine"), frame(2, budget_s=5.0))
    found.submit(frame(3, HIGH, 1.0, camera="mine"))
    finish(found)
    assert [task.event_id for _, batch in found.batches.values() for task in batch.tasks] == ["e1"]
    assert runs(found) == [(0, HIGH, 1)]
    finish(found)
    assert [task.event_id for _, batch in found.batches.values() for task in batch.tasks] == ["e3"]

    late = world(declaration=declared(1, needs=needs))
    late.submit(frame(0, camera="other"))
    late.submit(frame(1, LOW, 9.0, camera="mine"))
    late.submit(frame(3, HIGH, 0.15, camera="mine"))
    late.wait(0.2)
    assert late.outcomes["e3"].reason is Reason.LATE
    finish(late)
    assert runs(late) == [(0, LOW, 1)]
    finish(late)
    assert [late.outcomes[name].status for name in ("e0", "e1")] == [Status.OK, Status.OK]


def test_who_can_not_make_what_one_lent_has_what_the_next_lends() -> None:
    """Of two HIGH events that wait for a LOW one's state the first is lost: it still runs for the other, and before
    LOW ones that came earlier."""
    found = world(declaration=declared(1, needs=(Need("states", NeedKind.LATEST),)))
    found.submit(frame(0, camera="other"))
    found.submit(frame(1, LOW, 5.0), frame(2, LOW, 9.0, camera="mine"))
    found.submit(frame(3, HIGH, 0.15, camera="mine"), frame(4, HIGH, 5.0, camera="mine"))
    found.wait(0.2)
    assert found.outcomes["e3"].reason is Reason.LATE
    finish(found)
    assert [task.event_id for _, batch in found.batches.values() for task in batch.tasks] == ["e2"]
    assert runs(found) == [(0, HIGH, 1)]


def test_a_stage_that_nobody_runs_ends_its_events() -> None:
    """After its patience the scheduler says that there is no worker, as with any other way to dispatch."""
    found = world(workers=0)
    found.tell(WorkerConnected(WORKER, WorkerJoined("w", "n0", "cpu", 1, ("another/stage",))))
    found.submit(frame(0), frame(1, LOW))
    assert not found.batches
    found.wait(5.0)
    assert {outcome.reason for outcome in found.outcomes.values()} == {Reason.NO_WORKER}


def test_a_leader_that_is_elected_anew_begins_with_no_device() -> None:
    """Peers are met again; what was under way runs again."""
    found = world(lanes=2)
    found.submit(frame(0), frame(1, LOW))
    found.tell(PeerLost(WORKER))
    assert shared_in(found).running == {}
    found.batches.clear()
    found.join_worker(5)
    finish(found)
    while found.batches:
        finish(found)
    assert [found.outcomes[name].status for name in ("e0", "e1")] == [Status.OK, Status.OK]


def test_a_batch_in_which_a_task_failed_teaches_nothing() -> None:
    """What it computed for was tried in halves."""
    found = world(known={})
    found.submit(frame(0))
    ((key, (peer, batch)),) = found.batches.items()
    found.batches.clear()
    found.now += 1.0
    failed = TaskReport(batch.tasks[0].number, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED, "no")
    found.tell(PeerSaid(peer, BatchReport(key, batch.epoch, (failed,), compute_s=1.0)))
    assert shared_in(found).profiles[MODEL].curve.mean_s(1) == FIRST_S
    assert found.outcomes["e0"].reason is Reason.STAGE_FAILED


def test_a_stage_starts_only_if_what_follows_has_time_too() -> None:
    """Three stages take 100 ms each: an event that has 250 is dropped at the first, one that has 350 is answered."""
    stages = ("track", "predict", "collide")
    times = {f"{SCOPE.tenant}/{SCOPE.pipeline}/{stage}": LatencyTable((1,), (SECONDS,)) for stage in stages}
    for budget_s, expected in ((0.25, LATE), (0.35, (Status.OK, Reason.NONE))):
        found = SchedulerWorld(shared=shared_devices(times))
        found.submit(event(deadline=budget_s))
        while found.batches:
            finish(found)
        assert (found.outcomes["s-0"].status, found.outcomes["s-0"].reason) == expected


# --- what traces tell ------------------------------------------------------------------------------------------------

TRACED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traces(world: SchedulerWorld) -> list[TaskTrace]:
    return [task for command in world.commands if isinstance(command, RecordTraces) for task in command.tasks]


def test_a_batch_s_reason_is_in_the_trace_of_each_of_its_tasks() -> None:
    """Rule, prediction, and what ran beside it; also of a probe or a drop, which tells why it did not run."""
    found = world(lanes=2)
    found.submit(frame(0, LOW, traceparent=TRACED))
    found.submit(frame(1, traceparent=TRACED))
    finish(found)
    finish(found)
    low, high = traces(found)
    assert low.why is not None
    assert high.why is not None
    assert (low.why.rule, high.why.rule) == (Rule.FITS, Rule.SOONEST)
    assert high.why.beside == (Load(MODEL, 1, LOW),)
    assert high.ran is not None
    assert (high.ran.worker, high.ran.node, high.ran.batch_size) == ("w0", "n0", 1)

    found.submit(frame(2, budget_s=0.01, now=found.now, traceparent=TRACED))
    dropped = traces(found)[-1]
    assert dropped.why is not None
    assert (dropped.why.rule, dropped.ran) == (Rule.HOPELESS, None)
    assert dropped.error == "DEADLINE_EXCEEDED PREDICTED_LATE"
    assert len(traces(found)) == 3, "each task has one span"


def test_an_event_that_ends_early_has_spans_of_what_was_open() -> None:
    """One task runs and one waits when their clients take the events back."""
    found = world(declaration=declared(batch_max=1))
    found.submit(frame(0, traceparent=TRACED), frame(1, traceparent=TRACED), frame(2))
    found.tell(*[PeerSaid(GATEWAY, CancelEvent(SCOPE, name)) for name in ("e0", "e1", "e2")])
    running, waiting = traces(found)
    assert running.ran is not None
    assert waiting.ran is None
    assert {running.error, waiting.error} == {"CANCELLED CANCELLED"}


# --- settings --------------------------------------------------------------------------------------------------------


def test_priorities_are_asked_for_and_exclude_provisioning(tmp_path: Path) -> None:
    """Off unless set; with a profile of lanes of their own the scheduler does not start, and says why."""
    plain = SchedulerSettings("redis://")
    assert shared_of(plain) is None
    assert shared_of(replace(plain, priorities=True)) is not None
    with pytest.raises(InvalidArgument, match="COVEY_PRIORITIES and COVEY_PROFILE exclude one another"):
        shared_of(replace(plain, priorities=True, profile=tmp_path / "profile.json"))


def test_a_setting_says_what_low_is_worth() -> None:
    """A number is the rate of exchange, `kept` that LOW gets all that it asks for; anything else is refused."""
    plain = SchedulerSettings("redis://", priorities=True)
    for worth, exchange, keep_low in ((plain.low_worth, 0.3, False), ("2", 2.0, False), ("kept", 0.3, True)):
        shared = shared_of(replace(plain, low_worth=worth))
        assert shared is not None
        assert (shared.policy.rules.exchange, shared.policy.rules.keep_low) == (exchange, keep_low)
    for wrong in ("much", "-1", "nan"):
        with pytest.raises(InvalidArgument, match="COVEY_LOW_WORTH is 'kept' or a number, 0 or more"):
            shared_of(replace(plain, low_worth=wrong))


def test_what_was_measured_beforehand_is_known_from_the_first_event_on(tmp_path: Path) -> None:
    """The file that `covey profile` writes gives the curves."""
    stage = '{"sizes": [1, 4], "mean_s": [0.1, 0.2], "std_s": [0.0, 0.0], "cold_s": 0.0}'
    file = tmp_path / "profile.json"
    file.write_text(
        f'{{"name": "{SCOPE.pipeline}", "objective_s": 1.0, "stages": {{"see": {stage}}}, "edges": [["", "see", 1]]}}'
    )
    settings = SchedulerSettings("redis://", priorities=True, priority_profile=file, tenant=SCOPE.tenant)
    shared = shared_of(settings)
    assert shared is not None
    found = SchedulerWorld(declaration=declared(), emits=state_of, shared=shared)
    found.submit(frame(0, budget_s=0.05))
    assert found.outcomes["e0"].reason is Reason.PREDICTED_LATE
    assert shared.profiles[MODEL].measured

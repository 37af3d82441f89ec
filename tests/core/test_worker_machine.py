"""The worker's core: a batch's way through the phases."""

from dataclasses import replace

import pytest

from covey.errors import Reason, Status
from covey.messages import Beat, CancelTasks, LeaderJoined, WorkerJoined
from covey.model import GroupId, KeyRead, LastRead, Placement, Priority, emission_id
from covey.services.worker.core.commands import Command, Compute, Exit, Fetch, Forget, Report, Send, Store, UseView
from covey.services.worker.core.phases import MOVES, Phase
from covey.services.worker.core.state import IllegalMove
from covey.services.worker.core.stimuli import BatchKey, EngineLost, Found, InputsFetched, Stored, key_of
from tests.builders_worker import SCOPE, Bench, a_batch, a_ref, a_state_read, a_task, a_view, ends, every, the

POINT = a_ref("points", "/points/a/1")


def test_a_batch_is_fetched_computed_stored_and_reported() -> None:
    """One batch goes through every phase, and the report says how long each took."""
    bench = Bench()
    fetch = the(Fetch, bench.say(a_batch(1, a_task(1, needs=[a_state_read(0)])), at=0.0))
    compute = the(Compute, bench.fetched(fetch, at=0.25))
    store = the(Store, bench.computed(compute, POINT, at=1.0))
    report = the(Report, bench.stored(store, at=1.125)).report

    assert (fetch.reads, compute.tasks, compute.lane) == ((a_state_read(0),), (1,), 0)
    assert [(put.node, put.ref, put.emission) for put in store.puts] == [
        ("n1", POINT, emission_id(compute.run.tasks[0].identity, 0))
    ]
    task = report.tasks[0]
    assert (task.status, task.emissions[0].value.ref) == (Status.OK, replace(POINT, version=7))
    assert (report.fetch_s, report.wait_s, report.compute_s, report.store_s) == (0.25, 0.0, 0.5, 0.125)


def test_a_batch_without_inputs_or_emissions_skips_both_phases() -> None:
    """Nothing is fetched when the trigger came along, and nothing is stored when nothing was emitted."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1)))

    assert ends(bench.computed(compute)) == {1: ("OK", "")}
    assert not every(Fetch, bench.commands)
    assert not every(Store, bench.commands)


def test_a_large_trigger_is_read_from_its_home() -> None:
    """A trigger whose payload travels apart is a required read at the home of its group."""
    bench = Bench()
    fetch = the(Fetch, bench.say(a_batch(1, a_task(1, payload=None))))

    (read,) = fetch.reads
    assert read == KeyRead("ticks", "/ticks/a/1", "a", 1, "n1", required=True)


def test_inputs_are_fetched_while_another_batch_computes() -> None:
    """Fetching starts when a batch arrives; the lane is free again when the stage has ended, before it is stored."""
    bench = Bench()
    first = the(Compute, bench.say(a_batch(1)))
    fetch = the(Fetch, bench.say(a_batch(2, a_task(2, needs=[a_state_read(0)]))))
    assert not every(Compute, bench.fetched(fetch))

    commands = bench.computed(first, POINT)
    assert [type(command) for command in commands] == [Store, Compute]


def test_fetches_are_bounded() -> None:
    """At most `fetching_max` batches fetch at once; the most urgent waits first."""
    bench = Bench(fetching_max=1)
    needs = [a_state_read(0)]
    fetch = the(Fetch, bench.say(a_batch(1, a_task(1, 50.0, needs))))
    assert not every(Fetch, bench.say(a_batch(2, a_task(2, 90.0, needs)), a_batch(3, a_task(3, 60.0, needs))))

    assert the(Fetch, bench.fetched(fetch)).run.number == 3


def test_a_free_lane_takes_high_before_low_then_the_earliest_deadline() -> None:
    """The order is priority, deadline, arrival."""
    bench = Bench()
    running = the(Compute, bench.say(a_batch(1)))
    low = a_batch(2, a_task(2, 5.0), priority=Priority.LOW)
    bench.say(low, a_batch(3, a_task(3, 9.0)), a_batch(4, a_task(4, 7.0)), a_batch(5, a_task(5, 7.0)))
    order = []
    for _ in range(4):
        running = the(Compute, bench.computed(running))
        order.append(running.run.number)

    assert order == [4, 5, 3, 2]


def test_a_lane_kept_for_high_takes_no_low() -> None:
    """LOW runs in the lanes that are open to it, and HIGH prefers its own."""
    bench = Bench(lanes=(Priority.HIGH, None))
    low = [a_batch(number, a_task(number), priority=Priority.LOW) for number in (1, 2)]
    assert [(each.run.number, each.lane) for each in every(Compute, bench.say(*low))] == [(1, 1)]

    assert the(Compute, bench.say(a_batch(3))).lane == 0


def test_a_failed_batch_is_retried_in_halves_down_to_the_task_that_fails() -> None:
    """Only the task that makes the stage raise is reported as failed, and the message names the stage alone."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1, *[a_task(number) for number in (1, 2, 3, 4)])))
    tried = []
    commands: list[Command] = [compute]
    while every(Compute, commands):
        compute = the(Compute, commands)
        tried.append(compute.tasks)
        commands = bench.failed(compute) if 3 in compute.tasks else bench.computed(compute, POINT)
    commands = bench.stored(the(Store, commands))

    assert tried == [(1, 2, 3, 4), (1, 2), (3, 4), (3,), (4,)]
    assert {number: status for number, (status, _) in ends(commands).items()} == {
        1: "OK", 2: "OK", 3: "FAILED_PRECONDITION", 4: "OK",
    }  # fmt: skip
    assert the(Report, commands).report.tasks[2].message == "stage 'track' failed"
    assert the(Report, commands).report.compute_s == pytest.approx(3 * 0.25 + 2 * 0.5)


def test_a_task_that_fails_itself_fails_alone() -> None:
    """`task.fail` reports its reason, and the other tasks of the batch are stored."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1, a_task(1), a_task(2))))
    store = the(Store, bench.computed(compute, POINT, failed={1: "no sun"}))
    report = the(Report, bench.stored(store)).report

    assert [(task.status, task.message) for task in report.tasks] == [
        (Status.FAILED_PRECONDITION, "no sun"),
        (Status.OK, ""),
    ]
    assert report.tasks[0].emissions == ()


def test_nothing_starts_past_its_deadline() -> None:
    """A task whose deadline has come when a lane is free is reported late; the others of its batch run."""
    bench = Bench()
    running = the(Compute, bench.say(a_batch(1)))
    bench.say(a_batch(2, a_task(2, deadline=3.0), a_task(3, deadline=9.0)))
    compute = the(Compute, bench.computed(running, at=3.0))

    assert compute.tasks == (3,)
    assert ends(bench.computed(compute, at=4.0)) == {2: ("DEADLINE_EXCEEDED", "LATE"), 3: ("OK", "")}


def test_a_batch_that_is_late_altogether_is_reported_without_running() -> None:
    """No read and no computation is spent on it."""
    bench = Bench()
    commands = bench.say(a_batch(1, a_task(1, deadline=1.0, needs=[a_state_read(0)])), at=1.0)

    assert ends(commands) == {1: ("DEADLINE_EXCEEDED", "LATE")}
    assert not every(Fetch, commands)


def test_cancelled_tasks_are_skipped_unless_they_have_started() -> None:
    """A running task is not disturbed; a waiting one is reported as cancelled."""
    bench = Bench()
    running = the(Compute, bench.say(a_batch(1)))
    bench.say(a_batch(2, a_task(2), a_task(3)), a_batch(4))

    assert ends(bench.say(CancelTasks(1, (1, 2, 4)))) == {4: ("CANCELLED", "CANCELLED")}
    compute = the(Compute, bench.computed(running))
    assert compute.tasks == (3,)
    assert ends(bench.computed(compute)) == {2: ("CANCELLED", "CANCELLED"), 3: ("OK", "")}


def test_a_cancelled_half_lets_the_other_be_stored() -> None:
    """When the half that still waits is cancelled, what the other has emitted is stored without a lane."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1, a_task(1), a_task(2))))
    half = the(Compute, bench.failed(compute))
    bench.say(a_batch(9, a_task(9, deadline=1.0)))  # more urgent: takes the lane between the halves
    assert the(Compute, bench.computed(half, POINT)).run.number == 9

    store = the(Store, bench.say(CancelTasks(1, (2,))))
    assert ends(bench.stored(store)) == {1: ("OK", ""), 2: ("CANCELLED", "CANCELLED")}


def test_a_failure_says_why_where_there_is_more_to_say() -> None:
    """Such as who holds the device's memory: of the one task that could not be helped by smaller batches."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1, a_task(1))))
    report = the(Report, bench.failed(compute, why="out of memory: other processes hold it")).report

    assert report.tasks[0].message == "stage 'track' failed: out of memory: other processes hold it"


def test_a_full_queue_refuses_with_a_reason() -> None:
    """A batch over the limit is reported unavailable, and the worker goes on."""
    bench = Bench(batches_max=1)
    compute = the(Compute, bench.say(a_batch(1)))

    assert ends(bench.say(a_batch(2))) == {2: ("UNAVAILABLE", "NO_WORKER")}
    assert ends(bench.computed(compute)) == {1: ("OK", "")}
    assert every(Compute, bench.say(a_batch(3)))


def test_what_the_worker_does_not_have_is_refused() -> None:
    """An unknown stage is not found; another version of the pipeline is for another worker."""
    bench = Bench()

    assert ends(bench.say(a_batch(1, stage="dream"))) == {1: ("NOT_FOUND", "UNKNOWN_STAGE")}
    assert ends(bench.say(a_batch(2, declaration="old"))) == {2: ("UNAVAILABLE", "NO_WORKER")}


def test_a_lost_input_ends_its_task_alone() -> None:
    """A required object that is nowhere ends the tasks that read it; a home that can't be asked ends them, too."""
    bench = Bench()
    lost, absent, unasked = (
        a_state_read(3),
        replace(a_state_read(0), required=False),
        replace(a_state_read(4), node="x"),
    )
    tasks = [a_task(1, needs=[lost]), a_task(2, needs=[absent]), a_task(3, needs=[unasked])]
    fetch = the(Fetch, bench.say(a_batch(1, *tasks)))
    nothing, broken = Found(status=Status.NOT_FOUND), Found((), True, Status.UNAVAILABLE, Reason.HOME_LOST, "gone")
    compute = the(Compute, bench.fetched(fetch, nothing, nothing, broken))

    assert compute.tasks == (2,)
    assert ends(bench.computed(compute)) == {
        1: ("UNAVAILABLE", "INPUT_LOST"), 2: ("OK", ""), 3: ("UNAVAILABLE", "HOME_LOST"),
    }  # fmt: skip


def test_a_trigger_that_was_awaited_in_vain_ends_its_task() -> None:
    """A history that never got the object it waits for is no shorter history: the result would be another one."""
    bench = Bench()
    history = LastRead("points", "/points/a/*", 8, as_of=1, exclusive=False, nodes=("n1",), awaits="/points/a/1")
    tasks = [a_task(1, needs=[history]), a_task(2, needs=[replace(history, awaits="")])]
    fetch = the(Fetch, bench.say(a_batch(1, *tasks)))
    compute = the(Compute, bench.fetched(fetch, Found(status=Status.NOT_FOUND), Found()))

    assert compute.tasks == (2,)
    assert ends(bench.computed(compute)) == {1: ("UNAVAILABLE", "INPUT_LOST"), 2: ("OK", "")}


def test_a_read_that_two_tasks_share_is_made_and_counted_once() -> None:
    """Its cost is the first task's, its gaps are both's."""
    bench = Bench()
    read = a_state_read(0)
    fetch = the(Fetch, bench.say(a_batch(1, a_task(1, needs=[read]), a_task(2, needs=[read]))))
    assert fetch.reads == (read,)

    compute = the(Compute, bench.fetched(fetch, Found((a_ref(),), complete=False, remote_gets=1, bytes_moved=10)))
    report = the(Report, bench.computed(compute)).report
    assert [(task.remote_gets, task.bytes_moved, task.incomplete) for task in report.tasks] == [
        (1, 10, True),
        (0, 0, True),
    ]


def test_payloads_travel_with_the_report_where_they_are_used_next() -> None:
    """Inline are small objects that trigger a stage or belong to the outcome; others are named only."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1)))
    state, large = a_ref("tracks", "/tracks/a"), a_ref("points", "/points/a/2", size=1 << 20)
    store = the(Store, bench.computed(compute, POINT, state, large, a_ref("alerts", "/alerts/a/1")))
    emissions = the(Report, bench.stored(store)).report.tasks[0].emissions

    assert [(each.value.ref.pool, each.value.payload) for each in emissions] == [
        ("points", b""), ("tracks", None), ("points", None), ("alerts", b""),
    ]  # fmt: skip
    assert [each.value.ref.version for each in emissions] == [7] * 4


def test_a_moved_home_is_asked_again_at_its_new_place() -> None:
    """Only what was not acknowledged is put again, to the home of the newest view, as soon as that view comes."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1)))
    store = the(Store, bench.computed(compute, POINT, a_ref("alerts", "/alerts/b/1", "b")))
    moved = Stored(None, Status.UNAVAILABLE, Reason.MOVED, "elsewhere")
    acknowledged = Stored(replace(POINT, version=3))
    assert not every(Store, bench.stored(store, acknowledged, moved))

    placed = Placement(1, a_view("n1", "n2").placement.nodes, {GroupId(SCOPE, "b"): "n2"})
    again = the(Store, bench.say(replace(a_view(number=2), placement=placed)))
    assert [(put.index, put.node) for put in again.puts] == [(1, "n2")]
    assert again.puts[0].emission == store.puts[1].emission
    assert ends(bench.stored(again)) == {1: ("OK", "")}


def test_a_view_that_came_meanwhile_is_tried_at_once() -> None:
    """Who was told MOVED by an older view than it has now does not wait."""
    bench = Bench()
    store = the(Store, bench.computed(the(Compute, bench.say(a_batch(1))), POINT))
    assert not every(Store, bench.say(a_view("n2", number=2)))

    again = the(Store, bench.stored(store, Stored(None, Status.UNAVAILABLE, Reason.MOVED, "elsewhere")))
    assert again.puts[0].node == "n2"


def test_storing_is_tried_a_bounded_number_of_times_with_growing_pauses() -> None:
    """After the last attempt the task ends as unavailable, with the home's reason."""
    bench = Bench(store_attempts_max=3, store_retry_s=0.01)
    compute = the(Compute, bench.say(a_batch(1)))
    gone = Stored(None, Status.UNAVAILABLE, Reason.HOME_LOST, "gone")
    commands = bench.computed(compute, POINT)
    waits = []
    while not every(Report, commands):
        commands = bench.stored(the(Store, commands), gone)
        if not every(Report, commands):
            assert bench.core.wake_at is not None
            waits.append(bench.core.wake_at - bench.now)
            commands = bench.do(at=bench.core.wake_at)

    assert waits == pytest.approx([0.01, 0.02])
    assert ends(commands) == {1: ("UNAVAILABLE", "HOME_LOST")}


def test_a_put_that_was_refused_for_good_is_not_tried_again() -> None:
    """Only what is unavailable can get better."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1)))
    store = the(Store, bench.computed(compute, POINT))
    commands = bench.stored(store, Stored(None, Status.INVALID_ARGUMENT, Reason.TOO_LARGE, "too large"))

    assert ends(commands) == {1: ("INVALID_ARGUMENT", "TOO_LARGE")}


def test_a_rerun_of_a_task_emits_the_same_ids() -> None:
    """The ids follow from the task's identity, on every attempt and under every leader."""
    bench = Bench()
    first = the(Store, bench.computed(the(Compute, bench.say(a_batch(1))), POINT))
    bench.say(LeaderJoined(2, "s2"), a_view(epoch=2), link=2)
    bench.stored(first)
    again = a_batch(1, epoch=2, tasks=(replace(a_task(1), number=77),))
    second = the(Store, bench.computed(the(Compute, bench.say(again, link=2)), POINT))

    assert [put.emission for put in second.puts] == [put.emission for put in first.puts]


def test_a_leader_is_answered_with_who_this_is_and_the_newest_epoch() -> None:
    """An old leader learns of the new one from the answer, and is followed no more."""
    bench = Bench(join=False)
    stages = ("demo/track", "demo/look")
    assert the(Send, bench.say(LeaderJoined(5, "s5"))).message == WorkerJoined("w1", "n1", "cpu", 1, stages, 5)

    assert the(Send, bench.say(LeaderJoined(4, "s4"), link=2)) == Send(2, WorkerJoined("w1", "n1", "cpu", 1, stages, 5))
    assert not bench.say(a_view(epoch=4), a_batch(1, epoch=4), CancelTasks(4, (1,)), link=2)
    assert bench.core.state.counters.stale_refused == 4


def test_a_new_leader_ends_what_the_old_one_asked_for() -> None:
    """What has not started is forgotten, what runs is not stored, and nothing of either is reported."""
    bench = Bench()
    running = the(Compute, bench.say(a_batch(1)))
    bench.say(a_batch(2))
    commands = bench.say(LeaderJoined(2, "s2"), a_view(epoch=2), link=2)
    assert [command.batch.number for command in every(Forget, commands)] == [2]

    compute = the(Compute, bench.say(a_batch(1, a_task(9), epoch=2), link=2) + bench.computed(running, POINT))
    assert key_of(compute.run) == BatchKey(2, 1)
    assert not every(Report, bench.commands)
    assert not every(Store, bench.commands)


def test_a_leader_that_hangs_up_leaves_orphans() -> None:
    """They leave when their command returns, and no heartbeat goes out to nobody."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1)))
    bench.hang_up()

    assert bench.core.wake_at is None
    assert [type(command) for command in bench.computed(compute, POINT)] == [Forget]


def test_the_heartbeat_carries_progress() -> None:
    """How many tasks wait, how long the oldest has, running ones included, and how many are done."""
    bench = Bench(beat_s=0.25)
    compute = the(Compute, bench.say(a_batch(1), at=0.05))
    bench.say(a_batch(2), at=0.1)
    assert bench.core.wake_at == 0.25
    assert the(Send, bench.do(at=0.25)).message == Beat(queued=1, oldest_s=0.25 - 0.05, finished=0, view=1)

    bench.computed(compute, at=0.3)
    assert the(Send, bench.do(at=0.5)).message == Beat(queued=0, oldest_s=0.5 - 0.1, finished=1, view=1)


def test_only_a_newer_view_is_used() -> None:
    """Views that come late or twice change nothing."""
    bench = Bench()

    assert not bench.say(a_view("n9", number=1))
    assert the(UseView, bench.say(a_view("n9", number=2))).view.number == 2


def test_a_lost_device_ends_everything_and_the_process() -> None:
    """Every batch is reported as lost with the worker, and nothing more is taken."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1)))
    bench.say(a_batch(2), a_batch(3, a_task(3, needs=[a_state_read(0)])))
    commands = bench.do(EngineLost(key_of(compute.run), "illegal address"))

    assert ends(commands) == dict.fromkeys((1, 2, 3), ("UNAVAILABLE", "WORKER_LOST"))
    assert commands[-1] == Exit("illegal address")
    assert ends(bench.say(a_batch(4))) == {4: ("UNAVAILABLE", "WORKER_LOST")}


@pytest.mark.parametrize("phase", list(Phase))
def test_the_table_of_moves_is_whole_and_ends(phase: Phase) -> None:
    """Every phase has its moves, and from every one that is not an end a batch can be reported or dropped."""
    allowed = MOVES[phase]
    assert allowed == () or {Phase.REPORTED, Phase.DROPPED} <= set(allowed)


def test_a_result_that_nobody_waits_for_raises_and_changes_nothing() -> None:
    """It would be a bug of ours: every command returns one stimulus."""
    bench = Bench()
    compute = the(Compute, bench.say(a_batch(1)))
    with pytest.raises(IllegalMove):
        bench.do(InputsFetched(BatchKey(1, 1), ()))

    assert ends(bench.computed(compute)) == {1: ("OK", "")}

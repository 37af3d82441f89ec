"""The simulator itself: it repeats itself, it is quick, and it finds bugs that are planted in the cores."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from covey.model import KeyRead
from covey.services.gateway.core import events
from covey.services.scheduler.core import cascade as cascades
from covey.services.scheduler.core import placement
from covey.services.scheduler.core.step import Step
from covey.simulator.hardware import LatencyTable, affine
from covey.simulator.report import summarise
from covey.simulator.scenarios import Load, long_world, short_world
from covey.simulator.violation import Violation

ROOT = Path(__file__).parents[2]
SEEDS_MAX = 60

Plant = Callable[[pytest.MonkeyPatch], None]


def test_a_seed_repeats_a_run_in_another_process() -> None:
    """Two processes with different hash seeds leave the same trace."""
    program = "from covey.simulator.scenarios import short_world; print(short_world(3).world.trace)"
    traces = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]

    assert traces[0] == traces[1] == short_world(3).world.trace + "\n"


def test_minutes_of_traffic_take_seconds() -> None:
    """Ten minutes without faults: every event ends OK within the objective, and the summary counts them."""
    run = long_world(1, Load(seconds=600.0))

    summary = summarise(run, 1, wall_s=1.0)
    assert summary.outcomes == {"OK": summary.events}
    assert summary.events > 700
    assert summary.latency_ms["p99"] < 200
    assert summary.tasks > 10 * summary.events
    assert '"events"' in summary.as_json()
    assert "batch size mean" in summary.as_text()


def test_faults_in_a_long_run_are_survived() -> None:
    """Ten minutes with two hundred incidents: every event has its one outcome, nearly all are OK."""
    run = long_world(2, Load(seconds=600.0, budget_s=60.0, faults_an_hour=1200))

    assert len(run.incidents) == 200
    assert run.statuses["OK"] > 0.9 * len(run.clients.sent)


def test_an_event_that_comes_late_is_excused_what_later_ones_pushed_out() -> None:
    """A gateway is cut off from the leader for two seconds; by then another's ticks have filled the histories that its
    own are to read from, and nothing kept them for an event of which no leader had heard."""
    run = short_world(2189)

    assert [incident.kind for incident in run.incidents] == ["cut_from_leader"]
    late = run.clients.sent["s0.36"]
    assert late.admitted_at > late.sent_at + 2.0
    assert run.clients.sent["s0.59"].admitted_at < late.admitted_at


def test_a_latency_table_goes_on_between_and_beyond_its_sizes() -> None:
    """Between two sizes it follows a line, and beyond the last the line of the last two."""
    table = LatencyTable((1, 4, 8), (0.010, 0.016, 0.020))

    assert table.mean_s(1) == 0.010
    assert table.mean_s(2) == pytest.approx(0.012)
    assert table.mean_s(16) == pytest.approx(0.028)
    assert affine(0.004, 0.001).mean_s(32) == pytest.approx(0.036)


# --- planted bugs ----------------------------------------------------------------------------------------------------


def _accept_reports_again(patch: pytest.MonkeyPatch) -> None:
    """The scheduler makes children of a report a second time, as if it had come twice and nobody had looked."""
    accept = cascades.accept

    def accept_twice(step: Step, task: cascades.TaskState, report: cascades.TaskReport) -> None:
        accept(step, task, report)
        if task.cascade.identity in step.state.cascades:
            for emission in report.emissions:
                cascades._follow(step, task, emission.index, emission.value, report.incomplete)

    patch.setattr(cascades, "accept", accept_twice)


def _forget_tasks_of_lost_workers(patch: pytest.MonkeyPatch) -> None:
    """Nobody runs again what a lost worker had."""
    patch.setattr(cascades, "retry", lambda step, task: None)


def _fire_joins_early(patch: pytest.MonkeyPatch) -> None:
    """A join does not wait for the tasks that are still open upstream."""
    patch.setattr(cascades, "_upstream_is_open", lambda cascade, stage: False)


def _read_the_latest_state(patch: pytest.MonkeyPatch) -> None:
    """A stateful task reads the state of this moment, which may be what it has written itself."""
    key_read = placement._key_read

    def latest(*args: object) -> KeyRead:
        read = key_read(*args)  # type: ignore[arg-type]
        return KeyRead(read.pool, read.key, read.group, 0, read.node, read.required)

    patch.setattr(placement, "_key_read", latest)


def _submit_once(patch: pytest.MonkeyPatch) -> None:
    """A gateway tells a new leader nothing of what is open."""
    patch.setattr(events, "submit_all", lambda step: None)


@pytest.mark.parametrize(
    "plant",
    [
        _accept_reports_again,
        _forget_tasks_of_lost_workers,
        _fire_joins_early,
        _read_the_latest_state,
        _submit_once,
    ],
)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol with a hole in it does not survive the seeds."""
    plant(monkeypatch)

    assert any(_is_broken(seed) for seed in range(SEEDS_MAX)), "no seed has found it"


def _is_broken(seed: int) -> bool:
    try:
        short_world(seed)
    except Violation:
        return True
    return False

"""Greedy batches, Clipper's limits, and Clockwork's choice of sizes."""

import pytest

from covey.services.scheduler.core.provision import Choice, Profile
from covey.simulator.baselines.clipper import Clipper
from covey.simulator.baselines.clockwork import Clockwork
from covey.simulator.baselines.greedy import Greedy, Lateness
from covey.simulator.hardware import LatencyTable
from tests.builders_provision import backlogs_of, pipeline_of, profile_of, provision_of, waiting_of

PIPELINE = pipeline_of({"a": profile_of(4, 6, 8, 10)}, 100)


def outcome(choice: Choice) -> tuple[list[int], list[int]]:
    return list(choice.run), list(choice.drop)


@pytest.mark.parametrize(("lateness", "expected"), [(Lateness.KEEP, ([0, 1], [])), (Lateness.EXPIRED, ([1, 2], [0]))])
def test_greedy_takes_those_that_have_been_ready_longest(
    lateness: Lateness, expected: tuple[list[int], list[int]]
) -> None:
    """Up to the batch size; who has expired goes, unless nobody is ever dropped."""
    policy = Greedy(lateness)
    policy.provisioned(provision_of(2, 100, "a"))
    assert outcome(policy.choose("a", waiting_of(-1, 5, 50), backlogs_of("a"), 0.0)) == expected


# --- Clipper ---------------------------------------------------------------------------------------------------------


def clipper() -> Clipper:
    policy = Clipper(PIPELINE)
    policy.provisioned(provision_of(4, 10, "a"))
    return policy


def limit(policy: Clipper) -> int:
    return len(policy.choose("a", waiting_of(*[50] * 10), backlogs_of("a"), 0.0).run)


def test_clipper_grows_by_one_with_each_full_batch_in_time() -> None:
    """From one up to what the stage can take; a batch that was not full proves nothing."""
    policy = clipper()
    found = []
    for size in (1, 2, 2, 3, 4):
        policy.ended("a", size, 0.005, 0, 0.0)
        found.append(limit(policy))
    assert found == [2, 3, 3, 4, 4]


@pytest.mark.parametrize(("seconds", "late"), [(0.005, 1), (0.0093, 0)])
def test_clipper_shrinks_by_a_tenth_when_late(seconds: float, late: int) -> None:
    """A late task, or a batch that took more than 92 % of the budget, makes a limit of three one of 2.7."""
    policy = clipper()
    policy.ended("a", 1, 0.005, 0, 0.0)
    policy.ended("a", 2, 0.005, 0, 0.0)
    policy.ended("a", 3, seconds, late, 0.0)
    assert limit(policy) == 2


def test_clipper_drops_only_what_has_expired() -> None:
    """A task that can't be answered in time any more runs all the same."""
    assert outcome(clipper().choose("a", waiting_of(0, 1), backlogs_of("a"), 0.0)) == ([1], [0])


# --- Clockwork -------------------------------------------------------------------------------------------------------


def clockwork(**limits: float) -> Clockwork:
    policy = Clockwork(PIPELINE, buffer_s=0.0, **limits)  # type: ignore[arg-type]
    policy.provisioned(provision_of(4, 1000, "a"))
    return policy


@pytest.mark.parametrize(
    ("left_ms", "expected"),
    [
        ([12, 20, 20, 20], ([0, 1, 2, 3], [])),
        ([7, 20, 20, 20], ([0, 1], [])),
        ([5, 20, 20, 20], ([1, 2], [0])),
        ([5, 5, 5, 5], ([3], [])),
        ([3, 3], ([], [0, 1])),
    ],
)
def test_clockwork_starts_the_strategy_that_must_start_first(
    left_ms: list[float], expected: tuple[list[int], list[int]]
) -> None:
    """Batches of 1, 2 and 4 take 4, 6 and 10 ms.

    All four while the first has ten; else two from the second on, which the first joins if it is still in time, and is
    dropped for if not; the last alone if there is no time for two, behind those that are in time with it.
    """
    choice = clockwork().choose("a", waiting_of(*left_ms), backlogs_of("a"), 0.0)
    run, drop = expected
    assert (len(choice.run), list(choice.drop)) == (len(run), drop)
    if left_ms != [5, 5, 5, 5]:
        assert list(choice.run) == run


def test_clockwork_expects_the_longest_of_the_last_batches() -> None:
    """A batch of four that took 50 ms rules fours out until ten others have been faster."""
    policy = clockwork()
    waiting = waiting_of(20, 20, 20, 20)
    policy.ended("a", 4, 0.050, 0, 0.0)
    assert len(policy.choose("a", waiting, backlogs_of("a"), 0.0).run) == 2
    for _ in range(10):
        policy.ended("a", 4, 0.010, 0, 0.0)
    assert len(policy.choose("a", waiting, backlogs_of("a"), 0.0).run) == 4


def test_clockwork_takes_a_batch_that_lost_some_for_the_size_that_was_sent() -> None:
    """Three processed of four, since one was called off meanwhile, tell of batches of four."""
    policy = clockwork()
    policy.ended("a", 3, 0.050, 0, 0.0)
    assert len(policy.choose("a", waiting_of(20, 20, 20, 20), backlogs_of("a"), 0.0).run) == 2


def test_clockwork_supports_no_batch_that_runs_for_too_long() -> None:
    """With at most 9 ms, two at a time is the most; single tasks run however long they take."""
    waiting = waiting_of(*[100] * 4)
    assert len(clockwork(run_s_max=0.009).choose("a", waiting, backlogs_of("a"), 0.0).run) == 2
    assert len(clockwork(run_s_max=0.001).choose("a", waiting, backlogs_of("a"), 0.0).run) == 1


def test_clockwork_begins_with_the_profile_s_long_batches() -> None:
    """With a spread of 0.2 the 99th percentile of a 10 ms batch is 16 ms: it is too late for 14."""
    spread = pipeline_of({"a": Profile(LatencyTable((1,), (0.010,), 0.2), 1, 5.0)}, 100)
    policy = Clockwork(spread, buffer_s=0.0)
    policy.provisioned(provision_of(1, 1000, "a"))
    assert outcome(policy.choose("a", waiting_of(14), backlogs_of("a"), 0.0)) == ([], [0])
    assert outcome(policy.choose("a", waiting_of(17), backlogs_of("a"), 0.0)) == ([0], [])

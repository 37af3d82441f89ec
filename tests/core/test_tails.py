"""What a watched batcher says the slowest events spent where, against waits laid out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from covey.services.scheduler.core.choosing import AdaptiveDrop, DropRule
from covey.services.scheduler.core.provision import Backlog, Pipeline, Waiting
from covey.simulator.tails import Term, WatchedBatcher, limit_of
from tests.builders_provision import backlogs_of, pipeline_of, profile_of, provision_of

PIPELINE = pipeline_of({"see": profile_of(10, 15), "tell": profile_of(40)}, 500)


def watched(pipeline: Pipeline = PIPELINE, replicas: int = 1) -> WatchedBatcher:
    batcher = WatchedBatcher(AdaptiveDrop(pipeline, DropRule(drop=False)), pipeline)
    batcher.provisioned(provision_of(1, 100, pipeline.stages, replicas))
    return batcher


def task(number: int, ready_ms: float, event_ms: float = 0.0, deadline_s: float = 9.0) -> Waiting:
    return Waiting(number, ready_ms / 1000, event_ms / 1000, deadline_s)


def milliseconds(batcher: WatchedBatcher, stage: str) -> dict[Term, float]:
    return {term: 1000 * seconds for term, seconds in batcher.terms()[stage].items()}


def choose(
    batcher: WatchedBatcher,
    stage: str,
    waiting: Sequence[Waiting],
    now_ms: float,
    up: Mapping[str, Backlog] | None = None,
) -> None:
    batcher.choose(stage, waiting, up or backlogs_of(PIPELINE.stages), now_ms / 1000)


def test_a_task_waits_for_a_batch_to_end_and_then_for_others() -> None:
    """Until a replica is first free it is the batch before; from then on it is those that are ahead."""
    batcher = watched()
    first, second = task(1, 0), task(2, 4, event_ms=4)
    choose(batcher, "see", [first, second], 10)
    choose(batcher, "see", [second], 30)

    assert milliseconds(batcher, "see") == pytest.approx(
        {Term.BATCH_WAIT: 6, Term.QUEUEING: 20, Term.COLD_START: 0, Term.COMPUTE: 10}
    )
    assert limit_of(batcher.terms()) == ("see", Term.QUEUEING)


def test_waiting_while_replicas_are_starting_is_cold_start() -> None:
    """It would not have queued had what is wanted been up."""
    batcher = watched(replicas=2)
    first, second = task(1, 0), task(2, 0, deadline_s=10.0)
    choose(batcher, "see", [first, second], 0)
    choose(batcher, "see", [second], 50)

    assert milliseconds(batcher, "see")[Term.COLD_START] == pytest.approx(50)
    assert milliseconds(batcher, "see")[Term.QUEUEING] == 0


def test_an_event_takes_what_its_longest_way_takes() -> None:
    """Of siblings the last to end counts, and of branches the later one."""
    edges = [("", "see", 1.0), ("see", "left", 2.0), ("see", "right", 1.0)]
    pipeline = pipeline_of({"see": profile_of(10), "left": profile_of(20), "right": profile_of(30)}, 500, edges)
    batcher = watched(pipeline)
    up = backlogs_of(pipeline.stages)
    choose(batcher, "see", [task(1, 0)], 0, up)
    choose(batcher, "left", [task(2, 10), task(3, 10)], 10, up)
    choose(batcher, "right", [task(4, 10)], 10, up)
    choose(batcher, "left", [task(3, 10)], 50, up)

    assert milliseconds(batcher, "left") == pytest.approx(
        {Term.BATCH_WAIT: 0, Term.QUEUEING: 40, Term.COLD_START: 0, Term.COMPUTE: 20}
    )
    assert set(milliseconds(batcher, "right").values()) == {0.0}


def test_only_the_slowest_are_taken_apart() -> None:
    """One event of a hundred waited, and what the tail is made of is its wait."""
    batcher = watched()
    for number in range(99):
        choose(batcher, "see", [task(number, 100 * number, 100 * number)], 100 * number)
    choose(batcher, "see", [task(99, 9900, 9900)], 9950)

    assert milliseconds(batcher, "see")[Term.BATCH_WAIT] == pytest.approx(50)


def test_nothing_is_said_of_a_run_in_which_nothing_ran() -> None:
    """There is no tail then."""
    assert watched().terms() == {}

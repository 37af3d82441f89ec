"""`covey explain`: what spans tell of an event's tasks."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from covey.cli.explain import NO_POLICY, NO_TASK, explained, ms, read_spans
from covey.errors import InvalidArgument, NotFound
from covey.model import Priority
from covey.services.scheduler.core.commands import TaskRan, TaskTrace
from covey.services.scheduler.core.contention import Load, Rule, Why
from covey.services.scheduler.spans import attributes_of
from covey.telemetry import Attribute, Attributes, SpanName, Tracer, mint_traceparent
from covey.telemetry_export import exporting

MS = 1_000_000
WHY = Why(Rule.SOONEST, 0.011, 0.013, 0.120, 1.3, (Load("default/collisions/predict", 4, Priority.LOW),), 0.0)
RAN = TaskRan("worker-1", "node-0", 17, 3, 0.0125)
TASK = TaskTrace(
    "track", "e1", Priority.HIGH, "", "", ready_at=0.0, queued_at=0.002, ended_at=0.020, error="", home="node-0",
    ran=RAN, why=WHY,
)  # fmt: skip
"""It came at 0, could be queued at 2 ms, left at 12.5 and was reported at 20."""


async def page(folder: Path, *tasks: TaskTrace, event_id: str = "e1") -> list[str]:
    """What is told of an event with these tasks, by way of the file that the services write."""
    file = folder / "spans.jsonl"
    rng = Random(1)
    event = mint_traceparent(rng)
    async with exporting("test", "one", file) as telemetry:
        tracer = Tracer(telemetry, rng)
        said: Attributes = {
            Attribute.TENANT: "default", Attribute.PIPELINE: "collisions", Attribute.EVENT: "e1",
            Attribute.PRIORITY: "HIGH", Attribute.STATUS: "OK", Attribute.REASON: "",
        }  # fmt: skip
        tracer.finish(SpanName.EVENT, event, 0, 30 * MS, attributes=said)
        for number, task in enumerate(tasks):
            mine = f"{event[:36]}{number + 1:016x}{event[52:]}"
            ends = int(task.ended_at * 1e9)
            attributes = attributes_of(task)
            tracer.finish(SpanName.SCHEDULE, mine, MS, MS + ends, parent=event, attributes=attributes, error=task.error)
            for batch, name, seconds in (
                (17, SpanName.FETCH, 1),
                (17, SpanName.COMPUTE, 5),
                (16, SpanName.COMPUTE, 99),
            ):
                tracer.record(name, mine, 14 * MS, (14 + seconds) * MS, attributes={Attribute.BATCH: batch})
    return explained(read_spans(file), event_id)


@pytest.mark.asyncio
async def test_it_says_when_where_and_why_a_task_ran(tmp_path: Path) -> None:
    """From the event's line to the numbers that the policy went by; another attempt's parts are none of it."""
    lines = await page(tmp_path, TASK)
    assert lines[0].startswith("event e1 of default/collisions, HIGH: OK after 30 ms; trace ")
    assert lines[1:] == [
        "",
        "+1 ms  track  HIGH",
        "    waited behind another task of its state for 2 ms, then 10.5 ms in the queue of node-0",
        "    ran on worker-1 (node-0) with 2 more in batch 17 for 7.5 ms: read its inputs 1 ms, computed 5 ms",
        "    why: HIGH, on the device where it is predicted to end first; predicted to take 11 ms, promised within 13 "
        "ms, 120 ms before its deadline; 1.3 times as long beside predict x4 LOW",
    ]


@pytest.mark.asyncio
async def test_without_a_policy_it_says_what_is_known(tmp_path: Path) -> None:
    """Home, queue, batch and worker; and that nobody has predicted anything."""
    elsewhere = replace(TASK, why=None, queued_at=0.0, ran=replace(RAN, node="node-1", batch_size=1))
    lines = await page(tmp_path, elsewhere)
    assert lines[3:5] == [
        "    waited 12.5 ms in the queue of node-0",
        "    ran on worker-1 (node-1, away from its home node-0) alone in batch 17 for 7.5 ms: read its inputs 1 ms, "
        "computed 5 ms",
    ]
    assert lines[-1] == NO_POLICY


@pytest.mark.asyncio
async def test_a_task_that_never_ran_says_what_it_ended_by(tmp_path: Path) -> None:
    """Dropped by the policy, with the rule; and one that was tried before and is late."""
    dropped = replace(
        TASK, ran=None, queued_at=0.0, error="DEADLINE_EXCEEDED PREDICTED_LATE", why=Why(Rule.HOPELESS, 0.5)
    )
    tried = replace(TASK, attempts=2, why=None, home="")
    lines = await page(tmp_path, dropped, tried)
    assert lines[2:5] == [
        "+1 ms  track  HIGH - DEADLINE_EXCEEDED PREDICTED_LATE",
        "    waited 20 ms in the queue of node-0, and never ran",
        "    why: predicted late on every device, even alone (it takes 500 ms)",
    ]
    assert lines[7] == ("    was sent 2 times in vain for 2 ms, then 10.5 ms in a queue that any worker takes from")


@pytest.mark.asyncio
async def test_an_event_without_tasks_or_spans_is_said_to_have_none(tmp_path: Path) -> None:
    """An event that ended before its first task; an id that no span has."""
    assert (await page(tmp_path))[-1] == NO_TASK
    with pytest.raises(NotFound, match="no span is of an event 'e2'"):
        await page(tmp_path, TASK, event_id="e2")


def test_a_line_that_is_cut_short_is_left_out(tmp_path: Path) -> None:
    """Somebody writes while one reads; a file that is not there is said to be none."""
    file = tmp_path / "spans.jsonl"
    file.write_text('{"service":"covey-gateway","name":"eve')
    assert read_spans(file) == []
    with pytest.raises(InvalidArgument, match="can't be read"):
        read_spans(tmp_path / "nothing")


def test_times_are_short_to_read() -> None:
    """Three digits of milliseconds, and seconds beyond a thousand of them."""
    assert [ms(seconds) for seconds in (0.0, 0.0012345, 0.5, 2.5)] == ["0 ms", "1.23 ms", "500 ms", "2.5 s"]

"""Two priorities on the live mesh: a flood of LOW events, HIGH events in between, and `covey explain` afterwards."""

import asyncio
import signal
from pathlib import Path

import pytest

import covey
from tests.worlds_processes import COVEY, ROOT, all_gone, covey_up

pytestmark = [pytest.mark.asyncio, pytest.mark.processes, pytest.mark.timeout(120)]

APP = "benchmarks.priority.flood_app:app"
FLOOD, QUESTIONS = 400, 20
TWO_LANES = {"COVEY_LANES": "2", "COVEY_DEVICE": "cpu"}


async def test_high_is_answered_in_a_flood_of_low_and_low_goes_on(tmp_path: Path) -> None:
    """Of four hundred jobs, far more than their deadline has room for, some are done while every question is answered;
    the trace says by which rule a question ran."""
    spans = tmp_path / "spans.jsonl"
    options = ("--workers", "1", "--nodes", "1", "--priorities", "--trace-to", str(spans))
    async with covey_up(APP, tmp_path, *options, variables=TWO_LANES) as up:
        async with covey.connect(up.address, "flood") as client, client.stream() as stream:
            jobs = [
                await stream.send(f"/jobs/{number}", b"", deadline_s=6.0, priority=covey.Priority.LOW)
                for number in range(FLOOD)
            ]
            answered = []
            for number in range(QUESTIONS):
                outcome = await client.send(f"/questions/{number}", b"", id=f"question-{number}", deadline_s=5.0)
                answered.append(outcome.status)
            done = [(await job).status for job in jobs]
        up.process.send_signal(signal.SIGINT)
        assert await all_gone(up.mark, 5.0)

    assert answered == [covey.Status.OK] * QUESTIONS
    assert done.count(covey.Status.OK) > 2, "LOW goes on"
    assert done.count(covey.Status.OK) < FLOOD, "it was a flood"
    told = await explained("question-7", spans)
    assert told.startswith("event question-7 of default/flood, HIGH: OK after ")
    assert "answer  HIGH" in told
    assert "ran on worker-1" in told
    assert "why: HIGH, " in told


async def test_priorities_and_provisioned_lanes_exclude_one_another(tmp_path: Path) -> None:
    """The scheduler does not start, and says which two settings are at odds."""
    process = await asyncio.create_subprocess_exec(
        *(COVEY.parent / "python", "-m", "covey.services.scheduler"),
        env={
            "COVEY_PRIORITIES": "true",
            "COVEY_REDIS_URL": "redis://127.0.0.1:1",
            "COVEY_PROFILE": "p.json",
            "PYTHONPATH": str(ROOT),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode != 0
    assert b"COVEY_PRIORITIES and COVEY_PROFILE exclude one another" in said
    assert b"Traceback" not in said


async def explained(event_id: str, spans: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *(COVEY, "explain", event_id, "--traces", str(spans)),
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()

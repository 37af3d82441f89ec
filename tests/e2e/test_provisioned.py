"""A pipeline that is measured with `covey profile` and provisioned by it, as a user does both."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

import covey
from tests.worlds_processes import COVEY, ROOT, all_gone, covey_up

pytestmark = [pytest.mark.asyncio, pytest.mark.processes, pytest.mark.timeout(120)]

QUICKSTART = "examples.quickstart.pipeline:app"
EVENTS = 30


async def covey_(*arguments: str, folder: Path) -> tuple[int, str]:
    """Exit code and all output of `covey <arguments>`."""
    process = await asyncio.create_subprocess_exec(
        *(str(COVEY), *arguments),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def samples(folder: Path) -> str:
    lines = [{"key": f"/readings/kitchen/{minute}", "value": 20.0 + minute} for minute in range(6)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "samples.jsonl"


async def test_a_measured_pipeline_is_provisioned(tmp_path: Path) -> None:
    """`covey up --profile` answers every event with lanes that it gave to stages, and Ctrl-C ends all of it."""
    code, said = await covey_("profile", QUICKSTART, "--events", samples(tmp_path), "--device", "cpu", folder=tmp_path)
    assert code == 0, said
    assert set(json.loads((tmp_path / "profile.json").read_text())["stages"]) == {"smooth", "judge"}

    async with covey_up(QUICKSTART, tmp_path, "--profile", "profile.json", "--objective", "2s") as up:
        async with covey.connect(up.address, "quickstart") as client, client.stream() as stream:
            pending = [
                await stream.send(f"/readings/kitchen/{minute}", 21.5, deadline_s=20)
                for minute in range(10, 10 + EVENTS)
            ]
            outcomes = [await one for one in pending]
        assert [outcome.status for outcome in outcomes] == [covey.Status.OK] * EVENTS

        up.process.send_signal(signal.SIGINT)
        assert await all_gone(up.mark, 5.0)


async def test_another_pipeline_s_profile_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    """The sentence says what the file is of."""
    stage = {"sizes": [1], "mean_s": [0.01], "std_s": [0], "cold_s": 1}
    other = {"name": "other", "objective_s": 1, "stages": {"find": stage}, "edges": [["", "find", 1]], "joins": []}
    (tmp_path / "profile.json").write_text(json.dumps(other))

    code, said = await covey_("up", QUICKSTART, "--profile", "profile.json", folder=tmp_path)

    assert code == 1
    assert "profile.json is of the pipeline 'other' with the stages find" in said
    assert "Traceback" not in said


async def test_what_can_not_be_measured_is_said_in_a_sentence(tmp_path: Path) -> None:
    """No such file of events, and a line that is none."""
    code, said = await covey_("profile", QUICKSTART, "--events", "nothing.jsonl", folder=tmp_path)
    assert (code, "there is no file 'nothing.jsonl'" in said, "Traceback" in said) == (1, True, False)

    (tmp_path / "bad.jsonl").write_text("21.5\n")
    code, said = await covey_("profile", QUICKSTART, "--events", "bad.jsonl", folder=tmp_path)
    assert (code, "line 1 of bad.jsonl is not" in said, "Traceback" in said) == (1, True, False)

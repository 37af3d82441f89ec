"""A client that shares nothing with ours but the protos."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from covey.cluster import LocalCluster
from covey.settings import environment_with
from tests.worlds_processes import PYTHON, ROOT

pytestmark = [pytest.mark.asyncio, pytest.mark.processes]

EVENTS = 40


async def output_of(folder: Path, *command: str) -> str:
    """What a program prints; node and npm come from their wheel where the machine has none."""
    environment = environment_with({"npm_config_update_notifier": "false", "npm_config_loglevel": "error"})
    environment["PATH"] = f"{PYTHON.parent}:{environment['PATH']}"
    program = shutil.which(command[0], path=environment["PATH"])
    assert program is not None, f"{command[0]} is neither beside {PYTHON} nor on the path"
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = await process.communicate()
    if process.returncode != 0:
        raise ChildProcessError(complaints.decode())
    return printed.decode()


async def installed_client(folder: Path) -> Path:
    """A copy of the client beside a link to the protos, as it lies in the repository, with its packages installed."""
    (folder / "protos").symlink_to(ROOT / "protos")
    client = folder / "examples" / "clients" / "node"
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "examples" / "clients" / "node", client, ignore=ignored)
    try:
        await output_of(client, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    except ChildProcessError as failure:
        if not any(sign in str(failure) for sign in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN")):
            raise
        pytest.skip(f"the npm registry can't be reached from here: {str(failure).splitlines()[0]}")
    return client


async def test_node_sends_events_on_a_stream_and_reads_their_outcomes(tmp_path: Path) -> None:
    """A Node program gets one outcome for every event of its stream, with the values that the stages emitted."""
    client = await installed_client(tmp_path)
    async with LocalCluster("examples.quickstart.pipeline:app", folder=tmp_path / "logs") as cluster:
        printed = await output_of(client, "node", "client.js", cluster.address, str(EVENTS))

    outcomes = [json.loads(line) for line in printed.splitlines()]
    assert len({outcome["id"] for outcome in outcomes}) == len(outcomes) == EVENTS
    assert [outcome for outcome in outcomes if outcome["status"] != "OK"] == []
    verdicts = {outcome["results"][0]["key"]: outcome["results"][0]["value"] for outcome in outcomes}
    assert set(verdicts) == {f"/verdicts/kitchen/{minute}" for minute in range(EVENTS)}
    assert verdicts["/verdicts/kitchen/0"] == {"alarm": False, "departure": 0}

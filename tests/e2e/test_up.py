"""`covey up` as a user runs it, and what becomes of events when a part of the mesh is killed."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

import covey
from covey.cluster import LocalCluster
from covey.model import Outcome
from tests.worlds_processes import COVEY, all_gone, covey_up
from tests.worlds_valkey import SERVERS, running_server

pytestmark = [pytest.mark.asyncio, pytest.mark.processes]

QUICKSTART = "examples.quickstart.pipeline:app"
STOP_S_MAX = 5.0
DEADLINE_S = 3.0
SLACK_S = 1.5
"""What a busy two-core machine may add to a deadline before we call it a hang."""
EVENTS = 120
KILL_AT = 40
EVERY_S = 0.02


async def test_up_serves_the_shell_and_a_client_until_ctrl_c(tmp_path: Path) -> None:
    """A pipeline started with `covey up` answers `covey send` and a client, and Ctrl-C leaves nothing behind."""
    async with covey_up(QUICKSTART, tmp_path) as up:
        event = ("quickstart", "/readings/kitchen/1", "--json", "21.5", "--deadline", "10s", "--gateway", up.address)
        sent = await asyncio.create_subprocess_exec(str(COVEY), "send", *event, stdout=asyncio.subprocess.PIPE)
        printed, _ = await sent.communicate()
        assert sent.returncode == 0
        assert "/verdicts/kitchen/1" in printed.decode()
        async with covey.connect(up.address, "quickstart") as client:
            outcome = await client.send("/readings/kitchen/2", 41.5, deadline_s=10)
        assert outcome.status is covey.Status.OK

        up.process.send_signal(signal.SIGINT)
        assert await all_gone(up.mark, STOP_S_MAX)
        assert await up.process.wait() == 0


async def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """When `covey up` itself is killed without warning, every process that it started ends as well."""
    async with covey_up(QUICKSTART, tmp_path) as up:
        up.process.kill()

        assert await all_gone(up.mark, STOP_S_MAX)


async def test_up_says_what_is_wrong_with_a_pipeline(tmp_path: Path) -> None:
    """A pipeline that is not there ends `covey up` with a sentence, before anything is started."""
    process = await asyncio.create_subprocess_exec(
        *(str(COVEY), "up", "nowhere:app"), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()

    assert process.returncode == 1
    assert "there is no module 'nowhere'" in complaint.decode()
    assert "Traceback" not in complaint.decode()


@dataclass(frozen=True, slots=True)
class Answered:
    """An event's outcome, and how long it took in seconds."""

    outcome: Outcome
    after_s: float


async def answers_around_a_death(cluster: LocalCluster, victim: str) -> list[Answered]:
    """Send events at a steady rate, kill the victim while they are under way, and wait for every outcome."""
    loop = asyncio.get_running_loop()

    async def answered(pending: asyncio.Future[Outcome]) -> Answered:
        sent_at = loop.time()
        outcome = await asyncio.wait_for(pending, DEADLINE_S + 10)
        return Answered(outcome, loop.time() - sent_at)

    async with (
        covey.connect(cluster.address, "quickstart") as client,
        client.stream() as stream,
        asyncio.TaskGroup() as group,
    ):
        tasks = []
        for minute in range(EVENTS):
            if minute == KILL_AT:
                os.kill(cluster.pids[victim], signal.SIGKILL)
            pending = await stream.send(f"/readings/sensor{minute % 7}/{minute}", 21.5, deadline_s=DEADLINE_S)
            tasks.append(group.create_task(answered(pending)))
            await asyncio.sleep(EVERY_S)  # the rate of arrival
    return [task.result() for task in tasks]


@pytest.mark.parametrize(
    ("victim", "still_ok"),
    [("worker-1", 0.9), ("datastore-1", 0.5), ("scheduler", 0.2), ("gateway", 0.2), ("valkey", 0.9)],
)
async def test_every_event_ends_when_a_part_is_killed(tmp_path: Path, victim: str, still_ok: float) -> None:
    """A part that is killed costs some events at most their success; each has one outcome by its deadline."""
    async with LocalCluster(QUICKSTART, folder=tmp_path / "logs") as cluster:
        answers = await answers_around_a_death(cluster, victim)
        async with asyncio.timeout(STOP_S_MAX):
            death = await cluster.death()
        started = cluster.pids

    assert (death.name, death.code) == (victim, -signal.SIGKILL)
    assert len(answers) == EVENTS
    assert max(answer.after_s for answer in answers) < DEADLINE_S + SLACK_S
    statuses = [answer.outcome.status for answer in answers]
    assert statuses.count(covey.Status.OK) >= still_ok * EVENTS, statuses
    allowed = {covey.Status.OK, covey.Status.UNAVAILABLE, covey.Status.DEADLINE_EXCEEDED}
    assert set(statuses) <= allowed
    assert [name for name, pid in started.items() if Path(f"/proc/{pid}").exists()] == []


async def test_together_there_is_a_process_for_each_node(tmp_path: Path) -> None:
    """Services of a node share a process, with which they answer, are killed, and stop in good order."""
    async with LocalCluster(QUICKSTART, folder=tmp_path / "logs", nodes=2, workers=3, together=True) as cluster:
        assert sorted(cluster.pids) == ["gateway", "host-1", "host-2", "valkey", "worker-3"]
        assert sorted({part.name for part in cluster.parts} - {"valkey"}) == [
            "datastore-1", "datastore-2", "gateway", "scheduler", "worker-1", "worker-2", "worker-3",
        ]  # fmt: skip
        answers = await answers_around_a_death(cluster, "host-2")
        async with asyncio.timeout(STOP_S_MAX):
            death = await cluster.death()
        started = cluster.pids

    assert (death.name, death.code) == ("host-2", -signal.SIGKILL)
    statuses = [answer.outcome.status for answer in answers]
    assert statuses.count(covey.Status.OK) >= EVENTS / 2, statuses
    assert [name for name, pid in started.items() if Path(f"/proc/{pid}").exists()] == []
    assert "Traceback" not in (tmp_path / "logs" / "host-1.log").read_text()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_standby_takes_over_from_a_leader_that_is_killed(tmp_path: Path, server: str) -> None:
    """Two meshes on one Valkey, Redis or cluster are one: when the leader dies, the other scheduler leads."""
    async with (
        running_server(server) as url,
        LocalCluster(QUICKSTART, folder=tmp_path / "one", nodes=1, workers=1, redis_url=url) as one,
        LocalCluster(QUICKSTART, folder=tmp_path / "two", nodes=1, workers=1, redis_url=url),
        covey.connect(one.address, "quickstart") as client,
    ):
        assert len((await client.describe()).nodes) == 2
        os.kill(one.pids["scheduler"], signal.SIGKILL)
        outcome = await client.send("/readings/kitchen/1", 21.5, deadline_s=15)

    assert outcome.status is covey.Status.OK

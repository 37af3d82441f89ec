"""The health check that containers run."""

import asyncio
import sys

import pytest

from covey.wire.server import LOOPBACK, Service, serve

pytestmark = pytest.mark.asyncio

NAME = "covey.v1.Anything"


async def check(*arguments: str) -> tuple[int | None, str]:
    """The exit code of `python -m covey.healthcheck` and what it complained about."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "covey.healthcheck", *arguments), stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    return process.returncode, complaint.decode().strip()


async def test_the_exit_code_tells_whether_a_service_is_well() -> None:
    """A server that serves gives 0, for itself and for what it serves; a service that is not there gives 1."""
    async with serve([Service(NAME, lambda server: None)], LOOPBACK) as address:
        assert await check(address) == (0, "")
        assert await check(address, NAME) == (0, "")
        assert await check(address, "covey.v1.Nothing") == (1, f"{address} gave no answer about its health: NOT_FOUND")


async def test_nobody_there_is_not_well() -> None:
    """An address where nobody listens gives 1 and a sentence, a mistaken call the usage and 2."""
    assert await check("127.0.0.1:1") == (1, "nobody answers at 127.0.0.1:1")
    assert (await check())[0] == 2

"""Child processes: their ends, their logs, and the two steps of stopping them."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from covey.children import Child, start_child, stop_children, tail
from covey.settings import environment_with

pytestmark = pytest.mark.asyncio

OBEDIENT = "import time; print('here', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OBEDIENT}"


async def started(name: str, program: str, folder: Path) -> Child:
    """A child that has said that it is there."""
    child = await start_child(name, [sys.executable, "-c", program], environment_with({}), folder)
    async with asyncio.timeout(10):
        while True:
            if "here" in tail(child.log):
                return child
            await asyncio.sleep(0.01)


async def test_a_stubborn_child_is_killed_after_the_grace(tmp_path: Path) -> None:
    """Who stops when asked ends by SIGTERM, who does not by SIGKILL, and nobody runs on."""
    children = [await started("obedient", OBEDIENT, tmp_path), await started("stubborn", STUBBORN, tmp_path)]

    await stop_children(children, grace_s=0.3)

    assert [child.process.returncode for child in children] == [-signal.SIGTERM, -signal.SIGKILL]


async def test_an_impatient_user_kills_at_once(tmp_path: Path) -> None:
    """When stopping is itself cancelled, the children are killed without further grace."""
    child = await started("stubborn", STUBBORN, tmp_path)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await stop_children([child], grace_s=60)

    assert (await child.ended()).code == -signal.SIGKILL


async def test_a_death_says_how(tmp_path: Path) -> None:
    """The end of a child names its exit code or its signal, and its log has what it printed."""
    program = "print('out of luck'); raise SystemExit(3)"
    failed = await (await start_child("failed", [sys.executable, "-c", program], {}, tmp_path)).ended()
    running = await started("killed", OBEDIENT, tmp_path)
    running.kill()
    killed = await running.ended()

    assert str(failed) == f"failed (pid {failed.pid}) exited with code 3"
    assert str(killed) == f"killed (pid {killed.pid}) was killed by SIGKILL"
    assert tail(failed.log) == "out of luck"


async def test_the_tail_of_a_long_log_is_short(tmp_path: Path) -> None:
    """A tail has the last lines alone, and says so when there is no log."""
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))

    assert tail(log, lines=2) == "line 99998\nline 99999"
    assert "no log" in tail(tmp_path / "none.log")

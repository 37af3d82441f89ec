"""Processes start, stop and end as `covey.runtime` promises."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from covey.runtime import EXIT_BUG, EXIT_FAILED, EXIT_OK
from covey.tether import tethered

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, sys
from covey.errors import Unavailable
from covey.runtime import run

async def drains():
    try:
        print("up", flush=True)
        await asyncio.Event().wait()
    finally:
        print("drained", flush=True)

async def never_drains():
    try:
        print("up", flush=True)
        await asyncio.Event().wait()
    finally:
        print("draining", flush=True)
        await asyncio.Event().wait()

async def fails():
    async with asyncio.TaskGroup():
        raise Unavailable("the registry is gone")

async def stumbles():
    raise ZeroDivisionError

async def ends(): ...

sys.exit(run(globals()[sys.argv[1]]))
"""


def started(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def program(name: str) -> "subprocess.Popen[str]":
    return started(sys.executable, "-c", PROGRAM, name)


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains(number: signal.Signals) -> None:
    """A process that is told to stop leaves in good order, and that is a success."""
    with program("drains") as process:
        assert line_of(process) == "up"
        process.send_signal(number)

        assert line_of(process) == "drained"
        assert process.wait(5) == EXIT_OK


def test_the_second_signal_ends_at_once() -> None:
    """A drain that takes too long can be cut short."""
    with program("never_drains") as process:
        assert line_of(process) == "up"
        process.send_signal(signal.SIGINT)
        assert line_of(process) == "draining"
        process.send_signal(signal.SIGINT)

        assert process.wait(5) == 128 + signal.SIGINT


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("ends", EXIT_OK, ""),
        ("fails", EXIT_FAILED, "the registry is gone"),
        ("stumbles", EXIT_BUG, "ZeroDivisionError"),
    ],
)
def test_the_exit_code_says_how_it_ended(name: str, code: int, said: str) -> None:
    """What the mesh could not do is one line, a bug is a traceback, and the code tells them apart."""
    with program(name) as process:
        _, errors = process.communicate(timeout=10)

    assert process.returncode == code
    assert said in errors
    assert ("Traceback" in errors) == (code == EXIT_BUG)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_tethered_process_dies_with_its_parent() -> None:
    """kill -9 of the parent takes the child along."""
    parent_code = f"""
import subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from covey.tether import tethered
child = subprocess.Popen(tethered(["sleep", "60"]))
print(child.pid, flush=True)
child.wait()
"""
    with started(sys.executable, "-c", parent_code) as parent:
        child = int(line_of(parent))
        assert alive(child)
        parent.kill()
        parent.wait()

    ends = time.monotonic() + 5
    while alive(child) and time.monotonic() < ends:
        time.sleep(0.01)
    assert not alive(child)


def test_a_tethered_command_is_the_command() -> None:
    """The launcher passes on arguments, output and exit code."""
    with started(*tethered(["sh", "-c", "echo $0; exit 7", "a b"])) as process:
        assert line_of(process) == "a b"
        assert process.wait(5) == 7

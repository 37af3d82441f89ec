"""Runs a program in a folder of its own, and ends with it all that it has started and written there.

    keeper.py GRACE_S PROGRAM [ARGUMENT ...]

Processes whose parents die become this one's (a "subreaper", Linux only), so that none gets away: their CPU time can be
found below it, and when the program ends, or this is told to stop (SIGTERM), what is left after GRACE_S is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

_PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.02


class Stopped(Exception):
    """SIGTERM or SIGINT has come."""


def keep(command: list[str], grace_s: float) -> int:
    """Run until the program ends or this is told to stop; returns the program's exit code."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    with TemporaryDirectory(prefix="peer-") as folder:  # a short name, for Ray puts sockets there
        program: subprocess.Popen[bytes] | None = None
        try:
            program = subprocess.Popen(command, cwd=folder)
            return _code_of(program.pid)
        except Stopped:
            if program is None:  # it has hardly begun: it is owed no grace
                return -int(signal.SIGTERM)
            program.terminate()
            return _code_of(program.pid, time.monotonic() + grace_s)
        finally:
            _kill_all()


def _stop(*_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def _code_of(program: int, until: float | None = None) -> int:
    """Wait for the program, until that instant at most; whoever else ends meanwhile is forgotten."""
    while until is None or time.monotonic() < until:
        pid, status = os.waitpid(-1, 0 if until is None else os.WNOHANG)
        if pid == program:
            return os.waitstatus_to_exitcode(status)
        if not pid:
            time.sleep(POLL_S)
    return -int(signal.SIGKILL)


def _kill_all() -> None:
    """Kill our children until there are none; theirs become ours."""
    while True:
        for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    sys.exit(keep(sys.argv[2:], float(sys.argv[1])))

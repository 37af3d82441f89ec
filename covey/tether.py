"""Processes that do not outlive whoever started them. Linux only; elsewhere they are started as they are."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

_LAUNCH = """
import ctypes, os, sys
parent, number = int(sys.argv[1]), int(sys.argv[2])
ctypes.CDLL(None, use_errno=True).prctl(1, number)  # PR_SET_PDEATHSIG, which exec keeps
if os.getppid() != parent:  # it died before we asked
    sys.exit(1)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def tethered(command: Sequence[str], on_parent_death: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command line that runs `command` and sends it a signal when the calling process dies, however it dies.

    A launcher that replaces itself by the command spares us `preexec_fn`, which must not be used beside gRPC's threads.
    The kernel counts the thread that starts the process as its parent: start it from the main thread.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(int(on_parent_death)), *command]

"""Where and of what something was measured: every report says so."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from benchmarks.processes import CORES


def machine() -> str:
    """The machine, in a few words."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpus if line.startswith("model name")]
    return f"{CORES} x {models[0] if models else platform.machine()}, Linux {platform.release()}"


def commit() -> str:
    """What was measured, and whether it was changed since."""
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"

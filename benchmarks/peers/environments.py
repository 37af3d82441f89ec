"""The peers' virtual environments, below `build/peers`: made once, and again when what they pin changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2] / "build" / "peers"
REQUIREMENTS = Path(__file__).parent / "requirements"
PEERS = ("mlserver", "triton", "ray", "litserve")
"""Each has a file of requirements, and a server beside this file, of its name."""


def python(peer: str) -> Path:
    """The interpreter of a peer's environment."""
    return ROOT / peer / "bin" / "python"


def missing() -> dict[str, str]:
    """Peer -> why its environment is not there, or not what is pinned now."""
    found = {}
    for peer in PEERS:
        if not _is_current(peer):
            reason = _reason(peer)
            found[peer] = reason.read_text() if reason.exists() else "not installed; `make bench-peers` does it"
    return found


def install(peer: str) -> None:
    """Make the environment, unless it is there. Raises OSError with the reason, which `missing` then gives."""
    if _is_current(peer):
        return
    folder = ROOT / peer
    shutil.rmtree(folder, ignore_errors=True)
    ROOT.mkdir(parents=True, exist_ok=True)
    _reason(peer).unlink(missing_ok=True)
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python(peer)), "-m", "pip", "install", "--quiet", "-r", str(_pins(peer)))
    except OSError as error:
        _reason(peer).write_text(str(error))
        raise
    shutil.copy(_pins(peer), _stamp(peer))


def size_bytes(peer: str) -> int:
    """What the environment takes on disk."""
    return sum(path.lstat().st_size for path in (ROOT / peer).rglob("*"))


def _is_current(peer: str) -> bool:
    stamp = _stamp(peer)
    return stamp.exists() and stamp.read_bytes() == _pins(peer).read_bytes()


def _pins(peer: str) -> Path:
    return REQUIREMENTS / f"{peer}.txt"


def _stamp(peer: str) -> Path:
    return ROOT / peer / "installed.txt"


def _reason(peer: str) -> Path:
    return ROOT / f"{peer}.missing"


def _run(*command: str) -> None:
    """Raises OSError with the last error that the program wrote."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise OSError(errors[-1] if errors else f"{command[0]} exited with {done.returncode}")

"""What processes have used: CPU time and resident memory, out of /proc, with everything that they started."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CORES = os.cpu_count() or 1

Pids = Mapping[str, Sequence[int]]
"""By role."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Until an instant, by role; and of the whole machine, in CPU seconds."""

    cpu_s: dict[str, float]
    resident_bytes: dict[str, int]
    machine_s: float


def with_descendants(roots: Mapping[str, int]) -> Pids:
    """The processes of each role: the one that is named, and all that it started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: dict[str, Sequence[int]] = {}
    for role, root in roots.items():
        pids = [root]
        for pid in pids:  # grows as it goes
            pids += children.get(pid, [])
        found[role] = pids
    return found


def usage(pids: Pids) -> Usage:
    """What these processes, and the machine, have used until now; one that has ended counts no more."""
    return Usage(
        {role: sum(map(cpu_s, each)) for role, each in pids.items()},
        {role: sum(map(resident_bytes, each)) for role, each in pids.items()},
        machine_s(),
    )


def resident_bytes(pid: int) -> int:
    """What of a process is in memory, what it shares with others included."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used; 0 once it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0


def _stat(pid: int) -> list[str]:
    """What stands behind a process's name, from its state on; nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def machine_s() -> float:
    """Seconds that the machine's CPUs were not idle, what a hypervisor took away included."""
    user, nice, system, _idle, _waiting, *rest = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return sum(map(int, (user, nice, system, *rest))) / _TICKS_PER_S

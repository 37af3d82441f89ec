"""Whether anybody else used the machine meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path

from covey.clock import Clock


class Quiet:
    """Counts from its making on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began, self._busy, self._ours = clock.now(), _busy_s(), time.process_time()

    def others(self) -> float:
        """The share of all cores' time that other processes have had since."""
        span = (self._clock.now() - self._began) * (os.cpu_count() or 1)
        ours, busy = time.process_time() - self._ours, _busy_s() - self._busy
        return max(0.0, busy - ours) / span


def _busy_s() -> float:
    """Seconds that the cores of the machine have been busy, all together, in ticks of 10 ms."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")

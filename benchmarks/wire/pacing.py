"""When independent requests are due, and an alarm that is precise enough for them.

An event loop's own timers tick in milliseconds: a client that sleeps by them sends all that fell due in one together,
and what it drives coalesces by itself. The kernel's timer, as a file that becomes readable, rings within some 50 µs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Iterator
from random import Random
from types import TracebackType

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_WAITS_MIN_S = 20e-6
"""What is due sooner is due now."""


def poisson(rate: float, seconds: float, rng: Random) -> Iterator[float]:
    """Instants of independent arrivals, `rate` a second on average, within `seconds`."""
    at = rng.expovariate(rate)
    while at < seconds:
        yield at
        at += rng.expovariate(rate)


class _Times(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")]


class Alarm:
    """Wakes one task at an instant of the monotonic clock. Linux only."""

    def __enter__(self) -> Alarm:
        self._file = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._rang = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._file, self._ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    async def wait_until(self, at: float, now: float) -> None:
        """Return at the instant `at`, and not before others have had their turn."""
        if at - now < _WAITS_MIN_S:
            await asyncio.sleep(0)
            return
        self._rang.clear()
        times = _Times(0, 0, int(at), int(at % 1.0 * 1e9))
        if _libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(times), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        await self._rang.wait()

    def _ring(self) -> None:
        os.read(self._file, 8)
        self._rang.set()

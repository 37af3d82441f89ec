"""What keeps the loop is reported, and by whom."""

import asyncio
import time

import pytest

from covey.clock import MonotonicClock
from covey.watchdog import KEPT_S_MAX, watched


def hog() -> None:
    """Keep the loop, as user code that forgot to await would."""
    time.sleep(0.06)


@pytest.mark.asyncio
async def test_what_keeps_the_loop_is_named() -> None:
    """A blocking call of 60 ms is reported with its length and the function that made it."""
    reports: asyncio.Queue[tuple[float, str]] = asyncio.Queue()

    async with watched(MonotonicClock(), lambda *report: reports.put_nowait(report)):
        await asyncio.sleep(0)
        hog()
        kept_s, stack = await reports.get()

    assert kept_s > KEPT_S_MAX
    assert "hog" in stack


@pytest.mark.asyncio
async def test_a_loop_that_turns_is_not_reported() -> None:
    """Work in small pieces keeps nobody waiting."""
    reports: list[str] = []
    clock = MonotonicClock()
    end = clock.now() + 0.1

    async def turn() -> None:
        """A piece of work that fits."""

    async with watched(clock, lambda _, stack: reports.append(stack)):
        while clock.now() < end:
            await asyncio.create_task(turn())

    assert not [stack for stack in reports if "turn" in stack]

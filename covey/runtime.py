"""How every process of ours starts, stops and ends.

`run(main)` runs `main` until it ends or a signal comes. The first SIGTERM or SIGINT cancels it: each `async with` of
`main` then leaves in reverse order, which is the order of draining, since what was opened last (the server) stops
first while what it depends on (the core, the links) still runs. The second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop

from covey.beside import beside
from covey.clock import MonotonicClock
from covey.collector import Collector
from covey.errors import CoveyError
from covey.settings import read_settings
from covey.watchdog import watched

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
"""The mesh or the user's input would not have it: one line says why."""
EXIT_BUG = 70
"""`EX_SOFTWARE`: the log has a traceback."""

LOG_FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """`debug` reports with its stack whatever keeps the event loop for more than 10 ms."""

    debug: bool = False


def run(main: Callable[[], Awaitable[None]], log_level: str = "INFO") -> int:
    """Run a process; the exit code. A stop by signal that drained in time is no failure."""
    logging.basicConfig(level=log_level, format=LOG_FORMAT)

    async def attended() -> None:
        clock = MonotonicClock()
        collector = Collector(clock)
        collector.begin()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(beside(collector.run()))
            if read_settings(ProcessSettings).debug:
                await stack.enter_async_context(watched(clock))
            await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_until_signalled(attended))


async def run_until_signalled(main: Callable[[], Awaitable[None]]) -> int:
    """`run` on a loop that is already there."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_awaited(main))
            stop = _TwoStageStop(task)
            for number in signals:
                loop.add_signal_handler(number, stop, number)
    except BaseExceptionGroup as failed:
        expected, bugs = failed.split(CoveyError)
        for line in _sentences(expected) if expected else ():
            log.error("%s", line)
        if bugs:
            log.critical("a bug ended this process", exc_info=bugs)
        return EXIT_BUG if bugs else EXIT_FAILED
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
    return EXIT_OK


class _TwoStageStop:
    """The first signal stops in good order, the second at once."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task
        self._stopping = False

    def __call__(self, number: signal.Signals) -> None:
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True
        log.info("%s: stopping; once more ends the process at once", number.name)
        self._task.cancel()


async def _awaited(main: Callable[[], Awaitable[None]]) -> None:
    await main()


def _sentences(failed: BaseExceptionGroup[CoveyError]) -> list[str]:
    """What the errors say, each once, however deep they are nested."""
    found: dict[str, None] = {}
    for error in failed.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found.update(dict.fromkeys(_sentences(error)))
        else:
            found[error.message] = None
    return list(found)

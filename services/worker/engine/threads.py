"""Lanes as threads: each runs one job at a time, apart from the worker's loop.

The threads are daemons, so that a stage that hangs keeps neither the loop nor the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import queue
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from covey.batch import Batch, Place, ReadObject
from covey.model import ObjectValue
from covey.services.worker.engine.base import Job

T = TypeVar("T")

FAREWELL_S = 0.1
"""How long an idle thread may take to end. One that still computes is not waited for beyond that."""


class LaneThread:
    """One thread, and a loop of its own for stages that are `async def`."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, called in the thread."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  it is the caller's, whatever it is
                _tell(loop, _failed, done, error)
            else:
                _tell(loop, _finished, done, result)

        self._calls.put(call)
        return await done

    def post(self, work: Callable[[], None]) -> None:
        """Have `work` called in the thread, after what came before; it sees to its own errors."""
        self._calls.put(work)

    def close(self) -> None:
        """Let the thread end. A process that ends before a thread in which torch was used is aborted by the latter."""
        self._calls.put(None)
        self._thread.join(timeout=FAREWELL_S)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            _one_thread_for_torch()
            call()


def call_stage(job: Job, model: Any, place: str | Place, loop: asyncio.AbstractEventLoop) -> Batch:
    """Call the stage's function in this thread; the batch has its outputs."""
    read = _across(job.read, loop) if job.read is not None else None
    batch = Batch(job.declaration, job.stage.declaration.name, job.inputs, read, place)
    arguments = (batch,) if job.stage.model is None else (batch, model)
    result = job.stage.function(*arguments)
    if inspect.isawaitable(result):
        with asyncio.Runner() as runner:
            runner.run(_awaited(result))
    return batch


def _across(read: ReadObject, loop: asyncio.AbstractEventLoop) -> ReadObject:
    """`read`, which belongs to the worker's loop, for a stage that runs on its thread's."""

    async def read_from_thread(pool: str, key: str, group: str, version: int) -> ObjectValue | None:
        async def on_loop() -> ObjectValue | None:
            return await read(pool, key, group, version)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(on_loop(), loop))

    return read_from_thread


async def _awaited(result: Awaitable[object]) -> None:
    await result


def _tell(loop: asyncio.AbstractEventLoop, how: Callable[..., None], done: asyncio.Future[Any], what: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the worker stopped without waiting for us
        loop.call_soon_threadsafe(how, done, what)


def _finished(done: asyncio.Future[Any], result: Any) -> None:
    if not done.cancelled():
        done.set_result(result)


def _failed(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.cancelled():
        done.set_exception(error)


def _one_thread_for_torch() -> None:
    """Lanes are the parallelism: torch must not start threads of its own below each. It is not imported for that."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)

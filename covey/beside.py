"""Work that runs beside the body of an `async with`, and no longer than it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def beside(work: Awaitable[T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run `work` as a task that is cancelled when the body ends. What either raises leaves as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_awaited(work))
            try:
                yield task
            finally:
                task.cancel()
    except BaseExceptionGroup as failed:
        error = failed.exceptions[0]
        raise error from error.__cause__


async def _awaited(work: Awaitable[T]) -> T:
    return await work

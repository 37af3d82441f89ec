"""Several services in one process: `python -m covey.together datastore scheduler worker`.

Where services share a host they need not wake each other through sockets: links between them go through memory, and
to everyone else as ever. The price: one's end is the others' end, and a stage's Python code shares the interpreter
with them; one that computes outside of it (torch, numpy) does not mind.

Settings come from the environment as always; where several services would read the same variable, each looks first at
one of its own, such as `COVEY_GATEWAY_LISTEN` before `COVEY_LISTEN`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from covey.beside import beside
from covey.errors import InvalidArgument
from covey.runtime import run
from covey.services.datastore.app import run_datastore
from covey.services.datastore.settings import DatastoreSettings
from covey.services.gateway.app import run_gateway
from covey.services.gateway.settings import GatewaySettings
from covey.services.scheduler.app import run_scheduler
from covey.services.scheduler.settings import SchedulerSettings
from covey.services.worker.app import run_worker
from covey.services.worker.settings import WorkerSettings
from covey.settings import read_settings
from covey.wire.neighbours import Neighbours

SERVICES: Mapping[str, tuple[type[Any], Callable[[Any, Neighbours], Awaitable[None]]]] = {
    "datastore": (DatastoreSettings, run_datastore),
    "worker": (WorkerSettings, run_worker),
    "scheduler": (SchedulerSettings, run_scheduler),
    "gateway": (GatewaySettings, run_gateway),
}
"""In the order of starting; they stop the other way round, so that what is under way can still be answered."""


def main() -> None:
    """Run the services that the command line names."""
    names = sys.argv[1:]
    sys.exit(run(lambda: run_together(names)))


async def run_together(names: Sequence[str]) -> None:
    """Serve until cancelled. Raises InvalidArgument for a service that there is not, and what ends any of them."""
    unknown = [name for name in names if name not in SERVICES]
    if unknown or not names:
        raise InvalidArgument(f"name services of {', '.join(SERVICES)}, not {', '.join(unknown) or 'none'}")
    neighbours = Neighbours()
    async with AsyncExitStack() as stack:
        for name, (settings, serving) in SERVICES.items():
            if name in names:
                await stack.enter_async_context(beside(serving(read_settings(settings, service=name), neighbours)))
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()

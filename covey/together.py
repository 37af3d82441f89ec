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
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

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

SERVICES: Mapping[str, tuple[type[Any], Callable[[Any, Neighbours], Coroutine[Any, Any, None]]]] = {
    "worker": (WorkerSettings, run_worker),
    "datastore": (DatastoreSettings, run_datastore),
    "scheduler": (SchedulerSettings, run_scheduler),
    "gateway": (GatewaySettings, run_gateway),
}
"""In the order of starting: a worker first, since it keeps the loop while it imports the user's program."""

STOPPING = ("gateway", "scheduler", "worker", "datastore")
"""In the order in which work flows, so that what is under way can still be answered."""

STOP_S_MAX = 5.0
"""How long a service may take to stop before it is told again: libraries have been seen to lose a cancellation."""


def main() -> None:
    """Run the services that the command line names."""
    names = sys.argv[1:]
    sys.exit(run(lambda: run_together(names)))


async def run_together(names: Sequence[str]) -> None:
    """Serve until cancelled. Raises InvalidArgument for a service that there is not, and what ends any of them."""
    unknown = [name for name in names if name not in SERVICES]
    if unknown or not names:
        raise InvalidArgument(f"name services of {', '.join(SERVICES)}, not {', '.join(unknown) or 'none'}")
    own = {name: read_settings(settings, service=name) for name, (settings, _) in SERVICES.items() if name in names}
    neighbours = Neighbours()
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(SERVICES[name][1](settings, neighbours)) for name, settings in own.items()}
        try:
            await asyncio.Event().wait()
        finally:
            for name in STOPPING:
                if name in tasks:
                    await _stopped(tasks[name])


async def _stopped(task: asyncio.Task[None]) -> None:
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=STOP_S_MAX)


if __name__ == "__main__":
    main()

"""The whole mesh in one process: what a later stage reads from afar is there when its task comes."""

from typing import Any

import pytest

import covey
from covey import testing
from covey.grouping import Scope, rendezvous
from covey.services.worker.shell import WorkerShell

EVENTS = 20
NODES = ("node-0", "node-1", "node-2")

app = covey.Pipeline("ahead", objective_s=1.0)
ticks = app.pool("/ticks/{sensor}/{n:int}", group="{sensor}")
changes = app.pool("/changes/{sensor}/{n:int}", group="{sensor}")
prices = app.pool("/prices/{sensor}/{n:int}", group="price of {sensor}")
sums = app.pool("/sums/{sensor}/{n:int}", group="{sensor}")


@app.stage(on=ticks, emits=changes)
def pass_on(batch: Any) -> None:
    for task in batch:
        task.emit(changes, task.trigger.value)


@app.stage(on=changes, needs=[ticks.at(-2, -1), prices.at(-1)], emits=sums)
def add(batch: Any) -> None:
    for task in batch:
        found = (*task.needs[ticks], *task.needs[prices])
        task.emit(sums, task.trigger.value + sum(each.value for each in found))


def sensor_whose_prices_live_elsewhere() -> str:
    scope = Scope("default", "ahead")
    names = [f"sensor-{number}" for number in range(50)]
    return next(n for n in names if rendezvous(scope, n, NODES) != rendezvous(scope, f"price of {n}", NODES))


@pytest.mark.asyncio
async def test_later_stages_find_what_was_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers are those of reads made in time, and almost all that were remote had been made ahead."""
    shells: list[WorkerShell] = []
    make_worker = testing.make_worker

    def noted(*args: Any, **more: Any) -> WorkerShell:
        shells.append(make_worker(*args, **more))
        return shells[-1]

    monkeypatch.setattr(testing, "make_worker", noted)
    sensor = sensor_whose_prices_live_elsewhere()
    remote_gets = 0
    async with app.test_client(nodes=len(NODES), workers=len(NODES)) as mesh:
        for n in range(EVENTS):
            await mesh.put(prices, 1000 * n, sensor=sensor, n=n)
            result = await mesh.send(ticks, n, sensor=sensor, n=n)
            remote_gets += result.outcome.remote_gets
            wanted = sum(range(max(0, n - 2), n + 1)) + 1000 * max(0, n - 1)
            assert [each.value for each in result.objects(sums)] == [wanted]

    hits = sum(shell.core.state.counters.prefetch_hits for shell in shells)
    assert EVENTS - 2 <= hits <= remote_gets, "what a prefetch moved is counted towards its event"

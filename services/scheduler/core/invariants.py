"""What holds of the scheduler's data after every step: checked in tests and in the simulator."""

from __future__ import annotations

from covey.model import Priority
from covey.services.scheduler.core.served import Served
from covey.services.scheduler.core.shared import Shared
from covey.services.scheduler.core.state import Phase, State


def check_invariants(state: State) -> None:
    """Raise AssertionError when the state contradicts itself."""
    for number, task in state.tasks.items():
        assert task.number == number
        assert task.phase is not Phase.ENDED, f"task {number} has ended and is still open"
        assert state.cascades.get(task.cascade.identity) is task.cascade, f"task {number} outlived its cascade"
        assert task.cascade.tasks.get(number) is task
        if task.phase is Phase.DISPATCHED:
            assert task in state.batches[task.batch].tasks
        if task.phase is Phase.HELD:
            assert task.line is not None, f"task {number} waits for nothing"
    for cascade in state.cascades.values():
        assert cascade.tasks or cascade.storing_again, "a cascade without open tasks has no outcome"
        for stage, count in cascade.open_by_stage.items():
            assert count == sum(task.plan.id.name == stage for task in cascade.tasks.values())
    for worker in state.workers.values():
        ahead = state.limits.batches_ahead * (1 if state.served is None else worker.lanes)
        assert len(worker.batches) <= worker.lanes + ahead
        for batch in worker.batches.values():
            assert state.batches[batch.number] is batch
    for (scope, version, name), lanes in state.lanes.items():
        plan = state.pipelines[scope][version].stages[name]
        assert lanes == sum(worker.lanes for worker in state.workers.values() if worker.runs(plan))
    assert all(key in state.lines for key in state.exposed)
    for line in state.lines.values():
        running = line.running
        assert running is None or running.phase in (Phase.QUEUED, Phase.DISPATCHED, Phase.PAUSED)
    assert state.reserved == sum(cascade.reserved for cascade in state.cascades.values())
    assert len(state.outcomes) <= state.limits.outcomes_max
    queued = [task for task in state.tasks.values() if task.phase is Phase.QUEUED]
    for waited_for, counts in state.queued.items():
        of_stage = [task.cascade.event.priority for task in queued if task.plan.id == waited_for]
        assert counts == [of_stage.count(Priority.HIGH), of_stage.count(Priority.LOW)]
    if state.served is not None:
        _check_served(state, state.served)
    if state.shared is not None:
        _check_shared(state, state.shared)


def _check_shared(state: State, shared: Shared) -> None:
    waiting = [number for numbers in shared.waiting.values() for number in numbers]
    assert sorted(waiting) == sorted(number for number, task in state.tasks.items() if task.phase is Phase.QUEUED)
    assert shared.running.keys() == state.batches.keys()
    devices = shared.policy.devices
    assert devices.keys() == state.workers.keys()
    for peer, worker in state.workers.items():
        assert list(devices[peer].running) == [shared.running[number].batch for number in worker.batches]
        assert len(worker.batches) <= devices[peer].slots.most <= worker.lanes, "no batch waits for a lane"


def _check_served(state: State, served: Served) -> None:
    waiting = [number for stage in served.stages.values() for number in stage.waiting]
    assert sorted(waiting) == sorted(number for number, task in state.tasks.items() if task.phase is Phase.QUEUED)
    for (peer, _), replica in served.replicas.items():
        assert peer == replica.worker
        assert peer in state.workers
        assert replica.becomes is None or replica.batches, "a lane that runs nothing changes hands at once"
        assert len(replica.batches) <= 1 + state.limits.batches_ahead
        assert all(served.running[number] is replica for number in replica.batches)
    for name, stage in served.stages.items():
        own = [each for each in served.replicas.values() if each.stage == name]
        assert list(stage.up) == [each for each in stage.up if each in own and each.is_ready and each.becomes is None]
        assert list(stage.idle) == [each for each in stage.idle if each in stage.up and not each.batches]
        batches = [state.batches[number] for replica in own for number in replica.batches]
        assert stage.running == sum(len(batch.tasks) for batch in batches)

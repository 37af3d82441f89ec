"""Objects that stay on the device, on a stand-in whose device is as lazy as it may be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest

from covey.model import Priority
from covey.services.worker.engine.base import Coming, DeviceLost, StageRaised
from covey.services.worker.engine.cuda import CudaEngine
from covey.services.worker.engine.device_objects import DeviceObjects
from covey.services.worker.engine.staging import Copies, OnDevice, StagingRing
from tests.builders_cuda import APP, LARGE, SCOPE, Doubling, a_history, a_job, a_sum, run, values_of, with_engine
from tests.fakes_cuda import AcceleratorError, Event, FakeTorch, OutOfMemoryError

T = TypeVar("T")


@pytest.fixture
def torch() -> Iterator[FakeTorch]:
    Doubling.torch = FakeTorch()
    yield Doubling.torch
    Event.on_wait = None


def sums(*values: float) -> list[float]:
    return [2 * LARGE * value for value in values]


def test_large_objects_are_copied_once(torch: FakeTorch) -> None:
    """The second job finds what the first one needed, and copies only its mask and what is new."""
    first, second, third = [a_history(n, float(n + 1)) for n in range(3)]
    assert run(torch, a_sum(first, second), a_sum(second, third), lane=1) == [sums(3.0), sums(5.0)]
    assert len(torch.bus) == 2 * 2 + 3  # two masks inward, two results outward, three objects


def test_small_objects_come_in_one_copy(torch: FakeTorch) -> None:
    """A stack that is made on the host is cheaper than many copies."""
    small = [a_history(n, 0.0, array=np.full(8, n + 1.0, np.float32)) for n in range(2)]
    assert run(torch, a_sum(*small), a_sum(*small)) == [[2 * 8 * 3.0]] * 2
    assert len(torch.bus) == 2 * 3


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.bool_])
def test_objects_are_copied_as_they_are_and_stacked_as_float32(torch: FakeTorch, dtype: type) -> None:
    """A frame of bytes goes over the bus as bytes."""
    assert run(torch, a_sum(a_history(1, 0.0, array=np.ones((4, LARGE), dtype)))) == [sums(4.0)]


def test_a_short_history_is_padded(torch: FakeTorch) -> None:
    """With zeros, on the device as on the host."""
    assert run(torch, a_sum(a_history(1, 3.0))) == [sums(3.0)]


def test_arrays_that_do_not_fit_together_are_the_stages_mistake(torch: FakeTorch) -> None:
    """The same error as on a CPU."""
    with pytest.raises(StageRaised) as raised:
        run(torch, a_sum(a_history(1, 1.0), a_history(2, 0.0, array=np.ones(2 * LARGE, np.float32))))

    assert "shapes" in str(raised.value.__cause__)


def test_without_a_scope_nothing_is_held(torch: FakeTorch) -> None:
    """Two pipelines may use one name for two things."""
    job = a_sum(a_history(1, 1.0), scope=None)
    assert run(torch, job, job) == [sums(1.0)] * 2
    assert len(torch.bus) == 2 * 3


def test_the_group_that_was_used_the_longest_ago_makes_room(torch: FakeTorch) -> None:
    """Whole, as in the worker's own memory; `held_bytes_max` bounds what is held."""
    a, b, other = a_history(1, 1.0, "g"), a_history(2, 2.0, "g"), a_history(3, 3.0, "h")
    jobs = [a_sum(a, b), a_sum(other), a_sum(a, b)]
    run(torch, *jobs, held_bytes_max=3 * 4 * LARGE)
    assert len(torch.bus) == 3 * 2 + 3

    torch.bus.clear()
    run(torch, *jobs, held_bytes_max=2 * 4 * LARGE)
    assert len(torch.bus) == 3 * 2 + 5


async def settled(engine: CudaEngine) -> None:
    """What was to be brought ahead has been."""
    done = threading.Event()
    engine._fetching.post(done.set)
    assert await asyncio.to_thread(done.wait, 5)


def coming(*objects: object) -> Coming:
    """For a lane of HIGH."""
    return Coming(APP.declaration(), a_sum().stage, SCOPE, Priority.HIGH, objects)  # type: ignore[arg-type]


def test_what_is_coming_is_brought_while_the_lane_computes(torch: FakeTorch) -> None:
    """The job that follows finds it there; for a lane that is free, there is nothing to overlap with."""
    first, second = a_history(1, 1.0), a_history(2, 2.0)

    async def go(engine: CudaEngine) -> None:
        await engine.run(a_sum(first), 0)
        copied = len(torch.bus)
        engine.prefetch(coming(second))
        await settled(engine)
        assert len(torch.bus) == copied
        running = asyncio.get_running_loop().create_task(engine.run(a_job(1.0), 0))
        await asyncio.sleep(0)
        engine.prefetch(coming(second, a_job(1.0).inputs[0].trigger))
        await running
        await settled(engine)
        copied = len(torch.bus)
        assert values_of((await engine.run(a_sum(second), 0)).outputs) == sums(2.0)
        assert len(torch.bus) == copied + 2

    with_engine(torch, go)


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [(OutOfMemoryError("CUDA out of memory."), False), (AcceleratorError("CUDA error: unknown error"), True)],
)
def test_errors_of_what_is_brought_ahead_are_treated_like_any(
    torch: FakeTorch, monkeypatch: pytest.MonkeyPatch, error: Exception, is_lost: bool
) -> None:
    """Memory that is short is made room in; a device that is lost is lost to the next job. The thread goes on."""

    def failing(*given: object) -> None:
        raise error

    async def go(engine: CudaEngine) -> None:
        await engine.run(a_sum(a_history(1, 1.0)), 0)
        engine._busy[0] = True
        with monkeypatch.context() as patch:
            patch.setattr(engine._copies, "to_device", failing)
            engine.prefetch(coming(a_history(2, 2.0)))
            await settled(engine)
        assert (not engine._objects._held) is (torch.caches_emptied == 1) is not is_lost
        if is_lost:
            with pytest.raises(DeviceLost, match="unknown error"):
                await engine.run(a_job(1.0), 0)
        else:
            assert values_of((await engine.run(a_job(1.0), 0)).outputs) == [2.0]

    with_engine(torch, go)


def test_a_group_that_is_used_again_stays(torch: FakeTorch) -> None:
    """It is the other one that has been idle for longest."""
    a, b, c = a_history(1, 1.0, "a"), a_history(2, 2.0, "b"), a_history(3, 3.0, "c")
    run(torch, a_sum(a), a_sum(b), a_sum(a), a_sum(c), a_sum(a), held_bytes_max=2 * 4 * LARGE)

    assert len(torch.bus) == 5 * 2 + 3


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts threads that come to a halt at a condition: at its lock, or for what it says."""
    count = threading.Semaphore(0)

    class Watched(threading.Condition):
        def __enter__(self) -> bool:
            if not self.acquire(blocking=False):
                count.release()
                self.acquire()
            return True

        def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
            if not predicate():
                count.release()
            return super().wait_for(predicate, timeout)

    monkeypatch.setattr(threading, "Condition", Watched)
    return count


def some_objects(torch: FakeTorch) -> DeviceObjects:
    return DeviceObjects(Copies(torch, "cuda:0", StagingRing(torch, 4, 1024)), 1 << 20)


def test_an_object_that_is_on_its_way_is_not_copied_again(torch: FakeTorch, waits: threading.Semaphore) -> None:
    """Who needs it as well waits for it, and has the same tensor."""
    objects, array, ref = some_objects(torch), np.ones(1024, np.float32), a_history(1, 1.0).ref
    found: list[OnDevice] = []
    second = threading.Thread(target=lambda: found.append(objects.bring(SCOPE, ref, array, False)), daemon=True)

    def meanwhile() -> None:
        Event.on_wait = None
        second.start()
        assert waits.acquire(timeout=5)

    Event.on_wait = meanwhile
    first = objects.bring(SCOPE, ref, array, urgent=False)
    second.join(timeout=5)

    assert found == [first]
    assert len(torch.bus) == 4


def test_nothing_is_let_go_of_half_way(torch: FakeTorch, waits: threading.Semaphore) -> None:
    """Whoever clears waits until what is being noted has been."""
    objects = some_objects(torch)
    objects.bring(SCOPE, a_history(1, 1.0).ref, np.ones(8, np.float32), urgent=True)
    clearing = threading.Thread(target=objects.clear, daemon=True)
    with objects._changed:
        clearing.start()
        waits.acquire(timeout=1)
        assert objects._held
    clearing.join(timeout=5)

    assert not objects._held

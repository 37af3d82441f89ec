"""Models as CUDA graphs, on a stand-in that records what it is asked to record."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from covey.services.worker.engine import graphs
from covey.services.worker.engine.base import DeviceLost, StageRaised
from covey.services.worker.engine.cuda import CudaEngine
from tests.builders_cuda import ADD, DOUBLE, Doubling, a_job, run, values_of, with_engine
from tests.fakes_cuda import AcceleratorError, Event, FakeTorch


@pytest.fixture
def torch() -> Iterator[FakeTorch]:
    Doubling.torch, Doubling.cuda_graph = FakeTorch(), True
    yield Doubling.torch
    Doubling.error, Doubling.cuda_graph, Event.on_wait = None, False, None


def test_a_recording_computes_what_the_model_does(torch: FakeTorch) -> None:
    """The first call of a shape runs as it is, the second is recorded, and every one from then on replays it."""
    assert run(torch, *[a_job(1.0 * n, 2.0 * n) for n in range(6)]) == [[2.0 * n, 4.0 * n] for n in range(6)]
    assert [graph.replays for graph in torch.graphs] == [5]


def test_every_shape_and_every_lane_has_its_own(torch: FakeTorch) -> None:
    """A recording fits no other shape, and can't run twice at a time."""

    async def go(engine: CudaEngine) -> None:
        for lane in (0, 1):
            for job in (a_job(1.0), a_job(1.0, 2.0)):
                for _ in range(3):
                    await engine.run(job, lane)

    with_engine(torch, go)

    assert [graph.replays for graph in torch.graphs] == [2] * 4


def test_only_models_that_ask_for_it_are_recorded(torch: FakeTorch) -> None:
    """Others may look at values, which no recording does."""
    Doubling.cuda_graph = False
    run(torch, a_job(1.0), a_job(2.0), a_job(3.0))

    assert torch.graphs == []


def test_what_is_not_on_the_device_is_not_recorded(torch: FakeTorch) -> None:
    """A recording would go on with the argument of its first day."""
    own = graphs.Graphs(torch, torch.cuda.Stream(device="cuda:0"))

    for n in range(3):
        assert own.call(DOUBLE, Plain(), n) == n
    assert torch.graphs == []


class Plain:
    cuda_graph = True

    def __call__(self, value: int) -> int:
        return value


def test_a_model_that_cannot_be_recorded_runs_as_it_is(
    torch: FakeTorch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The promise was wrong; the answers are right, and the log says so once. The device is not lost."""
    original = Doubling.__call__

    def looking(self: Doubling, values: object) -> object:
        if torch._captured is not None:
            raise AcceleratorError("CUDA error: operation not permitted when stream is capturing")
        return original(self, values)  # type: ignore[arg-type]

    monkeypatch.setattr(Doubling, "__call__", looking)

    assert run(torch, *[a_job(1.0 * n) for n in range(5)]) == [[2.0 * n] for n in range(5)]
    assert len(torch.graphs) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_out_of_memory_drops_the_lanes_recordings(torch: FakeTorch) -> None:
    """Each has memory of its own, that nothing else can give back; not while one may be replaying."""

    async def go(engine: CudaEngine) -> None:
        for _ in range(3):
            await engine.run(a_job(1.0), 0)
        torch.room = 1
        with pytest.raises(StageRaised):
            await engine.run(a_job(1.0, 2.0), 0)
        assert torch.streams[0].done == len(torch.streams[0].queued)
        assert not engine._graphs[0]._known
        for _ in range(3):
            assert values_of((await engine.run(a_job(1.0), 0)).outputs) == [2.0]

    with_engine(torch, go)

    assert len(torch.graphs) == 2


def test_out_of_memory_while_recording_is_out_of_memory(torch: FakeTorch) -> None:
    """And not a model that can't be recorded."""

    async def go(engine: CudaEngine) -> None:
        await engine.run(a_job(1.0), 0)
        torch.room_to_record = 0
        with pytest.raises(StageRaised) as raised:
            await engine.run(a_job(1.0), 0)
        assert raised.value.why.startswith("out of memory")

    with_engine(torch, go)


def test_a_stage_that_is_unloaded_leaves_no_recordings(torch: FakeTorch) -> None:
    """Of any lane; other stages keep theirs."""

    async def go(engine: CudaEngine) -> None:
        for lane in (0, 1):
            for _ in range(2):
                await engine.run(a_job(1.0), lane)
        engine._graphs[0]._known[(ADD,)] = None
        await engine.unload(DOUBLE)
        assert [list(each._known) for each in engine._graphs] == [[(ADD,)], []]

    with_engine(torch, go)


def test_the_shape_that_was_used_the_longest_ago_goes(torch: FakeTorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once nothing replays it any more: shapes that change every time must not fill the device."""
    monkeypatch.setattr(graphs, "SHAPES_MAX", 2)
    stream = torch.cuda.Stream(device="cuda:0")
    own = graphs.Graphs(torch, stream)
    model = Doubling()
    model.weight = torch.kernel(np.ones_like, torch.empty(1, np.dtype(np.float32), "cuda:0"))
    torch.cuda.synchronize("cuda:0")
    with torch.cuda.stream(stream):
        one, two, three = [torch.empty(size, np.dtype(np.float32), "cuda:0") for size in (1, 2, 3)]
        for each in (one, one, two, two, one):
            own.call(DOUBLE, model, each)
        own.call(DOUBLE, model, three)

    assert [name[1][0] for name in own._known] == [(1,), (3,)]
    assert stream.done >= 6


def test_a_lost_device_is_noticed_while_recording(torch: FakeTorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that runs instead fails in the same way, and that one counts."""
    original = Doubling.__call__

    def dying(self: Doubling, values: object) -> object:
        if torch.graphs:
            raise AcceleratorError("CUDA error: an illegal memory access was encountered")
        return original(self, values)  # type: ignore[arg-type]

    monkeypatch.setattr(Doubling, "__call__", dying)
    with pytest.raises(DeviceLost):
        run(torch, a_job(1.0), a_job(1.0))

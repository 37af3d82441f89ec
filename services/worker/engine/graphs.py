"""Calls of models recorded as CUDA graphs, so that the host queues a hundred kernels as one.

A model whose class says `cuda_graph = True` promises that its call only queues kernels, the same ones whenever its
arguments have the same shapes: no look at a value, no random choice, no state that changes. One that can't be recorded
all the same runs as it is, and the log says so once.

The first call of a shape runs as it is: libraries set themselves up in it, which can't be recorded. The second is
recorded. A recording reads and writes the same memory each time it is replayed, so its inputs are copied to where it
reads them, and what it wrote is taken away before the next replay, which the lane sees to: it runs one job at a time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any, NamedTuple

from covey.declare import Stage

log = logging.getLogger(__name__)

SHAPES_MAX = 32
"""Shapes that a lane remembers, most of them recorded; the one that was used the longest ago goes."""


class Recording(NamedTuple):
    """A graph, the tensors that it reads, and what the model returned when it was recorded: where it writes."""

    graph: Any
    inputs: tuple[Any, ...]
    returned: Any


class Graphs:
    """The recordings of one lane. Called from its thread, or when it is idle."""

    def __init__(self, torch: Any, stream: Any) -> None:
        self._torch = torch
        self._stream = stream
        self._pool = torch.cuda.graph_pool_handle()
        self._known: OrderedDict[tuple[Any, ...], Recording | None] = OrderedDict()
        self._refused: dict[Stage, None] = {}

    def call(self, stage: Stage, model: Any, *args: Any) -> Any:
        """What the model returns for these arguments; on the device, until the next call."""
        if stage in self._refused or not self._can_record(model, args):
            return model(*args)
        name = (stage, *[(tuple(each.shape), each.dtype) for each in args])
        if name not in self._known:
            self._known[name] = None
            if len(self._known) > SHAPES_MAX:
                self._drop(next(iter(self._known)))
            return model(*args)
        recording = self._known[name] or self._record(stage, model, args)
        if recording is None:
            return model(*args)
        self._known[name] = recording
        self._known.move_to_end(name)
        for place, value in zip(recording.inputs, args, strict=True):
            place.copy_(value)
        recording.graph.replay()
        return recording.returned

    def forget(self, stage: Stage | None = None) -> None:
        """Drop the recordings of a stage (None: all), and their memory."""
        for name in [name for name in self._known if stage is None or name[0] is stage]:
            self._drop(name)

    def _can_record(self, model: Any, args: tuple[Any, ...]) -> bool:
        wanted = getattr(model, "cuda_graph", False)
        return bool(wanted and all(isinstance(each, self._torch.Tensor) and each.is_cuda for each in args))

    def _record(self, stage: Stage, model: Any, args: tuple[Any, ...]) -> Recording | None:
        torch = self._torch
        inputs = tuple([each.clone() for each in args])
        graph = torch.cuda.CUDAGraph()
        try:  # other lanes go on allocating meanwhile: only what this thread does is watched
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                returned = model(*inputs)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("the model of stage %s can't be a CUDA graph: %s", stage.declaration.name, error)
            self._refused[stage] = None
            return None
        return Recording(graph, inputs, returned)

    def _drop(self, name: tuple[Any, ...]) -> None:
        self._stream.synchronize()  # it may be replaying
        del self._known[name]

"""A model as a lane calls it: by a recording where that serves, and with its answer on the host."""

from __future__ import annotations

from typing import Any

from covey.declare import Stage
from covey.services.worker.engine.graphs import Graphs
from covey.services.worker.engine.staging import Copies


class LaneModel:
    """A model whose tensors come back to the host, each in one copy, so that emitting their rows costs none."""

    def __init__(
        self, torch: Any, model: Any, stage: Stage, graphs: Graphs, copies: Copies, stream: Any, urgent: bool
    ) -> None:
        self._torch = torch
        self._model = model
        self._stage = stage
        self._graphs = graphs
        self._copies = copies
        self._stream = stream
        self._urgent = urgent

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            return self._returned(self._model(*args, **kwargs))
        return self._returned(self._graphs.call(self._stage, self._model, *args))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def _returned(self, value: Any) -> Any:
        if isinstance(value, self._torch.Tensor) and value.is_cuda:
            return self._copies.to_host(value, self._stream, self._urgent)
        if type(value) in (tuple, list):
            return type(value)(self._returned(each) for each in value)
        if type(value) is dict:
            return {key: self._returned(each) for key, each in value.items()}
        return value

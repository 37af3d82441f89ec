"""Models that get in each other's way on the cores of one machine, each in its own manner, and a pipeline of them.

| model | what it is | what it is short of |
|---|---|---|
| `small` | a little perceptron | hardly anything |
| `dense` | a stack of convolutions | arithmetic |
| `wide` | two matrices of 64 MiB | memory bandwidth: each weight is read once a batch |
| `long` | a transformer's encoder over 128 steps | arithmetic, for a long time |
| `boxes` | one convolution, and the choice among its boxes in plain Python | the interpreter |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from covey.batch import Batch, TaskInputs
from covey.clock import Clock
from covey.codec import encode_array
from covey.declaration import Codec
from covey.declare import Pipeline
from covey.messages import Task
from covey.model import ObjectRef, ObjectValue
from covey.services.worker.engine.base import Job

SIZES = (1, 2, 4)
"""Tasks in a batch."""


class Small(nn.Module):
    shape = (256,)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[each for _ in range(4) for each in (nn.Linear(256, 256), nn.ReLU())])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layers(values))


class Dense(nn.Module):
    shape = (32, 32, 32)
    passes = 1
    """Of its last layer: a new version has more of them, and nobody profiles it anew."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 64)
        self.layers = nn.Sequential(
            *[nn.Conv2d(ins, outs, 3, padding=1) for ins, outs in zip(widths, widths[1:], strict=False)]
        )
        self.last = nn.Conv2d(64, 64, 3, padding=1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        maps = torch.as_tensor(self.layers(values))
        for _ in range(Dense.passes):
            maps = torch.as_tensor(self.last(maps))
        return maps.mean((2, 3))


class Wide(nn.Module):
    shape = (4096,)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 4096))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layers(values))


class Long(nn.Module):
    shape = (128, 256)

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layers(values)).mean(1)


class Boxes(nn.Module):
    """Keeps of the 144 boxes that a convolution finds those that overlap no better one by more than a half."""

    shape = (16, 12, 12)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = torch.sigmoid(torch.as_tensor(self.layer(values))).flatten(2).transpose(1, 2)
        return torch.tensor([[float(len(_kept(boxes)))] for boxes in found.tolist()])


def _kept(boxes: list[list[float]]) -> list[list[float]]:
    """Greedy suppression of overlapping boxes [x, y, width, height], the largest first."""
    kept: list[list[float]] = []
    for x, y, w, h in sorted(boxes, key=lambda box: -box[2] * box[3]):
        overlaps = [
            max(0.0, min(x + w, x2 + w2) - max(x, x2)) * max(0.0, min(y + h, y2 + h2) - max(y, y2))
            for x2, y2, w2, h2 in kept
        ]
        if all(overlap < 0.8 * w * h for overlap in overlaps):
            kept.append([x, y, w, h])
    return kept


MODELS: dict[str, type[Any]] = {"small": Small, "dense": Dense, "wide": Wide, "long": Long, "boxes": Boxes}


def lane_model(kind: type[Any]) -> type[Any]:
    """What a worker makes of a model: loaded once, called without gradients."""

    class Loaded:
        def load(self, device: str) -> None:
            torch.manual_seed(1)
            self.module = kind().eval().to(device)

        def __call__(self, values: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode():
                return torch.as_tensor(self.module(values))

    return Loaded


def a_pipeline() -> Pipeline:
    """A stage per model, each for objects of its own."""
    app = Pipeline("lanes", objective_s=1.0)
    answers = app.pool("/answers/{model}/{n:int}", codec=Codec.ARRAY)
    for name, kind in MODELS.items():
        inputs = app.pool(f"/{name}/{{n:int}}", codec=Codec.ARRAY)

        def stage(batch: Batch, model: Any, name: str = name) -> None:
            values, _ = batch.stack(name)
            for task, answer in zip(batch, model(values), strict=True):
                task.emit(answers, answer.numpy(), model=name)

        app.stage(on=inputs, emits=answers, model=lane_model(kind), batch_max=max(SIZES), name=name)(stage)
    return app


class Jobs:
    """Jobs of the pipeline, each made once: what is timed is their running."""

    def __init__(self, app: Pipeline) -> None:
        declaration = app.declaration()
        self._jobs = {
            (name, size): Job(declaration, app.stages[name], tuple(_inputs(name, size)))
            for name in MODELS
            for size in SIZES
        }

    def of(self, model: str, size: int) -> Job:
        return self._jobs[model, size]


def _inputs(name: str, size: int) -> Sequence[TaskInputs]:
    values = np.random.default_rng(1).standard_normal((size, *MODELS[name].shape)).astype(np.float32)
    return [
        TaskInputs(
            Task(n, n.to_bytes(16, "big"), "e", None, (), (), (("n", n),), 1.0),
            ObjectValue(ObjectRef(name, f"/{name}/{n}", "", 1), encode_array(value)),
            (),
            {},
            True,
        )
        for n, value in enumerate(values)
    ]


class Work(NamedTuple):
    """What one batch does, operator by operator: each reads its arguments and writes its results."""

    operators_s: float
    """In operators, which do without the interpreter."""
    bytes_moved: float
    bytes_touched: float
    """Weights, and the largest that one operator has in hand."""


def work_of(model: str, size: int, clock: Clock) -> Work:
    """Counted in a run of its own; the seconds are the least of several."""
    module = MODELS[model]().eval()
    values = torch.zeros(size, *MODELS[model].shape)
    runs = []
    for _ in range(5):
        with torch.inference_mode(), Operators(clock) as seen:
            module(values)
        runs.append(seen)
    weights = sum([each.nbytes for each in module.parameters()])
    return Work(min([seen.seconds for seen in runs]), runs[0].moved, weights + runs[0].largest)


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator that is called within."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._clock = clock
        self.seconds = self.moved = self.largest = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        began = self._clock.now()
        result = func(*args, **(kwargs or {}))
        self.seconds += self._clock.now() - began
        if not func.is_view:
            results = result if isinstance(result, tuple | list) else (result,)
            size = float(sum([each.nbytes for each in (*args, *results) if isinstance(each, torch.Tensor)]))
            self.moved += size
            self.largest = max(self.largest, size)
        return result

"""Covey's program with torch: an MLP 784 -> 512 -> 10, the same weights for everyone who is measured."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import covey
from benchmarks.wire.pipelines import BATCH_MAX

INPUTS, HIDDEN, OUTPUTS = 784, 512, 10

app = covey.Pipeline("wire-mlp", objective_s=10.0)

images, digits = (
    app.pool(f"/{name}/{{source}}/{{n:int}}", group="{source}", codec="array", transient=True)
    for name in ("images", "digits")
)


class Mlp:
    """Made and loaded by the worker."""

    def load(self, device: str) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUTPUTS)).to(device).eval()

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """[n, 784] -> [n, 10]."""
        scores: Tensor = self.net(image)
        return scores


@app.stage(on=images, emits=digits, model=Mlp, batch_max=BATCH_MAX)
def classify(batch: covey.Batch, model: Mlp) -> None:
    values, _ = batch.stack(images)
    for task, scores in zip(batch, model(values).cpu().numpy(), strict=True):
        task.emit(digits, scores)

"""The small model that every peer serves: the same weights as Covey's own stage, one thread."""

from __future__ import annotations

import torch

INPUTS, HIDDEN, OUTPUTS = 784, 512, 10


def mlp() -> torch.nn.Module:
    """784 -> 512 -> 10 with weights drawn from seed 0."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(INPUTS, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, OUTPUTS)
    ).eval()

"""Predict where an actor goes: a small net that corrects constant velocity.

The net sees a history without its place, heading and size: differences between successive positions, turned so that
the actor heads along the first axis, and divided by how far it moves in a step. Its answer is turned and scaled back
and added to constant velocity. So one net serves aircraft at 10 s and pedestrians at 0.4 s a step, an actor that
stands gets no correction at all, and every row is computed from itself alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from examples.collisions.domain import HISTORY_STEPS, HORIZON_STEPS

WEIGHTS = Path(__file__).with_name("weights") / "trajectory.safetensors"

_MOVES = HISTORY_STEPS - 1
_FEATURES = _MOVES * 4 + 1  # three directions and a mask for each move, and the slope
_HIDDEN = 128
_STANDING_M = 1e-3  # who moves less than a millimetre in a step stands: no direction, no correction


class TrajectoryModel:
    """What a stage is given: `load` once, then call with batches."""

    def __init__(self) -> None:
        self.net = TrajectoryNet()

    def load(self, device: str | torch.device = "cpu") -> None:
        """Read the committed weights and move to the device that histories will come on."""
        self.net.load_state_dict(load_file(WEIGHTS))
        self.net.to(device).eval()

    @torch.inference_mode()
    def __call__(self, history: Tensor, mask: Tensor) -> Tensor:
        """Return the next positions [n, 12, 3] of n actors from their last, [n, 8, 3], oldest first; in metres.

        `mask` [n, 8] says which of them are there; short histories are padded at the front. From one position an actor
        is expected to stay, from two to go on.
        """
        paths: Tensor = self.net(history, mask)
        return paths


class TrajectoryNet(nn.Module):
    """Constant velocity plus the learned correction, differentiable."""

    def __init__(self) -> None:
        super().__init__()
        last = nn.Linear(_HIDDEN, HORIZON_STEPS * 3)
        nn.init.zeros_(last.weight)  # so that training starts from constant velocity
        nn.init.zeros_(last.bias)
        self.correction = nn.Sequential(
            nn.Linear(_FEATURES, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.SiLU(), last
        )

    def forward(self, history: Tensor, mask: Tensor) -> Tensor:
        """Map histories [n, 8, 3] and their mask [n, 8] to paths [n, 12, 3], in metres."""
        moves, moved = moves_of(history, mask)
        count = moved.sum(dim=1, keepdim=True).clamp(min=1)
        velocity = last_velocity(moves, moved)
        step_m = moves[..., :2].norm(dim=2).sum(dim=1, keepdim=True) / count  # [n, 1] metres travelled in a step
        climb_m = moves[..., 2].abs().sum(dim=1, keepdim=True) / count
        heading = _heading(velocity, moves)

        forward = _turn(moves[..., :2], heading, -1.0) / step_m.clamp(min=_STANDING_M)[..., None]
        upward = moves[..., 2] / climb_m.clamp(min=_STANDING_M)
        slope = (climb_m / step_m.clamp(min=_STANDING_M)).clamp(max=1.0)
        features = torch.cat([forward.flatten(1), upward, moved.to(moves.dtype), slope], dim=1)
        correction = self.correction(features).view(-1, HORIZON_STEPS, 3)

        step_m = torch.where(step_m > _STANDING_M, step_m, 0.0)
        climb_m = torch.where(climb_m > _STANDING_M, climb_m, 0.0)
        across = _turn(correction[..., :2], heading, 1.0) * step_m[..., None]
        up = correction[..., 2:] * climb_m[..., None]
        return constant_velocity(history, velocity) + torch.cat([across, up], dim=2)


def moves_of(history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences of successive positions [n, 7, 3], 0 where one is missing, and which are there [n, 7]."""
    moved = mask[:, 1:] & mask[:, :-1]
    return torch.where(moved[..., None], history[:, 1:] - history[:, :-1], 0.0), moved


def last_velocity(moves: Tensor, moved: Tensor, over: int = 1) -> Tensor:
    """Return the mean of the last moves, [n, 3], in metres per step: one is noisy, more lag in a turn."""
    return moves[:, -over:].sum(dim=1) / moved[:, -over:].sum(dim=1, keepdim=True).clamp(min=1)


def constant_velocity(history: Tensor, velocity: Tensor) -> Tensor:
    """Return the straight paths [n, 12, 3] from the last positions."""
    steps = torch.arange(1, HORIZON_STEPS + 1, dtype=history.dtype, device=history.device)
    return history[:, -1:] + velocity[:, None] * steps[None, :, None]


def _heading(velocity: Tensor, moves: Tensor) -> Tensor:
    """Return the cosine and sine of the direction of n actors, [n, 2]; (1, 0) for those that stand."""
    across = velocity[:, :2]
    speed = across.norm(dim=1, keepdim=True)
    east = torch.tensor([1.0, 0.0], dtype=moves.dtype, device=moves.device)
    return torch.where(speed > _STANDING_M, across / speed.clamp(min=_STANDING_M), east)


def _turn(vectors: Tensor, heading: Tensor, sign: float) -> Tensor:
    """Turn vectors [n, k, 2] by the heading [n, 2], or back by it with a sign of -1."""
    cosine, sine = heading[:, None, 0], sign * heading[:, None, 1]
    x, y = vectors[..., 0], vectors[..., 1]
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=2)

"""Train the trajectory model on ADS-B tracks, and say what it is worth beside constant velocity.

    python -m examples.collisions.train [--epochs N] [--evaluate-only]     (some 80 s on one core)

One aircraft in five is held out: by its identity, so that no part of a flight is seen twice. Pedestrian tracks are
only evaluated on, since weights learned from them would inherit their licence. The same seed on the same machine
gives the same weights.
"""

from __future__ import annotations

import argparse
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from examples.collisions.domain import AIRCRAFT, HISTORY_STEPS
from examples.collisions.histories import Windows, concatenated, windows
from examples.collisions.model import WEIGHTS, TrajectoryNet, constant_velocity, last_velocity, moves_of
from examples.collisions.tracks import ADSB_SAMPLES, frames_of, read

# Paris is where aircraft turn, climb and descend, and it has few rows, so it is seen at three tick lengths: what an
# aircraft does in 5 s steps looks like what another does in 10 s.
_TRAINED_ON = (("quickstart", 5.0), ("quickstart", 10.0), ("quickstart", 20.0), ("switzerland", 10.0))
_BATCH = 1024
_RATE = 2e-3
_HELD_OUT = 5  # one in so many aircraft
_MIRRORED = 0.5
_GAPS = 0.1  # share of histories from which one position is taken, as a lost event would


@dataclass(frozen=True)
class Errors:
    """Mean displacement in metres: over the horizon, at its last step, and of the altitude over the horizon."""

    mean_m: float
    final_m: float
    vertical_m: float

    def __str__(self) -> str:
        return f"{self.mean_m:9.2f} {self.final_m:9.2f} {self.vertical_m:9.2f}"


def held_out(identities: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Return which rows belong to aircraft that the training does not see; the same ones on every machine."""
    drawn = {identity: zlib.crc32(str(identity).encode()) % _HELD_OUT == 0 for identity in set(identities)}
    return np.array([drawn[identity] for identity in identities], np.bool_)


def windows_in(track: str | Path, tick_s: float = 10.0) -> Windows:
    """Return the windows of a file, all of it as one scene."""
    reports = read(track, tick_s)
    return windows(frames_of(reports), reports.domain)


def errors(paths: Tensor, data: Windows) -> Errors:
    """Measure paths [n, 12, 3] against what happened."""
    known = torch.from_numpy(data.known)
    off = (paths - torch.from_numpy(data.future)).double()
    distance = off.norm(dim=2)
    return Errors(
        mean_m=distance[known].mean().item(),
        final_m=distance[:, -1][known[:, -1]].mean().item(),
        vertical_m=off[..., 2].abs()[known].mean().item(),
    )


def compare(net: TrajectoryNet, data: Windows) -> dict[str, Errors]:
    """Measure the net beside constant velocity, whose velocity is the last move or the mean of more of them."""
    history, mask = torch.from_numpy(data.history), torch.from_numpy(data.mask)
    moves, moved = moves_of(history, mask)
    table = {}
    for over in (1, 2, 3, 7):
        straight = constant_velocity(history, last_velocity(moves, moved, over))
        table[f"constant velocity, last {over} moves"] = errors(straight, data)
    with torch.inference_mode():
        table["model"] = errors(net(history, mask), data)
    return table


def train(data: Windows, epochs: int, seed: int = 1) -> TrajectoryNet:
    """Fit the correction by gradient descent, and return it."""
    torch.manual_seed(seed)
    net = TrajectoryNet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=1e-4)
    steps = epochs * (len(data.mask) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    separation = torch.tensor([AIRCRAFT.horizontal_m, AIRCRAFT.vertical_m])
    for epoch in range(epochs):
        total = 0.0
        for history, mask, future, known in _batches(data, torch.Generator().manual_seed(seed + epoch)):
            off = net(history, mask) - future
            # In units of the separation that it must resolve: a hundred metres mean little across and a lot in height.
            loss = (off[..., :2].norm(dim=2) / separation[0] + off[..., 2].abs() / separation[1])[known].mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2d}  loss {total * _BATCH / len(data.mask):.4f}", flush=True)
    return net


def _batches(data: Windows, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield shuffled batches; half of the paths are mirrored, since a left turn is a right turn seen from below."""
    order = torch.randperm(len(data.mask), generator=random)
    for rows in order[: len(order) // _BATCH * _BATCH].view(-1, _BATCH):
        history, mask = torch.from_numpy(data.history)[rows], torch.from_numpy(data.mask)[rows]
        history, mask = _with_gaps(history, mask, random)
        mirror = torch.ones(_BATCH, 1, 3)
        mirror[torch.rand(_BATCH, generator=random) < _MIRRORED, :, 0] = -1.0
        yield history * mirror, mask, torch.from_numpy(data.future)[rows] * mirror, torch.from_numpy(data.known)[rows]


def _with_gaps(history: Tensor, mask: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Take one position out of some histories; the older ones move up."""
    gap = torch.randint(1, HISTORY_STEPS - 1, (len(mask), 1), generator=random)
    gap = torch.where(torch.rand(len(mask), 1, generator=random) < _GAPS, gap, -1)
    place = torch.arange(HISTORY_STEPS)
    source = torch.where(place <= gap, place - 1, place)
    there = source >= 0
    source = source.clamp(min=0)
    mask = mask.gather(1, source) & there
    return history.gather(1, source[..., None].expand(-1, -1, 3)), mask


def main() -> None:
    """Train, print the errors, and write the weights."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--epochs", type=int, default=60)
    arguments.add_argument("--evaluate-only", action="store_true", help="measure the committed weights")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    net = TrajectoryNet()
    if options.evaluate_only:
        net.load_state_dict(load_file(WEIGHTS))
    else:
        seen = [windows_in(name, tick_s) for name, tick_s in _TRAINED_ON]
        net = train(concatenated([data.of(~held_out(data.identities)) for data in seen]), options.epochs)
        WEIGHTS.parent.mkdir(exist_ok=True)
        save_file(net.state_dict(), WEIGHTS)
    for name in ADSB_SAMPLES:
        data = windows_in(name)
        _report(f"{name}, held-out aircraft", net, data.of(held_out(data.identities)))
    for path in sorted(Path(os.environ.get("COVEY_DATA", "../shared/data"), "tracks").glob("*.txt")):
        _report(f"{path.stem}, never trained on", net, windows_in(path))


def _report(title: str, net: TrajectoryNet, data: Windows) -> None:
    print(f"\n{title}: {len(data.mask)} histories\n{'':34s} mean (m)  last (m)  vertical (m)")
    for name, error in compare(net, data).items():
        print(f"{name:32s} {error}")


if __name__ == "__main__":
    main()

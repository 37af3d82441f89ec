"""Run the whole pipeline as one plain Python process: what the mesh must agree with.

    python -m examples.collisions.reference [--tracks FILE...] [--tick-s 10] [--sectors N] [--ticks N]

It calls the same functions in the same order of meaning (tracker per scene, last 8 positions per actor, model over
whatever is there at a tick, pair search per scene) and nothing of the mesh. So a difference is the mesh's.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from examples.collisions import tracker
from examples.collisions.domain import HISTORY_STEPS, Domain
from examples.collisions.histories import stack
from examples.collisions.model import TrajectoryModel
from examples.collisions.separation import close_pairs, near_ties
from examples.collisions.tracks import Frame, load

Alert: TypeAlias = tuple[str, int, str]  # scene, tick, pair
Model: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Reference:
    """What one process found; the near ties are pairs on either side of a minimum, alerts or not."""

    alerts: set[Alert] = field(default_factory=set)
    near_ties: set[Alert] = field(default_factory=set)
    positions: int = 0


@dataclass(frozen=True)
class Comparison:
    """How another run's alerts differ from the reference, apart from near ties, which may fall either way."""

    missing: tuple[Alert, ...]  # the reference has them
    unexpected: tuple[Alert, ...]  # the other run has them
    ties_that_differ: tuple[Alert, ...]

    @property
    def equal(self) -> bool:
        """Say whether nothing but near ties differs."""
        return not self.missing and not self.unexpected

    def __str__(self) -> str:
        ties = f"{len(self.ties_that_differ)} near ties fell the other way"
        if self.equal:
            return f"the alerts are equal ({ties})"
        lines = [f"{len(self.missing)} alerts missing, {len(self.unexpected)} unexpected ({ties})"]
        lines += [f"  missing    {scene} tick {tick} {pair}" for scene, tick, pair in self.missing[:20]]
        lines += [f"  unexpected {scene} tick {tick} {pair}" for scene, tick, pair in self.unexpected[:20]]
        return "\n".join(lines)


def run(frames: Iterable[Frame], domain: Domain, model: Model) -> Reference:
    """Replay frames, which come ordered by tick, through tracker, model and pair search."""
    found = Reference()
    states: dict[str, tracker.State] = {}
    recent: dict[tuple[str, str], deque[npt.NDArray[np.float64]]] = defaultdict(lambda: deque(maxlen=HISTORY_STEPS))
    for tick, together in groupby(frames, key=lambda frame: frame.tick):
        actors: list[tuple[str, str]] = []
        for frame in together:
            states[frame.scene], seen = tracker.step(states.get(frame.scene), frame.positions, tick, domain)
            for actor, place in seen:
                recent[frame.scene, actor].append(place)
                actors.append((frame.scene, actor))
        history, mask = stack([recent[actor] for actor in actors])
        paths = model(torch.from_numpy(history), torch.from_numpy(mask)).numpy()
        found.positions += len(actors)
        for scene in dict.fromkeys(scene for scene, _ in actors):
            rows = [row for row, (where, _) in enumerate(actors) if where == scene]
            names = [actors[row][1] for row in rows]
            found.alerts |= {(scene, tick, close.pair) for close in close_pairs(names, paths[rows], domain)}
            found.near_ties |= {(scene, tick, pair) for pair in near_ties(names, paths[rows], domain)}
    return found


def compare(alerts: Iterable[Alert], reference: Reference) -> Comparison:
    """Compare the alerts of another run of the same frames with the reference's, as sets."""
    others = set(alerts)
    differing = others ^ reference.alerts
    return Comparison(
        missing=tuple(sorted(reference.alerts - others - reference.near_ties)),
        unexpected=tuple(sorted(others - reference.alerts - reference.near_ties)),
        ties_that_differ=tuple(sorted(differing & reference.near_ties)),
    )


def main() -> None:
    """Print what the reference finds in some tracks."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tracks", nargs="+", default=["quickstart"], metavar="FILE")
    arguments.add_argument("--tick-s", type=float, default=10.0, help="tick length of aircraft")
    arguments.add_argument("--sectors", type=int, help="scenes to split the airspace into")
    arguments.add_argument("--ticks", type=int, help="stop after so many ticks")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    replay = load(options.tracks, options.tick_s, options.sectors)
    frames = [frame for frame in replay.frames if options.ticks is None or frame.tick < options.ticks]
    for scene, mean in replay.actors_per_scene().items():
        print(f"{scene}: {mean:.1f} actors on average")
    model = TrajectoryModel()
    model.load("cpu")
    started = time.perf_counter()
    found = run(frames, replay.domain, model)
    seconds = time.perf_counter() - started
    print(f"{len(frames)} frames, {found.positions} positions, {seconds:.1f} s")
    pairs = {(scene, pair) for scene, _, pair in found.alerts}
    print(f"{len(found.alerts)} alerts from {len(pairs)} pairs, {len(found.near_ties)} near ties")


if __name__ == "__main__":
    main()

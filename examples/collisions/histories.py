"""Keep the last positions of each actor, and stack them as the model takes them; windows of both to train on."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from examples.collisions import tracker
from examples.collisions.domain import HISTORY_STEPS, HORIZON_STEPS, Domain
from examples.collisions.tracks import Frame

Floats = npt.NDArray[np.float64]

# A report this far above or below where the tracker has the aircraft is a transponder's mistake, no truth to learn.
_ALTITUDE_ERROR_M_MAX = 150.0


def stack(
    histories: Sequence[Sequence[Floats] | deque[Floats]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Stack n histories, oldest position first, into float32[n, 8, 3] and a mask [n, 8], padded at the front."""
    stacked = np.zeros((len(histories), HISTORY_STEPS, 3), np.float32)
    mask = np.zeros((len(histories), HISTORY_STEPS), bool)
    for row, history in enumerate(histories):
        stacked[row, HISTORY_STEPS - len(history) :] = np.stack(history)
        mask[row, HISTORY_STEPS - len(history) :] = True
    return stacked, mask


@dataclass(frozen=True)
class Windows:
    """What the model is given and what then happened: n rows, one per position that an actor was tracked at."""

    identities: npt.NDArray[np.str_]  # [n] whose they truly are
    history: npt.NDArray[np.float32]  # [n, 8, 3] as the tracker has it
    mask: npt.NDArray[np.bool_]  # [n, 8]
    future: npt.NDArray[np.float32]  # [n, 12, 3] as it was measured
    known: npt.NDArray[np.bool_]  # [n, 12] where it was

    def of(self, rows: npt.NDArray[np.bool_]) -> Windows:
        """Return some of the rows."""
        return Windows(self.identities[rows], self.history[rows], self.mask[rows], self.future[rows], self.known[rows])


def windows(frames: Iterable[Frame], domain: Domain) -> Windows:
    """Run the tracker over one scene; pair each tracked actor's history with what its real owner did next."""
    state: tracker.State | None = None
    recent: dict[str, deque[Floats]] = defaultdict(lambda: deque(maxlen=HISTORY_STEPS))
    owners: list[tuple[str, int]] = []
    histories: list[list[Floats]] = []
    measured: dict[tuple[str, int], Floats] = {}
    for frame in frames:
        state, actors = tracker.step(state, frame.positions, frame.tick, domain)
        for identity, position, (actor, place) in zip(frame.identities, frame.positions, actors, strict=True):
            recent[actor].append(place)
            owners.append((identity, frame.tick))
            histories.append(list(recent[actor]))
            if abs(position[2] - place[2]) <= _ALTITUDE_ERROR_M_MAX:
                measured[identity, frame.tick] = position
    history, mask = stack(histories)
    future = np.zeros((len(owners), HORIZON_STEPS, 3), np.float32)
    known = np.zeros((len(owners), HORIZON_STEPS), bool)
    for row, (identity, tick) in enumerate(owners):
        for ahead in range(HORIZON_STEPS):
            position = measured.get((identity, tick + 1 + ahead))
            if position is not None:
                future[row, ahead], known[row, ahead] = position, True
    return Windows(np.array([identity for identity, _ in owners], np.str_), history, mask, future, known)


def concatenated(parts: Sequence[Windows]) -> Windows:
    """Put the rows of several together."""
    return Windows(
        identities=np.concatenate([part.identities for part in parts]),
        history=np.concatenate([part.history for part in parts]),
        mask=np.concatenate([part.mask for part in parts]),
        future=np.concatenate([part.future for part in parts]),
        known=np.concatenate([part.known for part in parts]),
    )

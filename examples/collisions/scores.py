"""Hold the example against what is known: who an actor really is, and what a plain reading of the file gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from examples.collisions import tracker
from examples.collisions.domain import HORIZON_STEPS, Domain
from examples.collisions.separation import close_pairs
from examples.collisions.tracks import Floats, Frame, Reports


@dataclass(frozen=True)
class IdentityScore:
    """How well tracks follow their real owners."""

    chances: int  # actors present in two consecutive ticks of one scene
    kept: int  # those of them whose track stayed the same
    tracks: int  # identities that the tracker gave

    @property
    def share(self) -> float:
        """Return the share of chances that were kept."""
        return self.kept / self.chances if self.chances else 1.0


def identity_score(frames: Iterable[Frame], domain: Domain) -> IdentityScore:
    """Run the tracker over frames ordered by tick; see whether real actors keep their tracks from tick to tick."""
    states: dict[str, tracker.State] = {}
    before: dict[str, tuple[int, dict[str, str]]] = {}
    given: set[tuple[str, str]] = set()
    chances = kept = 0
    for frame in frames:
        state = states.get(frame.scene)
        states[frame.scene], actors = tracker.step(state, frame.positions, frame.tick, domain)
        tracks = {identity: actor for identity, (actor, _) in zip(frame.identities, actors, strict=True)}
        tick, last = before.get(frame.scene, (frame.tick, {}))
        if tick == frame.tick - 1:
            both = [identity for identity in tracks if identity in last]
            chances += len(both)
            kept += sum(tracks[identity] == last[identity] for identity in both)
        before[frame.scene] = frame.tick, tracks
        given |= {(frame.scene, actor) for actor in tracks.values()}
    return IdentityScore(chances, kept, len(given))


def straight_paths(positions: Floats, velocities: Floats, tick_s: float) -> Floats:
    """Return where n actors are now and at each step of the horizon if nothing changes, [n, 13, 3] metres."""
    seconds = np.arange(HORIZON_STEPS + 1) * tick_s
    return positions[:, None, :] + velocities[:, None, :] * seconds[None, :, None]


def straight_alerts(reports: Reports) -> list[tuple[int, str]]:
    """Return (tick, pair of identities) of all that come too close on straight paths, the whole file as one scene."""
    ticks, starts = np.unique(reports.ticks, return_index=True)
    alerts: list[tuple[int, str]] = []
    for tick, rows in zip(ticks, np.split(np.arange(len(reports.ticks)), starts[1:]), strict=True):
        paths = straight_paths(reports.positions[rows], reports.velocities[rows], reports.domain.tick_s)
        pairs = close_pairs([str(name) for name in reports.identities[rows]], paths, reports.domain)
        alerts += [(int(tick), close.pair) for close in pairs]
    return alerts

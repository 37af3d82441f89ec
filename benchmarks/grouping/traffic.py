"""Which events are sent, when, and what each must lead to: the same for every mode, by seed."""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.grouping import synthetic
from benchmarks.grouping.collisions import FRAME_BYTES, straight_on
from examples.collisions import tracker
from examples.collisions.domain import HISTORY_STEPS, Domain
from examples.collisions.histories import stack
from examples.collisions.separation import close_pairs
from examples.collisions.tracks import Floats, Frame, read, replay_of

_FRAMES_APART = 61
"""So many frames lie between the starts of two copies of a scene."""
_PIXELS_KEPT = 16
"""Different frames' pixels that are made; they repeat after that."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event: sent `at_s` after the start. `expected` are the keys of the objects that it must lead to, if known."""

    at_s: float
    key: str
    value: Any
    expected: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Tick:
    """A frame of a scene that goes on for ever, and the pairs that one plain process finds too close in it."""

    tick: int
    positions: Floats
    pairs: tuple[str, ...]


class Footage:
    """One scene's frames, from one moment on, over and over; computed once and kept."""

    def __init__(self, domain: Domain, place: str, frames: Sequence[Frame], first: int) -> None:
        self.domain = domain
        self.place = place
        self._frames = frames
        self._first = first % len(frames)
        self._ticks: list[Tick] = []
        self._coming = self._played()

    def tick(self, number: int) -> Tick:
        """The `number`-th frame."""
        while len(self._ticks) <= number:
            self._ticks.append(next(self._coming))
        return self._ticks[number]

    def _looped(self) -> Iterator[tuple[int, Floats]]:
        """(tick, positions): after the last frame comes the first, as if after a long pause."""
        span = self._frames[-1].tick - self._frames[0].tick + 100
        for number in itertools.count(self._first):
            lap, at = divmod(number, len(self._frames))
            yield self._frames[at].tick + lap * span, self._frames[at].positions

    def _played(self) -> Iterator[Tick]:
        state: tracker.State | None = None
        recent: dict[str, deque[Floats]] = defaultdict(lambda: deque(maxlen=HISTORY_STEPS))
        for tick, positions in self._looped():
            state, actors = tracker.step(state, positions, tick, self.domain)
            for actor, place in actors:
                recent[actor].append(place)
            names = [actor for actor, _ in actors]
            paths = straight_on(*stack([recent[name] for name in names]))
            yield Tick(tick, positions, tuple(close.pair for close in close_pairs(names, paths, self.domain)))


class Scenes:
    """The collision workload: `streams` scenes out of a few files of tracks."""

    def __init__(self, tracks: Sequence[str | Path], streams: int) -> None:
        places: list[tuple[Domain, str, list[Frame]]] = []
        for path in tracks:
            replay = replay_of([read(path)])
            by_scene: dict[str, list[Frame]] = {}
            for frame in replay.frames:
                by_scene.setdefault(frame.scene, []).append(frame)
            places += [(replay.domain, _place_of(scene), frames) for scene, frames in by_scene.items()]
        self._footage = [
            Footage(*places[number % len(places)], first=number // len(places) * _FRAMES_APART)
            for number in range(max(streams, len(places)))
        ]
        rng = Random(0)
        self._pixels = [rng.randbytes(FRAME_BYTES) for _ in range(_PIXELS_KEPT)]

    def arrivals(self, salt: str, rate: float, count: int, *, heavy: bool, skewed: bool, check: bool) -> list[Arrival]:
        """`count` events, paced at `rate` per second. The salt is part of every scene's name: it decides the hashes."""
        scenes = [footage.domain.scene(f"{footage.place}.{salt}.{n}") for n, footage in enumerate(self._footage)]
        sent = [0] * len(scenes)
        found = []
        for number, stream in enumerate(itertools.islice(order_of(len(scenes), skewed, Random(salt)), count)):
            tick = self._footage[stream].tick(sent[stream])
            sent[stream] += 1
            pixels = self._pixels[number % _PIXELS_KEPT] if heavy else b""
            where = f"{scenes[stream]}/{tick.tick}"
            expected = frozenset(f"/alerts/{where}/{pair}" for pair in tick.pairs) if check else None
            value = {"positions": tick.positions, "pixels": pixels}
            found.append(Arrival(number / rate, f"/observations/{where}", value, expected))
        return found


class Requests:
    """The synthetic workload."""

    def __init__(self) -> None:
        self.data = dict(synthetic.data())

    def arrivals(self, salt: str, rate: float, count: int) -> list[Arrival]:
        """`count` requests, paced at `rate` per second."""
        rng = Random(salt)
        found = []
        for number in range(count):
            value, name = rng.randbytes(synthetic.REQUEST_BYTES), f"{salt}.{number}"
            category, _ = synthetic.answer_to(value, self.data)
            key = f"/entry/{name}/{synthetic.ENTRY_PIECES - 1}"
            found.append(Arrival(number / rate, key, value, frozenset({f"/output/{category}/{name}"})))
        return found


def _place_of(scene: str) -> str:
    """What `Domain.scene` was called with."""
    return scene.partition("-")[2].partition("s-")[2]


def order_of(streams: int, skewed: bool, rng: Random) -> Iterator[int]:
    """Whose turn it is: everyone once in each round, in a drawn order; skewed, every other turn is stream 0's."""
    others = list(range(1 if skewed else 0, streams))
    while True:
        for stream in rng.sample(others, len(others)):
            if skewed:
                yield 0
            yield stream

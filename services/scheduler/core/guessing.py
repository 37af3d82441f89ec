"""What is taken for known of a stage that nobody has measured?

How long it takes is told by its first batches, where `covey profile` has not timed it: a line through what they took,
each divided by how much its neighbours are thought to have slowed it down. Before the first it is taken to be short,
for it has to be tried. Of what it asks of a device it is taken to ask for half of everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from covey.services.scheduler.core.contention import Demand, ModelProfile
from covey.services.scheduler.core.costs import Line
from covey.services.scheduler.core.provision import Curve

FIRST_S = 0.001
"""What a task takes that was never run."""
HALF = Demand(0.5, 0.5, 0.5)


class Guessed:
    """A `Curve`, by what was seen: the mean, and no more of its spread than promises find out by themselves."""

    def __init__(self) -> None:
        self._line = Line()

    def observe(self, size: int, seconds: float) -> None:
        """A batch of so many would have taken so long alone."""
        self._line.observe(size, seconds)

    def mean_s(self, size: int) -> float:
        return self._line.at(size) if self._line.weight else FIRST_S

    def quantile_s(self, size: int, share: float) -> float:
        return self.mean_s(size)


def profile_of(curve: Curve | None, batch_max: int) -> ModelProfile:
    """Of a stage with this curve; without one, of a stage that nobody has measured.

    What its tasks read counts as no bytes: how long reading takes is learned, as the set-up of a copy.
    """
    sizes = tuple(_powers(batch_max))
    known = curve or Guessed()
    is_measured = not isinstance(known, Guessed)
    return ModelProfile(known, sizes, (HALF,) * len(sizes), 0, 0, is_measured, padded=False)


def _powers(most: int) -> Iterator[int]:
    """The sizes of batches: powers of two, and the largest."""
    size = 1
    while size < most:
        yield size
        size *= 2
    yield most

"""What may be promised, given that predictions are wrong?

The quantile of what predictions were wrong by, as a factor, tracked online: after each batch the logarithm of the
factor goes up if the promise was broken and down if it was kept, in such proportion that in the long run the wanted
share is broken, whatever the errors are distributed like (Gibbs and Candès, "Adaptive conformal inference", 2021; the
step is a share of how wide the errors are, as in their later work, so it needs no tuning to a device).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from covey.services.scheduler.core.contention import Load

KEPT = 0.6
"""Share of promises that should be kept. More would keep batches apart that get on well enough, and lose by that."""
STEP = 0.1
"""Of the tracked width of the errors, for each batch."""
WIDTH = 0.15
"""Of the errors, at first, as a logarithm."""
WEIGHT = 0.02
"""Of the last batch in the width."""


@dataclass(slots=True)
class Quantile:
    """Tracks one quantile of a stream of errors."""

    kept: float = KEPT
    value: float = WIDTH
    width: float = WIDTH

    def learn(self, error: float) -> None:
        broken = error > self.value
        self.width += WEIGHT * (min(abs(error), 1.0) - self.width)
        self.value += STEP * max(self.width, 0.01) * (broken - (1.0 - self.kept))


class Promises:
    """Implements `Margins`: a quantile for each model and priority."""

    def __init__(self, kept: float = KEPT) -> None:
        self._kept = kept
        self._quantiles: dict[tuple[str, int], Quantile] = {}

    def margin(self, load: Load) -> float:
        found = self._quantiles.get((load.model, load.priority))
        return math.exp(found.value if found is not None else WIDTH)

    def learn(self, load: Load, predicted_s: float, seconds: float) -> None:
        key = (load.model, load.priority)
        if key not in self._quantiles:
            self._quantiles[key] = Quantile(self._kept)
        self._quantiles[key].learn(math.log(seconds / predicted_s))

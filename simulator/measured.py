"""A mesh whose messages take as long as they were measured to take, for predictions of what a live mesh will do."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from covey.simulator.network import End, Network
from covey.simulator.world import World


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a live mesh takes, all processes on one host, by far more than its network does. Seconds.

    From events that have the mesh to themselves, through one identity stage and through three: two more stages are four
    more messages between processes, and what is left of the first is the client's.
    """

    hop_s: float
    """From one process's decision to the next one's: encoding, waking up, decoding. The median."""
    spread: float
    """The standard deviation of a hop's logarithm."""
    client_s: float
    """Between the client and the gateway, both ways."""


class MeasuredNetwork(Network):
    """Every message takes a hop, wherever it goes."""

    def __init__(self, world: World, rng: random.Random, overhead: Overhead) -> None:
        super().__init__(world, rng)
        self._mu, self._sigma = math.log(overhead.hop_s), overhead.spread

    def delay_s(self, end: End) -> float:
        return self._rng.lognormvariate(self._mu, self._sigma)


def measured_network(overhead: Overhead) -> Callable[[World, random.Random], Network]:
    """What makes a network of this overhead."""
    return lambda world, rng: MeasuredNetwork(world, rng, overhead)

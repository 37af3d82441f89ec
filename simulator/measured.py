"""A mesh whose messages take what they were measured to take, for predictions of what a live mesh will do.

On one host a hop between two processes of ours is CPU time at both ends, and next to nothing between them. So each end
of a message is work for its process, which does one thing at a time, on one of the host's cores: an idle mesh then
shows the latency that was measured, and a busy one the waiting for processes and cores besides.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from covey.simulator.network import End, Network
from covey.simulator.world import Process, World


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a live mesh takes, as means in seconds, from events that have it to themselves."""

    hop_s: float
    """From one process's decision to the next one's: encoding, waking up, decoding."""
    spread: float
    """The standard deviation of half a hop's logarithm."""
    client_s: float
    """Between the client and the gateway, both ways."""
    cpu_s: float
    """What each end of a hop keeps its process and a core busy: half a hop, and what follows once it is sent."""
    cores: int


class MeasuredNetwork(Network):
    """Wherever it goes, a message takes one hop, and the processes and cores that it needs."""

    def __init__(self, world: World, rng: random.Random, overhead: Overhead) -> None:
        super().__init__(world, rng)
        self._sigma = overhead.spread
        self._mu = math.log(overhead.hop_s / 2) - self._sigma**2 / 2
        self._beyond_s = max(0.0, overhead.cpu_s - overhead.hop_s / 2)
        self.hops = 0
        self._cores_free = [0.0] * overhead.cores
        self._free: dict[int, float] = {}
        """Process (by its number of birth) -> when it has dealt with all it knows of."""

    def carry(self, end: End, messages: Sequence[Any] | None) -> None:
        """As the network does it, with work at both ends instead of a delay between them."""
        if self._cuts and self.is_cut(end.owner.host, end.other.owner.host):
            super().carry(end, messages)
            return
        self.messages += len(messages) if messages is not None else 1
        self.hops += 1
        other = end.other
        self.world.at(other.lands_at(self._worked(end.owner)), self._land, other, messages)

    def _land(self, end: End, messages: Sequence[Any] | None) -> None:
        self.world.at(self._worked(end.owner), end.take, messages)

    def _worked(self, process: Process[Any, Any]) -> float:
        """When a process will have done its half of a hop that it is to do from now on."""
        begins, core = self._begins(self._free.get(process.birth, 0.0))
        done = begins + self._rng.lognormvariate(self._mu, self._sigma)
        self._cores_free[core] = self._free[process.birth] = done + self._beyond_s
        return done

    def occupy(self, seconds: float) -> None:
        """A stage that computes on this host's CPU keeps a core busy from now on."""
        begins, core = self._begins(0.0)
        self._cores_free[core] = begins + seconds

    def _begins(self, process_free: float) -> tuple[float, int]:
        core = min(range(len(self._cores_free)), key=self._cores_free.__getitem__)
        return max(self.world.now, process_free, self._cores_free[core]), core


def measured_network(overhead: Overhead) -> Callable[[World, random.Random], MeasuredNetwork]:
    """What makes a network of this overhead."""
    return lambda world, rng: MeasuredNetwork(world, rng, overhead)

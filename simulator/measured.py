"""A mesh whose messages take what they were measured to take, for predictions of what a live mesh will do.

On one host a hop between two processes of ours is CPU time at both ends, and next to nothing between them. So each end
of a message is work for its process, which does one thing at a time, on one of the host's cores: an idle mesh then
shows the latency that was measured, and a busy one the waiting for processes and cores besides. Part of that work
comes with every hop, part with everything that the messages of a hop are about.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from covey.messages import BatchReport, Get, GetDone, RunBatch
from covey.simulator.network import End, Network
from covey.simulator.world import Process, World


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a live mesh takes, as means in seconds, from events that have it to themselves."""

    hop_s: float
    """From one process's decision to the next one's: encoding, waking up, decoding."""
    part_s: float
    """... and as much more for each task, object and read that it carries."""
    spread: float
    """The standard deviation of the logarithm of what one end takes."""
    client_s: float
    """Between the client and the gateway, both ways."""
    cpu_s: float
    """What each end of a hop keeps its process and a core busy: half a hop, and what follows once it is sent."""
    cores: int


class MeasuredNetwork(Network):
    """Wherever it goes, a message takes one hop, and the processes and cores that it needs."""

    def __init__(self, world: World, rng: random.Random, overhead: Overhead) -> None:
        super().__init__(world, rng)
        self._overhead = overhead
        self._mu = -(overhead.spread**2) / 2  # so that the mean of what is drawn is one
        self._beyond_s = max(0.0, overhead.cpu_s - overhead.hop_s / 2)
        self.hops = 0
        self.worked_s = 0.0
        """At both ends of all hops until now, without what follows."""
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
        other, parts = end.other, sum(map(parts_of, messages or ()))
        self.world.at(other.lands_at(self._worked(end.owner, parts)), self._land, other, messages, parts)

    def _land(self, end: End, messages: Sequence[Any] | None, parts: int) -> None:
        self.world.at(self._worked(end.owner, parts), end.take, messages)

    def _worked(self, process: Process[Any, Any], parts: int) -> float:
        """When a process will have done its half of a hop that it is to do from now on."""
        begins, core = self._begins(self._free.get(process.birth, 0.0))
        half_s = (self._overhead.hop_s + parts * self._overhead.part_s) / 2
        took_s = half_s * self._rng.lognormvariate(self._mu, self._overhead.spread)
        self.worked_s += took_s
        done = begins + took_s
        self._cores_free[core] = self._free[process.birth] = done + self._beyond_s
        return done

    def occupy(self, seconds: float) -> None:
        """A stage that computes on this host's CPU keeps a core busy from now on."""
        begins, core = self._begins(0.0)
        self._cores_free[core] = begins + seconds

    def _begins(self, process_free: float) -> tuple[float, int]:
        core = min(range(len(self._cores_free)), key=self._cores_free.__getitem__)
        return max(self.world.now, process_free, self._cores_free[core]), core


def parts_of(message: Any) -> int:
    """How many tasks, objects and reads a message is about, each of which is written, read and dealt with."""
    match message:
        case RunBatch():
            return len(message.tasks)
        case BatchReport():
            return sum([1 + len(task.emissions) for task in message.tasks])
        case Get():
            return len(message.reads)
        case GetDone():
            return len(message.answers)
        case _:
            return 1


def measured_network(overhead: Overhead) -> Callable[[World, random.Random], MeasuredNetwork]:
    """What makes a network of this overhead."""
    return lambda world, rng: MeasuredNetwork(world, rng, overhead)

"""A network whose messages cost something: CPU at both ends, and the host's line by their size.

What a message meets on its way, each one after the other and each a queue of its own:

    sender's CPU ──► sender's line ──► the delay of the hop ──► receiver's line ──► receiver's CPU

Processes of one host share its line; between themselves they need none, and what a worker gets from its own node's
datastore comes through shared memory, without a copy.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from covey.messages import BatchReport, GetDone, HandOver, OutcomeReady, Put, RunBatch, SubmitEvent
from covey.model import ObjectValue
from covey.simulator.network import End, Network
from covey.simulator.world import World

HEADER_BYTES = 200
"""What a message is long without payloads."""
SHARED_BYTES_MIN = 16 * 1024
"""From here on, payloads come through shared memory on the same host."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What messages cost.

    Measured over long-lived gRPC streams in Python on one core of an AMD EPYC: 30 to 60 us a message and side, hardly
    anything an item in it; 150 KB in one message cost some 120 us more, both sides together. The line is 10 Gbit/s.
    """

    packet_s: float = 45e-6
    """CPU on each side for what is sent together."""
    byte_s: float = 0.4e-9
    """CPU on each side for a byte of payload."""
    line_bytes_per_s: float = 1.25e9
    """Of a host, each way."""


class MeteredNetwork(Network):
    """Counts the bytes, and makes everyone wait for them. `hop_s` is the delay between hosts, one way."""

    def __init__(self, world: World, rng: random.Random, hop_s: float, rates: Rates | None = None) -> None:
        super().__init__(world, rng, local_s=20e-6, remote_s=20e-6 + hop_s)
        self.bytes = 0
        self._rates = rates or Rates()
        self._cpu_free: dict[int, float] = {}
        """Process (by its number of birth) -> when its CPU has dealt with all it knows of."""
        self._outward_free: dict[str, float] = {}
        self._inward_free: dict[str, float] = {}

    def carry(self, end: End, messages: Sequence[Any] | None) -> None:
        """As the network does it, with the queues in between."""
        if self._cuts and self.is_cut(end.owner.host, end.other.owner.host):
            super().carry(end, messages)
            return
        now, local = self.world.now, end.owner.host == end.other.owner.host
        said = messages if messages is not None else (None,)
        self.messages += len(said)
        copied = sum([payload_bytes(message, local) for message in said])
        cpu_s = self._rates.packet_s + copied * self._rates.byte_s
        leaves = self._cpu_free[end.owner.birth] = max(now, self._cpu_free.get(end.owner.birth, 0.0)) + cpu_s
        line_s = 0.0
        if not local:
            size = copied + HEADER_BYTES * len(said)
            self.bytes += size
            line_s = size / self._rates.line_bytes_per_s
            leaves = max(leaves, self._outward_free.get(end.owner.host, 0.0)) + line_s
            self._outward_free[end.owner.host] = leaves
        other = end.other
        self.world.at(other.lands_at(leaves + self.delay_s(end)), self._land, other, messages, cpu_s, line_s)

    def _land(self, end: End, messages: Sequence[Any] | None, cpu_s: float, line_s: float) -> None:
        """The last byte could be there, if the line of this end's host were free."""
        ready, owner = self.world.now, end.owner
        if line_s:
            ready = max(ready, self._inward_free.get(owner.host, 0.0) + line_s)
            self._inward_free[owner.host] = ready
        done = self._cpu_free[owner.birth] = max(ready, self._cpu_free.get(owner.birth, 0.0)) + cpu_s
        self.world.at(done, end.take, messages)


def payload_bytes(message: Any, local: bool) -> int:
    """The bytes of payload that are copied when a message is sent, on the same host or to another."""
    match message:
        case Put():
            return len(message.payload)
        case HandOver():
            return message.size
        case GetDone():
            values = [value for answer in message.answers for value in answer.objects]
            return sum([size for size in map(_length, values) if not local or size < SHARED_BYTES_MIN])
        case SubmitEvent():
            return len(message.event.payload or b"")
        case RunBatch():
            return sum([_length(task.trigger) for task in message.tasks if task.trigger is not None])
        case BatchReport():
            return sum([_length(emission.value) for task in message.tasks for emission in task.emissions])
        case OutcomeReady():
            return sum(map(_length, message.outcome.results))
        case _:
            return 0


def _length(value: ObjectValue) -> int:
    return 0 if value.payload is None else len(value.payload)

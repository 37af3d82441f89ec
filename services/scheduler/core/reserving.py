"""How many HIGH requests would a LOW batch make late by taking a slot?

It takes the slot for some time. A HIGH request that arrives then, and whose deadline does not let it wait until a slot
is free that suits it, is late, unless another device has one. HIGH requests arrive at random, so of each model's there
is an expected number: its rate, times the seconds of that window in which one that arrives would be late, times the
probability that the slots elsewhere have been taken by then. That sum is what a LOW batch is weighed by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from covey.model import Priority
from covey.services.scheduler.core.contention import Load, Margins, Request, Slots, Slowdowns
from covey.services.scheduler.core.occupancy import Occupancy

MEMORY_S = 2.0
"""Over which rates are averaged."""
FORGET = 0.1
"""Weight of the last request in its stream's budget, where it has more than that."""
FORGET_CROWD = 0.01
"""Weight of the last arrival in the share of slots that HIGH batches hold when another arrives."""
FORGET_MISSED = 0.003
"""Weight of the last HIGH request in the share of them that is missed."""


@dataclass(slots=True)
class Rate:
    """Requests a second: those seen, each forgotten exponentially."""

    value: float = 0.0
    seen_at: float = 0.0

    def at(self, now: float) -> float:
        return self.value * math.exp((self.seen_at - now) / MEMORY_S)

    def add(self, now: float) -> None:
        self.value = self.at(now) + 1.0 / MEMORY_S
        self.seen_at = now


@dataclass(slots=True)
class Stream:
    """HIGH requests of one model."""

    load: Load
    budget_s: float
    """From arrival to deadline: the least of late."""
    rate: Rate = field(default_factory=Rate)


class Reserve:
    """What HIGH requests may come, and whether they would find a slot."""

    def __init__(self, slowdowns: Slowdowns, margins: Margins, devices: Mapping[int, Occupancy]) -> None:
        """`devices` come and go."""
        self._slowdowns = slowdowns
        self._margins = margins
        self._devices = devices
        self._streams: dict[str, Stream] = {}
        self._rates = (Rate(), Rate())
        self._crowded = 0.0
        self._missed = 0.0

    def arrived(self, request: Request, now: float) -> None:
        self._rates[request.priority].add(now)
        if request.priority is Priority.HIGH:
            load = Load(request.model, 1, Priority.HIGH)
            budget_s = self._budget_s(request, load, now)
            if budget_s < self._slowdowns.solo_s(load):
                return  # nothing makes it late that is not late by itself
            stream = self._streams.get(request.model)
            if stream is None:
                stream = self._streams[request.model] = Stream(load, budget_s)
            stream.rate.add(now)
            held = [each.load.priority for device in self._devices.values() for each in device.running.values()]
            slots = sum([device.slots.most for device in self._devices.values()])
            self._crowded += FORGET_CROWD * (held.count(Priority.HIGH) / max(slots, 1) - self._crowded)
            stream.budget_s = min(stream.budget_s + FORGET * (budget_s - stream.budget_s), budget_s)

    def _budget_s(self, request: Request, load: Load, now: float) -> float:
        """How long a request may take. Of the time that it and what follows may wait for, it has a share by what they
        take ("equal flexibility", Kao and Garcia-Molina, 1993): who waits for all of it leaves none to the rest."""
        if not request.follows_s:
            return request.deadline - now
        own_s = self._needs_s(load, ())
        return own_s + (request.ends_by - now - own_s) * own_s / (own_s + request.follows_s)

    def settled(self, requests: int, late: bool) -> None:
        """So many HIGH requests have been answered, or will not be in time."""
        for _ in range(requests):
            self._missed += FORGET_MISSED * (late - self._missed)

    def worth(self, now: float, missed_least: float) -> float:
        """How many HIGH requests come for each LOW one, times the square of the share of HIGH that is missed anyway, or
        of `missed_least`: another late one matters the less the more are late, and where few are, LOW can wait."""
        low = self._rates[Priority.LOW].at(now)
        if low <= 0.0:
            return math.inf
        return self._rates[Priority.HIGH].at(now) / low * max(self._missed, missed_least) ** 2

    def harm(self, number: int, load: Load, lasts_s: float, now: float) -> float:
        """HIGH requests that are late in the mean because a LOW batch takes a slot there for so long."""
        device = self._devices[number]
        loads = [*device.loads, load]
        running_s = [
            self._margins.margin(running.load) * seconds
            for running, seconds in zip(device.running.values(), device.lasts_s(now), strict=True)
        ]
        lasts = [*running_s, lasts_s]
        total = 0.0
        every = sum([stream.rate.at(now) for stream in self._streams.values()])
        for stream in self._streams.values():
            if not device.runs(stream.load.model):
                continue
            late_s = self._late_s(stream, loads, lasts, device.slots)
            if late_s > 0.0:
                elsewhere = self._elsewhere(stream, number)
                total += stream.rate.at(now) * late_s * _at_least(elsewhere, every * late_s)
        return total * (1.0 - self._crowded)

    def _late_s(self, stream: Stream, loads: list[Load], lasts: list[float], slots: Slots) -> float:
        """For how long from now on a request of the stream that arrives on such a device would be late."""
        order = sorted(range(len(loads)), key=lasts.__getitem__)
        waits_s = 0.0
        present = order
        while True:
            beside = tuple([loads[at] for at in present])
            if slots.have_room(beside, Priority.HIGH):
                needs_s = self._needs_s(stream.load, beside)
                if needs_s <= stream.budget_s or not present:
                    return max(0.0, waits_s + needs_s - stream.budget_s) if waits_s > 0.0 else 0.0
            waits_s = lasts[present[0]]
            present = present[1:]

    def _elsewhere(self, stream: Stream, number: int) -> int:
        """Other devices on which a request of the stream would be in time now."""
        found = 0
        for at, device in self._devices.items():
            if at != number and device.has_room(stream.load.model, Priority.HIGH):
                found += self._needs_s(stream.load, device.loads) <= stream.budget_s
        return found

    def _needs_s(self, load: Load, beside: tuple[Load, ...]) -> float:
        """What a request may be promised to take beside these."""
        return self._slowdowns.solo_s(load) * self._slowdowns.slowdown(load, beside) * self._margins.margin(load)


def _at_least(count: int, mean: float) -> float:
    """Probability of so many or more, of a Poisson distribution."""
    term = below = math.exp(-mean)
    if count == 0:
        return 1.0
    for number in range(1, count):
        term *= mean / number
        below += term
    return max(0.0, 1.0 - below)

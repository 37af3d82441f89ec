"""Clockwork's order of work (Gujarati et al., OSDI 2020), and what others make of it: gpulets, iGniter, EWMA, SGD.

Requests of a model wait in a queue. Whenever a device has a free slot, the model whose head has to start first runs
there, in the largest batch that its head allows; what can't make it any more is refused. The paper's system runs one
batch at a time on a device and knows no priority; here it may be told to run HIGH before LOW, and several side by side.
What a batch takes is what its predictor says: the 99th percentile of the last ten in Clockwork itself.
"""

from __future__ import annotations

from collections import deque
from itertools import count

from covey.model import Priority
from covey.services.scheduler.core.contention import Choice, Drop, Launch, Load, Report, Request, Rule, Slowdowns, Why
from covey.services.scheduler.core.occupancy import Occupancy
from covey.services.scheduler.core.transfer import BYTE_S, CopyCost
from covey.simulator.sharing import Devices

Line = deque[Request]
AHEAD_S = 0.005
"""One at a time: how long before a device is free the next batch is sent there, so that its input is there."""


class Clockwork:
    """A `PriorityPolicy`. `slots`: batches on a device at once; `strict`: HIGH before LOW; `margin`: what a prediction
    is multiplied by; `low_batch_max`: tasks in a batch of LOW."""

    def __init__(
        self,
        devices: Devices,
        slowdowns: Slowdowns,
        slots: int,
        strict: bool,
        low_slots: int | None = None,
        homes: dict[str, tuple[int, ...]] | None = None,
        serial: bool = False,
        margin: float = 1.0,
        low_batch_max: int = 16,
    ) -> None:
        self._profiles = dict(devices.profiles)
        self._slowdowns = slowdowns
        self._slots = slots
        self._low_slots = slots if low_slots is None else low_slots
        self._strict = strict
        self._homes = homes or {}
        self._serial = serial
        self._margin = margin
        self._low_batch_max = low_batch_max
        self._free_at = [0.0] * devices.count
        costs = (CopyCost(), CopyCost())
        self._devices = [Occupancy(self._profiles, slowdowns, costs, 0) for _ in range(devices.count)]
        self._lines: dict[tuple[Priority, str], Line] = {}
        self._device_of: dict[int, int] = {}
        self._numbers = count(1)

    def arrived(self, request: Request, now: float) -> None:
        self._lines.setdefault((request.priority, request.model), deque()).append(request)

    def gone(self, request: int, now: float) -> None:
        for line in self._lines.values():
            for waiting in line:
                if waiting.number == request:
                    line.remove(waiting)
                    return

    def ended(self, report: Report, now: float) -> None:
        device_number = self._device_of.pop(report.batch)
        device = self._devices[device_number]
        ended, overlaps = device.end(report, now)
        self._slowdowns.learn(ended.load, overlaps, report.compute_s)
        left = sum([self._slowdowns.solo_s(each.load) for each in device.running.values()])
        self._free_at[device_number] = now + left if left else now

    def choose(self, now: float) -> Choice:
        launches: list[Launch] = []
        drops: list[Drop] = []
        for line in self._lines.values():
            self._refuse(line, now, drops)
        while (launch := self._next(now)) is not None:
            launches.append(launch)
        return Choice(launches, drops)

    def _refuse(self, line: Line, now: float, drops: list[Drop]) -> None:
        """Drop what could not make it even on an idle device."""
        while line:
            head = line[0]
            if now + self._alone_s(head) <= head.deadline:
                return
            line.popleft()
            drops.append(Drop(head.number, Why(Rule.HOPELESS if head.deadline > now else Rule.EXPIRED)))

    def _alone_s(self, head: Request) -> float:
        return self._slowdowns.solo_s(Load(head.model, 1, head.priority))

    def _next(self, now: float) -> Launch | None:
        """The batch that has to start first, of those for which there is a device."""
        waiting = [line for line in self._lines.values() if line]
        if self._strict:
            waiting.sort(key=lambda line: (line[0].priority, line[0].deadline - self._alone_s(line[0])))
        else:
            waiting.sort(key=lambda line: line[0].deadline - self._alone_s(line[0]))
        for line in waiting:
            for number in self._free(line[0], now):
                launch = self._launch(line, number, now)
                if launch is not None:
                    return launch
        return None

    def _free(self, head: Request, now: float) -> list[int]:
        """Devices with a slot for it, the emptiest first."""
        homes = self._homes.get(head.model, range(len(self._devices)))
        free = [number for number in homes if self._has_slot(self._devices[number], head.priority)]
        if self._serial:
            soon = [number for number in free if self._free_at[number] - now < AHEAD_S]
            return sorted(soon, key=self._free_at.__getitem__)[:2]
        return sorted(free, key=lambda number: len(self._devices[number].running))[:2]

    def _has_slot(self, device: Occupancy, priority: Priority) -> bool:
        if len(device.running) >= self._slots:
            return False
        same = sum([each.load.priority is priority for each in device.running.values()])
        return priority is Priority.HIGH or same < self._low_slots

    def _launch(self, line: Line, number: int, now: float) -> Launch | None:
        device, head = self._devices[number], line[0]
        others = tuple([each.load for each in device.running.values()])
        for size in reversed(self._profiles[head.model].sizes):
            if size > 1 and (size > len(line) or (head.priority is Priority.LOW and size > self._low_batch_max)):
                continue
            load = Load(head.model, size, head.priority)
            took_s = self._margin * self._took_s(load, others, number, now)
            if now + took_s <= head.deadline:
                tasks = [line.popleft() for _ in range(min(size, len(line)))]
                batch = next(self._numbers)
                self._free_at[number] = now + took_s
                device.begin(batch, load, len(tasks), head.deadline, took_s, now)
                self._device_of[batch] = number
                why = Why(Rule.ORDER, took_s, 0.0, head.deadline - now - took_s, beside=others)
                return Launch(batch, number, load, tuple([task.number for task in tasks]), why)
        return None

    def _took_s(self, load: Load, others: tuple[Load, ...], number: int, now: float) -> float:
        """Seconds from now until it has computed."""
        copy_s = load.size * self._profiles[load.model].bytes_in * BYTE_S
        if self._serial:
            return max(copy_s, self._free_at[number] - now) + self._slowdowns.solo_s(load)
        return copy_s + self._slowdowns.solo_s(load) * self._slowdowns.slowdown(load, others)

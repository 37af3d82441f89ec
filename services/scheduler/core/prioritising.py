"""What runs next on devices that two priorities share?

HIGH and LOW wait in queues by deadline, one for each model and node of their data. A HIGH batch goes where it is
predicted to end first, what fetching its data from another node takes included, unless that makes a HIGH batch late
which runs there; and where it would take a device's last slot though it has time to wait, it leaves it to those that
have not. A LOW batch is let in only if it ends in time, if every batch beside it still does, and if the reserve
remains: what it is likely to cost HIGH requests that arrive while it runs must be worth it (`reserving.py`), by what
HIGH misses anyway or, where LOW is kept, by how long it has waited (as MaxWeight weighs queues by their backlog:
Tassiulas and Ephremides, 1992). Of those that may start, the one with the most tasks for the time that they still need
does. No kernel is ever interrupted, so what is let in has been chosen for good. Over a window LOW gets its floor,
whatever comes.

Predictions are of the contention that will really be there (`interference.py`, `transfer.py`, `occupancy.py`), and what
must hold must hold at a quantile (`promising.py`). Ours, in the spirit of Strait.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from covey.model import Priority
from covey.services.scheduler.core.contention import (
    Choice,
    Drop,
    Launch,
    Load,
    Margins,
    ModelProfile,
    Report,
    Request,
    Rule,
    Slots,
    Slowdowns,
    Why,
)
from covey.services.scheduler.core.lines import Line, Lines
from covey.services.scheduler.core.occupancy import Occupancy
from covey.services.scheduler.core.reserving import Reserve
from covey.services.scheduler.core.transfer import CopyCost

SOON_S = 0.0001
"""Nobody wakes for less."""
RETRY_S = 0.005
"""How often LOW that was not let in asks again, if nothing ends before."""
SAVES = 0.05
"""Share of the time for each task that a larger LOW batch has to save where LOW is kept: nothing interrupts it."""


class Rules(NamedTuple):
    """What can be set, and switched off for the ablations; the defaults are ours."""

    slots: int = 2
    """Batches on a device at once."""
    exchange: float = 0.3
    """What a share of LOW's requests is worth, in shares of HIGH's: a LOW batch may make so many times as large a share
    of HIGH late, in the mean, by taking a slot, times the square of the share that is late anyway. Infinity: there is
    no reserve."""
    missed_least: float = 0.01
    """Share of HIGH that is taken to be late anyway, however few are: or LOW would be worth nothing."""
    keep_low: bool = False
    """LOW gets all that it asks for, only later: whatever HIGH misses, a LOW task may make `exchange` HIGH ones late in
    the mean, times the time that it has waited over what it has left. Until that is 1, its batches are small."""
    harm_high_max: float = 0.05
    """Others of HIGH that a HIGH task may make late by filling a device, as long as it has time to wait."""
    patience: float = 1.0
    """Times the wait for the next slot, that a HIGH batch must have to spare to wait for it; 0: it never does."""
    protect: bool = True
    """LOW is kept from making a running HIGH late, and HIGH another."""
    floor: float = 0.05
    """Of the work of a window, what is LOW's if it waits for it."""
    window_s: float = 1.0
    chunk_bytes: int = 2_000_000
    """What LOW copies are cut in by the engine; 0: they are not."""
    probe_s: float = math.inf
    """A task that is predicted late even alone runs all the same, if nothing of its model has for so long: a prediction
    that is too long would keep itself alive."""


class Place(NamedTuple):
    """A batch on a device, as predicted. Seconds from now."""

    device: int
    load: Load
    tasks: int
    predicted_s: float
    promised_s: float
    spare_s: float
    away_s: float
    harm: float = 0.0


class Prioritised:
    """A `PriorityPolicy`. Its devices may come and go, and `profiles` may grow: they are looked up when asked for."""

    def __init__(
        self,
        profiles: Mapping[str, ModelProfile],
        devices: int,
        slowdowns: Slowdowns,
        margins: Margins,
        rules: Rules | None = None,
    ) -> None:
        self._profiles = profiles
        self._slowdowns = slowdowns
        self._margins = margins
        self._rules = rules or Rules()
        self._costs = (CopyCost(), CopyCost())
        self._devices: dict[int, Occupancy] = {}
        self._has_devices: dict[tuple[str, str], bool] = {}
        """(model, node) -> whether a device there runs it; found out when asked for."""
        for device in range(devices):
            self.joined(device, Slots(self._rules.slots, self._rules.slots, self._rules.slots))
        self._lines = Lines()
        self._device_of: dict[int, int] = {}
        self._reserve = Reserve(slowdowns, margins, self._devices)
        self._numbers = count(1)
        self._spent: deque[tuple[float, Priority, float]] = deque()
        self._work_s = [0.0, 0.0]
        self._started_at: dict[str, float] = {}

    @property
    def rules(self) -> Rules:
        """By which it goes."""
        return self._rules

    @property
    def devices(self) -> Mapping[int, Occupancy]:
        """For reading."""
        return self._devices

    def joined(
        self, device: int, slots: Slots, runs: Callable[[str], bool] = lambda model: True, node: str = ""
    ) -> None:
        """A device of a node takes batches of what it `runs`, in the slots that it has, as far as the rules allow."""
        own = slots._replace(most=min(slots.most, self._rules.slots))
        chunk_bytes = self._rules.chunk_bytes
        self._devices[device] = Occupancy(self._profiles, self._slowdowns, self._costs, chunk_bytes, own, runs, node)
        self._has_devices.clear()

    def left(self, device: int) -> None:
        """A device is gone, and what ran there."""
        for batch in self._devices.pop(device).running:
            del self._device_of[batch]
        self._has_devices.clear()

    def arrived(self, request: Request, now: float) -> None:
        self._lines.add(request, request.home if self._is_served(request.model, request.home) else "")
        self._reserve.arrived(request, now)

    def _is_served(self, model: str, node: str) -> bool:
        """Whether some device of a node runs a model: else it is away from there everywhere."""
        if not node:
            return False
        found = self._has_devices.get((model, node))
        if found is None:
            found = any(device.node == node and device.runs(model) for device in self._devices.values())
            self._has_devices[model, node] = found
        return found

    def gone(self, request: int, now: float) -> None:
        self._lines.remove(request)

    def ended(self, report: Report, now: float) -> None:
        device = self._devices[self._device_of.pop(report.batch)]
        ended, overlaps = device.end(report, now)
        if ended.load.priority is Priority.HIGH:
            self._reserve.settled(ended.tasks, now > ended.deadline)
        self._slowdowns.learn(ended.load, overlaps, report.compute_s)
        self._margins.learn(ended.load, ended.predicted_s, now - ended.began_at)

    def failed(self, batch: int, now: float) -> None:
        """A batch has ended that says nothing of how long it takes; its slot is free."""
        self._devices[self._device_of.pop(batch)].forget(batch, now)

    def choose(self, now: float) -> Choice:
        drops: list[Drop] = []
        launches: list[Launch] = []
        for line in self._lines.all():
            self._give_up(line, now, drops, launches)
        for find in (self._next_high, self._next_low):
            while (found := find(now)) is not None:
                launches.append(self._launch(*found, now))
        return Choice(launches, drops, self._again_at(now))

    def _again_at(self, now: float) -> float | None:
        """When something becomes hopeless, or LOW that was not let in may be: nobody else may come to ask."""
        waiting = self._lines.all()
        if not waiting:
            return None
        again_at = min([line.deadline - self._alone_s(line) for line in waiting]) + SOON_S
        if any(line.priority is Priority.LOW and self._open(line) for line in waiting):
            again_at = min(again_at, now + RETRY_S)
        return max(again_at, now + SOON_S)

    def alone_s(self, model: str, priority: Priority) -> float:
        """What one task computes for on an idle device."""
        one = Load(model, 1, priority)
        return self._slowdowns.solo_s(one) * self._slowdowns.slowdown(one, ())

    def _alone_s(self, line: Line) -> float:
        return self.alone_s(line.model, line.priority)

    def _give_up(self, line: Line, now: float, drops: list[Drop], launches: list[Launch]) -> None:
        """Drop what could not make it on an idle device, save for probes."""
        alone_s = self._alone_s(line)
        while line.waiting and line.deadline < now + alone_s:
            if line.deadline > now and (place := self._probed(line, now)) is not None:
                launches.append(self._launch(line, place, Rule.PROBE, now))
                continue
            rule = Rule.EXPIRED if line.deadline <= now else Rule.HOPELESS
            if line.priority is Priority.HIGH:
                self._reserve.settled(1, True)
            drops.extend([Drop(number, Why(rule, alone_s)) for number in self._lines.take(line, 1)])

    def _probed(self, line: Line, now: float) -> Place | None:
        """Where the head of a line runs though it is hopeless, if a probe is due and there is room for one."""
        if now < self._started_at.get(line.model, 0.0) + self._rules.probe_s:
            return None
        places = (self._placed(line, number, 1, now) for number in self._open(line))
        return next((place for place in places if place is not None), None)

    def _open(self, line: Line) -> list[int]:
        """The devices on which a batch of a line may start: away from its data only if that has a price."""
        anywhere = not line.home or math.isfinite(line.away_s)
        return [
            at
            for at, device in self._devices.items()
            if device.has_room(line.model, line.priority) and (anywhere or device.node == line.home)
        ]

    def _next_high(self, now: float) -> tuple[Line, Place, Rule] | None:
        for line in self._lines.of(Priority.HIGH):
            best: Place | None = None
            for number in self._open(line):
                place = self._fitting(line, number, now)
                if place is not None and (best is None or _rank(place) < _rank(best)):
                    best = place
            if best is not None and not self._can_wait(line, best, now):
                return line, best, Rule.SOONEST if best.spare_s >= 0.0 else Rule.LAST_CHANCE
        return None

    def _can_wait(self, line: Line, place: Place, now: float) -> bool:
        """Whether it would fill a device, more urgent ones are likely to want the slot, and there is time enough. Where
        something follows there never is: that may have to wait, too."""
        device = self._devices[place.device]
        if not device.running or len(device.running) + 1 < device.slots.most or not self._rules.patience:
            return False
        until_s = min(device.lasts_s(now))
        if line.follows_s or place.spare_s < self._rules.patience * until_s:
            return False
        harm = self._reserve.harm(place.device, place.load, place.promised_s, now)
        return harm > self._rules.harm_high_max * place.tasks

    def _fitting(self, line: Line, number: int, now: float) -> Place | None:
        """The largest HIGH batch that is promised to end in time on a device; else one task that is likely to."""
        for size in self._sizes(line):
            place = self._placed(line, number, size, now)
            if place is not None and (place.spare_s >= 0.0 or (size == 1 and now + place.predicted_s <= line.deadline)):
                return place
        return None

    def _sizes(self, line: Line) -> list[int]:
        """The batches that could be filled, the largest first."""
        waiting, profile = len(line.waiting), self._profiles[line.model]
        sizes = [size for size in reversed(profile.sizes) if size <= waiting or size == 1]
        if not profile.padded and sizes[0] < waiting < profile.sizes[-1]:
            sizes.insert(0, waiting)
        return sizes

    def _placed(self, line: Line, number: int, size: int, now: float) -> Place | None:
        """A batch there and then; None: it would make one late that runs there."""
        device = self._devices[number]
        load = Load(line.model, size, line.priority)
        tasks = min(size, len(line.waiting))
        away_s = 0.0 if line.home in ("", device.node) else line.away_s
        ends = device.with_batch(load, tasks, now, away_s)
        if self._rules.protect and self._makes_late(device, ends, line.priority, now):
            return None
        predicted_s = ends[-1] - now
        promised_s = predicted_s * self._margins.margin(load)
        return Place(number, load, tasks, predicted_s, promised_s, line.deadline - now - promised_s, away_s)

    def _makes_late(self, device: Occupancy, ends: Sequence[float], priority: Priority, now: float) -> bool:
        """Whether a batch that runs there would break its promise only if one of that priority joins it, and everything
        ends then. HIGH does not care for LOW."""
        for at, running in enumerate(device.running.values()):
            if running.load.priority is Priority.LOW and priority is Priority.HIGH:
                continue
            margin = self._margins.margin(running.load)
            if now + (ends[at] - now) * margin > running.deadline:
                without = device.ends(now)[at]
                if now + (without - now) * margin <= running.deadline:
                    return True
        return False

    def _next_low(self, now: float) -> tuple[Line, Place, Rule] | None:
        lines = self._lines.of(Priority.LOW)
        if not any(self._open(line) for line in lines):
            return None
        starved = self._is_starved(now)
        by_missed = self._rules.exchange * self._reserve.worth(now, self._rules.missed_least)
        found: tuple[Line, Place, Rule] | None = None
        for line in lines:
            for number in self._open(line):
                best = self._admitted(line, number, by_missed, starved, now)
                if best is not None and (found is None or _density(line, best[0]) > _density(*found[:2])):
                    found = line, *best
        return found

    def _admitted(
        self, line: Line, number: int, by_missed: float, starved: bool, now: float
    ) -> tuple[Place, Rule] | None:
        """The largest LOW batch that ends in time on a device and does no more harm than its tasks are worth."""
        sizes, worth = self._sizes(line), by_missed
        if self._rules.keep_low:
            pressed = (now - line.since) / max(line.deadline - now, SOON_S)
            worth = self._rules.exchange * pressed
            if pressed < 1.0:
                sizes = [size for size in sizes if _saves(self._profiles[line.model], size)]
        for size in sizes:
            place = self._placed(line, number, size, now)
            if place is not None and place.spare_s >= 0.0:
                harm = self._reserve.harm(number, place.load, place.promised_s, now)
                if starved or harm <= worth * place.tasks:
                    return place._replace(harm=harm), Rule.FITS if harm <= worth * place.tasks else Rule.FLOOR
        return None

    def _is_starved(self, now: float) -> bool:
        """Whether LOW has had less than its floor of the last window's work."""
        spent, work_s = self._spent, self._work_s
        while spent and spent[0][0] < now - self._rules.window_s:
            _, priority, seconds = spent.popleft()
            work_s[priority] -= seconds
        if not spent:  # then it may have nobody to give way to, and what is left of the sums is rounding
            work_s[:] = 0.0, 0.0
            return self._rules.floor > 0.0
        return work_s[Priority.LOW] < self._rules.floor * sum(work_s)

    def _launch(self, line: Line, place: Place, rule: Rule, now: float) -> Launch:
        device = self._devices[place.device]
        beside = device.loads
        deadline = line.deadline
        numbers = self._lines.take(line, place.tasks)
        batch = next(self._numbers)
        device.begin(batch, place.load, place.tasks, deadline, place.predicted_s, now, place.away_s)
        self._device_of[batch] = place.device
        self._started_at[line.model] = now
        work_s = self._slowdowns.solo_s(place.load)
        self._spent.append((now, line.priority, work_s))
        self._work_s[line.priority] += work_s
        slowdown = self._slowdowns.slowdown(place.load, beside)
        why = Why(rule, place.predicted_s, place.promised_s, place.spare_s, slowdown, beside, place.harm)
        return Launch(batch, place.device, place.load, numbers, why)


def _rank(place: Place) -> tuple[bool, float, float]:
    """In time first; then the most tasks for the time."""
    return place.spare_s < 0.0, -place.tasks, place.predicted_s


def _density(line: Line, place: Place) -> float:
    """Tasks for each second that they hold a slot for, here and in what follows: the shortest work left goes first."""
    return place.tasks / (place.promised_s + line.follows_s)


def _saves(profile: ModelProfile, size: int) -> bool:
    """Whether a batch takes notably less time for each of its tasks than the next smaller one."""
    smaller = [each for each in profile.sizes if each < size]
    if not smaller:
        return True
    less = smaller[-1]
    return profile.curve.mean_s(size) / size <= (1.0 - SAVES) * profile.curve.mean_s(less) / less

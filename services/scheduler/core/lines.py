"""What waits on shared devices, and in which order does it have to have ended?

A line is of one model and priority, and of one node where the data of its requests are: what runs together shares all
three. Requests of a line are in the order in which they have to have ended, lines in that of their events' deadlines.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from operator import attrgetter

from covey.model import Priority
from covey.services.scheduler.core.contention import Request


@dataclass(slots=True)
class Line:
    """What waits of one model and priority whose data are on one node. Instants in seconds."""

    model: str
    priority: Priority
    home: str
    """\"\": one device is as near to them as another."""
    waiting: list[tuple[float, int, float]] = field(default_factory=list)
    """(instant at which it has to have ended, number, instant of its arrival)"""
    follows_s: float = 0.0
    away_s: float = 0.0
    """Both of the last that came."""

    @property
    def deadline(self) -> float:
        """When the most urgent one has to have ended."""
        return self.waiting[0][0]

    @property
    def since(self) -> float:
        """When the most urgent one came."""
        return self.waiting[0][2]

    @property
    def urgency(self) -> tuple[float, float]:
        """By the deadlines of events; of one event, or several of one deadline, the rest goes before the beginning."""
        return self.deadline + self.follows_s, self.follows_s


class Lines:
    """All of them. A line is there as long as something waits in it."""

    def __init__(self) -> None:
        self._lines: dict[tuple[Priority, str, str], Line] = {}
        self._where: dict[int, Line] = {}

    def all(self) -> list[Line]:
        """In the order in which they began."""
        return list(self._lines.values())

    def of(self, priority: Priority) -> list[Line]:
        """Those of a priority, the most urgent first."""
        lines = [line for line in self._lines.values() if line.priority is priority]
        return sorted(lines, key=attrgetter("urgency"))

    def add(self, request: Request, home: str) -> None:
        """A request waits in the line of a node, or in that of none."""
        key = (request.priority, request.model, home)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(request.model, request.priority, home)
        insort(line.waiting, (request.ends_by, request.number, request.ready_at))
        line.follows_s, line.away_s = request.follows_s, request.away_s
        self._where[request.number] = line

    def remove(self, request: int) -> None:
        """A request waits no more, if it does."""
        line = self._where.pop(request, None)
        if line is not None:
            line.waiting = [each for each in line.waiting if each[1] != request]
            self._close(line)

    def take(self, line: Line, count: int) -> tuple[int, ...]:
        """The most urgent requests of a line, so many, which wait no more."""
        numbers = tuple([number for _, number, _ in line.waiting[:count]])
        del line.waiting[:count]
        for number in numbers:
            del self._where[number]
        self._close(line)
        return numbers

    def _close(self, line: Line) -> None:
        """Something has left a line: it goes with its last."""
        if not line.waiting:
            del self._lines[line.priority, line.model, line.home]

"""Several datastores that hand groups over to one another: cores, links that keep order and may break, and a leader."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Any

from covey.declaration import Declaration, PoolDeclaration
from covey.homes import Homes
from covey.messages import Get, GetDone, LeaderJoined, Put, PutDone, View
from covey.model import Answer, GroupId, KeyRead, Node, ObjectRef, Placement, Read, Scope
from covey.services.datastore.core.commands import Command, LeaveNode, ReachNode, Report, Send, Tell
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.state import Limits, State, check_invariants
from covey.services.datastore.core.stimuli import (
    Asked,
    LeaderSaid,
    LinkEnded,
    NodeLost,
    NodeReached,
    NodeSaid,
    Stimulus,
)

SCOPE = Scope("default", "notes")
POOL = PoolDeclaration("notes", "/notes/{group}/{name}", "template", "{group}", ttl_s=1e6)
SPREAD = PoolDeclaration("ticks", "/ticks/{of}/{tick:int}", ttl_s=1e6)
NOTES = Declaration("notes", 1.0, (POOL, SPREAD), ()).versioned()
LEAD, CLIENT = 1, 2


class Line:
    """A link from one node to another, and what is under way on it. Each end has a number of its own for it."""

    def __init__(self, owner: Station, to: Station, number: int, accepted_as: int) -> None:
        self.owner, self.to, self.number, self.accepted_as = owner, to, number, accepted_as
        self.forth: deque[Any] = deque()
        self.back: deque[Any] = deque()


class Station:
    """One node: its core, and who it speaks to."""

    def __init__(self, node: Node, floor: int) -> None:
        self.node = node
        self.core = DatastoreCore(node.id, node.address, Limits(), floor)
        self.lines: dict[int, Line] = {}
        self.accepted: dict[int, Line] = {}
        self.views: deque[View] = deque()

    @property
    def state(self) -> State:
        return self.core.state


class MovingWorld:
    """Messages are under way until somebody delivers them: `step` one, chosen by chance, `settle` all of them."""

    def __init__(self, names: Sequence[str] = ("a", "b", "c"), seed: int = 0, copies: int = 1) -> None:
        self.rng = random.Random(seed)
        self.now = 100.0
        self.stations: dict[str, Station] = {}
        self.epoch = 0
        self.births = 0
        self.numbers = 10
        self.requests = 0
        self.copies = copies
        self.exceptions: dict[GroupId, str] = {}
        self.members: dict[str, Node] = {}
        self.answers: dict[int, PutDone | GetDone] = {}
        for name in names:
            self.join(name)
        self.publish()
        self.settle()

    # --- the leader --------------------------------------------------------------------------------------------------

    def join(self, name: str) -> None:
        """A node that is new, or a new process of one; it is a home from the next placement on."""
        self.births += 1
        node = Node(name, f"{name}:1", self.births)
        self.members[name] = node
        self.stations[name] = Station(node, self.births * 1_000_000)
        self.tell(name, LeaderSaid(LEAD, LeaderJoined(1, "s")))

    def die(self, name: str) -> None:
        """The process is gone, with all that it had; its links end."""
        gone = self.stations.pop(name)
        del self.members[name]
        for station in list(self.stations.values()):
            for line in [line for line in station.lines.values() if line.to is gone]:
                self.cut(line)
        for line in list(gone.lines.values()):
            if line.to.node.id in self.stations and self.stations[line.to.node.id] is line.to:
                self._end_accepted(line)

    def place(self, group: str, node: str) -> None:
        """Have a group live on a node from the next placement on."""
        self.exceptions[GroupId(SCOPE, group)] = node

    def publish(self) -> View:
        """Draw up a placement; each node hears of it in its own time."""
        self.epoch += 1
        nodes = tuple(self.members[name] for name in sorted(self.members))
        placement = Placement(self.epoch, nodes, dict(self.exceptions), copies=self.copies)
        self.view = View(1, self.epoch, placement, (("default", NOTES),))
        for station in self.stations.values():
            station.views.append(self.view)
        return self.view

    @property
    def homes(self) -> Homes:
        return Homes(self.view.placement)

    # --- time and chance ---------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Deliver one message, or wake a core; False when there is nothing under way."""
        choices: list[tuple[str, Any]] = [("view", name) for name, found in self.stations.items() if found.views]
        for station in self.stations.values():
            choices += [("forth", line) for line in station.lines.values() if line.forth]
            choices += [("back", line) for line in station.lines.values() if line.back]
        if not choices:
            return self._wake()
        kind, what = self.rng.choice(choices)
        if kind == "view":
            self.tell(what, LeaderSaid(LEAD, self.stations[what].views.popleft()))
        elif kind == "forth":
            self.tell(what.to.node.id, Asked(what.accepted_as, what.forth.popleft()))
        else:
            self.tell(what.owner.node.id, NodeSaid(what.number, what.back.popleft()))
        return True

    def _wake(self) -> bool:
        due = [found.core.wake_at for found in self.stations.values() if found.core.wake_at is not None]
        soon = [instant for instant in due if instant <= self.now + 0.2]
        if not soon:
            return False
        self.now = max(self.now, min(soon))
        for name in list(self.stations):
            self.tell(name)
        return True

    def settle(self) -> None:
        """Deliver everything, and let every node settle."""
        for _ in range(100_000):
            if not self.step():
                break
        for station in self.stations.values():
            moves = station.state.moves
            assert moves.settled == self.epoch, f"{station.node.id} has not settled"
            assert moves.done == self.epoch

    def cut(self, line: Line) -> None:
        """A link breaks: what is under way on it is lost, and both ends learn it."""
        line.owner.lines.pop(line.number, None)
        if self.stations.get(line.owner.node.id) is line.owner:
            self.tell(line.owner.node.id, NodeLost(line.number))
        self._end_accepted(line)

    def _end_accepted(self, line: Line) -> None:
        if self.stations.get(line.to.node.id) is line.to and line.to.accepted.pop(line.accepted_as, None) is not None:
            self.tell(line.to.node.id, LinkEnded(line.accepted_as))

    @property
    def lines(self) -> list[Line]:
        return [line for station in self.stations.values() for line in station.lines.values()]

    def tell(self, name: str, *stimuli: Stimulus) -> None:
        station = self.stations[name]
        for command in station.core.handle(stimuli, self.now):
            self._perform(station, command)
        check_invariants(station.state)

    def _perform(self, station: Station, command: Command) -> None:
        match command:
            case Send(link, PutDone() | GetDone() as message) if link == CLIENT:
                self.answers[message.request] = message
            case Send(link, message):
                if link in station.accepted:
                    station.accepted[link].back.append(message)
            case ReachNode(number, node):
                to = self.stations.get(node.id)
                if to is None:
                    self.tell(station.node.id, NodeLost(number))
                    return
                self.numbers += 1
                line = Line(station, to, number, self.numbers)
                station.lines[number] = to.accepted[line.accepted_as] = line
                self.tell(station.node.id, NodeReached(number))
            case Tell(number, message):
                if number in station.lines:
                    station.lines[number].forth.append(message)
            case LeaveNode(number):
                if number in station.lines:
                    left = station.lines.pop(number)
                    self.tell(station.node.id, NodeLost(number))
                    self._end_accepted(left)
            case Report():
                pass
            case _:
                raise AssertionError(f"nothing durable is put here: {command}")

    # --- callers -----------------------------------------------------------------------------------------------------

    def put(self, node: str, group: str, name: str, payload: bytes = b"x", emission: bytes = b"") -> int:
        """Put an object on a node; the number of the request, whose answer may take a while."""
        return self._put(
            node, ObjectRef("notes", f"/notes/{group}/{name}", group, size=len(payload)), payload, emission
        )

    def put_tick(self, node: str, key: str) -> int:
        """Put an object that is a group of its own."""
        return self._put(node, ObjectRef("ticks", key, key, size=1), b"x", b"")

    def _put(self, node: str, ref: ObjectRef, payload: bytes, emission: bytes) -> int:
        self.requests += 1
        self.tell(node, Asked(CLIENT, Put(self.requests, SCOPE, ref, payload, emission)))
        return self.requests

    def get(self, node: str, read: Read, within_s: float = 60.0) -> int:
        self.requests += 1
        self.tell(node, Asked(CLIENT, Get(self.requests, SCOPE, (read,), self.now + within_s)))
        return self.requests

    def version(self, request: int) -> int | None:
        """The version that a put got; None while it waits, or if it was refused."""
        done = self.answers.get(request)
        assert done is None or isinstance(done, PutDone)
        return done.ref.version if done is not None and done.ref is not None else None

    def answer(self, request: int) -> Answer | None:
        done = self.answers.get(request)
        assert done is None or isinstance(done, GetDone)
        return done.answers[0] if done is not None else None


def note(group: str, name: str, node: str, version: int = 0) -> KeyRead:
    return KeyRead("notes", f"/notes/{group}/{name}", group, version, node, False)

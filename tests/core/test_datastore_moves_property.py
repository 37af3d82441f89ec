"""Random placements, puts, reads, broken links and deaths, with messages delivered in any order, against a list of what
was acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from covey.errors import Status
from covey.model import GroupId
from tests.worlds_moves import SCOPE, MovingWorld, note

GROUPS = ["g", "h", "s/1", "s/2"]
NAMES = ["one", "two"]
NODES = ["a", "b", "c", "d"]

operations = st.lists(
    st.tuples(
        st.sampled_from(["put"] * 5 + ["get"] * 4 + ["step"] * 6 + ["place"] * 3 + ["copies", "cut", "die", "join"]),
        st.integers(0, 255),
    ),
    min_size=10,
    max_size=60,
)


@dataclass
class Asked:
    """A request that is under way, and the newest version that had been acknowledged when it was made."""

    node: str
    group: str
    name: str
    after: int
    of_object: int


@dataclass
class Promises:
    """What was acknowledged, and what may be gone because its node is."""

    world: MovingWorld
    puts: dict[int, Asked] = field(default_factory=dict)
    gets: dict[int, Asked] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    newest_of: dict[tuple[str, str], int] = field(default_factory=dict)
    given: dict[str, set[int]] = field(default_factory=dict)

    def asked(self, node: str, group: str, name: str) -> Asked:
        return Asked(node, group, name, self.newest.get(group, 0), self.newest_of.get((group, name), 0))

    def look(self) -> None:
        """Compare every answer that has come with what was promised before the question."""
        for request, asked in list(self.puts.items()):
            if request in self.world.answers:
                del self.puts[request]
                self._take_put(asked, self.world.version(request))
        for request, asked in list(self.gets.items()):
            answer = self.world.answer(request)
            if answer is not None:
                del self.gets[request]
                found = answer.objects[0].ref.version if answer.objects else 0
                assert answer.status is not Status.OK or found >= asked.of_object, "a read misses a put"

    def _take_put(self, asked: Asked, version: int | None) -> None:
        if version is None:
            return
        given = self.given.setdefault(asked.group, set())
        assert version > asked.after, "a version goes back"
        assert version not in given, "a version repeats"
        given.add(version)
        name = (asked.group, asked.name)
        self.newest[asked.group] = max(version, self.newest.get(asked.group, 0))
        self.newest_of[name] = max(version, self.newest_of.get(name, 0))

    def lose(self, node: str) -> None:
        """A node has died: what it had may be gone, and its answers, though its numbers are not given again.

        That much the others must have heard: of a node that dies before they have settled they can't know it.
        """
        self.newest_of.clear()
        for requests in (self.puts, self.gets):
            for request in [request for request, asked in requests.items() if asked.node == node]:
                del requests[request]
        for asked in self.gets.values():
            asked.of_object = 0
        if any(station.state.moves.settled != self.world.epoch for station in self.world.stations.values()):
            self.newest.clear()
            self.given.clear()
            self.puts.clear()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30), operations)
def test_what_was_acknowledged_is_found_wherever_it_lives(seed: int, chosen: list[tuple[str, int]]) -> None:
    """Versions never repeat or go back, no read misses an acknowledged put, and nothing is lost unless a node is."""
    world = MovingWorld(NODES[:2], seed)
    promises = Promises(world)
    for operation, number in chosen:
        _do(world, promises, operation, number)
        promises.look()
    world.settle()
    promises.look()
    for group in GROUPS:
        for name in NAMES:
            home = world.homes.of(GroupId(SCOPE, group))
            request = world.get(home, note(group, name, home))
            promises.gets[request] = promises.asked(home, group, name)
    promises.look()
    assert not promises.gets, "a settled node lets nobody wait"


def _do(world: MovingWorld, promises: Promises, operation: str, number: int) -> None:
    group, name = GROUPS[number % len(GROUPS)], NAMES[number // 4 % len(NAMES)]
    home = world.homes.of(GroupId(SCOPE, group))
    alive = sorted(world.stations)
    anywhere = home if number % 3 else alive[number % len(alive)]
    match operation:
        case "put":
            asked = promises.asked(anywhere, group, name)
            promises.puts[world.put(anywhere, group, name)] = asked
        case "get":
            asked = promises.asked(anywhere, group, name)
            promises.gets[world.get(anywhere, note(group, name, anywhere))] = asked
        case "step":
            for _ in range(number % 16):
                world.step()
        case "place":
            world.place(group, NODES[number // 8 % len(NODES)])
            world.publish()
        case "copies":
            world.copies = 1 + number % 3
            world.publish()
        case "cut":
            if world.lines:
                world.cut(world.lines[number % len(world.lines)])
        case "die" if len(alive) > 1:
            world.die(alive[number % len(alive)])
            promises.lose(alive[number % len(alive)])
            world.publish()
        case "join":
            absent = [node for node in NODES if node not in world.stations]
            if absent:
                world.join(absent[number % len(absent)])
                world.publish()

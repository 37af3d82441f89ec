"""A small world around the datastore's core: a clock, callers, a leader, and storage that answers when told to."""

from __future__ import annotations

from dataclasses import replace

from covey.declaration import Declaration, PoolDeclaration
from covey.messages import (
    Beat,
    Get,
    GetDone,
    HandedOver,
    HandOver,
    Horizon,
    LeaderJoined,
    MeetNode,
    Put,
    PutDone,
    View,
    Watched,
)
from covey.model import Answer, GroupId, KeyRead, LastRead, Node, ObjectRef, Placement, Read, Scope
from covey.services.datastore.core.commands import (
    Command,
    FindKeys,
    LoadGroup,
    Persist,
    Record,
    Remove,
    Report,
    Send,
)
from covey.services.datastore.core.machine import DatastoreCore
from covey.services.datastore.core.state import Limits, check_invariants
from covey.services.datastore.core.stimuli import (
    Asked,
    GroupLoaded,
    KeysFound,
    LeaderSaid,
    Persisted,
    Removed,
    Stimulus,
)

SCOPE = Scope("default", "collisions")
NODES = (Node("node-a", "a:1"),)
LINK, LEAD, OTHER = 1, 1001, 10_000

POOLS = (
    PoolDeclaration("observations", "/observations/{scene}/{tick:int}", "template", "{scene}"),
    PoolDeclaration("positions", "/positions/{scene}/{actor}/{tick:int}", "template", "{scene}/{actor}", keep_last=3),
    PoolDeclaration("predictions", "/predictions/{scene}/{tick:int}/{actor}"),
    PoolDeclaration("tracks", "/tracks/{scene}", "template", "{scene}"),
    PoolDeclaration("ledger", "/ledger/{scene}/{tick:int}", durable=True, ttl_s=float("inf"), keep_last=3),
    PoolDeclaration("journal", "/journal/{scene}", "template", "{scene}", durable=True, ttl_s=float("inf")),
)
COLLISIONS = Declaration("collisions", 0.2, POOLS, ()).versioned()


def pool_of(key: str) -> str:
    return key.split("/")[1]


class Stored:
    """What storage has, shared by all who are given it: it outlives the cores of a test."""

    def __init__(self) -> None:
        self.groups: dict[GroupId, dict[tuple[str, str, int], tuple[Record, float]]] = {}
        self.numbers: dict[GroupId, int] = {}
        self.keys: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self.fails = False

    def answer(self, command: Command, now: float) -> Stimulus | None:
        """Do as the command says, and what the core is told then."""
        match command:
            case Persist(group, record, entry):
                if self.fails:
                    return Persisted(group, failed=True)
                if entry is not None:
                    self.keys.setdefault((entry.pool, entry.series), set()).add((entry.key, group.group))
                ref = record.ref
                self.groups.setdefault(group, {})[ref.pool, ref.key, ref.version] = (record, now)
                self.numbers[group] = ref.version
                return Persisted(group)
            case Remove(group, refs, entries):
                if self.fails:
                    return Removed(group, failed=True)
                for ref in refs:
                    self.groups.get(group, {}).pop((ref.pool, ref.key, ref.version), None)
                for entry in entries:
                    self.keys[entry.pool, entry.series].discard((entry.key, group.group))
                return Removed(group)
            case LoadGroup(group):
                if self.fails:
                    return GroupLoaded(group, failed=True)
                kept = sorted(self.groups.get(group, {}).values(), key=lambda found: found[0].ref.version)
                records = tuple([replace(record, age_s=now - put_at) for record, put_at in kept])
                return GroupLoaded(group, self.numbers.get(group, 0), records)
            case FindKeys(_, pool, series, prefix, limit):
                if self.fails:
                    return KeysFound(command, failed=True)
                if series:
                    return KeysFound(command, tuple(sorted(self.keys.get((pool, series), ()))))
                found = sorted(
                    located
                    for (of, _), located_keys in self.keys.items()
                    if of == pool
                    for located in located_keys
                    if located[0].startswith(prefix)
                )
                return KeysFound(command, tuple(found[:limit]))
        return None


class World:
    """One datastore's core that follows a leader. Storage answers at once unless `holds_storage`.

    The other nodes of a view have nothing to hand over, and say so at once unless `others_are_silent`.
    """

    def __init__(self, limits: Limits | None = None, stored: Stored | None = None, view: View | None = None) -> None:
        self.now = 100.0
        self.core = DatastoreCore("node-a", "a:1", limits or Limits())
        self.stored = stored or Stored()
        self.holds_storage = False
        self.others_are_silent = False
        self.held: list[Command] = []
        self.sent: list[Command] = []
        self.requests = 0
        self.lead(LeaderJoined(1, "scheduler-1"))
        self.lead(view or View(1, 1, Placement(1, NODES), (("default", COLLISIONS),)))

    @property
    def state(self):  # type: ignore[no-untyped-def]
        return self.core.state

    def tell(self, *stimuli: Stimulus) -> list[Command]:
        """Hand in what happened, let storage answer, check the invariants; everything that was commanded."""
        commands: list[Command] = []
        pending = list(stimuli)
        while True:
            new = self.core.handle(pending, self.now)
            check_invariants(self.core.state)
            commands.extend(new)
            asked = [command for command in new if isinstance(command, Persist | Remove | LoadGroup | FindKeys)]
            if self.holds_storage:
                self.held.extend(asked)
                asked = []
            pending = [answer for command in asked if (answer := self.stored.answer(command, self.now)) is not None]
            if not pending:
                self.sent.extend(commands)
                return commands

    def let_storage_answer(self) -> list[Command]:
        """Storage answers everything that it was asked and held."""
        held, self.held, self.holds_storage = self.held, [], False
        return self.tell(*[a for command in held if (a := self.stored.answer(command, self.now)) is not None])

    def pass_time(self, seconds: float) -> list[Command]:
        """Wake the core whenever it wants to be, as its driver does."""
        end, commands = self.now + seconds, []
        while self.core.wake_at is not None and self.core.wake_at <= end:
            self.now = max(self.now, self.core.wake_at)
            commands += self.tell()
        self.now = end
        return commands

    def lead(self, message: LeaderJoined | View | Horizon | Beat, link: int = LEAD) -> list[Command]:
        reports = [command for command in self.tell(LeaderSaid(link, message)) if isinstance(command, Report)]
        if isinstance(message, View) and not self.others_are_silent:
            for node in message.placement.nodes:
                self.hear_from(node.id, HandedOver(message.placement.epoch, 0))
        return reports

    def hear_from(self, node: str, *messages: HandOver | HandedOver) -> list[Command]:
        """Another datastore dials this one, and says something."""
        if node == self.state.node:
            return []
        self.requests += 1
        link = OTHER + self.requests
        return self.tell(Asked(link, MeetNode(0, node, 1)), *[Asked(link, message) for message in messages])

    def horizon(self, age_s: float = 0.0) -> None:
        """The leader says how old the oldest open event is; then the core sweeps."""
        self.lead(Horizon(1, age_s))
        self.pass_time(1.1)

    def begin_put(
        self, key: str, payload: bytes = b"x", group: str = "", emission: bytes = b"", previous: int | None = None
    ) -> int:
        """Put an object without looking at the answer; the number of the request."""
        self.requests += 1
        ref = ObjectRef(pool_of(key), key, group, size=len(payload))
        self.tell(Asked(LINK, Put(self.requests, SCOPE, ref, payload, emission, previous)))
        return self.requests

    def put(
        self, key: str, payload: bytes = b"x", group: str = "", emission: bytes = b"", previous: int | None = None
    ) -> PutDone:
        return self.put_done(self.begin_put(key, payload, group, emission, previous))

    def put_done(self, request: int) -> PutDone:
        [done] = [message for message in self.messages() if isinstance(message, PutDone) and message.request == request]
        return done

    def version_of(self, key: str, payload: bytes = b"x") -> int:
        """Put an object that is taken; its version."""
        done = self.put(key, payload)
        assert done.ref is not None, done
        return done.ref.version

    def begin_get(self, *reads: Read, within_s: float = 1.0, link: int = LINK) -> int:
        self.requests += 1
        self.tell(Asked(link, Get(self.requests, SCOPE, reads, self.now + within_s)))
        return self.requests

    def get(self, read: Read, within_s: float = 1.0) -> Answer:
        done = self.got(self.begin_get(read, within_s=within_s))
        assert done is not None, "the get waits"
        return done.answers[0]

    def got(self, request: int) -> GetDone | None:
        found = [message for message in self.messages() if isinstance(message, GetDone) and message.request == request]
        assert len(found) <= 1, "a get is answered once"
        return found[0] if found else None

    def messages(self) -> list[PutDone | GetDone | Watched]:
        return [command.message for command in self.sent if isinstance(command, Send)]

    def watched(self) -> list[Watched]:
        return [message for message in self.messages() if isinstance(message, Watched)]


def last(series: str, count: int = 3, as_of: int | None = None, exclusive: bool = False, awaits: str = "") -> LastRead:
    return LastRead(pool_of(series), series, count, as_of, exclusive, ("node-a",), awaits)


def key(name: str, group: str = "", version: int = 0, required: bool = False, as_of: float | None = None) -> KeyRead:
    return KeyRead(pool_of(name), name, group, version, "node-a", required, as_of)


def keys_of(answer: Answer) -> list[str]:
    return [value.ref.key for value in answer.objects]

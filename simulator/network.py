"""Links between processes: in order each, with a delay, and as breakable as TCP.

A link never loses a single message: it is late, or it ends. A *cut* between two hosts swallows what is sent, and
nobody is told before the cut heals or a side gives up on its own. Order holds within a link and not across links.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covey.simulator.world import Process, World

DIAL_TIMEOUT_S = 1.0
"""How long a dial into a cut takes to fail."""


class End:
    """One end of a link. `number` is its owner's name for it, never used again."""

    __slots__ = ("_arrives_at", "_inward", "_network", "_outward", "is_open", "kind", "number", "other", "owner")

    def __init__(self, network: Network, owner: Process[Any, Any], kind: str) -> None:
        self._network = network
        self._outward: list[Any] = []
        self._inward: deque[Sequence[Any] | None] = deque()
        self._arrives_at = 0.0
        self.owner = owner
        self.kind = kind
        self.is_open = True
        self.other: End
        self.number = owner.add_link(self)

    def send(self, message: Any) -> None:
        """Say something; it goes out at the end of the step. On a closed link it is lost, as in production."""
        if not self._outward:
            self.owner.unsent.append(self)
        self._outward.append(message)

    def flush(self) -> None:
        messages, self._outward = self._outward, []
        if self.is_open:
            self._network.carry(self, messages)

    def close(self) -> None:
        """Hang up: the other end learns it after what is under way; this one's owner knows."""
        if self.is_open:
            self.flush()
            self._shut()
            self._network.carry(self, None)

    def break_off(self) -> None:
        """The link breaks: both owners are told, and what is under way is lost."""
        for end in (self, self.other):
            if end.is_open:
                end._inward.clear()
                self._network.world.after(self._network.delay_s(self), end.take, None)

    def lands_at(self, instant: float) -> float:
        """When what is sent now arrives, behind everything that was sent before."""
        if instant > self._arrives_at:
            self._arrives_at = instant
        return self._arrives_at

    def take(self, messages: Sequence[Any] | None) -> None:
        """Messages arrive (None: the end of the link)."""
        owner = self.owner
        if not self.is_open or not owner.alive:
            return
        if messages is None or self._inward or owner.paused_until > owner.world.now:
            self._inward.append(messages)
            self._hand_in()
        else:
            owner.heard(self, messages)

    def _hand_in(self) -> None:
        owner = self.owner
        if owner.paused_until > owner.world.now:
            owner.world.at(owner.paused_until, self._hand_in)
            return
        while self._inward and self.is_open and owner.alive:
            messages = self._inward.popleft()
            if messages is None:
                self._shut()
                owner.ended(self)
            else:
                owner.heard(self, messages)

    def _shut(self) -> None:
        self.is_open = False
        self.owner.links.pop(self.number, None)


class Network:
    """Who can be reached, and how long it takes. `slowness` multiplies delays, and spreads them when above 1."""

    def __init__(self, world: World, rng: random.Random, local_s: float = 50e-6, remote_s: float = 250e-6) -> None:
        self.world = world
        self.processes: dict[str, Process[Any, Any]] = {}
        self.slowness = 1.0
        self.messages = 0
        self._rng = rng
        self._local_s = local_s
        self._remote_s = remote_s
        self._cuts: dict[tuple[str, str], None] = {}
        self._swallowed: list[End] = []

    def delay_s(self, end: End) -> float:
        """One way: a floor, and an exponential tail that grows with `slowness`."""
        floor = self._local_s if end.owner.host == end.other.owner.host else self._remote_s
        spread = 0.2 if self.slowness == 1.0 else self.slowness
        return floor - math.log(1.0 - self._rng.random()) * floor * spread

    def dial(self, dialer: Process[Any, Any], name: str, kind: str, then: Callable[[End | None], None]) -> None:
        """Open a link to the process of that name; `then` is told of it, or of None."""
        self.world.after(2 * self._remote_s, self._connect, dialer, name, kind, then)

    def _connect(self, dialer: Process[Any, Any], name: str, kind: str, then: Callable[[End | None], None]) -> None:
        if not dialer.alive:
            return
        target = self.processes.get(name)
        if target is not None and self.is_cut(dialer.host, target.host):
            self.world.after(DIAL_TIMEOUT_S, self._fail, dialer, then)
        elif target is None or not target.alive:
            then(None)
        else:
            mine, theirs = End(self, dialer, kind), End(self, target, kind)
            mine.other, theirs.other = theirs, mine
            target.accepted(theirs)
            then(mine)
            dialer.flush()

    def _fail(self, dialer: Process[Any, Any], then: Callable[[End | None], None]) -> None:
        if dialer.alive:
            then(None)

    def carry(self, end: End, messages: Sequence[Any] | None) -> None:
        """Take messages from one end towards the other (None: the end of the link)."""
        if self._cuts and self.is_cut(end.owner.host, end.other.owner.host):
            self._swallowed.append(end)
            return
        self.messages += len(messages) if messages is not None else 1
        other = end.other
        self.world.at(other.lands_at(self.world.now + self.delay_s(end)), other.take, messages)

    # --- faults ------------------------------------------------------------------------------------------------------

    def is_cut(self, host: str, other: str) -> bool:
        return (min(host, other), max(host, other)) in self._cuts

    def cut(self, host: str, other: str) -> None:
        self._cuts[min(host, other), max(host, other)] = None

    def heal(self, host: str, other: str) -> None:
        """The hosts can talk again; links that have lost something meanwhile break now."""
        self._cuts.pop((min(host, other), max(host, other)), None)
        for end in self._swallowed:
            if not self.is_cut(end.owner.host, end.other.owner.host):
                end.break_off()
        self._swallowed = [end for end in self._swallowed if self.is_cut(end.owner.host, end.other.owner.host)]

    def bury(self, process: Process[Any, Any], told: bool) -> None:
        """The process is dead: those it spoke with are told by their kernel now, or (its host died) not yet."""
        process.alive = False
        for end in list(process.links.values()):
            end.is_open = False
            if told:
                self.world.after(self.delay_s(end), end.other.take, None)
        if told:
            process.links.clear()

    def unearth(self, process: Process[Any, Any]) -> None:
        """The host of a dead process is back, and refuses the links that others still believe in."""
        for end in list(process.links.values()):
            self.world.after(self.delay_s(end), end.other.take, None)
        process.links.clear()

"""A small world around the gateway's core: a clock, clients, a leader and homes that do as the test says."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, TypeVar

from covey.declaration import Codec, Declaration, Join, Need, NeedKind, PoolDeclaration, StageDeclaration
from covey.edge import EventName, NewEvent
from covey.errors import CoveyError, Reason, Status
from covey.messages import Beat, CancelEvent, OutcomeReady, SubmitEvent, View
from covey.model import Node, Outcome, Placement, Scope
from covey.services.gateway.core.commands import Command, Deliver, StorePayload
from covey.services.gateway.core.machine import GatewayCore
from covey.services.gateway.core.state import Leadership, Limits, check_invariants
from covey.services.gateway.core.stimuli import (
    EventReceived,
    LeaderConnected,
    LeaderLost,
    Stimulus,
    Stored,
    StoreFailed,
)

SCOPE = Scope("default", "collisions")
NODES = (Node("node-a", "a:1"), Node("node-b", "b:1"))

COLLISIONS = Declaration(
    pipeline="collisions",
    objective_s=0.2,
    pools=(
        PoolDeclaration("observations", "/observations/{scene}/{tick:int}", "template", "{scene}"),
        PoolDeclaration("positions", "/positions/{scene}/{actor}/{tick:int}", "template", "{scene}/{actor}"),
        PoolDeclaration("predictions", "/predictions/{scene}/{tick:int}/{actor}", codec=Codec.BYTES),
        PoolDeclaration("ledger", "/ledger/{scene}/{tick:int}", durable=True),
        PoolDeclaration("alerts", "/alerts/{scene}/{tick:int}"),
        PoolDeclaration("loose", "/loose/{scene}/{tick:int}", "pattern", "^/loose/(?P<group>[a-z]+)"),
        PoolDeclaration("strict", "/strict/{scene}/{tick:int}", "pattern", "^/strict/(?P<group>[a-z]+)", strict=True),
    ),
    stages=(
        StageDeclaration("track", "observations", emits=("positions",)),
        StageDeclaration("book", "ledger", emits=("alerts",)),
        StageDeclaration("predict", "positions", needs=(Need("positions", NeedKind.LAST, 8),), emits=("predictions",)),
        StageDeclaration("collide", "predictions", join=Join(("scene", "tick")), emits=("alerts",)),
    ),
).versioned()

C = TypeVar("C")


def view(epoch: int = 1, number: int = 1, nodes: tuple[Node, ...] = NODES, declared: bool = True) -> View:
    declarations = (("default", COLLISIONS),) if declared else ()
    return View(epoch, number, Placement(number, nodes), declarations)


class World:
    """One gateway's core. `said` is every command so far, `outcomes` what each call was given, in order."""

    def __init__(self, limits: Limits | None = None, seed: int = 1) -> None:
        self.now = 100.0
        self.core = GatewayCore("gateway-1", limits or Limits(), random.Random(seed), self.now)
        self.said: list[Command] = []
        self.outcomes: dict[int, list[Outcome]] = {}

    @classmethod
    def following(cls, **options: Any) -> World:
        """A world whose gateway follows a leader."""
        world = cls(**options)
        world.tell(LeaderConnected(), view())
        return world

    def tell(self, *stimuli: Stimulus) -> list[Command]:
        commands = self.core.handle(stimuli, self.now)
        check_invariants(self.core.state)
        self.said += commands
        for command in commands:
            if isinstance(command, Deliver):
                self.outcomes.setdefault(command.call, []).append(command.outcome)
        return commands

    def send(self, call: int, id: str = "e1", payload: bytes = b"x", **options: Any) -> list[Command]:
        options = {"key": "/observations/s1/1", "scope": SCOPE, **options}
        return self.tell(EventReceived(call, NewEvent(id=id, payload=payload, **options)))

    def wait(self, seconds: float, silent: bool = False) -> list[Command]:
        """Let time pass, waking the core when it asks to be woken; a leader beats meanwhile, unless it is silent."""
        end, commands = self.now + seconds, []
        while (wake_at := self.core.wake_at) is not None and wake_at <= end:
            self.now = max(self.now, wake_at)
            beats = self.core.state.leadership is not Leadership.LOST and not silent
            commands += self.tell(*[Beat()] * beats)
            after = self.core.wake_at
            assert after is None or after > self.now, "the core asks to be woken again at once"
        self.now = end
        return commands

    def all(self, kind: type[C]) -> list[C]:
        return [command for command in self.said if isinstance(command, kind)]

    def last(self, kind: type[C]) -> C:
        return self.all(kind)[-1]

    def store(self, command: StorePayload | None = None, version: int = 1) -> list[Command]:
        """The home acknowledges a put, the last one by default."""
        put = (command or self.last(StorePayload)).put
        return self.tell(Stored(put.request, replace(put.ref, version=version)))

    def fail_store(self, error: CoveyError, command: StorePayload | None = None) -> list[Command]:
        return self.tell(StoreFailed((command or self.last(StorePayload)).put.request, error))

    def conclude(self, id: str = "e1", status: Status = Status.OK, reason: Reason = Reason.NONE) -> list[Command]:
        """The leader decides an event."""
        return self.tell(OutcomeReady(Outcome(SCOPE, id, status, reason)))

    def change_leader(self, epoch: int) -> None:
        self.tell(LeaderLost())
        self.tell(LeaderConnected(), view(epoch))

    def submitted(self) -> list[str]:
        return [command.event.id for command in self.all(SubmitEvent)]

    def cancelled(self) -> list[str]:
        return [command.event_id for command in self.all(CancelEvent)]

    def outcome(self, call: int = 1) -> Outcome:
        """The one outcome of a call."""
        (outcome,) = self.outcomes[call]
        return outcome

    def verdict(self, call: int = 1) -> tuple[Status, Reason]:
        outcome = self.outcome(call)
        return outcome.status, outcome.reason


def name(id: str = "e1") -> EventName:
    return EventName(SCOPE, id)

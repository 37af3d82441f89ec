"""The clients of the simulation: what they sent, and what came back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from covey.edge import EventName, NewEvent
from covey.model import Outcome, Priority
from covey.services.gateway.core.stimuli import CancelRequested, EventReceived
from covey.simulator.gateways import GatewayProcess
from covey.simulator.workload import SCOPE, Traffic


@dataclass(slots=True)
class Sent:
    """An event, as its client sees it. One outcome belongs to each call."""

    id: str
    scene: str
    tick: int
    gateway: GatewayProcess
    sent_at: float
    budget_s: float
    paused_s: float
    """What the gateway had been paused in all up to the moment when the event was sent."""
    payload: bytes
    priority: Priority
    admitted_at: float = math.inf
    """When a leader heard of it for the first time."""
    cancelled: bool = False
    answers: dict[int, tuple[float, Outcome] | None] = field(default_factory=dict)
    """Call -> when its outcome came, and which."""

    @property
    def deadline(self) -> float:
        return self.sent_at + self.budget_s

    @property
    def is_open(self) -> bool:
        return any(answer is None for answer in self.answers.values())


class Clients:
    """Everybody who sends. Ticks of a scene are sent in their order."""

    def __init__(self, traffic: Traffic) -> None:
        self.sent: dict[str, Sent] = {}
        self.open: dict[str, Sent] = {}
        self._traffic = traffic
        self._ticks: dict[str, int] = {}
        self._calls: dict[int, Sent] = {}
        self._last_call = 0

    def send(
        self, gateway: GatewayProcess, scene: str, budget_s: float, priority: Priority = Priority.HIGH, padding: int = 0
    ) -> Sent:
        """Send the next tick of a scene; `padding` bytes make its payload as large as wanted."""
        id_ = self.next_id(scene)
        tick = self._ticks[scene] = self._ticks.get(scene, -1) + 1
        now, payload = gateway.world.now, self._traffic.observation(id_, padding)
        paused_s = gateway.paused_s - max(0.0, gateway.paused_until - now)
        sent = Sent(id_, scene, tick, gateway, now, budget_s, paused_s, payload, priority)
        self.sent[id_] = self.open[id_] = sent
        self.call(sent)
        return sent

    def next_id(self, scene: str) -> str:
        """The id of the next event of a scene."""
        return f"{scene}.{self._ticks.get(scene, -1) + 1}"

    def call(self, sent: Sent) -> None:
        """Send an event over a call of its own, for the first time or again."""
        self._last_call += 1
        sent.answers[self._last_call] = None
        self._calls[self._last_call] = sent
        self.open[sent.id] = sent
        remains = max(0.0, sent.deadline - sent.gateway.world.now)
        key = self._traffic.key(sent.scene, sent.tick)
        event = NewEvent(SCOPE, key, sent.payload, sent.id, sent.priority, remains)
        sent.gateway.post(EventReceived(self._last_call, event))

    def cancel(self, sent: Sent) -> None:
        sent.cancelled = True
        sent.gateway.post(CancelRequested(0, EventName(SCOPE, sent.id)))

    def answer(self, call: int, outcome: Outcome, now: float) -> Sent:
        """Note the outcome of a call; the event. Raises AssertionError for a second one."""
        sent = self._calls[call]
        assert sent.answers[call] is None, f"call {call} for event {sent.id} got two outcomes"
        assert outcome.event_id == sent.id, f"call {call} for event {sent.id} got the outcome of {outcome.event_id}"
        sent.answers[call] = (now, outcome)
        if not sent.is_open:
            self.open.pop(sent.id, None)
        return sent

    def outcomes(self) -> Iterator[tuple[Sent, float, Outcome]]:
        """Every event with its first outcome and when it came."""
        for sent in self.sent.values():
            for answer in sent.answers.values():
                if answer is not None:
                    yield sent, *answer
                    break

"""Is every outcome there once, in time, and right?

An alert says which predictions it was made from, each of them which position and history, and each of these which
version of the tracker's state: an OK outcome can be followed back to its event.
"""

from __future__ import annotations

from dataclasses import dataclass

from covey.errors import Reason, Status
from covey.model import ObjectValue, Outcome
from covey.simulator.clients import Clients, Sent
from covey.simulator.gateways import GatewayProcess
from covey.simulator.schedulers import SchedulerProcess
from covey.simulator.violation import Violation
from covey.simulator.workload import HISTORY, Member, Traffic, actors_of, is_present, members_of

OUTCOME_LATE_S = 0.05

RETAINED_S = 60.0
"""How long after its last put an object is sure to be readable."""


@dataclass(slots=True)
class Leeway:
    """What the faults so far excuse. A mesh without faults is excused nothing."""

    unavailable: bool = False
    """Something was broken: an event may end UNAVAILABLE or late."""
    volatile_lost: bool = False
    """A node was lost, or taken for lost, and what it held in memory with it."""
    led_anew: bool = False
    """Another leader took over, which may take for accepted what a dropped task has put (a known limit)."""


class OutcomeChecker:
    """Takes every outcome that a gateway delivers."""

    def __init__(self, clients: Clients, traffic: Traffic, leeway: Leeway) -> None:
        self._clients = clients
        self._traffic = traffic
        self._leeway = leeway
        self._ok: dict[str, dict[int, float]] = {}
        """Scene -> tick -> when its event ended OK."""
        self.mixed = 0
        """Alerts made from two states, after a change of leader."""

    def submitted(self, scheduler: SchedulerProcess, event: str) -> None:
        """A leader hears of an event."""
        sent = self._clients.sent[event]
        sent.admitted_at = min(sent.admitted_at, scheduler.world.now)

    def delivered(self, gateway: GatewayProcess, call: int, outcome: Outcome) -> Sent:
        """An outcome reaches its client."""
        now = gateway.world.now
        try:
            sent = self._clients.answer(call, outcome, now)
        except AssertionError as error:
            raise Violation(str(error)) from error
        late_s = now - sent.deadline - (gateway.paused_s - sent.paused_s)
        if late_s > OUTCOME_LATE_S:
            raise Violation(f"the outcome of {sent.id} comes {late_s:.3f} s after its deadline")
        self._check_status(sent, outcome)
        if outcome.status is Status.OK:
            self._check_results(sent, outcome)
            self._ok.setdefault(sent.scene, {})[sent.tick] = now
        return sent

    def finished(self) -> None:
        """The run is over: nothing that was sent may be without an outcome."""
        for sent in self._clients.open.values():
            raise Violation(f"event {sent.id}, sent at {sent.sent_at:.3f} s, never got an outcome")

    def _check_status(self, sent: Sent, outcome: Outcome) -> None:
        excused = {
            Status.OK: sent.id not in self._traffic.poison or self._traffic.actors(sent.scene, sent.tick) == 0,
            Status.CANCELLED: sent.cancelled,
            Status.FAILED_PRECONDITION: sent.id in self._traffic.poison,
            Status.DEADLINE_EXCEEDED: True,
            Status.RESOURCE_EXHAUSTED: outcome.reason is Reason.NOT_ADMITTED,  # it would have been late, and is told so
            Status.UNAVAILABLE: self._leeway.unavailable,
        }
        if not excused.get(outcome.status, False):
            raise Violation(
                f"event {sent.id} ends {outcome.status} ({outcome.reason}: {outcome.message}), and nothing excuses it"
            )

    def _check_results(self, sent: Sent, outcome: Outcome) -> None:
        actors = actors_of(self._traffic.actors(sent.scene, sent.tick))
        if len(outcome.results) != (1 if actors else 0):
            keys = ", ".join(result.ref.key for result in outcome.results)
            raise Violation(f"event {sent.id} with {len(actors)} actors ends with the results {keys or 'none'}")
        for result in outcome.results:
            self._check_alert(sent, outcome, result, actors)

    def _check_alert(self, sent: Sent, outcome: Outcome, result: ObjectValue, actors: list[str]) -> None:
        event, members = members_of(result.payload or b"")
        if event != sent.id:
            raise Violation(f"the alert of {sent.id} was made for {event}")
        found = sorted(member.actor for member in members)
        if found != sorted(actors) and not outcome.incomplete:
            raise Violation(f"the alert of {sent.id} was made from {found}, not from {sorted(actors)}")
        versions = dict.fromkeys(member.version for member in members)
        if len(versions) > 1 and not self._leeway.volatile_lost:
            if not self._leeway.led_anew:
                raise Violation(f"the alert of {sent.id} mixes positions from the states {list(versions)}")
            self.mixed += 1
        for member in members:
            self._check_history(sent, outcome, member)

    def _check_history(self, sent: Sent, outcome: Outcome, member: Member) -> None:
        """Indices in order, none beyond the trigger's, and none left out that was there when the event was sent."""
        ticks = member.ticks
        if list(ticks) != sorted(dict.fromkeys(ticks)) or ticks[-1:] != (sent.tick,) or len(ticks) > HISTORY:
            raise Violation(f"the history of {member.actor} at {sent.id} is {ticks}")
        ended = self._ok.get(sent.scene, {})
        # What is read is kept from the admission on. Its gateway may have been stopped, or cut off from the leader, so
        # that later ticks of other gateways came and went before, and pushed out what it was to read (a known limit).
        is_overtaken = any(tick > sent.tick and at < sent.admitted_at for tick, at in ended.items())
        if self._leeway.volatile_lost or outcome.incomplete or is_overtaken:
            return
        for tick in range(sent.tick - 1, max(-1, sent.tick - 2 * HISTORY), -1):
            if tick in ticks or (tick < ticks[0] and len(ticks) == HISTORY):
                continue
            ended_at = ended.get(tick, sent.sent_at)
            was_there = ended_at < sent.sent_at and sent.sent_at - ended_at < RETAINED_S / 2
            if was_there and is_present(member.actor, self._traffic.actors(sent.scene, tick)):
                raise Violation(f"the history of {member.actor} at {sent.id} is {ticks}, without {tick}")

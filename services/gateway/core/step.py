"""One call of `handle`: the state, the time, chance and the commands so far. Handed through the rooms of the core."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from covey.declaration import Declaration
from covey.edge import EventName
from covey.errors import CoveyError, NotFound, Reason, ResourceExhausted, Unavailable
from covey.model import Priority, Scope
from covey.services.gateway.core.admission import Address
from covey.services.gateway.core.commands import Command, Refuse
from covey.services.gateway.core.state import MOVES, IllegalMove, Leadership, PoolOf, State


@dataclass(slots=True)
class Step:
    state: State
    rng: random.Random
    now: float
    out: list[Command] = field(default_factory=list)

    def number(self) -> int:
        """A number that no put and no get has had."""
        self.state.last_number += 1
        return self.state.last_number

    def look_at(self, when: float, what: EventName | int) -> None:
        """Wake up then for this event, put or get."""
        heapq.heappush(self.state.timers, (when, self.number(), what))

    def backoff_s(self, attempts: int) -> float:
        """How long to wait before the next try: doubling, with jitter, so that many don't come back as one."""
        limits = self.state.limits
        return min(limits.backoff_s * 2.0 ** (attempts - 1), limits.backoff_s_max) * (0.5 + self.rng.random() / 2)

    def refuse(self, call: int, error: CoveyError) -> None:
        self.out.append(Refuse(call, error))


def move(state: State, leadership: Leadership) -> None:
    """Take the link to the leader to another standing; raises IllegalMove and changes nothing."""
    if leadership not in MOVES[state.leadership]:
        raise IllegalMove(f"the link to the leader can't go from {state.leadership} to {leadership}")
    state.leadership = leadership


def check_readiness(step: Step) -> None:
    """Refuse what can't be admitted now, whatever it is. Raises Unavailable or ResourceExhausted."""
    state = step.state
    if state.draining:
        raise Unavailable("this gateway is shutting down; another one will take it", Reason.DRAINING)
    if state.homeless_since is not None and step.now - state.homeless_since > state.limits.patience_s:
        raise Unavailable("no datastore has joined the mesh", Reason.NO_HOME)


def check_leader(step: Step) -> None:
    """Refuse what needs a leader when there has been none for too long. Raises Unavailable."""
    state = step.state
    if state.leaderless_since is not None and step.now - state.leaderless_since > state.limits.patience_s:
        raise Unavailable("no scheduler leads the mesh", Reason.NO_LEADER)


def check_room(step: Step, under_way: int, size: int, priority: Priority = Priority.HIGH) -> None:
    """Refuse what would not fit beside what is under way. Raises ResourceExhausted."""
    limits = step.state.limits
    kept = limits.kept_for_high if priority is Priority.LOW else 0.0
    if under_way >= limits.open_max - int(kept * limits.open_max):
        raise ResourceExhausted(
            f"{under_way:,} requests are open at this gateway already", retry_after_s=limits.retry_after_s
        )
    if step.state.bytes + size > limits.open_bytes_max - int(kept * limits.open_bytes_max):
        raise ResourceExhausted(
            f"open requests at this gateway hold {step.state.bytes:,} bytes already",
            retry_after_s=limits.retry_after_s,
        )


def count_ungrouped(state: State, scope: Scope, address: Address) -> None:
    """Count a key that its pool's rule did not match; in a pool without a rule every key is its own group."""
    if not address.matched and address.pool.rule is not None:
        pool = PoolOf(scope, address.pool.name)
        state.ungrouped[pool] = state.ungrouped.get(pool, 0) + 1


def declaration_of(state: State, scope: Scope) -> Declaration:
    """The current declaration of a pipeline. Raises NotFound."""
    found = state.declarations.get(scope)
    if found is None:
        known = ", ".join(one.pipeline for one in state.declarations if one.tenant == scope.tenant) or "none"
        raise NotFound(f"no pipeline {scope.pipeline!r} is declared; known: {known}", Reason.UNKNOWN_PIPELINE)
    return found

"""A gateway in the simulation: performs what its core commands, and looks for the leader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, assert_never

from covey.errors import CoveyError, DeadlineExceeded, Reason, Status, Unavailable
from covey.messages import Beat, CancelEvent, GatewayJoined, PutDone, SubmitEvent
from covey.reads import Fetched
from covey.services.gateway.core.commands import (
    AdoptView,
    AnswerCancel,
    AnswerGet,
    AnswerPut,
    Command,
    Deliver,
    HangUp,
    ReadObjects,
    RecordEvent,
    Refuse,
    StorePayload,
)
from covey.services.gateway.core.machine import GatewayCore
from covey.services.gateway.core.state import Limits
from covey.services.gateway.core.stimuli import LeaderConnected, LeaderLost, ReadDone, Stimulus, Stored, StoreFailed
from covey.simulator.exchange import Exchange
from covey.simulator.network import End, Network
from covey.simulator.world import Observer, Process, World

REDIAL_S = 0.05


class GatewayProcess(Process[Stimulus, Command]):
    """One gateway. `leader` is what the registry says: the name of the scheduler that leads."""

    core: GatewayCore

    def __init__(
        self,
        world: World,
        name: str,
        network: Network,
        leader: Callable[[], str],
        observer: Observer[Stimulus, Command],
    ) -> None:
        core = GatewayCore(name, Limits(), world.random(f"{name} at {world.now}"), world.now)
        super().__init__(world, name, f"host-{name}", core, observer)
        self._network = network
        self._leader = leader
        self._exchange = Exchange(self, network)
        self._lead: End | None = None
        self._dial()

    def perform(self, command: Command) -> None:
        match command:
            case GatewayJoined() | SubmitEvent() | CancelEvent() | Beat():
                if self._lead is not None:
                    self._lead.send(command)
            case Deliver() | RecordEvent() | AnswerPut() | AnswerGet() | AnswerCancel() | Refuse():
                pass  # the client's, which the observer has seen, or telemetry's
            case StorePayload(node, put, deadline):
                number = put.request
                self._exchange.put(node.id, put, deadline, lambda done: self._stored(number, done))
            case ReadObjects(number, scope, reads, deadline):
                self._exchange.fetch(scope, reads, deadline, "", lambda found: self._read(number, found))
            case HangUp():
                if self._lead is not None:
                    self._lead.close()
                    self._lose_leader()
            case AdoptView(view):
                self._exchange.set_nodes(view.placement)
            case _:
                assert_never(command)

    def heard(self, end: End, messages: Sequence[Any]) -> None:
        if end is self._lead:
            self.post(*messages)
        else:
            self._exchange.heard(messages)

    def ended(self, end: End) -> None:
        if end is self._lead:
            self._lose_leader()
        else:
            self._exchange.ended(end)

    # --- the leader --------------------------------------------------------------------------------------------------

    def _dial(self) -> None:
        self._network.dial(self, self._leader(), "submit", self._dialled)

    def _dialled(self, end: End | None) -> None:
        if end is None:
            self.world.after(REDIAL_S, self._dial)
            return
        self._lead = end
        self.post(LeaderConnected())

    def _lose_leader(self) -> None:
        self._lead = None
        self.post(LeaderLost())
        self.world.after(REDIAL_S, self._dial)

    # --- answers -----------------------------------------------------------------------------------------------------

    def _stored(self, number: int, done: PutDone) -> None:
        if done.status is Status.OK and done.ref is not None:
            self.post(Stored(number, done.ref))
        else:
            self.post(StoreFailed(number, _error(done.status, done.message, done.reason)))

    def _read(self, number: int, found: Fetched) -> None:
        self.post(ReadDone(number, found.answers))


def _error(status: Status, message: str, reason: Reason) -> CoveyError:
    """The error of a status: the most general class that has it."""
    if status is Status.UNAVAILABLE:
        return Unavailable(message, reason)
    if status is Status.DEADLINE_EXCEEDED:
        return DeadlineExceeded(message, reason)
    for kind in CoveyError.__subclasses__():
        for error in (kind, *kind.__subclasses__()):
            if error.status is status:
                return error(message, reason)
    return CoveyError(message, reason)

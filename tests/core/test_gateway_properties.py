"""Whatever happens, in whatever order: every event received gets exactly one outcome, in time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from covey.errors import CoveyError, Moved, Reason, ResourceExhausted, Status, Unavailable
from covey.messages import OutcomeReady, StoreAgain
from covey.model import INLINE_BYTES_MAX, Outcome
from covey.services.gateway.core.commands import Deliver, StorePayload, SubmitEvent
from covey.services.gateway.core.state import Leadership, Limits
from covey.services.gateway.core.stimuli import CancelRequested, ClientGone, LeaderConnected, LeaderLost
from tests.worlds_gateway import NODES, SCOPE, World, name, view

GRACE_S = 0.05
KEYS = ("/observations/s1/1", "/positions/s1/a1/1", "/ledger/s1/1")
ERRORS: tuple[CoveyError, ...] = (
    Moved("not here"),
    Unavailable("no answer", Reason.HOME_LOST),
    ResourceExhausted("full"),
)
STATUSES = (Status.OK, Status.UNAVAILABLE, Status.FAILED_PRECONDITION)


class Gateway(RuleBasedStateMachine):
    """Clients, a leader and homes, all unreliable. Each reception is a call of its own, some share one (a stream)."""

    calls = Bundle("calls")

    @initialize()
    def start(self) -> None:
        self.world = World(limits=Limits(open_max=6, recent_max=3, attempts_max=3))
        self.received: dict[int, list[float]] = {}
        self.gone: set[int] = set()
        self.pending: list[StorePayload] = []
        self.epoch = 1
        self.views = 0

    @rule(target=calls)
    def call(self) -> int:
        call = len(self.received) + 1
        self.received[call] = []
        return call

    @rule(
        call=calls,
        id=st.sampled_from(["", "a", "b", "c"]),
        key=st.sampled_from(KEYS),
        large=st.booleans(),
        budget_s=st.sampled_from([None, 0.0, 0.05, 3.0]),
    )
    def receive(self, call: int, id: str, key: str, large: bool, budget_s: float | None) -> None:
        if call in self.gone:
            return
        payload = bytes(INLINE_BYTES_MAX + 1) if large else b"x"
        self.received[call].append(self.world.now + (0.2 if budget_s is None else budget_s))
        self.watch(self.world.send(call, id=id, key=key, payload=payload, budget_s=budget_s))

    @rule(call=calls)
    def leave(self, call: int) -> None:
        if call not in self.gone:
            self.gone.add(call)
            self.watch(self.world.tell(ClientGone(call)))

    @rule(id=st.sampled_from(["a", "b", "c"]))
    def cancel(self, id: str) -> None:
        self.watch(self.world.tell(CancelRequested(0, name(id))))

    @rule(data=st.data(), error=st.sampled_from((None, *ERRORS)))
    def answer_store(self, data: st.DataObject, error: CoveyError | None) -> None:
        if self.pending:
            command = self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1)))
            self.watch(self.world.fail_store(error, command) if error else self.world.store(command))

    @precondition(lambda self: self.leadership is Leadership.LOST)
    @rule()
    def connect(self) -> None:
        self.watch(self.world.tell(LeaderConnected()))

    @precondition(lambda self: self.leadership is not Leadership.LOST)
    @rule(epochs=st.integers(-1, 1), nodes=st.integers(0, 2))
    def show(self, epochs: int, nodes: int) -> None:
        self.epoch = max(1, self.epoch + epochs)
        self.views += 1
        self.watch(self.world.tell(view(self.epoch, self.views, NODES[:nodes])))

    @precondition(lambda self: self.leadership is not Leadership.LOST)
    @rule()
    def lose(self) -> None:
        self.watch(self.world.tell(LeaderLost()))

    @precondition(lambda self: self.leadership is not Leadership.LOST)
    @rule(id=st.sampled_from(["a", "b", "c"]), status=st.sampled_from(STATUSES), again=st.booleans())
    def decide(self, id: str, status: Status, again: bool) -> None:
        message = StoreAgain(SCOPE, id) if again else OutcomeReady(Outcome(SCOPE, id, status))
        self.watch(self.world.tell(message))

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0]), silent=st.booleans())
    def wait(self, seconds: float, silent: bool) -> None:
        self.watch(self.world.wait(seconds, silent))

    @property
    def leadership(self) -> Leadership:
        return self.world.core.state.leadership

    def watch(self, commands: list[object]) -> None:
        for command in commands:
            if isinstance(command, StorePayload):
                self.pending.append(command)
            elif isinstance(command, Deliver):
                assert command.call not in self.gone, "an answer for a call that is gone"
                assert command.outcome.elapsed_s <= 3.0 + GRACE_S, "an outcome after the longest budget"
            elif isinstance(command, SubmitEvent):
                assert self.leadership is Leadership.FOLLOWING

    @invariant()
    def nothing_is_answered_twice_or_late(self) -> None:
        for call, deadlines in self.received.items():
            answers = len(self.world.outcomes.get(call, ()))
            assert answers <= len(deadlines)
            if call not in self.gone:
                # A duplicate may wait for an event that has longer: up to the longest budget there is.
                overdue = sum(deadline + 3.0 + GRACE_S < self.world.now for deadline in deadlines)
                assert answers >= overdue, "an event had no outcome in time"

    def teardown(self) -> None:
        self.world.wait(3.0 + GRACE_S)
        for call, deadlines in self.received.items():
            if call not in self.gone:
                assert len(self.world.outcomes.get(call, ())) == len(deadlines)
        assert not self.world.core.state.open


TestGateway = Gateway.TestCase
TestGateway.__doc__ = "Every event received gets exactly one outcome, never after its deadline."
TestGateway.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

"""The scheduler's core under random events: invariants after every step, one outcome per event, all ends well."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from covey.declaration import Missing
from covey.errors import Reason, Status
from covey.messages import Beat, CancelEvent
from covey.model import Priority
from covey.services.scheduler.core.outcomes import FINAL
from covey.services.scheduler.core.sharing import shared_devices
from covey.services.scheduler.core.state import Limits
from covey.services.scheduler.core.stimuli import PeerSaid
from tests.builders import SCOPE, collisions, event
from tests.worlds import GATEWAY, SchedulerWorld

SCENES = st.sampled_from(["s", "t", "u"])
FAILURES = st.sampled_from(
    [
        (Status.FAILED_PRECONDITION, Reason.STAGE_FAILED),
        (Status.UNAVAILABLE, Reason.MOVED),
        (Status.UNAVAILABLE, Reason.INPUT_LOST),
        (Status.DEADLINE_EXCEEDED, Reason.LATE),
    ]
)


class SchedulerUnderRandomEvents(RuleBasedStateMachine):
    """`SchedulerWorld.tell` checks the core's invariants after each step."""

    @initialize(
        missing=st.sampled_from(list(Missing)),
        batch_max=st.integers(1, 4),
        lanes=st.integers(1, 3),
        priorities=st.booleans(),
    )
    def start(self, missing: Missing, batch_max: int, lanes: int, priorities: bool) -> None:
        timeout_s = 0.3 if missing is Missing.FIRE else 0.0
        declaration = collisions(missing, timeout_s, batch_max)
        limits = Limits(tasks_open_max=60, silence_s_max=1e9)
        shared = shared_devices({}) if priorities else None
        self.world = SchedulerWorld(limits, declaration, workers=2, nodes=2, lanes=lanes, shared=shared)
        self.submitted: list[str] = []
        self.last_peer = 1_000
        self.ticks: Counter[str] = Counter()

    @rule(scene=SCENES, low=st.booleans(), budget=st.floats(0.05, 5.0))
    def submit(self, scene: str, low: bool, budget: float) -> None:
        tick = self.ticks[scene]
        self.ticks[scene] += 1
        deadline = self.world.now + budget
        sent = event(tick, scene, deadline=deadline, priority=Priority.LOW if low else Priority.HIGH)
        self.submitted.append(sent.id)
        self.world.submit(sent)

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        scene, _, tick = data.draw(st.sampled_from(self.submitted)).partition("-")
        self.world.submit(event(int(tick), scene, deadline=self.world.now + 1.0))

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.submitted))
        self.world.tell(PeerSaid(GATEWAY, CancelEvent(SCOPE, name)))

    @precondition(lambda self: self.world.batches)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.world.finish(data.draw(st.sampled_from(sorted(self.world.batches))), compute_s=0.01)

    @precondition(lambda self: self.world.batches)
    @rule(data=st.data(), failure=FAILURES)
    def fail(self, data: st.DataObject, failure: tuple[Status, Reason]) -> None:
        self.world.fail(data.draw(st.sampled_from(sorted(self.world.batches))), *failure)

    @rule(seconds=st.floats(0.0, 1.0))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(number=st.integers(0, 1))
    def lose_worker(self, number: int) -> None:
        peers = [worker.peer for worker in self.world.core.state.workers.values() if worker.id == f"w{number}"]
        for peer in peers:
            self.world.lose(peer)

    @rule(number=st.integers(0, 1))
    def join_worker(self, number: int) -> None:
        self.last_peer += 1
        for worker in list(self.world.core.state.workers.values()):
            if worker.id == f"w{number}":
                held = self.world.batches.items()
                self.world.batches = {key: value for key, value in held if value[0] != worker.peer}
        self.world.join_worker(number, peer=self.last_peer)

    @rule()
    def lose_a_node(self) -> None:
        nodes = self.world.core.state.nodes
        if len(nodes) > 1:
            self.world.lose(max(nodes))
            self.forget_called_off()

    @rule()
    def join_a_node(self) -> None:
        if len(self.world.core.state.nodes) < 2:
            self.last_peer += 1
            missing = {"n0", "n1"} - {peer.node.id for peer in self.world.core.state.nodes.values()}
            self.world.join_node(int(min(missing)[1]), peer=self.last_peer)

    def forget_called_off(self) -> None:
        """A worker reports a batch even if all of its tasks were called off; keep what the core still knows."""
        known = self.world.core.state.batches
        self.world.batches = {number: held for number, held in self.world.batches.items() if number in known}

    def teardown(self) -> None:
        """Heal everything and let time pass: every event has had exactly one outcome, and nothing is left."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for number in range(2):
            self.join_worker(number)
        self.join_a_node()
        beat = Beat(view=world.core.state.view_number)
        world.tell(*(PeerSaid(peer, beat) for peer in world.core.state.nodes))
        while world.batches:
            world.finish(min(world.batches))
        world.wait(6.0)
        while world.batches:
            world.finish(min(world.batches))
        state = world.core.state
        assert not state.cascades
        assert not state.tasks
        assert state.reserved == 0
        assert not any(worker.batches for worker in state.workers.values())
        assert set(world.outcomes) == set(self.submitted)
        first: dict[str, Status] = {}
        for outcome in world.answers:
            if outcome.status in FINAL:
                assert first.setdefault(outcome.event_id, outcome.status) is outcome.status


TestSchedulerUnderRandomEvents = SchedulerUnderRandomEvents.TestCase
TestSchedulerUnderRandomEvents.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)

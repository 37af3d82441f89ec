"""Is every task accepted once, and does every state follow from the one before?"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from covey.errors import Status
from covey.messages import BatchReport, RunBatch, SubmitEvent, Task, TaskReport
from covey.model import event_identity
from covey.services.scheduler.core.commands import Send
from covey.services.scheduler.core.stimuli import PeerLost, PeerSaid
from covey.simulator.outcome_checker import Leeway
from covey.simulator.schedulers import SchedulerProcess
from covey.simulator.violation import Violation
from covey.simulator.workers import WorkerProcess
from covey.simulator.workload import SCOPE, Inputs, state_read

STATE_POOL = "tracks"
STATEFUL = "track"
REMEMBERED = 100


class Attempt(NamedTuple):
    """One dispatch of a task."""

    epoch: int
    batch: int
    task: int


class Acceptance(NamedTuple):
    """An accepted execution of a stateful task, and the version that it had read."""

    event: str
    read: int


class ExecutionChecker:
    """Follows tasks from dispatch to acceptance, and state from version to version."""

    def __init__(self, leeway: Leeway) -> None:
        self._leeway = leeway
        self._made: dict[str, dict[bytes, tuple[int, tuple[int, int, int]]]] = {}
        """Event -> identity of a task -> its number, and in which life of the cascade it was made."""
        self._versions_read: dict[str, dict[Attempt, int]] = {}
        self._lines: dict[str, int] = {}
        """State key -> the version that the last accepted task left."""
        self._acceptances: dict[tuple[str, int], Acceptance] = {}
        """(state key, version that was left) -> by whom; another home begins to count anew."""
        self.handovers = 0
        """Reads under a later leader that accepted tasks do not explain, but a dropped one's put does: a leader does
        not tell its successor what it has accepted."""
        self._seen: dict[tuple[int, str], int] = {}
        self._order: dict[tuple[int, str], int] = {}
        """(epoch, event) -> its place in the order of admission."""
        self._accepted_in: dict[str, int] = {}
        """State key -> the newest epoch in which a task was accepted for it."""
        self._accepted_order: dict[tuple[int, str], int] = {}
        self._started_again: dict[str, None] = {}
        self._ended: deque[str] = deque()

    def forget(self, event: str) -> None:
        """The event has its outcome. What comes of it later comes soon, so only the oldest are forgotten."""
        self._ended.append(event)
        if len(self._ended) > REMEMBERED:
            oldest = self._ended.popleft()
            self._made.pop(oldest, None)
            self._versions_read.pop(oldest, None)

    # --- what workers do ---------------------------------------------------------------------------------------------

    def computed(self, worker: WorkerProcess, run: RunBatch, task: Task, inputs: Inputs) -> None:
        """A task starts, with these inputs."""
        if run.stage == STATEFUL:
            attempt = Attempt(run.epoch, run.number, task.number)
            self._versions_read.setdefault(task.event_id, {})[attempt] = state_read(inputs)
        names = [(value.ref.key, value.ref.version) for value in inputs.members]
        if len(names) != len(dict.fromkeys(names)):
            raise Violation(f"the join for {task.event_id} sees a member twice: {names}")

    # --- what the scheduler does -------------------------------------------------------------------------------------

    def scheduled(self, scheduler: SchedulerProcess, stimuli: Sequence[Any], commands: Sequence[Any]) -> None:
        """The scheduler has taken a step."""
        reports: list[BatchReport] = []
        look = False
        for stimulus in stimuli:
            if isinstance(stimulus, PeerSaid) and isinstance(stimulus.message, BatchReport):
                reports.append(stimulus.message)
            elif isinstance(stimulus, PeerSaid) and isinstance(stimulus.message, SubmitEvent):
                self._note_admission(scheduler, stimulus.message.event.id)
            elif isinstance(stimulus, PeerLost):
                look = True
        if look or any(report.status is not Status.OK for batch in reports for report in batch.tasks):
            for cascade in scheduler.core.state.cascades.values():
                if cascade.restarts:
                    self._started_again[cascade.event.id] = None
        if look or reports:
            self._follow_lines(scheduler, reports)
        for command in commands:
            if isinstance(command, Send) and isinstance(command.message, RunBatch):
                self._note_batch(scheduler, command.message)

    def _note_admission(self, scheduler: SchedulerProcess, event: str) -> None:
        cascade = scheduler.core.state.cascades.get(event_identity(SCOPE, event))
        if cascade is not None:  # else it was refused, or known
            self._order[scheduler.epoch, event] = cascade.urgency.sequence

    def _note_batch(self, scheduler: SchedulerProcess, run: RunBatch) -> None:
        """A task identity has one number in one life of its cascade; another one was made from the same parent."""
        for task in run.tasks:
            cascade = scheduler.core.state.cascades.get(event_identity(SCOPE, task.event_id))
            if cascade is None:
                continue  # it ended in the very step that dispatched this
            life = (scheduler.epoch, cascade.urgency.sequence, cascade.restarts)
            made = self._made.setdefault(task.event_id, {})
            number, known_life = made.setdefault(task.identity, (task.number, life))
            if known_life != life:
                made[task.identity] = (task.number, life)
            elif number != task.number:
                raise Violation(f"a task of {run.stage} for {task.event_id} was made twice: {number}, {task.number}")

    def _follow_lines(self, scheduler: SchedulerProcess, reports: Sequence[BatchReport]) -> None:
        for state_key, line in scheduler.core.state.lines.items():
            seen = (scheduler.epoch, state_key.key)
            if line.version == self._seen.get(seen, 0):
                continue
            self._seen[seen] = line.version
            if line.version == 0:
                continue  # lost with its home; the next task starts from None, and its outcome says so
            if scheduler.epoch < self._accepted_in.get(state_key.key, 0):
                continue  # deposed, and yet to notice: nobody hears it any more
            self._accepted_in[state_key.key] = scheduler.epoch
            attempt, event, read = self._accepted(state_key.key, line.version, reports)
            self._check_read(scheduler.epoch, state_key.key, Acceptance(event, read), line.version, attempt)
            self._check_order(scheduler.epoch, state_key.key, event)

    def _check_read(self, epoch: int, key: str, accepted: Acceptance, left: int, attempt: Attempt) -> None:
        """A task reads what its predecessor left; a task that an earlier leader accepted, what it read then."""
        before = self._acceptances.get((key, left))
        self._acceptances[key, left] = accepted
        expected = self._lines.get(key, 0)
        # Under a later leader a task may run that an earlier one accepted: it finds what it read and left then.
        is_handover = epoch > 1 and (accepted.read > expected or accepted.read < left < expected)
        # A home that was taken for lost and comes back still has what it had, accepted by this leader or another.
        is_known = epoch > 1 or accepted.read == 0 or (key, accepted.read) in self._acceptances
        is_stale = self._leeway.volatile_lost and is_known
        if before is not None and before.event == accepted.event:
            if before != accepted and epoch > 1 and accepted.read > 0:
                self.handovers += 1
            elif before != accepted and not self._leeway.volatile_lost:
                raise Violation(
                    f"{attempt} of {accepted.event} read version {accepted.read} of {key}, not {before.read}"
                )
            return
        if accepted.read != expected and is_handover:
            self.handovers += 1
        elif accepted.read != expected and not is_stale and accepted.event not in self._started_again:
            raise Violation(
                f"{accepted.event} ({attempt}) read version {accepted.read} of {key}; its predecessor left {expected}"
            )
        self._lines[key] = left

    def _accepted(self, key: str, version: int, reports: Sequence[BatchReport]) -> tuple[Attempt, str, int]:
        """The attempt whose report left this version, its event, and the version that it had read."""
        for batch in reports:
            for report in batch.tasks:
                if report.status is Status.OK and _left(report, key) == version:
                    attempt = Attempt(batch.epoch, batch.number, report.number)
                    for event, attempts in self._versions_read.items():
                        if attempt in attempts:
                            return attempt, event, attempts[attempt]
        raise Violation(f"{key} is at version {version}, which no report of this step has left")

    def _check_order(self, epoch: int, key: str, event: str) -> None:
        if event in self._started_again:
            return
        place = self._order.get((epoch, event), -1)
        last = self._accepted_order.get((epoch, key), -1)
        if place < last:
            raise Violation(f"{event} was accepted for {key} after an event that was admitted later")
        self._accepted_order[epoch, key] = place


def _left(report: TaskReport, key: str) -> int:
    for emission in report.emissions:
        if emission.value.ref.pool == STATE_POOL and emission.value.ref.key == key:
            return emission.value.ref.version
    return 0

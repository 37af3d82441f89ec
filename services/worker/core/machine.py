"""The worker's one door: `WorkerCore.handle` takes what has happened and says what to do.

A batch's inputs are read as soon as it arrives, while others compute; it then waits for a lane. The lane is free again
when the stage has ended, so that storing what it emitted overlaps the next computation. `phases.py` has
the phases, `state.py` their law.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from covey.declaration import Declaration, graph
from covey.errors import Reason, Status
from covey.homes import Homes
from covey.messages import (
    AssignLane,
    Beat,
    CancelTasks,
    LeaderJoined,
    Prefetch,
    RunBatch,
    SchedulerToWorker,
    View,
)
from covey.model import ObjectRef
from covey.services.worker.core.admission import take, why_not
from covey.services.worker.core.commands import (
    Command,
    Compute,
    Exit,
    Forget,
    Report,
    Retain,
    Send,
    Store,
    UseView,
)
from covey.services.worker.core.emissions import puts_of, take_answers, take_emitted, worth_keeping
from covey.services.worker.core.fetching import end_round, next_round, wanted_by, worth_holding
from covey.services.worker.core.inputs import charge
from covey.services.worker.core.lanes import fail_or_halve, free_lane, most_urgent_first, next_run
from covey.services.worker.core.models import assign, forget_assignments, models_by_lane, take_loaded
from covey.services.worker.core.phases import DROPPED, FETCHING, QUEUED, READY, REPORTED, RUNNING, STORING, Phase
from covey.services.worker.core.reports import beat_of, end_late, introduction, refusal, report_of
from covey.services.worker.core.state import BatchState, Identity, IllegalMove, Limits, new_state
from covey.services.worker.core.stimuli import (
    BatchComputed,
    BatchFailed,
    BatchKey,
    Disconnected,
    EmissionsStored,
    EngineLost,
    FetchedAhead,
    InputsFetched,
    ModelLoaded,
    Received,
    Stimulus,
    key_of,
)


class WorkerCore:
    """One device: its batches on their way, its lanes, and the leader that it follows."""

    def __init__(self, identity: Identity, limits: Limits) -> None:
        self._identity = identity
        self._limits = limits
        self._declarations = {declaration.pipeline: declaration for declaration in identity.pipelines}
        self.state = new_state(identity, limits)
        self._commands: list[Command] = []

    @property
    def wake_at(self) -> float | None:
        """The next heartbeat or the next attempt to store, whichever comes first."""
        at = self.state.next_beat
        for batch in self.state.batches.values():
            if batch.retry_at is not None and (at is None or batch.retry_at < at):
                at = batch.retry_at
        return at

    def handle(self, stimuli: Sequence[Stimulus], now: float) -> list[Command]:
        """Take all that has happened since, decide once."""
        for stimulus in stimuli:
            self._take(stimulus, now)
        if self.state.batches:
            for batch in self.state.in_phase(STORING):
                if batch.retry_at is not None and batch.retry_at <= now:
                    self._store(batch, now)
            self._start_fetches(now)
            self._start_lanes(now)
        self._beat(now)
        self._commands += self.state.prefetches.let_go()
        commands, self._commands = self._commands, []
        return commands

    def check_invariants(self) -> None:
        self.state.check_invariants(self._limits)

    def _take(self, stimulus: Stimulus, now: float) -> None:
        match stimulus:
            case Received():
                self._hear(stimulus.link, stimulus.message, now)
            case Disconnected():
                self._part(stimulus.link, now)
            case InputsFetched():
                self._take_inputs(stimulus, now)
            case FetchedAhead():
                self.state.prefetches.take(stimulus.number, stimulus.found)
            case ModelLoaded():
                self._commands += take_loaded(self.state, stimulus)
            case BatchComputed():
                self._take_computed(stimulus, now)
            case BatchFailed():
                self._take_failed(stimulus, now)
            case EngineLost():
                self._give_up(stimulus, now)
            case EmissionsStored():
                self._take_stored(stimulus, now)
            case _:
                assert_never(stimulus)

    # --- the leader --------------------------------------------------------------------------------------------------

    def _hear(self, link: int, message: SchedulerToWorker, now: float) -> None:
        match message:
            case LeaderJoined():
                self._follow(link, message, now)
            case Beat():
                pass
            case View() | RunBatch() | CancelTasks() | AssignLane() | Prefetch() if not self._follows(
                link, message.epoch
            ):
                self.state.counters.stale_refused += 1
            case View():
                self._use(message, now)
            case RunBatch():
                self._accept(link, message, now)
            case CancelTasks():
                self._cancel(message.tasks, now)
            case Prefetch():
                self._commands += self.state.prefetches.begin(message)
            case AssignLane():
                self._commands += assign(self.state, message)
            case _:
                assert_never(message)

    def _follows(self, link: int, epoch: int) -> bool:
        return link == self.state.leader and epoch == self.state.epoch

    def _follow(self, link: int, joined: LeaderJoined, now: float) -> None:
        """Follow this leader unless a newer one is known; the answer tells an old one so."""
        state = self.state
        if joined.epoch < state.epoch:
            state.counters.stale_refused += 1
        else:
            state.epoch, state.leader, state.next_beat = joined.epoch, link, now + self._limits.beat_s
            state.prefetches.forget_all()
            forget_assignments(state)
            for batch in list(state.batches.values()):
                if (batch.key.epoch, batch.link) != (joined.epoch, link):
                    self._abandon(batch, now)
        self._commands.append(Send(link, introduction(self._identity, state.epoch, models_by_lane(state.lanes))))

    def _part(self, link: int, now: float) -> None:
        if link == self.state.leader:
            self.state.leader = self.state.next_beat = None
            self.state.prefetches.forget_all()
        for batch in list(self.state.batches.values()):
            if batch.link == link:
                self._abandon(batch, now)

    def _use(self, view: View, now: float) -> None:
        known = self.state.view
        if (view.epoch, view.number) <= (known.epoch, known.number):
            return
        self.state.view = view
        self.state.homes = Homes(view.placement)
        if view.placement.epoch != known.placement.epoch:
            self.state.prefetches.forget_all()
        self._commands.append(UseView(view))
        for batch in self.state.in_phase(STORING):
            if batch.retry_at is not None:
                batch.retry_at = now

    def _accept(self, link: int, run: RunBatch, now: float) -> None:
        state = self.state
        if key_of(run) in state.batches:
            state.counters.stale_refused += 1
            return
        refused = why_not(state, self._limits, self._declarations.get(run.scope.pipeline), run)
        if refused is not None:
            state.counters.batches_refused += 1
            self._commands.append(Report(link, refusal(run, *refused)))
        else:
            take(state, self._identity.node, link, run, now)

    def _cancel(self, numbers: tuple[int, ...], now: float) -> None:
        """Skip these tasks if they have not started."""
        cancelled = dict.fromkeys(numbers)
        for batch in list(self.state.batches.values()):
            runs = batch.runs[1:] if batch.phase is RUNNING else batch.runs
            for number in [number for run in runs for number in run if number in cancelled]:
                batch.tasks[number].end(Status.CANCELLED, Reason.CANCELLED, "nobody waits for the event any more")
            if not self._report_if_over(batch, now) and batch.phase is READY and next_run(batch) is None:
                self._store(batch, now)  # the other half has emitted already

    # --- the phases --------------------------------------------------------------------------------------------------

    def _start_fetches(self, now: float) -> None:
        fetching = self.state.in_phase(FETCHING)
        room = self._limits.fetching_max - len(fetching)
        for batch in fetching:
            if not batch.waiting:  # for no command, but for a prefetch
                self._fetch(batch)
        for batch in most_urgent_first(self.state.in_phase(QUEUED)):
            if self._report_if_over(batch, now, late=True):
                continue
            batch.unread = wanted_by(batch)
            if not batch.unread:
                batch.move(READY, now)
            elif room > 0:
                batch.move(FETCHING, now)
                room -= 1
                self._fetch(batch)

    def _fetch(self, batch: BatchState) -> None:
        fetch = next_round(self.state, batch)
        if fetch is not None:
            batch.waiting = True
            self._commands.append(fetch)

    def _take_inputs(self, fetched: InputsFetched, now: float) -> None:
        batch = self._returned(fetched.batch, FETCHING, now)
        if batch is None:
            return
        end_round(self.state, batch, fetched.found)
        if batch.unread:
            return  # another round follows
        charge(batch, now)
        self._retain(batch, worth_holding(self.state, batch))
        if not self._report_if_over(batch, now):
            batch.move(READY, now)

    def _start_lanes(self, now: float) -> None:
        for batch in most_urgent_first(self.state.in_phase(READY)):
            number = free_lane(self.state.lanes, batch.run)
            if number is None or self._report_if_over(batch, now, late=True):
                continue
            tasks = next_run(batch)
            if tasks is None:
                self._store(batch, now)
                continue
            batch.move(RUNNING, now)
            batch.waiting = True
            self.state.lanes[number].batch = batch.key
            self._commands.append(Compute(batch.run, number, tasks))

    def _take_computed(self, computed: BatchComputed, now: float) -> None:
        batch = self._returned(computed.batch, RUNNING, now)
        if batch is None:
            return
        batch.runs.pop(0)
        batch.computed_s += computed.seconds
        if computed.got:
            self.state.counters.count_cached(len(computed.got), computed.unchanged)
            self._retain(batch, list(computed.got))
        pools = graph(self._declaration(batch)).pools
        for result in computed.tasks:
            task = batch.tasks[result.number]
            take_emitted(pools, task, result.emitted)
            task.remote_gets += result.remote_gets
            task.bytes_moved += result.bytes_moved
            if result.read:
                task.note_reads(result.read)
            if result.failed is not None:
                task.end(Status.FAILED_PRECONDITION, Reason.STAGE_FAILED, result.failed)
        self._go_on(batch, now)

    def _take_failed(self, failed: BatchFailed, now: float) -> None:
        """Retry the halves, so that in the end only the task fails that made the stage raise."""
        batch = self._returned(failed.batch, RUNNING, now)
        if batch is None:
            return
        tasks = next_run(batch) or ()
        batch.runs.pop(0)
        batch.computed_s += failed.seconds
        fail_or_halve(self.state, batch, tasks, failed.why)
        self._go_on(batch, now)

    def _go_on(self, batch: BatchState, now: float) -> None:
        """After a run: the next half, or storing."""
        if self._report_if_over(batch, now):
            return
        if next_run(batch) is not None:
            batch.move(READY, now)
        else:
            self._store(batch, now)

    def _store(self, batch: BatchState, now: float) -> None:
        """Put what no home has acknowledged yet, by the newest view."""
        if batch.phase is not STORING:
            batch.move(STORING, now)
        batch.retry_at = None
        end_late(self.state, batch.open_tasks, now)
        batch.puts = puts_of(self.state, batch)
        if not batch.puts:
            self._retain(batch, worth_keeping(self._declaration(batch), batch))
            self._report(batch, now)
            return
        batch.attempts += 1
        batch.view = self.state.view.number
        batch.waiting = True
        self._commands.append(Store(batch.run, batch.puts, batch.deadline_max))

    def _take_stored(self, stored: EmissionsStored, now: float) -> None:
        batch = self._returned(stored.batch, STORING, now)
        if batch is None:
            return
        is_last_attempt = batch.attempts >= self._limits.store_attempts_max
        take_answers(batch, stored.answers, self._identity.node, is_last_attempt)
        if puts_of(self.state, batch):
            self.state.counters.store_retries += 1
            pause_s = self._limits.store_retry_s * 2 ** (batch.attempts - 1)
            batch.retry_at = now if batch.view != self.state.view.number else now + pause_s
        else:
            self._store(batch, now)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _returned(self, key: BatchKey, phase: Phase, now: float) -> BatchState | None:
        """The batch whose command has returned; None if it is an orphan, which then leaves."""
        batch = self.state.batches.get(key)
        if batch is None or batch.phase is not phase or not batch.waiting:
            raise IllegalMove(f"a result for batch {key} that is not {phase.value}")
        batch.waiting = False
        for lane in self.state.lanes:
            if lane.batch == key:
                lane.batch = None
        if batch.orphan:
            self._abandon(batch, now)
            return None
        return batch

    def _abandon(self, batch: BatchState, now: float) -> None:
        """Nobody waits for this batch any more: it goes no further."""
        batch.orphan = True
        if not batch.waiting:
            batch.move(DROPPED, now)
            del self.state.batches[batch.key]
            self._commands.append(Forget(batch.key))

    def _give_up(self, lost: EngineLost, now: float) -> None:
        """The device is lost, and all that it had with it."""
        self._returned(lost.batch, RUNNING, now)
        self.state.lost = True
        for batch in list(self.state.batches.values()):
            if batch.orphan:
                continue
            for task in batch.open_tasks:
                task.end(Status.UNAVAILABLE, Reason.WORKER_LOST, "the worker lost its device")
            self._commands.append(Report(batch.link, report_of(self._declaration(batch), batch)))
            self._abandon(batch, now)
        self._commands.append(Exit(lost.summary))

    def _report_if_over(self, batch: BatchState, now: float, late: bool = False) -> bool:
        """Report a batch that has nothing left to do; with `late`, tasks past their deadline end first."""
        if late:
            end_late(self.state, [batch.tasks[number] for run in batch.runs for number in run], now)
        if batch.waiting:
            return False
        for task in batch.tasks.values():
            if task.status is None:
                return False
        self._report(batch, now)
        return True

    def _report(self, batch: BatchState, now: float) -> None:
        batch.move(REPORTED, now)
        del self.state.batches[batch.key]
        self.state.counters.tasks_finished += len(batch.tasks)
        self._commands.append(Report(batch.link, report_of(self._declaration(batch), batch)))

    def _retain(self, batch: BatchState, refs: list[ObjectRef]) -> None:
        """Hold these in memory if they fit, and let go of what has to make room."""
        kept, gone = self.state.residency.keep_all(batch.run.scope, refs) if refs else ((), ())
        if kept or gone:
            self._commands.append(Retain(batch.key, batch.run.scope, kept, gone))

    def _declaration(self, batch: BatchState) -> Declaration:
        return self._declarations[batch.run.scope.pipeline]

    def _beat(self, now: float) -> None:
        state = self.state
        if state.leader is None or state.next_beat is None or state.next_beat > now:
            return
        state.prefetches.forget_late(now)
        self._commands.append(Send(state.leader, beat_of(state, now)))
        state.next_beat = now + self._limits.beat_s

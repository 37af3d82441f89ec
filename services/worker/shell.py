"""The worker under asyncio: holds the payloads, reads and stores them, hands batches to the engine.

The core knows names and sizes; what they name stays here, by batch, until the batch is reported or forgotten, and in
`_resident` for as long as the core wants it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

from covey.batch import ReadObject, TaskInputs
from covey.clock import Clock, wall_time_ns
from covey.declaration import Declaration
from covey.declare import Stage
from covey.driver import Driver
from covey.errors import CoveyError, Reason, Status, Unavailable
from covey.grouping import Scope
from covey.homes import Homes
from covey.link import Link, LinkClosed
from covey.messages import BatchReport, Emission, RunBatch, SchedulerToWorker, Task, TaskReport, WorkerToScheduler
from covey.model import Answer, GroupId, KeyRead, ObjectRef, ObjectValue, Placement, Read
from covey.services.worker.core.commands import (
    Command,
    Compute,
    Exit,
    Fetch,
    FetchAhead,
    Forget,
    ForgetAhead,
    LoadModel,
    Report,
    Resident,
    Retain,
    Send,
    Store,
    UnloadModel,
    UseView,
)
from covey.services.worker.core.machine import WorkerCore
from covey.services.worker.core.stimuli import (
    BatchComputed,
    BatchFailed,
    BatchKey,
    ComputedTask,
    Disconnected,
    EmissionsStored,
    EngineLost,
    FetchedAhead,
    Found,
    InputsFetched,
    Received,
    Stimulus,
    Stored,
    key_of,
)
from covey.services.worker.engine.base import Coming, DeviceLost, Engine, Job, StageRaised
from covey.services.worker.loading import Models
from covey.services.worker.spans import record_batch
from covey.telemetry import Attribute, Metric, Tracer
from covey.wire.datastore_client import DatastoreClient, NewPut
from covey.wire.status import error_of

log = logging.getLogger(__name__)

FAREWELL_S = 0.5
"""How long the last reports have to get out before a process ends that lost its device."""


@dataclass(slots=True)
class Payloads:
    """What the shell holds for one batch."""

    run: RunBatch
    found: dict[Read, tuple[ObjectValue, ...]] = field(default_factory=dict)
    incomplete: dict[Read, None] = field(default_factory=dict)
    emitted: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(task, index of the emission) -> payload."""
    by_version: dict[tuple[str, str, int], bytes] = field(default_factory=dict)
    """(group, key, version) -> payload, of what was resident, read so that it may become it, or stored."""


@dataclass(slots=True)
class Moved:
    """What the stages of one run read by themselves from other nodes; with a cache, `got` names it."""

    remote_gets: int = 0
    bytes_moved: int = 0
    got: list[ObjectRef] = field(default_factory=list)
    unchanged: int = 0


class WorkerShell:
    """`run` until cancelled; `serve_leader` speaks with one scheduler over an accepted link."""

    def __init__(
        self,
        core: WorkerCore,
        engine: Engine,
        stages: Mapping[str, tuple[Declaration, Mapping[str, Stage]]],
        datastores: DatastoreClient,
        clock: Clock,
        node: str,
        tracer: Tracer,
    ) -> None:
        """`stages` maps a pipeline to its declaration and the code of its stages; `node` is the one that is near."""
        self.core = core
        self._engine = engine
        self._stages = stages
        self._models = Models(engine, stages)
        self._datastores = datastores
        self._clock = clock
        self._node = node
        self._tracer = tracer
        self._driver: Driver[Stimulus, Command] = Driver(core, self._perform, clock)
        self._numbers = itertools.count(1)
        self._links: dict[int, Link[WorkerToScheduler, SchedulerToWorker]] = {}
        self._batches: dict[BatchKey, Payloads] = {}
        self._resident: dict[Resident, bytes] = {}
        self._ahead: dict[int, dict[KeyRead, tuple[ObjectValue, ...]]] = {}
        self._homes = Homes(Placement())

    async def load(self) -> None:
        """Load every stage's model. Raises StageFailed."""
        await self._models.load_all()

    async def run(self) -> None:
        """Drive the core. Raises Unavailable when the device is lost."""
        await self._driver.run()

    async def serve_leader(self, link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
        """Hear a leader for as long as its link lasts."""
        number = next(self._numbers)
        self._links[number] = link
        try:
            await link.hear(partial(self._take, number))
        except LinkClosed:
            pass
        finally:
            del self._links[number]
            link.close()
            self._driver.post(Disconnected(number))

    async def _take(self, link: int, messages: Sequence[SchedulerToWorker]) -> None:
        await self._driver.accept(*[Received(link, message) for message in messages])

    def _perform(self, command: Command) -> Awaitable[Stimulus | None] | None:
        match command:
            case Send():
                self._send(command.link, command.message)
            case UseView():
                self._homes = Homes(command.view.placement)
                self._datastores.set_nodes(command.view.placement)
            case Fetch():
                return self._fetch(command, self._begin(command))
            case FetchAhead():
                return self._fetch_ahead(command)
            case ForgetAhead():
                for number in command.numbers:
                    self._ahead.pop(number, None)
            case LoadModel():
                return self._models.load(command)
            case UnloadModel():
                return self._models.unload(command.stage)
            case Compute():
                return self._compute(command)
            case Store():
                return self._store(command)
            case Retain():
                self._retain(command)
            case Report():
                self._report(command)
            case Forget():
                self._batches.pop(command.batch, None)
            case Exit():
                return self._exit(command)
            case _:
                assert_never(command)
        return None

    def _send(self, number: int, message: WorkerToScheduler) -> None:
        link = self._links.get(number)
        if link is not None:  # it may have ended since the core decided; the core will be told
            link.send(message)

    def _report(self, command: Report) -> None:
        report = command.report
        held = self._batches.pop(BatchKey(report.epoch, report.number), None)
        if held is None:  # it was never begun
            self._send(command.link, report)
            return
        self._send(command.link, _with_payloads(report, held))
        record_batch(self._tracer, held.run, report, wall_time_ns())

    # --- reading -----------------------------------------------------------------------------------------------------

    def _begin(self, fetch: Fetch) -> Payloads:
        """Take what is resident at once: the core may let go of it before the rest has come."""
        held = self._batches.setdefault(key_of(fetch.run), Payloads(fetch.run))
        for read in fetch.resident:
            payload = self._resident[Resident(fetch.run.scope, read.group, read.key, read.version)]
            ref = ObjectRef(read.pool, read.key, read.group, read.version, len(payload))
            held.found[read] = (ObjectValue(ref, payload),)
        for read, number, found_by in fetch.ahead:
            held.found[read] = self._ahead[number][found_by]
            self._may_be_kept(held, read, held.found[read])
        for refs in fetch.known.values():
            for ref in refs:
                held.by_version[_name(ref)] = self._payload_of(fetch.run.scope, ref)
        return held

    async def _fetch(self, fetch: Fetch, held: Payloads) -> InputsFetched:
        traced = tuple(dict.fromkeys([task.traceparent for task in fetch.run.tasks if task.traceparent]))
        fetched = await self._datastores.get(
            fetch.run.scope, fetch.reads, fetch.deadline, self._node, traced, fetch.known
        )
        found = []
        for read, answer, (gets, moved) in zip(fetch.reads, fetched.answers, fetched.moved, strict=True):
            objects, unchanged = _completed(answer, held) if read in fetch.known else (answer.objects, 0)
            held.found[read] = objects
            if not answer.complete:
                held.incomplete[read] = None
            self._may_be_kept(held, read, objects)
            found.append(_found(answer, gets, moved, unchanged))
        self._say_what_comes(fetch.run, held)
        return InputsFetched(key_of(fetch.run), tuple(found))

    async def _fetch_ahead(self, fetch: FetchAhead) -> FetchedAhead:
        fetched = await self._datastores.get(fetch.scope, fetch.reads, fetch.deadline, self._node)
        answers = [answer.objects for answer in fetched.answers]
        self._ahead[fetch.number] = dict(zip(fetch.reads, answers, strict=True))
        found = [_found(answer, *moved) for answer, moved in zip(fetched.answers, fetched.moved, strict=True)]
        return FetchedAhead(fetch.number, tuple(found))

    def _say_what_comes(self, run: RunBatch, held: Payloads) -> None:
        """A batch may wait for its lane now: its inputs can go to the device meanwhile."""
        declaration, stages = self._stages[run.scope.pipeline]
        if stages[run.stage].model is not None:
            objects = [value for values in held.found.values() for value in values]
            self._engine.prefetch(Coming(declaration, stages[run.stage], run.scope, run.priority, objects))

    def _may_be_kept(self, held: Payloads, read: Read, objects: tuple[ObjectValue, ...]) -> None:
        """Have at hand what the core may want to retain: what was read by its version, and what is worth caching."""
        exact, worth = isinstance(read, KeyRead) and read.version > 0, self.core.state.residency.is_worth_caching
        for value in objects:
            if exact or worth(value.ref):
                held.by_version[_name(value.ref)] = value.payload or b""

    def _payload_of(self, scope: Scope, ref: ObjectRef) -> bytes:
        return self._resident[Resident(scope, ref.group, ref.key, ref.version)]

    def _retain(self, retain: Retain) -> None:
        by_version = self._batches[retain.batch].by_version
        for ref in retain.keep:
            self._resident[Resident(retain.scope, ref.group, ref.key, ref.version)] = by_version[_name(ref)]
        for name in retain.evict:
            del self._resident[name]

    # --- computing ---------------------------------------------------------------------------------------------------

    async def _compute(self, compute: Compute) -> BatchComputed | BatchFailed | EngineLost:
        run = compute.run
        key = key_of(run)
        held = self._batches.setdefault(key, Payloads(run))
        declaration, stages = self._stages[run.scope.pipeline]
        tasks = {task.number: task for task in run.tasks}
        inputs = tuple([_inputs(tasks[number], held) for number in compute.tasks])
        moved = Moved()
        deadline = max(task.deadline for task in run.tasks)
        job = Job(declaration, stages[run.stage], inputs, self._reader(held, deadline, moved), run.scope)
        try:
            ran = await self._engine.run(job, compute.lane)
        except StageRaised as raised:
            log.warning("stage %s raised on %d tasks", run.stage, len(inputs), exc_info=raised.__cause__)
            return BatchFailed(key, raised.seconds, raised.why)
        except DeviceLost as lost:
            log.critical("the device is lost", exc_info=lost)
            return EngineLost(key, str(lost))
        computed = []
        for number, output in zip(compute.tasks, ran.outputs, strict=True):
            for pool in output.ungrouped:
                self._tracer.telemetry.measure(Metric.KEYS_UNGROUPED, 1, {Attribute.POOL: pool})
            held.emitted.update({(number, index): each.payload for index, each in enumerate(output.emissions)})
            refs = [ObjectRef(each.pool, each.key, each.group, 0, len(each.payload)) for each in output.emissions]
            computed.append(ComputedTask(number, tuple(refs), output.failed or None, read=output.read))
        if moved.remote_gets:
            computed[0] = replace(computed[0], remote_gets=moved.remote_gets, bytes_moved=moved.bytes_moved)
        return BatchComputed(key, ran.seconds, tuple(computed), tuple(moved.got), moved.unchanged)

    def _reader(self, held: Payloads, deadline: float, moved: Moved) -> ReadObject:
        """How a stage reads what it could not name in advance."""
        scope, residency = held.run.scope, self.core.state.residency

        async def read(pool: str, key: str, group: str, version: int) -> ObjectValue | None:
            nearest = self._homes.nearest(GroupId(scope, group), self._node)
            wanted = KeyRead(pool, key, group, version, nearest, required=False)
            known = residency.recall(scope, wanted)
            held.by_version.update({_name(ref): self._payload_of(scope, ref) for ref in known})
            fetched = await self._datastores.get(scope, (wanted,), deadline, self._node, known={wanted: known})
            (answer,) = fetched.answers
            error = error_of(answer.status, answer.reason, answer.message)
            if error is not None and answer.status is not Status.NOT_FOUND:
                raise error
            moved.remote_gets += fetched.remote_gets
            moved.bytes_moved += fetched.bytes_moved
            objects, unchanged = _completed(answer, held) if known else (answer.objects, 0)
            self._may_be_kept(held, wanted, objects)
            moved.got += [value.ref for value in objects if residency.is_worth_caching(value.ref)]
            moved.unchanged += unchanged
            return objects[0] if objects else None

        return read

    # --- storing -----------------------------------------------------------------------------------------------------

    async def _store(self, store: Store) -> EmissionsStored:
        held = self._batches[key_of(store.run)]
        payloads = [held.emitted[put.task, put.index] for put in store.puts]
        traced = {task.number: task.traceparent for task in store.run.tasks}
        puts = [
            NewPut(put.node, put.ref, payload, put.emission, traced[put.task])
            for put, payload in zip(store.puts, payloads, strict=True)
        ]
        answers = []
        done = await self._datastores.put_all(store.run.scope, puts, store.deadline, self._node)
        for payload, ref in zip(payloads, done, strict=True):
            if isinstance(ref, CoveyError):
                answers.append(Stored(None, ref.status, ref.reason, ref.message))
            else:
                held.by_version[_name(ref)] = payload
                answers.append(Stored(ref))
        return EmissionsStored(key_of(store.run), tuple(answers))

    async def _exit(self, command: Exit) -> None:
        await asyncio.sleep(FAREWELL_S)
        raise Unavailable(f"the device is lost: {command.summary}", Reason.WORKER_LOST)


def _name(ref: ObjectRef) -> tuple[str, str, int]:
    return ref.group, ref.key, ref.version


def _found(answer: Answer, gets: int, moved: int, unchanged: int = 0) -> Found:
    refs = tuple([value.ref for value in answer.objects])
    return Found(refs, answer.complete, answer.status, answer.reason, answer.message, gets, moved, unchanged)


def _completed(answer: Answer, held: Payloads) -> tuple[tuple[ObjectValue, ...], int]:
    """What was found, with the payloads that did not travel since they were here, and how many those are."""
    objects = [
        value if value.payload is not None else ObjectValue(value.ref, held.by_version[_name(value.ref)])
        for value in answer.objects
    ]
    return tuple(objects), sum([value.payload is None for value in answer.objects])


def _inputs(task: Task, held: Payloads) -> TaskInputs:
    """What was fetched for a task, in the places where its stage looks for it."""
    needs: dict[str, tuple[ObjectValue, ...]] = {}
    for pool, reads in task.needs:
        needs[pool] = needs.get(pool, ()) + tuple([value for read in reads for value in held.found[read]])
    members = tuple([value for read in task.members for value in held.found[read]])
    wanted = [*task.members, *(read for _, needed in task.needs for read in needed)] if held.incomplete else ()
    complete = not any(read in held.incomplete for read in wanted)
    return TaskInputs(task, _trigger(task, held), members, needs, complete)


def _trigger(task: Task, held: Payloads) -> ObjectValue | None:
    """The trigger with its payload, which came along or was read by the key and version that the task names."""
    trigger = task.trigger
    if trigger is None or trigger.payload is not None:
        return trigger
    named = (trigger.ref.key, trigger.ref.group, trigger.ref.version)
    for read, values in held.found.items():
        if isinstance(read, KeyRead) and (read.key, read.group, read.version) == named and values:
            return values[0]
    raise AssertionError("the core computes only tasks whose trigger has been read")


def _with_payloads(report: BatchReport, held: Payloads) -> BatchReport:
    """The report, with payloads where the core left room for them."""

    def filled(task: TaskReport) -> TaskReport:
        if not task.emissions:
            return task
        emissions = [
            each
            if each.value.payload is None
            else Emission(each.index, ObjectValue(each.value.ref, held.emitted[task.number, each.index]))
            for each in task.emissions
        ]
        return replace(task, emissions=tuple(emissions))

    return replace(report, tasks=tuple([filled(task) for task in report.tasks]))

"""A worker in the simulation: performs what its core commands, on a simulated device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, assert_never

from covey.errors import Status
from covey.messages import BatchReport, Emission, Put, PutDone, RunBatch, Task, TaskReport
from covey.model import Answer, KeyRead, ObjectRef, ObjectValue, Read
from covey.reads import Fetched
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
from covey.services.worker.core.state import Identity, Limits
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
    ModelLoaded,
    Received,
    Stimulus,
    Stored,
    key_of,
)
from covey.simulator.exchange import Exchange
from covey.simulator.hardware import Device
from covey.simulator.network import End, Network
from covey.simulator.workload import Emitted, Inputs, Poisoned, StageCode
from covey.simulator.world import Observer, Process, World


class ComputeObserver(Observer[Stimulus, Command], Protocol):
    """Who watches a worker, and what its tasks read."""

    def computed(self, worker: WorkerProcess, run: RunBatch, task: Task, inputs: Inputs) -> None:
        """A task starts with these inputs."""

    def ran(self, worker: WorkerProcess, tasks: Sequence[Task], seconds: float) -> None:
        """These tasks, run together, keep a device busy for so long."""


@dataclass(slots=True)
class Held:
    """What the worker holds for one batch."""

    found: dict[Read, tuple[ObjectValue, ...]] = field(default_factory=dict)
    emitted: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(task, index of the emission) -> payload."""
    by_version: dict[tuple[str, str, int], bytes] = field(default_factory=dict)
    """(group, key, version) -> payload, of what was resident, read so that it may become it, or stored."""


class WorkerProcess(Process[Stimulus, Command]):
    """One device."""

    core: WorkerCore

    def __init__(
        self,
        world: World,
        identity: Identity,
        network: Network,
        device: Device,
        traffic: StageCode,
        observer: ComputeObserver,
        exit_: Callable[[], None],
        limits: Limits | None = None,
    ) -> None:
        """`exit_` is called when the device is lost, so that somebody restarts the worker."""
        core = WorkerCore(identity, limits or Limits())
        super().__init__(world, identity.worker, f"host-{identity.node}", core, observer)
        self.device = device
        self.device_is_lost = False
        self._node = identity.node
        self._traffic = traffic
        self._watcher = observer
        self._exit = exit_
        self._exchange = Exchange(self, network)
        self._held: dict[BatchKey, Held] = {}
        self._resident: dict[Resident, bytes] = {}
        self._ahead: dict[int, dict[KeyRead, tuple[ObjectValue, ...]]] = {}

    def perform(self, command: Command) -> None:
        match command:
            case Compute():
                self._compute(command)
            case Report(link, report):
                held = self._held.pop(BatchKey(report.epoch, report.number), None)
                self._send(link, report if held is None else _with_payloads(report, held))
            case Send(link, message):
                self._send(link, message)
            case UseView(view):
                self._exchange.set_nodes(view.placement)
            case Fetch():
                self._fetch(command)
            case FetchAhead():
                self._fetch_ahead(command)
            case ForgetAhead(numbers):
                for number in numbers:
                    self._ahead.pop(number, None)
            case LoadModel(lane, stage):
                seconds = self.device.load_s(stage.rpartition("/")[2])
                self.world.after(seconds, self.post, ModelLoaded(lane, stage))
            case UnloadModel():
                pass
            case Store():
                self._store(command)
            case Retain():
                self._retain(command)
            case Forget(batch):
                self._held.pop(batch, None)
            case Exit():
                self._exit()
            case _:
                assert_never(command)

    def heard(self, end: End, messages: Sequence[Any]) -> None:
        if end.kind == "exchange":
            self._exchange.heard(messages)
        else:
            self.post(*[Received(end.number, message) for message in messages])

    def ended(self, end: End) -> None:
        if end.kind == "exchange":
            self._exchange.ended(end)
        else:
            self.post(Disconnected(end.number))

    def _send(self, link: int, message: object) -> None:
        if link in self.links:
            self.links[link].send(message)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _fetch(self, fetch: Fetch) -> None:
        held = self._held.setdefault(key_of(fetch.run), Held())
        for read in fetch.resident:
            payload = self._resident[Resident(fetch.run.scope, read.group, read.key, read.version)]
            ref = ObjectRef(read.pool, read.key, read.group, read.version, len(payload))
            held.found[read] = (ObjectValue(ref, payload),)
        for read, number, found_by in fetch.ahead:
            self._keep(held, read, self._ahead[number][found_by])
        for refs in fetch.known.values():
            for ref in refs:
                name = Resident(fetch.run.scope, ref.group, ref.key, ref.version)
                held.by_version[_name(ref)] = self._resident[name]

        def done(fetched: Fetched) -> None:
            found = []
            for read, answer, (gets, moved) in zip(fetch.reads, fetched.answers, fetched.moved, strict=True):
                objects, unchanged = _completed(answer, held) if read in fetch.known else (answer.objects, 0)
                self._keep(held, read, objects)
                found.append(_found(answer, gets, moved, unchanged))
            self.post(InputsFetched(key_of(fetch.run), tuple(found)))

        self._exchange.fetch(fetch.run.scope, fetch.reads, fetch.deadline, self._node, done, fetch.known)

    def _fetch_ahead(self, fetch: FetchAhead) -> None:
        def done(fetched: Fetched) -> None:
            answers = [answer.objects for answer in fetched.answers]
            self._ahead[fetch.number] = dict(zip(fetch.reads, answers, strict=True))
            found = [_found(answer, *moved) for answer, moved in zip(fetched.answers, fetched.moved, strict=True)]
            self.post(FetchedAhead(fetch.number, tuple(found)))

        self._exchange.fetch(fetch.scope, fetch.reads, fetch.deadline, self._node, done)

    def _keep(self, held: Held, read: Read, objects: tuple[ObjectValue, ...]) -> None:
        """Note what a read found, and have at hand what the core may want to retain of it."""
        held.found[read] = objects
        exact, worth = isinstance(read, KeyRead) and read.version > 0, self.core.state.residency.is_worth_caching
        for value in objects:
            if exact or worth(value.ref):
                held.by_version[_name(value.ref)] = value.payload or b""

    def _retain(self, retain: Retain) -> None:
        by_version = self._held[retain.batch].by_version
        for ref in retain.keep:
            self._resident[Resident(retain.scope, ref.group, ref.key, ref.version)] = by_version[_name(ref)]
        for name in retain.evict:
            del self._resident[name]

    # --- computing ---------------------------------------------------------------------------------------------------

    def _compute(self, compute: Compute) -> None:
        run, key = compute.run, key_of(compute.run)
        numbers = dict.fromkeys(compute.tasks)
        tasks = [task for task in run.tasks if task.number in numbers]
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = Held()
        inputs = [_inputs(task, held) for task in tasks]
        for task, found in zip(tasks, inputs, strict=True):
            self._watcher.computed(self, run, task, found)
        seconds = self.device.start(run.stage, len(tasks))
        self._watcher.ran(self, tasks, seconds)
        done: Stimulus
        try:
            outputs = [self._traffic.run(run.stage, *each) for each in zip(tasks, inputs, strict=True)]
        except Poisoned:
            done = BatchFailed(key, seconds)
        else:
            computed = [_computed(held, task.number, output) for task, output in zip(tasks, outputs, strict=True)]
            done = BatchComputed(key, seconds, tuple(computed))
        if self.device_is_lost:
            done = EngineLost(key, "the device is lost")
        self.world.after(seconds, self._finish, done)

    def _finish(self, done: Stimulus) -> None:
        self.device.finish()
        self.post(done)

    # --- storing -----------------------------------------------------------------------------------------------------

    def _store(self, store: Store) -> None:
        held = self._held[key_of(store.run)]
        answers: dict[int, Stored] = {}

        def take(index: int, payload: bytes, done: PutDone) -> None:
            answers[index] = Stored(done.ref, done.status, done.reason, done.message)
            if done.status is Status.OK and done.ref is not None:
                held.by_version[_name(done.ref)] = payload
            if len(answers) == len(store.puts):
                ordered = tuple([answers[index] for index in range(len(store.puts))])
                self.post(EmissionsStored(key_of(store.run), ordered))

        for index, put in enumerate(store.puts):
            payload = held.emitted.get((put.task, put.index), b"")
            message = Put(0, store.run.scope, put.ref, payload, put.emission)
            self._exchange.put(put.node, message, store.deadline, partial(take, index, payload))


def _name(ref: ObjectRef) -> tuple[str, str, int]:
    return ref.group, ref.key, ref.version


def _found(answer: Answer, gets: int, moved: int, unchanged: int = 0) -> Found:
    refs = tuple([value.ref for value in answer.objects])
    return Found(refs, answer.complete, answer.status, answer.reason, answer.message, gets, moved, unchanged)


def _completed(answer: Answer, held: Held) -> tuple[tuple[ObjectValue, ...], int]:
    """What was found, with the payloads that did not travel since they were here, and how many those are."""
    objects = [
        value if value.payload is not None else ObjectValue(value.ref, held.by_version[_name(value.ref)])
        for value in answer.objects
    ]
    return tuple(objects), sum([value.payload is None for value in answer.objects])


def _inputs(task: Task, held: Held) -> Inputs:
    """What was fetched for a task, in the places where its stage looks for it."""
    trigger = task.trigger
    if trigger is not None and trigger.payload is not None and not task.needs:
        return Inputs(trigger, (), {})
    needs = {pool: [value for read in reads for value in held.found[read]] for pool, reads in task.needs}
    members = [value for read in task.members for value in held.found[read]]
    if trigger is not None and trigger.payload is None:
        named = (trigger.ref.key, trigger.ref.group, trigger.ref.version)
        for read, values in held.found.items():
            if isinstance(read, KeyRead) and (read.key, read.group, read.version) == named and values:
                trigger = values[0]
    return Inputs(trigger, members, needs)


def _computed(held: Held, number: int, emitted: Sequence[Emitted]) -> ComputedTask:
    for index, each in enumerate(emitted):
        if each.payload:
            held.emitted[number, index] = each.payload
    return ComputedTask(number, tuple([each.ref for each in emitted]))


def _with_payloads(report: BatchReport, held: Held) -> BatchReport:
    """The report, with payloads where the core left room for them."""
    if not held.emitted:
        return report  # nothing that was emitted has a payload

    def filled(task: TaskReport) -> TaskReport:
        if not task.emissions:
            return task
        emissions = [
            each
            if each.value.payload is None
            else Emission(each.index, ObjectValue(each.value.ref, held.emitted.get((task.number, each.index), b"")))
            for each in task.emissions
        ]
        return replace(task, emissions=tuple(emissions))

    return replace(report, tasks=tuple([filled(task) for task in report.tasks]))

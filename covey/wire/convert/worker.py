"""Scheduler <-> worker."""

from __future__ import annotations

from typing import assert_never

from covey.errors import Status
from covey.messages import (
    AssignLane,
    BatchReport,
    Beat,
    CancelTasks,
    Emission,
    LaneReady,
    LeaderJoined,
    Prefetch,
    RunBatch,
    SchedulerToWorker,
    Task,
    TaskReport,
    View,
    WorkerJoined,
    WorkerToScheduler,
)
from covey.model import KeyRead, ObjectName
from covey.v1 import worker_pb2
from covey.wire.convert.objects import (
    instant_after,
    microseconds,
    object_from_wire,
    object_to_wire,
    priority_from_wire,
    priority_to_wire,
    read_from_wire,
    read_to_wire,
    scope_from_wire,
    scope_to_wire,
    verdict_of,
    verdict_to_wire,
)
from covey.wire.convert.view import beat_from_wire, beat_to_wire, unknown_message, view_from_wire, view_to_wire


def task_to_wire(task: Task, out: worker_pb2.Task, now: float) -> None:
    out.number = task.number
    out.identity = task.identity
    out.event_id = task.event_id
    if task.trigger is not None:
        object_to_wire(task.trigger, out.trigger)
    for member in task.members:
        read_to_wire(member, out.members.add(), now)
    for pool, reads in task.needs:
        need = out.needs.add(pool=pool)
        for read in reads:
            read_to_wire(read, need.reads.add(), now)
    for name, value in task.fields:
        if isinstance(value, int):
            out.fields.add(name=name, number=value)
        else:
            out.fields.add(name=name, text=value)
    out.budget_us = microseconds(task.deadline - now)
    if task.incomplete:
        out.incomplete = True
    if task.traceparent:
        out.traceparent = task.traceparent
    if task.record:
        out.record = True


def task_from_wire(wire: worker_pb2.Task, now: float) -> Task:
    return Task(
        wire.number,
        wire.identity,
        wire.event_id,
        object_from_wire(wire.trigger) if wire.HasField("trigger") else None,
        tuple([read_from_wire(member, now) for member in wire.members]),
        tuple([(need.pool, tuple([read_from_wire(read, now) for read in need.reads])) for need in wire.needs]),
        tuple([(field.name, field.text or field.number) for field in wire.fields]),  # no text of a key is empty
        instant_after(wire.budget_us, now),
        wire.incomplete,
        wire.traceparent,
        wire.record,
    )


def batch_to_wire(batch: RunBatch, out: worker_pb2.RunBatch, now: float) -> None:
    out.number = batch.number
    out.epoch = batch.epoch
    scope_to_wire(batch.scope, out.scope)
    out.declaration = batch.declaration
    out.stage = batch.stage
    out.priority = priority_to_wire(batch.priority)
    for task in batch.tasks:
        task_to_wire(task, out.tasks.add(), now)


def batch_from_wire(wire: worker_pb2.RunBatch, now: float) -> RunBatch:
    return RunBatch(
        number=wire.number,
        epoch=wire.epoch,
        scope=scope_from_wire(wire.scope),
        declaration=wire.declaration,
        stage=wire.stage,
        priority=priority_from_wire(wire.priority),
        tasks=tuple([task_from_wire(task, now) for task in wire.tasks]),
    )


def prefetch_to_wire(prefetch: Prefetch, out: worker_pb2.Prefetch, now: float) -> None:
    out.epoch = prefetch.epoch
    scope_to_wire(prefetch.scope, out.scope)
    out.event_id = prefetch.event_id
    out.budget_us = microseconds(prefetch.deadline - now)
    for read in prefetch.reads:
        read_to_wire(read, out.reads.add(), now)


def prefetch_from_wire(wire: worker_pb2.Prefetch, now: float) -> Prefetch:
    reads = [read_from_wire(read, now) for read in wire.reads]
    return Prefetch(
        epoch=wire.epoch,
        scope=scope_from_wire(wire.scope),
        event_id=wire.event_id,
        reads=tuple([read for read in reads if isinstance(read, KeyRead)]),
        deadline=instant_after(wire.budget_us, now),
    )


def task_report_to_wire(report: TaskReport, out: worker_pb2.TaskReport) -> None:
    out.number = report.number
    if report.status is not Status.OK or report.reason or report.message:
        verdict_to_wire(report.status, report.reason, report.message, out.verdict)
    for emission in report.emissions:
        emitted = out.emissions.add(index=emission.index)
        object_to_wire(emission.value, emitted.value)
    if report.incomplete:
        out.incomplete = True
    if report.remote_gets:
        out.remote_gets = report.remote_gets
    if report.bytes_moved:
        out.bytes_moved = report.bytes_moved
    for name in report.read:
        out.read.add(pool=name.pool, key=name.key)


def task_report_from_wire(wire: worker_pb2.TaskReport) -> TaskReport:
    status, reason, message = verdict_of(wire)
    return TaskReport(
        wire.number,
        status,
        reason,
        message,
        tuple([Emission(each.index, object_from_wire(each.value)) for each in wire.emissions]),
        wire.incomplete,
        wire.remote_gets,
        wire.bytes_moved,
        tuple([ObjectName(each.pool, each.key) for each in wire.read]),
    )


def batch_report_to_wire(report: BatchReport, out: worker_pb2.BatchReport) -> None:
    out.SetInParent()
    out.number = report.number
    out.epoch = report.epoch
    for task in report.tasks:
        task_report_to_wire(task, out.tasks.add())
    out.fetch_s = report.fetch_s
    out.wait_s = report.wait_s
    out.compute_s = report.compute_s
    out.store_s = report.store_s


def batch_report_from_wire(wire: worker_pb2.BatchReport) -> BatchReport:
    return BatchReport(
        number=wire.number,
        epoch=wire.epoch,
        tasks=tuple([task_report_from_wire(task) for task in wire.tasks]),
        fetch_s=wire.fetch_s,
        wait_s=wire.wait_s,
        compute_s=wire.compute_s,
        store_s=wire.store_s,
    )


def scheduler_to_worker_to_wire(message: SchedulerToWorker, out: worker_pb2.SchedulerToWorker, now: float) -> None:
    match message:
        case RunBatch():
            batch_to_wire(message, out.run, now)
        case CancelTasks():
            out.cancel.epoch = message.epoch
            out.cancel.tasks.extend(message.tasks)
        case AssignLane():
            out.assign.epoch = message.epoch
            out.assign.lane = message.lane
            out.assign.stage = message.stage
            out.assign.SetInParent()
        case Prefetch():
            prefetch_to_wire(message, out.prefetch, now)
        case Beat():
            beat_to_wire(message, out.beat)
        case View():
            view_to_wire(message, out.view)
        case LeaderJoined():
            out.joined.epoch = message.epoch
            out.joined.scheduler = message.scheduler
        case _:
            assert_never(message)


def scheduler_to_worker_from_wire(wire: worker_pb2.SchedulerToWorker, now: float) -> SchedulerToWorker:
    match wire.WhichOneof("message"):
        case "run":
            return batch_from_wire(wire.run, now)
        case "cancel":
            return CancelTasks(wire.cancel.epoch, tuple(wire.cancel.tasks))
        case "assign":
            return AssignLane(wire.assign.epoch, wire.assign.lane, wire.assign.stage)
        case "prefetch":
            return prefetch_from_wire(wire.prefetch, now)
        case "beat":
            return beat_from_wire(wire.beat)
        case "view":
            return view_from_wire(wire.view)
        case "joined":
            return LeaderJoined(wire.joined.epoch, wire.joined.scheduler)
        case _:
            raise unknown_message("scheduler's")


def worker_to_scheduler_to_wire(message: WorkerToScheduler, out: worker_pb2.WorkerToScheduler, now: float) -> None:
    match message:
        case BatchReport():
            batch_report_to_wire(message, out.report)
        case Beat():
            beat_to_wire(message, out.beat)
        case WorkerJoined():
            joined = out.joined
            joined.worker = message.worker
            joined.node = message.node
            joined.device = message.device
            joined.lanes = message.lanes
            joined.stages.extend(message.stages)
            joined.epoch = message.epoch
            joined.loaded.extend(message.loaded)
            joined.high_lanes, joined.low_lanes = message.high_lanes, message.low_lanes
        case LaneReady():
            out.ready.epoch = message.epoch
            out.ready.lane = message.lane
            out.ready.stage = message.stage
            out.ready.SetInParent()
        case _:
            assert_never(message)


def worker_to_scheduler_from_wire(wire: worker_pb2.WorkerToScheduler, now: float) -> WorkerToScheduler:
    match wire.WhichOneof("message"):
        case "report":
            return batch_report_from_wire(wire.report)
        case "beat":
            return beat_from_wire(wire.beat)
        case "joined":
            joined = wire.joined
            stages = tuple(joined.stages)
            loaded = tuple(joined.loaded)
            return WorkerJoined(
                joined.worker,
                joined.node,
                joined.device,
                joined.lanes,
                stages,
                joined.epoch,
                loaded,
                joined.high_lanes,
                joined.low_lanes,
            )
        case "ready":
            return LaneReady(wire.ready.epoch, wire.ready.lane, wire.ready.stage)
        case _:
            raise unknown_message("worker's")

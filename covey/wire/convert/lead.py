"""Scheduler <-> datastore."""

from __future__ import annotations

from typing import assert_never

from covey.messages import Beat, DatastoreToScheduler, Horizon, LeaderJoined, NodeJoined, SchedulerToDatastore, View
from covey.v1 import datastore_pb2
from covey.wire.convert.objects import placement_from_wire, placement_to_wire
from covey.wire.convert.view import beat_from_wire, beat_to_wire, unknown_message, view_from_wire, view_to_wire


def scheduler_to_datastore_to_wire(
    message: SchedulerToDatastore, out: datastore_pb2.SchedulerToDatastore, now: float
) -> None:
    match message:
        case Horizon():
            out.horizon.epoch = message.epoch
            out.horizon.age_s = message.age_s
        case Beat():
            beat_to_wire(message, out.beat)
        case View():
            view_to_wire(message, out.view)
        case LeaderJoined():
            out.joined.epoch = message.epoch
            out.joined.scheduler = message.scheduler
        case _:
            assert_never(message)


def scheduler_to_datastore_from_wire(wire: datastore_pb2.SchedulerToDatastore, now: float) -> SchedulerToDatastore:
    match wire.WhichOneof("message"):
        case "horizon":
            return Horizon(wire.horizon.epoch, wire.horizon.age_s)
        case "beat":
            return beat_from_wire(wire.beat)
        case "view":
            return view_from_wire(wire.view)
        case "joined":
            return LeaderJoined(wire.joined.epoch, wire.joined.scheduler)
        case _:
            raise unknown_message("scheduler's")


def datastore_to_scheduler_to_wire(
    message: DatastoreToScheduler, out: datastore_pb2.DatastoreToScheduler, now: float
) -> None:
    match message:
        case Beat():
            beat_to_wire(message, out.beat)
        case NodeJoined():
            out.joined.node = message.node
            out.joined.address = message.address
            out.joined.epoch = message.epoch
            placement_to_wire(message.placement, out.joined.placement)
        case _:
            assert_never(message)


def datastore_to_scheduler_from_wire(wire: datastore_pb2.DatastoreToScheduler, now: float) -> DatastoreToScheduler:
    match wire.WhichOneof("message"):
        case "beat":
            return beat_from_wire(wire.beat)
        case "joined":
            joined = wire.joined
            return NodeJoined(joined.node, joined.address, joined.epoch, placement_from_wire(joined.placement))
        case _:
            raise unknown_message("datastore's")

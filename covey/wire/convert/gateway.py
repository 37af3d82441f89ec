"""Gateway <-> scheduler."""

from __future__ import annotations

from typing import assert_never

from covey.messages import (
    Beat,
    CancelEvent,
    GatewayJoined,
    GatewayToScheduler,
    OutcomeReady,
    SchedulerToGateway,
    StoreAgain,
    SubmitEvent,
    View,
)
from covey.model import Event, ObjectValue
from covey.v1 import scheduler_pb2
from covey.wire.convert.objects import (
    instant_after,
    microseconds,
    object_from_wire,
    object_to_wire,
    outcome_to_wire,
    packed_outcome_from_wire,
    priority_from_wire,
    priority_to_wire,
    scope_from_wire,
    scope_to_wire,
)
from covey.wire.convert.view import beat_from_wire, beat_to_wire, unknown_message, view_from_wire, view_to_wire


def submit_to_wire(event: Event, out: scheduler_pb2.SubmitEvent, now: float) -> None:
    scope_to_wire(event.scope, out.scope)
    out.id = event.id
    object_to_wire(ObjectValue(event.ref, event.payload), out.object)
    out.priority = priority_to_wire(event.priority)
    out.budget_us = microseconds(event.deadline - now)
    out.declaration = event.declaration
    if event.explicit_group:
        out.explicit_group = True
    if event.traceparent:
        out.traceparent = event.traceparent


def submit_from_wire(wire: scheduler_pb2.SubmitEvent, now: float) -> Event:
    value = object_from_wire(wire.object)
    return Event(
        scope=scope_from_wire(wire.scope),
        id=wire.id,
        ref=value.ref,
        payload=value.payload,
        priority=priority_from_wire(wire.priority),
        deadline=instant_after(wire.budget_us, now),
        declaration=wire.declaration,
        explicit_group=wire.explicit_group,
        traceparent=wire.traceparent,
    )


def gateway_to_scheduler_to_wire(
    message: GatewayToScheduler, out: scheduler_pb2.GatewayToScheduler, now: float
) -> None:
    match message:
        case SubmitEvent():
            submit_to_wire(message.event, out.submit, now)
        case CancelEvent():
            scope_to_wire(message.scope, out.cancel.scope)
            out.cancel.event_id = message.event_id
        case Beat():
            beat_to_wire(message, out.beat)
        case GatewayJoined():
            out.joined.gateway = message.gateway
            out.joined.epoch = message.epoch
        case _:
            assert_never(message)


def gateway_to_scheduler_from_wire(wire: scheduler_pb2.GatewayToScheduler, now: float) -> GatewayToScheduler:
    match wire.WhichOneof("message"):
        case "submit":
            return SubmitEvent(submit_from_wire(wire.submit, now))
        case "cancel":
            return CancelEvent(scope_from_wire(wire.cancel.scope), wire.cancel.event_id)
        case "beat":
            return beat_from_wire(wire.beat)
        case "joined":
            return GatewayJoined(wire.joined.gateway, wire.joined.epoch)
        case _:
            raise unknown_message("gateway's")


def scheduler_to_gateway_to_wire(
    message: SchedulerToGateway, out: scheduler_pb2.SchedulerToGateway, now: float
) -> None:
    match message:
        case OutcomeReady():
            outcome_to_wire(message.outcome, out.outcome)
        case StoreAgain():
            scope_to_wire(message.scope, out.store_again.scope)
            out.store_again.event_id = message.event_id
        case Beat():
            beat_to_wire(message, out.beat)
        case View():
            view_to_wire(message, out.view)
        case _:
            assert_never(message)


def scheduler_to_gateway_from_wire(wire: scheduler_pb2.SchedulerToGateway, now: float) -> SchedulerToGateway:
    match wire.WhichOneof("message"):
        case "outcome":
            return OutcomeReady(packed_outcome_from_wire(wire.outcome))
        case "store_again":
            return StoreAgain(scope_from_wire(wire.store_again.scope), wire.store_again.event_id)
        case "beat":
            return beat_from_wire(wire.beat)
        case "view":
            return view_from_wire(wire.view)
        case _:
            raise unknown_message("scheduler's")

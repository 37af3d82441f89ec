"""What clients say to a gateway and hear from it.

A client's budget travels as microseconds that remain when it was sent; the tenant travels in the call's metadata.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from covey.edge import (
    Description,
    EventName,
    GroupWanted,
    KeysWanted,
    KeyWanted,
    Misread,
    NewEvent,
    NewObject,
    PrefixWanted,
    SeriesWanted,
    ToEdge,
    Wanted,
)
from covey.errors import InvalidArgument
from covey.model import Answer, ObjectRef, Outcome, Priority, Scope
from covey.v1 import gateway_pb2 as pb
from covey.wire.convert.declaration import declaration_from_wire, declaration_to_wire
from covey.wire.convert.objects import (
    US,
    microseconds,
    node_from_wire,
    node_to_wire,
    object_from_wire,
    object_to_wire,
    outcome_from_wire,
    outcome_to_wire,
    priority_from_wire,
    priority_to_wire,
    ref_from_wire,
    ref_to_wire,
)
from covey.wire.envelopes import Decode, parsed

LIMIT = 1000
"""Objects that a prefix or group read gives, unless it says how many."""


def scope_of(tenant: str, pipeline: str, what: str) -> Scope:
    """The scope of a request; raises InvalidArgument when it names no pipeline."""
    if not pipeline:
        raise InvalidArgument(f"{what} names its pipeline")
    return Scope(tenant, pipeline)


# --- events ----------------------------------------------------------------------------------------------------------


def event_to_wire(event: NewEvent, out: pb.Event) -> None:
    out.pipeline = event.scope.pipeline
    out.key = event.key
    out.payload = event.payload
    out.id = event.id
    if event.priority is not Priority.HIGH:
        out.priority = priority_to_wire(event.priority)
    if event.budget_s is not None:
        out.deadline_us = max(1, microseconds(event.budget_s))
    out.group = event.group
    out.traceparent = event.traceparent


def event_from_wire(wire: pb.Event, tenant: str, budget_s_max: float = math.inf) -> NewEvent:
    """Raises InvalidArgument for what no event can be. `budget_s_max` is what remains of the call, if it has an end."""
    budget_s = wire.deadline_us / US if wire.deadline_us else budget_s_max
    return NewEvent(
        scope=scope_of(tenant, wire.pipeline, "an event"),
        key=wire.key,
        payload=wire.payload,
        id=wire.id,
        priority=priority_from_wire(wire.priority),
        budget_s=min(budget_s, budget_s_max) if budget_s < math.inf else None,
        group=wire.group,
        traceparent=wire.traceparent,
    )


def name_from_wire(wire: pb.EventName, tenant: str) -> EventName:
    if not wire.pipeline or not wire.id:
        raise InvalidArgument("an event is named by its pipeline and its id")
    return EventName(Scope(tenant, wire.pipeline), wire.id)


def name_to_wire(name: EventName, out: pb.EventName) -> None:
    out.pipeline = name.scope.pipeline
    out.id = name.id


# --- the stream of events --------------------------------------------------------------------------------------------


def encode_to_edge(message: ToEdge, now: float) -> Sequence[bytes]:
    request = pb.StreamRequest()
    if isinstance(message, NewEvent):
        event_to_wire(message, request.events.add())
    else:
        name_to_wire(message, request.cancel.add())
    return (request.SerializeToString(),)


def edge_decoder(tenant: str) -> Decode[ToEdge | Misread]:
    """Reads a tenant's stream. An event with an impossible field is a Misread: the stream goes on without it."""

    def decode(data: bytes, now: float) -> Sequence[ToEdge | Misread]:
        request = parsed(pb.StreamRequest, data)
        messages: list[ToEdge | Misread] = []
        for event in request.events:
            try:
                messages.append(event_from_wire(event, tenant))
            except InvalidArgument as error:
                messages.append(Misread(EventName(Scope(tenant, event.pipeline), event.id), error))
        messages.extend([name_from_wire(name, tenant) for name in request.cancel])
        return messages

    return decode


def encode_outcome(outcome: Outcome, now: float) -> Sequence[bytes]:
    response = pb.StreamResponse()
    outcome_to_wire(outcome, response.outcomes.add())
    return (response.SerializeToString(),)


def decode_outcomes(data: bytes, now: float) -> Sequence[Outcome]:
    return [outcome_from_wire(outcome) for outcome in parsed(pb.StreamResponse, data).outcomes]


# --- puts and gets ---------------------------------------------------------------------------------------------------


def put_to_wire(new: NewObject) -> pb.PutRequest:
    return pb.PutRequest(
        pipeline=new.scope.pipeline,
        key=new.key,
        payload=new.payload,
        group=new.group,
        previous_version=new.previous_version,
        id=new.id,
    )


def put_from_wire(wire: pb.PutRequest, tenant: str, budget_s: float | None) -> NewObject:
    return NewObject(
        scope=scope_of(tenant, wire.pipeline, "a put"),
        key=wire.key,
        payload=wire.payload,
        group=wire.group,
        previous_version=wire.previous_version if wire.HasField("previous_version") else None,
        id=wire.id,
        budget_s=budget_s,
    )


def put_answer_to_wire(ref: ObjectRef) -> pb.PutResponse:
    response = pb.PutResponse()
    ref_to_wire(ref, response.ref)
    return response


def put_answer_from_wire(wire: pb.PutResponse) -> ObjectRef:
    return ref_from_wire(wire.ref)


def get_to_wire(scope: Scope, wanted: Wanted) -> pb.GetRequest:
    match wanted:
        case KeyWanted(key, version, group, age_s):
            return pb.GetRequest(
                pipeline=scope.pipeline, key=key, version=version, group=group, age_us=_age_to_wire(age_s)
            )
        case KeysWanted(keys, group, age_s):
            return pb.GetRequest(
                pipeline=scope.pipeline, keys=pb.Keys(keys=keys), group=group, age_us=_age_to_wire(age_s)
            )
        case SeriesWanted(series, count, as_of):
            return pb.GetRequest(pipeline=scope.pipeline, series=series, count=count, as_of=as_of)
        case PrefixWanted(prefix, limit):
            return pb.GetRequest(pipeline=scope.pipeline, prefix=prefix, count=limit)
        case GroupWanted(pool, group, limit):
            return pb.GetRequest(pipeline=scope.pipeline, pool=pool, in_group=group, count=limit)


def get_from_wire(wire: pb.GetRequest, tenant: str) -> tuple[Scope, Wanted]:
    """Raises InvalidArgument when it is not exactly one of the five forms."""
    return scope_of(tenant, wire.pipeline, "a get"), _wanted_from_wire(wire)


def _wanted_from_wire(wire: pb.GetRequest) -> Wanted:
    match wire.WhichOneof("what"):
        case "key":
            return KeyWanted(wire.key, wire.version, wire.group, _age_from_wire(wire))
        case "keys":
            return KeysWanted(tuple(wire.keys.keys), wire.group, _age_from_wire(wire))
        case "series":
            return SeriesWanted(wire.series, wire.count or 1, wire.as_of if wire.HasField("as_of") else None)
        case "prefix":
            return PrefixWanted(wire.prefix, wire.count or LIMIT)
        case "in_group":
            return GroupWanted(wire.pool, wire.in_group, wire.count or LIMIT)
        case _:
            raise InvalidArgument("a get names one of key, keys, series, prefix and in_group")


def _age_to_wire(age_s: float | None) -> int | None:
    return None if age_s is None else microseconds(age_s)


def _age_from_wire(wire: pb.GetRequest) -> float | None:
    return wire.age_us / US if wire.HasField("age_us") else None


def answer_to_wire(answer: Answer) -> pb.GetResponse:
    response = pb.GetResponse(incomplete=not answer.complete)
    for value in answer.objects:
        object_to_wire(value, response.objects.add())
    return response


def answer_from_wire(wire: pb.GetResponse) -> Answer:
    return Answer(tuple([object_from_wire(value) for value in wire.objects]), not wire.incomplete)


def description_to_wire(description: Description) -> pb.DescribeResponse:
    response = pb.DescribeResponse()
    for declaration in description.declarations:
        declaration_to_wire(declaration, response.declarations.add())
    for node in description.nodes:
        node_to_wire(node, response.nodes.add())
    for pipeline, stage in description.unserved:
        response.unserved.add(pipeline=pipeline, stage=stage)
    return response


def description_from_wire(wire: pb.DescribeResponse) -> Description:
    return Description(
        tuple([declaration_from_wire(declaration) for declaration in wire.declarations]),
        tuple([node_from_wire(node) for node in wire.nodes]),
        tuple([(each.pipeline, each.stage) for each in wire.unserved]),
    )

"""Gateway or worker <-> datastore. Payloads that travel in parts are cut and joined by `covey.wire.parts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from covey.errors import Status
from covey.messages import Get, GetDone, Put, PutDone, SharedFile, SharedPlace, Watch, Watched
from covey.model import Answer
from covey.v1 import datastore_pb2 as pb
from covey.wire.convert.objects import (
    answer_from_wire,
    answer_to_wire,
    instant_after,
    microseconds,
    object_from_wire,
    object_to_wire,
    read_from_wire,
    read_to_wire,
    ref_from_wire,
    ref_to_wire,
    scope_from_wire,
    scope_to_wire,
    verdict_of,
    verdict_to_wire,
)


def put_to_wire(put: Put, out: pb.PutObject) -> None:
    out.request = put.request
    scope_to_wire(put.scope, out.scope)
    ref_to_wire(put.ref, out.ref)
    out.payload = put.payload
    out.emission = put.emission
    if put.previous_version is not None:
        out.previous_version = put.previous_version
    if put.traceparent:
        out.traceparent = put.traceparent
    if put.place is not None:
        place_to_wire(put.place, out.place)


def put_from_wire(wire: pb.PutObject, payload: bytes | None = None) -> Put:
    """`payload` is what came in parts."""
    return Put(
        request=wire.request,
        scope=scope_from_wire(wire.scope),
        ref=ref_from_wire(wire.ref),
        payload=wire.payload if payload is None else payload,
        emission=wire.emission,
        previous_version=wire.previous_version if wire.HasField("previous_version") else None,
        traceparent=wire.traceparent,
        place=place_from_wire(wire.place) if wire.HasField("place") else None,
    )


def place_to_wire(place: SharedPlace, out: pb.SharedPlace) -> None:
    out.name, out.begin = place


def place_from_wire(wire: pb.SharedPlace) -> SharedPlace:
    return SharedPlace(wire.name, wire.begin)


def put_done_to_wire(done: PutDone, out: pb.PutDone) -> None:
    out.request = done.request
    if done.ref is not None:
        ref_to_wire(done.ref, out.ref)
    if done.status is not Status.OK or done.reason or done.message:
        verdict_to_wire(done.status, done.reason, done.message, out.verdict)


def put_done_from_wire(wire: pb.PutDone) -> PutDone:
    ref = ref_from_wire(wire.ref) if wire.HasField("ref") else None
    return PutDone(wire.request, ref, *verdict_of(wire))


def get_to_wire(get: Get, out: pb.GetObjects, now: float) -> None:
    out.request = get.request
    scope_to_wire(get.scope, out.scope)
    for read in get.reads:
        read_to_wire(read, out.reads.add(), now)
    out.budget_us = microseconds(get.deadline - now)
    if get.traceparents:
        out.traceparents.extend(get.traceparents)
    for ref in get.known:
        ref_to_wire(ref, out.known.add())
    if get.shared:
        out.shared = True


def get_from_wire(wire: pb.GetObjects, now: float) -> Get:
    return Get(
        request=wire.request,
        scope=scope_from_wire(wire.scope),
        reads=tuple([read_from_wire(read, now) for read in wire.reads]),
        deadline=instant_after(wire.budget_us, now),
        traceparents=tuple(wire.traceparents),
        known=tuple([ref_from_wire(ref) for ref in wire.known]) if wire.known else (),
        shared=wire.shared,
    )


def get_done_to_wire(done: GetDone, out: pb.GetDone) -> None:
    out.request = done.request
    for answer in done.answers:
        answer_to_wire(answer, out.answers.add())
    for number, position, place in done.files:
        place_to_wire(place, out.files.add(answer=number, object=position).place)


def get_done_from_wire(wire: pb.GetDone, payloads: Mapping[tuple[int, int], bytes] | None = None) -> GetDone:
    """`payloads` are what came in parts, by (answer, object)."""
    answers: list[Answer] = [answer_from_wire(answer) for answer in wire.answers]
    for (number, position), payload in (payloads or {}).items():
        objects = list(answers[number].objects)
        objects[position] = replace(objects[position], payload=payload)
        answers[number] = replace(answers[number], objects=tuple(objects))
    files = [SharedFile(each.answer, each.object, place_from_wire(each.place)) for each in wire.files]
    return GetDone(wire.request, tuple(answers), tuple(files))


def watch_to_wire(watch: Watch, out: pb.Watch) -> None:
    out.request = watch.request
    scope_to_wire(watch.scope, out.scope)
    out.pool = watch.pool


def watch_from_wire(wire: pb.Watch) -> Watch:
    return Watch(wire.request, scope_from_wire(wire.scope), wire.pool)


def watched_to_wire(watched: Watched, out: pb.Watched) -> None:
    out.request = watched.request
    if watched.value is not None:
        object_to_wire(watched.value, out.value)
    if watched.status is not Status.OK or watched.reason or watched.message:
        verdict_to_wire(watched.status, watched.reason, watched.message, out.verdict)


def watched_from_wire(wire: pb.Watched, payload: bytes | None = None) -> Watched:
    """`payload` is what came in parts."""
    value = object_from_wire(wire.value) if wire.HasField("value") else None
    if value is not None and payload is not None:
        value = replace(value, payload=payload)
    return Watched(wire.request, value, *verdict_of(wire))

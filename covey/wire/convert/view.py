"""The leader's view and the heartbeat, which every stream of the leader carries."""

from __future__ import annotations

from covey.errors import InvalidArgument
from covey.messages import Beat, View
from covey.v1 import objects_pb2
from covey.wire.convert.declaration import declaration_from_bytes, declaration_to_bytes
from covey.wire.convert.objects import placement_from_wire, placement_to_wire


def unknown_message(union: str) -> InvalidArgument:
    return InvalidArgument(f"a {union} message holds nothing that is known here")


def view_to_wire(view: View, out: objects_pb2.View) -> None:
    out.epoch = view.epoch
    out.number = view.number
    placement_to_wire(view.placement, out.placement)
    for tenant, declaration in view.declarations:
        out.declarations.add(tenant=tenant, declaration=declaration_to_bytes(declaration))
    for pipeline, stage in view.unserved:
        out.unserved.add(pipeline=pipeline, stage=stage)


def view_from_wire(wire: objects_pb2.View) -> View:
    return View(
        epoch=wire.epoch,
        number=wire.number,
        placement=placement_from_wire(wire.placement),
        declarations=tuple([(each.tenant, declaration_from_bytes(each.declaration)) for each in wire.declarations]),
        unserved=tuple([(each.pipeline, each.stage) for each in wire.unserved]),
    )


def beat_to_wire(beat: Beat, out: objects_pb2.Beat) -> None:
    out.SetInParent()  # a beat of zeros is a beat
    out.queued = beat.queued
    out.oldest_s = beat.oldest_s
    out.finished = beat.finished
    out.view = beat.view
    out.settled = beat.settled


def beat_from_wire(wire: objects_pb2.Beat) -> Beat:
    return Beat(wire.queued, wire.oldest_s, wire.finished, wire.view, wire.settled)

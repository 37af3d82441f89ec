"""Datastore <-> datastore: groups that move."""

from __future__ import annotations

from covey.messages import HandingOver, HandOver, KeptVersion, MeetNode, NodeMet
from covey.model import GroupId, ObjectName
from covey.v1 import datastore_pb2 as pb
from covey.wire.convert.objects import (
    US,
    microseconds,
    ref_from_wire,
    ref_to_wire,
    scope_from_wire,
    scope_to_wire,
)


def meet_to_wire(meet: MeetNode, out: pb.MeetNode) -> None:
    out.request, out.node, out.life = meet.request, meet.node, meet.life


def met_to_wire(met: NodeMet, out: pb.NodeMet) -> None:
    out.request, out.life, out.last = met.request, met.life, met.last
    out.refused.extend(met.refused)


def met_from_wire(wire: pb.NodeMet) -> NodeMet:
    return NodeMet(wire.request, wire.life, wire.last, tuple(wire.refused))


def handing_over_to_wire(message: HandingOver, out: pb.HandingOver) -> None:
    out.epoch, out.number, out.more = message.epoch, message.number, message.more
    for scope, group in message.groups:
        scope_to_wire(scope, out.groups.add(group=group).scope)


def handing_over_from_wire(wire: pb.HandingOver) -> HandingOver:
    groups = tuple([GroupId(scope_from_wire(found.scope), found.group) for found in wire.groups])
    return HandingOver(wire.epoch, wire.number, groups, wire.more)


def hand_over_to_wire(message: HandOver, out: pb.HandOver, now: float) -> None:
    out.request, out.epoch, out.joined = message.request, message.epoch, message.joined
    scope_to_wire(message.group.scope, out.scope)
    out.group, out.number = message.group.group, message.number
    for version in message.versions:
        _version_to_wire(version, out.versions.add(), now)
    for name in message.evicted:
        out.evicted.add(pool=name.pool, key=name.key)
    out.last, out.unsure, out.copy = message.last, not message.sure, message.copy


def hand_over_from_wire(wire: pb.HandOver, now: float, payload: bytes | None = None) -> HandOver:
    """`payload` is what came in parts, of the only version."""
    return HandOver(
        request=wire.request,
        epoch=wire.epoch,
        joined=wire.joined,
        group=GroupId(scope_from_wire(wire.scope), wire.group),
        number=wire.number,
        versions=tuple([_version_from_wire(version, now, payload) for version in wire.versions]),
        evicted=tuple([ObjectName(name.pool, name.key) for name in wire.evicted]),
        last=wire.last,
        sure=not wire.unsure,
        copy=wire.copy,
    )


def _version_to_wire(version: KeptVersion, out: pb.KeptVersion, now: float) -> None:
    ref_to_wire(version.ref, out.ref)
    out.payload, out.emission = version.payload, version.emission
    out.age_us = microseconds(now - version.put_at)
    if version.lapsed_at is not None:
        out.lapsed_us = microseconds(now - version.lapsed_at)
    if version.lost_before is not None:
        out.lost_us = microseconds(now - version.lost_before)


def _version_from_wire(wire: pb.KeptVersion, now: float, payload: bytes | None) -> KeptVersion:
    return KeptVersion(
        ref=ref_from_wire(wire.ref),
        payload=wire.payload if payload is None else payload,
        emission=wire.emission,
        put_at=now - wire.age_us / US,
        lapsed_at=now - wire.lapsed_us / US if wire.HasField("lapsed_us") else None,
        lost_before=now - wire.lost_us / US if wire.HasField("lost_us") else None,
    )

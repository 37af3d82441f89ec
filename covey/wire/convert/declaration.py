"""Compiled pipelines: as messages for clients, as bytes for the registry and the leader's view."""

from __future__ import annotations

import functools

from google.protobuf.message import DecodeError

from covey.declaration import Codec, Declaration, Join, Missing, Need, NeedKind, PoolDeclaration, StageDeclaration
from covey.errors import InvalidArgument
from covey.v1 import declaration_pb2 as pb

_CODEC_TO_WIRE = {
    Codec.MSGPACK: pb.CODEC_MSGPACK,
    Codec.ARRAY: pb.CODEC_ARRAY,
    Codec.BYTES: pb.CODEC_BYTES,
}
_CODEC_FROM_WIRE = {pb.CODEC_UNSPECIFIED: Codec.MSGPACK} | {wire: codec for codec, wire in _CODEC_TO_WIRE.items()}
_KIND_TO_WIRE = {
    NeedKind.LATEST: pb.NEED_KIND_LATEST,
    NeedKind.LAST: pb.NEED_KIND_LAST,
    NeedKind.AT: pb.NEED_KIND_AT,
}
_KIND_FROM_WIRE = {wire: kind for kind, wire in _KIND_TO_WIRE.items()}
_MISSING_TO_WIRE = {Missing.DROP: pb.MISSING_DROP, Missing.FIRE: pb.MISSING_FIRE}
_MISSING_FROM_WIRE = {pb.MISSING_UNSPECIFIED: Missing.DROP} | {wire: word for word, wire in _MISSING_TO_WIRE.items()}


@functools.lru_cache(maxsize=256)
def declaration_to_bytes(declaration: Declaration) -> bytes:
    """The same bytes for the same declaration."""
    message = pb.Declaration()
    declaration_to_wire(declaration, message)
    return message.SerializeToString(deterministic=True)


@functools.lru_cache(maxsize=256)
def declaration_from_bytes(data: bytes) -> Declaration:
    """Reads each version once, however often a view repeats it. Raises InvalidArgument."""
    try:
        return declaration_from_wire(pb.Declaration.FromString(data))
    except DecodeError:
        raise InvalidArgument("these bytes are no declaration") from None


def declaration_to_wire(declaration: Declaration, out: pb.Declaration) -> None:
    out.pipeline = declaration.pipeline
    out.objective_s = declaration.objective_s
    for pool in declaration.pools:
        pool_to_wire(pool, out.pools.add())
    for stage in declaration.stages:
        stage_to_wire(stage, out.stages.add())
    out.version = declaration.version


def declaration_from_wire(wire: pb.Declaration) -> Declaration:
    return Declaration(
        pipeline=wire.pipeline,
        objective_s=wire.objective_s,
        pools=tuple([pool_from_wire(pool) for pool in wire.pools]),
        stages=tuple([stage_from_wire(stage) for stage in wire.stages]),
        version=wire.version,
    )


def pool_to_wire(pool: PoolDeclaration, out: pb.PoolDeclaration) -> None:
    out.name = pool.name
    out.template = pool.template
    if pool.group_kind:
        setattr(out.group, pool.group_kind, pool.group)  # the words for the kinds are the names of the fields
    out.codec = _CODEC_TO_WIRE[pool.codec]
    out.durable = pool.durable
    out.ttl_s = pool.ttl_s
    out.keep_last = pool.keep_last
    out.strict = pool.strict
    out.transient = pool.transient


def pool_from_wire(wire: pb.PoolDeclaration) -> PoolDeclaration:
    kind = wire.group.WhichOneof("rule")
    if wire.codec not in _CODEC_FROM_WIRE:
        raise InvalidArgument(f"pool {wire.name!r} has the unknown codec {wire.codec}")
    return PoolDeclaration(
        name=wire.name,
        template=wire.template,
        group_kind=kind or "",
        group=getattr(wire.group, kind) if kind else "",
        codec=_CODEC_FROM_WIRE[wire.codec],
        durable=wire.durable,
        ttl_s=wire.ttl_s,
        keep_last=wire.keep_last,
        strict=wire.strict,
        transient=wire.transient,
    )


def stage_to_wire(stage: StageDeclaration, out: pb.StageDeclaration) -> None:
    out.name = stage.name
    out.on = stage.on
    if stage.join is not None:
        out.join.by.extend(stage.join.by)
        out.join.missing = _MISSING_TO_WIRE[stage.join.missing]
        out.join.timeout_s = stage.join.timeout_s
    for need in stage.needs:
        out.needs.add(pool=need.pool, kind=_KIND_TO_WIRE[need.kind], count=need.count, offsets=need.offsets)
    out.emits.extend(stage.emits)
    out.batch_max = stage.batch_max
    out.has_model = stage.has_model


def stage_from_wire(wire: pb.StageDeclaration) -> StageDeclaration:
    return StageDeclaration(
        name=wire.name,
        on=wire.on,
        join=_join_from_wire(wire.join) if wire.HasField("join") else None,
        needs=tuple([_need_from_wire(need) for need in wire.needs]),
        emits=tuple(wire.emits),
        batch_max=wire.batch_max,
        has_model=wire.has_model,
    )


def _join_from_wire(wire: pb.Join) -> Join:
    if wire.missing not in _MISSING_FROM_WIRE:
        raise InvalidArgument(f"a join can't do {wire.missing} about missing objects")
    return Join(tuple(wire.by), _MISSING_FROM_WIRE[wire.missing], wire.timeout_s)


def _need_from_wire(wire: pb.Need) -> Need:
    if wire.kind not in _KIND_FROM_WIRE:
        raise InvalidArgument(f"there is no kind of need {wire.kind}")
    return Need(wire.pool, _KIND_FROM_WIRE[wire.kind], wire.count, tuple(wire.offsets))

"""The values that every service shares: references, objects, outcomes, reads, placement, verdicts."""

from __future__ import annotations

from typing import Literal, Protocol, assert_never

from covey.errors import InvalidArgument, Reason, Status
from covey.model import (
    Answer,
    GroupId,
    KeyRead,
    LastRead,
    Node,
    ObjectRef,
    ObjectValue,
    Outcome,
    Placement,
    Priority,
    Read,
    ScanRead,
    Scope,
    StageTime,
)
from covey.v1 import objects_pb2 as pb

US = 1_000_000
BUDGET_S_MAX = 1e9
"""No budget or age is longer on the wire; an infinite deadline becomes this."""

_STATUS_TO_WIRE: dict[Status, pb.Status] = {
    Status.OK: pb.STATUS_UNSPECIFIED,
    Status.CANCELLED: pb.STATUS_CANCELLED,
    Status.INVALID_ARGUMENT: pb.STATUS_INVALID_ARGUMENT,
    Status.DEADLINE_EXCEEDED: pb.STATUS_DEADLINE_EXCEEDED,
    Status.NOT_FOUND: pb.STATUS_NOT_FOUND,
    Status.ALREADY_EXISTS: pb.STATUS_ALREADY_EXISTS,
    Status.PERMISSION_DENIED: pb.STATUS_PERMISSION_DENIED,
    Status.RESOURCE_EXHAUSTED: pb.STATUS_RESOURCE_EXHAUSTED,
    Status.FAILED_PRECONDITION: pb.STATUS_FAILED_PRECONDITION,
    Status.ABORTED: pb.STATUS_ABORTED,
    Status.INTERNAL: pb.STATUS_INTERNAL,
    Status.UNAVAILABLE: pb.STATUS_UNAVAILABLE,
    Status.UNAUTHENTICATED: pb.STATUS_UNAUTHENTICATED,
}
_STATUS_FROM_WIRE: dict[int, Status] = {number: status for status, number in _STATUS_TO_WIRE.items()}
_WENT_WELL = (Status.OK, Reason.NONE, "")
_REASONS = {reason.value: reason for reason in Reason}
_PRIORITY_TO_WIRE = {Priority.HIGH: pb.PRIORITY_HIGH, Priority.LOW: pb.PRIORITY_LOW}
_PRIORITY_FROM_WIRE: dict[int, Priority] = {
    pb.PRIORITY_UNSPECIFIED: Priority.HIGH,
    pb.PRIORITY_HIGH: Priority.HIGH,
    pb.PRIORITY_LOW: Priority.LOW,
}


class HasVerdict(Protocol):
    @property
    def verdict(self) -> pb.Verdict: ...

    def HasField(self, field_name: Literal["verdict"]) -> bool: ...


def microseconds(span_s: float) -> int:
    """A span of time as it travels; nothing below zero does."""
    return round(min(max(span_s, 0.0), BUDGET_S_MAX) * US)


def instant_after(budget_us: int, now: float) -> float:
    """The instant at which what remained on arrival has passed."""
    return now + budget_us / US


# --- words -----------------------------------------------------------------------------------------------------------


def status_from_wire(number: int) -> Status:
    try:
        return _STATUS_FROM_WIRE[number]
    except KeyError:
        raise InvalidArgument(f"there is no status {number}") from None


def priority_to_wire(priority: Priority) -> pb.Priority:
    return _PRIORITY_TO_WIRE[priority]


def priority_from_wire(number: int) -> Priority:
    try:
        return _PRIORITY_FROM_WIRE[number]
    except KeyError:
        raise InvalidArgument(f"there is no priority {number}") from None


def scope_to_wire(scope: Scope, out: pb.Scope) -> None:
    out.tenant, out.pipeline = scope


def scope_from_wire(wire: pb.Scope) -> Scope:
    return Scope(wire.tenant, wire.pipeline)


def verdict_to_wire(status: Status, reason: Reason, message: str, out: pb.Verdict) -> None:
    out.status = _STATUS_TO_WIRE[status]
    out.reason = reason.value
    out.message = message


def verdict_of(wire: HasVerdict) -> tuple[Status, Reason, str]:
    """How what a message tells of went; most tell of what went well, and then there is no verdict in them."""
    if not wire.HasField("verdict"):
        return _WENT_WELL
    verdict = wire.verdict
    return status_from_wire(verdict.status), _REASONS.get(verdict.reason, Reason.NONE), verdict.message


# --- objects ---------------------------------------------------------------------------------------------------------


def ref_to_wire(ref: ObjectRef, out: pb.ObjectRef) -> None:
    out.pool = ref.pool
    out.key = ref.key
    out.group = ref.group
    if ref.version:
        out.version = ref.version
    out.size = ref.size


def ref_from_wire(wire: pb.ObjectRef) -> ObjectRef:
    return ObjectRef(wire.pool, wire.key, wire.group, wire.version, wire.size)


def object_to_wire(value: ObjectValue, out: pb.ObjectValue) -> None:
    ref_to_wire(value.ref, out.ref)
    if value.payload is not None:
        out.payload = value.payload


def object_from_wire(wire: pb.ObjectValue) -> ObjectValue:
    payload = wire.payload  # b"" when there is none, and only then is it asked which
    return ObjectValue(ref_from_wire(wire.ref), payload if payload or wire.HasField("payload") else None)


# --- outcomes --------------------------------------------------------------------------------------------------------


def stage_time_to_wire(time: StageTime, out: pb.StageTime) -> None:
    out.stage = time.stage
    out.tasks = time.tasks
    out.queue_s = time.queue_s
    out.fetch_s = time.fetch_s
    out.wait_s = time.wait_s
    out.compute_s = time.compute_s
    out.store_s = time.store_s
    out.batch_size_sum = time.batch_size_sum


def stage_time_from_wire(wire: pb.StageTime) -> StageTime:
    return StageTime(
        wire.stage,
        wire.tasks,
        wire.queue_s,
        wire.fetch_s,
        wire.wait_s,
        wire.compute_s,
        wire.store_s,
        wire.batch_size_sum,
    )


def outcome_to_wire(outcome: Outcome, out: pb.Outcome) -> None:
    if outcome.packed:
        out.MergeFromString(outcome.packed)
        out.elapsed_s = outcome.elapsed_s
        return
    scope_to_wire(outcome.scope, out.scope)
    out.event_id = outcome.event_id
    if outcome.status is not Status.OK or outcome.reason or outcome.message:
        verdict_to_wire(outcome.status, outcome.reason, outcome.message, out.verdict)
    for result in outcome.results:
        object_to_wire(result, out.results.add())
    if outcome.incomplete:
        out.incomplete = True
    for time in outcome.stages:
        stage_time_to_wire(time, out.stages.add())
    if outcome.remote_gets:
        out.remote_gets = outcome.remote_gets
    if outcome.bytes_moved:
        out.bytes_moved = outcome.bytes_moved
    out.elapsed_s = outcome.elapsed_s
    if outcome.retry_after_s:
        out.retry_after_s = outcome.retry_after_s


def packed_outcome_from_wire(wire: pb.Outcome) -> Outcome:
    """An outcome for one who hands it on: what the gateway decides by, and all of it as it came."""
    status, reason, message = verdict_of(wire)
    return Outcome(
        scope_from_wire(wire.scope),
        wire.event_id,
        status,
        reason,
        message,
        elapsed_s=wire.elapsed_s,
        retry_after_s=wire.retry_after_s,
        packed=wire.SerializeToString(),
    )


def outcome_from_wire(wire: pb.Outcome) -> Outcome:
    status, reason, message = verdict_of(wire)
    return Outcome(
        scope=scope_from_wire(wire.scope),
        event_id=wire.event_id,
        status=status,
        reason=reason,
        message=message,
        results=tuple([object_from_wire(result) for result in wire.results]),
        incomplete=wire.incomplete,
        stages=tuple([stage_time_from_wire(time) for time in wire.stages]),
        remote_gets=wire.remote_gets,
        bytes_moved=wire.bytes_moved,
        elapsed_s=wire.elapsed_s,
        retry_after_s=wire.retry_after_s,
    )


# --- reads -----------------------------------------------------------------------------------------------------------


def read_to_wire(read: Read, out: pb.Read, now: float) -> None:
    match read:
        case LastRead():
            last_read_to_wire(read, out.last)
        case KeyRead():
            key_read_to_wire(read, out.key, now)
        case ScanRead():
            scan_read_to_wire(read, out.scan)
        case _:
            assert_never(read)


def read_from_wire(wire: pb.Read, now: float) -> Read:
    match wire.WhichOneof("read"):
        case "last":
            return last_read_from_wire(wire.last)
        case "key":
            return key_read_from_wire(wire.key, now)
        case "scan":
            return scan_read_from_wire(wire.scan)
        case _:
            raise InvalidArgument("a read names objects by series, key or prefix; this one by nothing known here")


def last_read_to_wire(read: LastRead, out: pb.LastRead) -> None:
    out.pool = read.pool
    out.series = read.series
    out.count = read.count
    if read.as_of is not None:
        out.as_of = read.as_of
    if read.exclusive:
        out.exclusive = True
    out.nodes.extend(read.nodes)
    if read.awaits:
        out.awaits = read.awaits


def last_read_from_wire(wire: pb.LastRead) -> LastRead:
    as_of = wire.as_of  # 0 when there is none, and only then is it asked which
    return LastRead(
        wire.pool,
        wire.series,
        wire.count,
        as_of if as_of or wire.HasField("as_of") else None,
        wire.exclusive,
        tuple(wire.nodes),
        wire.awaits,
    )


def key_read_to_wire(read: KeyRead, out: pb.KeyRead, now: float) -> None:
    out.pool = read.pool
    out.key = read.key
    out.group = read.group
    if read.version:
        out.version = read.version
    out.node = read.node
    if read.required:
        out.required = True
    if read.as_of is not None:
        out.age_us = microseconds(now - read.as_of)
    if read.before:
        out.before = read.before


def key_read_from_wire(wire: pb.KeyRead, now: float) -> KeyRead:
    age_us = wire.age_us  # 0 when there is none, and only then is it asked which
    return KeyRead(
        wire.pool,
        wire.key,
        wire.group,
        wire.version,
        wire.node,
        wire.required,
        now - age_us / US if age_us or wire.HasField("age_us") else None,
        wire.before,
    )


def scan_read_to_wire(read: ScanRead, out: pb.ScanRead) -> None:
    out.pool = read.pool
    out.prefix = read.prefix
    out.group = read.group
    out.limit = read.limit
    out.nodes.extend(read.nodes)


def scan_read_from_wire(wire: pb.ScanRead) -> ScanRead:
    return ScanRead(wire.pool, wire.prefix, wire.group, wire.limit, tuple(wire.nodes))


def answer_to_wire(answer: Answer, out: pb.Answer) -> None:
    for value in answer.objects:
        object_to_wire(value, out.objects.add())
    out.incomplete = not answer.complete
    if answer.status is not Status.OK or answer.reason or answer.message:
        verdict_to_wire(answer.status, answer.reason, answer.message, out.verdict)
    if answer.epoch:
        out.epoch = answer.epoch


def answer_from_wire(wire: pb.Answer) -> Answer:
    objects = tuple([object_from_wire(value) for value in wire.objects])
    return Answer(objects, not wire.incomplete, *verdict_of(wire), wire.epoch)


# --- placement -------------------------------------------------------------------------------------------------------


def node_to_wire(node: Node, out: pb.Node) -> None:
    out.id = node.id
    out.address = node.address
    out.joined = node.joined


def node_from_wire(wire: pb.Node) -> Node:
    return Node(wire.id, wire.address, wire.joined)


def placement_to_wire(placement: Placement, out: pb.Placement) -> None:
    out.epoch = placement.epoch
    for node in placement.nodes:
        node_to_wire(node, out.nodes.add())
    for (scope, group), home in placement.exceptions.items():
        exception = out.exceptions.add(group=group, node=home)
        scope_to_wire(scope, exception.scope)
    for scope in placement.together:
        scope_to_wire(scope, out.together.add())
    for (scope, group), nodes in placement.replicas.items():
        scope_to_wire(scope, out.replicas.add(group=group, nodes=nodes).scope)
    out.copies = placement.copies


def placement_from_wire(wire: pb.Placement) -> Placement:
    return Placement(
        epoch=wire.epoch,
        nodes=tuple([node_from_wire(node) for node in wire.nodes]),
        exceptions={GroupId(scope_from_wire(found.scope), found.group): found.node for found in wire.exceptions},
        together=tuple([scope_from_wire(scope) for scope in wire.together]),
        replicas={GroupId(scope_from_wire(found.scope), found.group): tuple(found.nodes) for found in wire.replicas},
        copies=max(1, wire.copies),
    )

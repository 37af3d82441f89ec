"""The one table between our errors and gRPC's statuses, in both directions.

A call that fails carries `google.rpc.ErrorInfo` (the reason, domain "covey") and, where trying again later helps,
`RetryInfo`. The reason stands in the text too, as `REASON: sentence`, for clients that read no details.
"""

from __future__ import annotations

from typing import NoReturn, Protocol, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from covey.errors import (
    AlreadyExists,
    Bug,
    Cancelled,
    CoveyError,
    DeadlineExceeded,
    DeclarationError,
    InvalidArgument,
    Moved,
    NotFound,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    StageFailed,
    Status,
    Unauthenticated,
    Unavailable,
    VersionConflict,
)

DOMAIN = "covey"
MESSAGE_BYTES_MAX = 1000
"""Of a status's text; trailing metadata is limited to 8 KiB, and the text travels in it twice, once escaped."""

CODES: dict[Status, grpc.StatusCode] = {status: grpc.StatusCode[status.name] for status in Status}

CLASSES: dict[Status, type[CoveyError]] = {
    Status.INVALID_ARGUMENT: InvalidArgument,
    Status.NOT_FOUND: NotFound,
    Status.ALREADY_EXISTS: AlreadyExists,
    Status.ABORTED: VersionConflict,
    Status.UNAUTHENTICATED: Unauthenticated,
    Status.PERMISSION_DENIED: PermissionDenied,
    Status.CANCELLED: Cancelled,
    Status.DEADLINE_EXCEEDED: DeadlineExceeded,
    Status.RESOURCE_EXHAUSTED: ResourceExhausted,
    Status.UNAVAILABLE: Unavailable,
    Status.FAILED_PRECONDITION: StageFailed,
    Status.INTERNAL: Bug,
}

FINER_CLASSES: dict[Reason, type[CoveyError]] = {Reason.DECLARATION: DeclarationError, Reason.MOVED: Moved}
"""Classes that share their status with a parent, which their reason tells from it."""

_STATUSES = {code: status for status, code in CODES.items()}
_REASONS = {reason.value: reason for reason in Reason if reason is not Reason.NONE}


def error_of(status: Status, reason: Reason, message: str, retry_after_s: float = 0.0) -> CoveyError | None:
    """The error that a verdict stands for; None when it is OK."""
    if status is Status.OK:
        return None
    error_class = CLASSES[status]
    finer = FINER_CLASSES.get(reason)
    if finer is not None and issubclass(finer, error_class):
        error_class = finer
    error = error_class(message, reason or None)
    if isinstance(error, ResourceExhausted) and retry_after_s > 0:
        error.retry_after_s = retry_after_s
    return error


# --- to the wire -----------------------------------------------------------------------------------------------------


class Abortable(Protocol):
    """What we need of a servicer's context."""

    async def abort_with_status(self, status: grpc.Status) -> NoReturn: ...


def rpc_status_of(error: CoveyError) -> status_pb2.Status:
    """The status that a caller sees, with its details."""
    text = f"{error.reason}: {error.message}" if error.reason else error.message
    status = status_pb2.Status(code=CODES[error.status].value[0], message=_shortened(text))
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if isinstance(error, ResourceExhausted):
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


async def abort(context: Abortable, error: CoveyError) -> NoReturn:
    """End the call with this error."""
    await context.abort_with_status(rpc_status.to_status(rpc_status_of(error)))


def _shortened(text: str) -> str:
    encoded = text.encode(errors="replace")
    return encoded[:MESSAGE_BYTES_MAX].decode(errors="ignore")


# --- from the wire ---------------------------------------------------------------------------------------------------


def error_of_rpc(failure: grpc.aio.AioRpcError) -> CoveyError:
    """The error that a failed call stands for, by its details where it has ours."""
    status = _STATUSES.get(failure.code(), Status.INTERNAL)  # UNKNOWN, UNIMPLEMENTED and the like are bugs
    reason, retry_after_s = _details_of(failure)
    text = failure.details() or failure.code().name
    if reason is Reason.NONE:
        return _error_of_grpc(status, text)
    error = error_of(status, reason, text.removeprefix(f"{reason}: "), retry_after_s)
    return error or Bug("a call failed with the status OK")


def _error_of_grpc(status: Status, text: str) -> CoveyError:
    """What gRPC itself said, not a peer of ours."""
    if status is Status.RESOURCE_EXHAUSTED and "larger than max" in text:
        return InvalidArgument(text, Reason.TOO_LARGE)
    if status is Status.CANCELLED:
        return Unavailable(text)  # a server that stopped cancels what it was doing; nobody took anything back
    return error_of(status, Reason.NONE, text) or Bug("a call failed with the status OK")


def _details_of(failure: grpc.aio.AioRpcError) -> tuple[Reason, float]:
    """The reason, and after how many seconds to try again, as far as our peer said."""
    reason, retry_after_s = Reason.NONE, 0.0
    try:
        status = rpc_status.from_call(cast(grpc.Call, failure))  # it asks for no more than both have
    except (ValueError, DecodeError):  # details that contradict the status are no details
        return reason, retry_after_s
    for detail in status.details if status is not None else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            # A newer peer's reason is not known here; its status says enough.
            reason = _REASONS.get(info.reason, Reason.NONE)
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    return reason, retry_after_s

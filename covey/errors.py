"""The errors of Covey, and whose fault each one is.

    CoveyError
    ├── CallerError                 the caller must change something first
    │   ├── InvalidArgument         INVALID_ARGUMENT     malformed key, payload, field or request
    │   │   └── DeclarationError    INVALID_ARGUMENT     a mistake in a pipeline, with the line to fix
    │   ├── NotFound                NOT_FOUND            unknown pipeline, pool, stage, object or event
    │   ├── AlreadyExists           ALREADY_EXISTS       the same event id with another payload
    │   ├── VersionConflict         ABORTED              `previous_version` is not the current one
    │   ├── Unauthenticated         UNAUTHENTICATED      no credentials, or wrong ones
    │   ├── PermissionDenied        PERMISSION_DENIED    known, but not allowed
    │   └── Cancelled               CANCELLED            the client took its event back
    ├── MeshError                   the mesh could not, this time; the same call may succeed later
    │   ├── DeadlineExceeded        DEADLINE_EXCEEDED    late, or predicted late
    │   ├── ResourceExhausted       RESOURCE_EXHAUSTED   not admitted; carries when to try again
    │   └── Unavailable             UNAVAILABLE          no leader, no worker, home lost, draining
    │       └── Moved               UNAVAILABLE          a group lives elsewhere; never leaves the mesh
    ├── StageFailed                 FAILED_PRECONDITION  the user's stage raised or called `task.fail`
    └── Bug                         INTERNAL             ours

`covey.wire.status` holds the one table between these and gRPC's codes, and a test proves it whole.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class Status(enum.StrEnum):
    """The terminal status of an event or a call, in gRPC's words."""

    OK = "OK"
    CANCELLED = "CANCELLED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    UNAUTHENTICATED = "UNAUTHENTICATED"


OK = Status.OK
"""Asked for with every task: in Python 3.11 an enum's attribute takes 0.1 us to look up, and a name next to nothing."""


class Reason(enum.StrEnum):
    """Why, one step finer than the status: `google.rpc.ErrorInfo.reason` and the label of the drop counters."""

    NONE = ""
    LATE = "LATE"
    PREDICTED_LATE = "PREDICTED_LATE"
    NOT_ADMITTED = "NOT_ADMITTED"
    CASCADE_TOO_LARGE = "CASCADE_TOO_LARGE"
    DRAINING = "DRAINING"
    UNREACHABLE = "UNREACHABLE"
    NO_LEADER = "NO_LEADER"
    NO_WORKER = "NO_WORKER"
    NO_HOME = "NO_HOME"
    HOME_LOST = "HOME_LOST"
    WORKER_LOST = "WORKER_LOST"
    INPUT_LOST = "INPUT_LOST"
    MOVED = "MOVED"
    STALE_EPOCH = "STALE_EPOCH"
    UNKNOWN_PIPELINE = "UNKNOWN_PIPELINE"
    UNKNOWN_POOL = "UNKNOWN_POOL"
    UNKNOWN_STAGE = "UNKNOWN_STAGE"
    UNKNOWN_OBJECT = "UNKNOWN_OBJECT"
    UNKNOWN_EVENT = "UNKNOWN_EVENT"
    MALFORMED = "MALFORMED"
    NO_GROUP = "NO_GROUP"
    TOO_LARGE = "TOO_LARGE"
    DECLARATION = "DECLARATION"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    ID_REUSED = "ID_REUSED"
    CANCELLED = "CANCELLED"
    STAGE_FAILED = "STAGE_FAILED"
    STORAGE_FAILED = "STORAGE_FAILED"
    SLOW_READER = "SLOW_READER"
    FILE_UNSEEN = "FILE_UNSEEN"
    FILE_OVERWRITTEN = "FILE_OVERWRITTEN"
    CREDENTIALS = "CREDENTIALS"
    BUG = "BUG"


class CoveyError(Exception):
    """The root. `message` is one sentence for a person; it never holds an exception of a user's stage."""

    status: ClassVar[Status] = Status.INTERNAL
    reason: Reason = Reason.BUG

    def __init__(self, message: str, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class CallerError(CoveyError):
    """The caller must change something before this can succeed."""

    status = Status.INVALID_ARGUMENT
    reason = Reason.MALFORMED


class InvalidArgument(CallerError):
    """A key, payload, field or request that no pipeline could accept."""


class DeclarationError(InvalidArgument):
    """A mistake in a pipeline's declaration; the message ends with the file and line to fix."""

    reason = Reason.DECLARATION


class NotFound(CallerError):
    """An unknown pipeline, pool, stage, object or event."""

    status = Status.NOT_FOUND
    reason = Reason.UNKNOWN_OBJECT


class AlreadyExists(CallerError):
    """The event id is known with another payload."""

    status = Status.ALREADY_EXISTS
    reason = Reason.ID_REUSED


class VersionConflict(CallerError):
    """An optimistic put whose `previous_version` is not the current version."""

    status = Status.ABORTED
    reason = Reason.VERSION_CONFLICT


class Unauthenticated(CallerError):
    """No credentials, or credentials that do not verify."""

    status = Status.UNAUTHENTICATED
    reason = Reason.CREDENTIALS


class PermissionDenied(CallerError):
    """The caller is known and may not do this."""

    status = Status.PERMISSION_DENIED
    reason = Reason.CREDENTIALS


class Cancelled(CallerError):
    """The client took its event back."""

    status = Status.CANCELLED
    reason = Reason.CANCELLED


class MeshError(CoveyError):
    """The mesh could not do it this time; the same call may succeed later."""

    status = Status.UNAVAILABLE
    reason = Reason.UNREACHABLE


class DeadlineExceeded(MeshError):
    """Late, or predicted late."""

    status = Status.DEADLINE_EXCEEDED
    reason = Reason.LATE


class ResourceExhausted(MeshError):
    """Not admitted. `retry_after_s` says when to try again."""

    status = Status.RESOURCE_EXHAUSTED
    reason = Reason.NOT_ADMITTED

    def __init__(self, message: str, reason: Reason | None = None, retry_after_s: float = 0.1) -> None:
        super().__init__(message, reason)
        self.retry_after_s = retry_after_s


class Unavailable(MeshError):
    """No leader, no worker, a lost home, or a process that is draining."""


class Moved(Unavailable):
    """The group lives on another node: refresh the view and ask there."""

    reason = Reason.MOVED


class StageFailed(CoveyError):
    """The user's stage raised, or ended a task with `task.fail`; the exception itself is in the trace."""

    status = Status.FAILED_PRECONDITION
    reason = Reason.STAGE_FAILED


class Bug(CoveyError):
    """A broken promise of our own."""

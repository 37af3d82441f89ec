"""The table between our errors and gRPC's statuses is whole, in both directions."""

import grpc
import pytest

from covey import errors
from covey.errors import CoveyError, Reason, ResourceExhausted, Status
from covey.link import LinkClosed
from covey.wire import status as table
from covey.wire.status import error_of, error_of_rpc, rpc_status, rpc_status_of


def tree(root: type[CoveyError]) -> list[type[CoveyError]]:
    """The classes of `covey.errors` at or below `root`."""
    below = [found for child in root.__subclasses__() for found in tree(child)]
    return [*([root] if root.__module__ == errors.__name__ else []), *below]


ABSTRACT = {
    errors.CoveyError: errors.Bug,
    errors.CallerError: errors.InvalidArgument,
    errors.MeshError: errors.Unavailable,
}


def as_failure(error: CoveyError) -> grpc.aio.AioRpcError:
    """What a client's gRPC raises when a server aborts with this error."""
    status = rpc_status.to_status(rpc_status_of(error))
    trailing = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)


@pytest.mark.parametrize("error_class", tree(CoveyError))
def test_every_error_survives_the_wire(error_class: type[CoveyError]) -> None:
    """A class of the tree arrives as itself (an abstract one as its plainest child), with its reason and sentence."""
    error = error_class("Something was wrong.")

    found = error_of_rpc(as_failure(error))

    assert type(found) is ABSTRACT.get(error_class, error_class)
    assert (found.status, found.reason, found.message) == (error.status, error.reason, "Something was wrong.")


@pytest.mark.parametrize("status", Status)
def test_every_status_is_in_the_table(status: Status) -> None:
    """Each status has gRPC's code of the same name and, but for OK, a class that has this status."""
    assert table.CODES[status].name == status
    assert status is Status.OK or table.CLASSES[status].status is status


@pytest.mark.parametrize("reason", Reason)
def test_a_verdict_becomes_the_error_it_stands_for(reason: Reason) -> None:
    """Whatever the reason, the status decides about the class and the reason is kept."""
    error = error_of(Status.NOT_FOUND, reason, "why")

    assert isinstance(error, errors.NotFound)
    assert error.reason == (reason or Reason.UNKNOWN_OBJECT)


def test_ok_is_no_error() -> None:
    """A verdict that is OK raises nothing."""
    assert error_of(Status.OK, Reason.NONE, "") is None


def test_an_error_of_a_finer_class_travels_as_its_parent() -> None:
    """Classes outside the tree have the status that they inherit."""
    assert type(error_of_rpc(as_failure(LinkClosed("gone")))) is errors.Unavailable


def test_a_refusal_says_when_to_try_again() -> None:
    """RetryInfo arrives."""
    found = error_of_rpc(as_failure(ResourceExhausted("full", retry_after_s=1.25)))

    assert isinstance(found, ResourceExhausted)
    assert found.retry_after_s == 1.25


def test_the_reason_stands_in_the_text() -> None:
    """A client that reads no details still sees the reason."""
    assert as_failure(ResourceExhausted("full")).details() == "NOT_ADMITTED: full"


def test_a_long_sentence_is_cut() -> None:
    """The text fits into trailing metadata whatever its script."""
    status = rpc_status_of(errors.Bug("ü" * 5000))

    assert len(status.message.encode()) <= table.MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    ("code", "text", "error_class"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect", errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.DeadlineExceeded),
        (grpc.StatusCode.CANCELLED, "CANCELLED", errors.Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 8)", errors.InvalidArgument),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", errors.Bug),
        (grpc.StatusCode.UNKNOWN, "Unexpected <class 'Exception'>", errors.Bug),
    ],
)
def test_what_grpc_says_itself_is_understood(code: grpc.StatusCode, text: str, error_class: type[CoveyError]) -> None:
    """A status without our details gets the class of its code."""
    failure = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), text)

    assert type(error_of_rpc(failure)) is error_class

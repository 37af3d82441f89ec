"""Messages as the bytes of envelopes, and back: what a stream needs to know of what it carries.

An envelope is a message with one repeated field, `messages`. Serialised envelopes that are joined, byte by byte, are an
envelope again (protobuf merges repeated fields), so each message is serialised once, alone, and its size is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from covey.errors import InvalidArgument

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


class Encode(Protocol[T_contra]):
    """A message as serialised envelopes, made one by one as they are written."""

    def __call__(self, message: T_contra, now: float) -> Iterable[bytes]: ...


class Decode(Protocol[T_co]):
    """The messages of (joined) envelopes; raises InvalidArgument."""

    def __call__(self, data: bytes, now: float) -> Sequence[T_co]: ...


def plain_encoder(envelope_type: type[Message], to_wire: Callable[[T, Any, float], None]) -> Encode[T]:
    """Each message in one envelope."""
    new_envelope: Callable[[], Any] = envelope_type

    def encode(message: T, now: float) -> Iterable[bytes]:
        envelope = new_envelope()
        to_wire(message, envelope.messages.add(), now)
        return (envelope.SerializeToString(),)

    return encode


def plain_decoder(envelope_type: type[Message], from_wire: Callable[[Any, float], T]) -> Decode[T]:
    """The other direction of `plain_encoder`."""

    def decode(data: bytes, now: float) -> Sequence[T]:
        envelope: Any = parsed(envelope_type, data)
        return [from_wire(message, now) for message in envelope.messages]

    return decode


M = TypeVar("M", bound=Message)


def parsed(message_type: type[M], data: bytes) -> M:
    """The message that these bytes hold; raises InvalidArgument."""
    try:
        return message_type.FromString(data)
    except DecodeError:
        raise InvalidArgument(f"these bytes are no {message_type.DESCRIPTOR.name}") from None

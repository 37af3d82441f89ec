"""Large payloads travel in parts, and arrive whole or not at all."""

import pytest

from covey.errors import InvalidArgument, Reason, Status
from covey.grouping import Scope
from covey.messages import EndWatch, GetDone, Put, Watched
from covey.model import Answer, ObjectRef, ObjectValue
from covey.v1 import datastore_pb2 as pb
from covey.wire import parts
from covey.wire.parts import (
    PART_BYTES,
    FromDatastoreDecoder,
    FromDatastoreEncoder,
    Parts,
    ToDatastoreDecoder,
    ToDatastoreEncoder,
)

REF = ObjectRef("pool", "/k", "g", 3, 9)


def payload_of(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + b"x" * (size % 256)


def test_a_large_put_arrives_whole() -> None:
    """A payload of several parts is cut into bounded envelopes and joined again."""
    put = Put(1, Scope("t", "p"), REF, payload_of(3 * PART_BYTES + 7))

    encode, decode = ToDatastoreEncoder(), ToDatastoreDecoder()
    envelopes = [*encode(put, 0.0), *encode(EndWatch(2), 0.0)]

    assert len(envelopes) == 6
    assert max(map(len, envelopes)) < PART_BYTES + 100
    assert [message for data in envelopes for message in decode(data, 0.0)] == [put, EndWatch(2)]


def test_many_middling_payloads_make_no_giant_message() -> None:
    """An answer's payloads beyond 1 MiB in all leave its message, even when each is small."""
    values = tuple(ObjectValue(REF, payload_of(200_000)) for _ in range(20))
    done = GetDone(1, (Answer(values[:12]), Answer((ObjectValue(REF, None),)), Answer(values[12:])))

    envelopes = list(FromDatastoreEncoder()(done, 0.0))

    decode = FromDatastoreDecoder()
    assert max(map(len, envelopes)) < parts.INLINE_BYTES_MAX + 10_000
    assert [message for data in envelopes for message in decode(data, 0.0)] == [done]


def test_a_large_watched_object_arrives_whole() -> None:
    """What a watch streams may be large too."""
    watched = Watched(1, ObjectValue(REF, payload_of(2 * PART_BYTES)))

    envelopes = list(FromDatastoreEncoder()(watched, 0.0))

    decode = FromDatastoreDecoder()
    assert [message for data in envelopes for message in decode(data, 0.0)] == [watched]


def test_parts_are_bounded() -> None:
    """A peer can't make us hold more in parts than one object may have, not even in empty pieces."""
    held = Parts(bytes_max=10)
    held.add(1, b"12345")
    assert held.take(1) == b"12345"
    for _ in range(10):
        held.add(2, b"")

    with pytest.raises(InvalidArgument) as caught:
        held.add(3, b"")

    assert caught.value.reason is Reason.TOO_LARGE


def test_an_answer_that_no_receiver_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads that find more than one largest object in all are answered with the reason instead."""
    monkeypatch.setattr(parts, "OBJECT_BYTES_MAX", 100)
    monkeypatch.setattr(parts, "PART_BYTES", 80)
    done = GetDone(1, (Answer((ObjectValue(REF, b"x" * 60),)), Answer((ObjectValue(REF, b"y" * 60),))))

    (data,) = FromDatastoreEncoder()(done, 0.0)

    (found,) = FromDatastoreDecoder()(data, 0.0)
    assert isinstance(found, GetDone)
    assert found.answers[0] == done.answers[0]
    assert (found.answers[1].status, found.answers[1].reason) == (Status.INVALID_ARGUMENT, Reason.TOO_LARGE)


@pytest.mark.parametrize(
    "envelope",
    [
        pb.ExchangeResponse(messages=[pb.FromDatastore()]),
        pb.ExchangeResponse(messages=[pb.FromDatastore(watched=pb.Watched(part=5))]),
        pb.ExchangeResponse(messages=[pb.FromDatastore(get_done=pb.GetDone(parts=[pb.PartOf(part=1, answer=0)]))]),
    ],
)
def test_parts_of_nothing_are_malformed(envelope: pb.ExchangeResponse) -> None:
    """A message that names parts which never came, or objects that it lacks, is refused."""
    with pytest.raises(InvalidArgument):
        FromDatastoreDecoder()(envelope.SerializeToString(), 0.0)

"""Large payloads between services and datastores travel in parts, so that no message grows with an object.

A payload over 256 KiB goes ahead of the message it belongs to as `Part` messages of one number, in order; the message
then names the number. The receiver joins them again and never holds more than one largest object in parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from covey.errors import InvalidArgument, Reason, Status
from covey.messages import (
    CopiesMade,
    EndWatch,
    FromDatastore,
    Get,
    GetDone,
    HandedOver,
    HandingOver,
    HandOver,
    HandOverDone,
    MeetNode,
    NodeMet,
    Put,
    PutDone,
    ToDatastore,
    Watch,
    Watched,
)
from covey.model import OBJECT_BYTES_MAX, Answer
from covey.v1 import datastore_pb2 as pb
from covey.wire.convert import datastore as convert
from covey.wire.convert import moving
from covey.wire.convert.view import unknown_message
from covey.wire.envelopes import parsed

PART_BYTES = 256 * 1024
"""Payloads up to here stay inside their message; larger ones are cut into parts of this size."""

INLINE_BYTES_MAX = 1024 * 1024
"""What one answer carries inside its message in all; payloads beyond it go in parts too."""


class ToDatastoreEncoder:
    """Messages to a datastore as envelopes; one encoder a stream."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, message: ToDatastore, now: float) -> Iterator[bytes]:
        envelope = pb.ExchangeRequest()
        out = envelope.messages.add()
        match message:
            case Put() if len(message.payload) > PART_BYTES:
                out.put.part = next(self._numbers)
                yield from _parts_to_datastore(out.put.part, message.payload)
                convert.put_to_wire(replace(message, payload=b""), out.put)
            case Put():
                convert.put_to_wire(message, out.put)
            case Get():
                convert.get_to_wire(message, out.get, now)
            case Watch():
                convert.watch_to_wire(message, out.watch)
            case EndWatch():
                out.end_watch.request = message.request
            case MeetNode():
                moving.meet_to_wire(message, out.meet)
            case HandOver(versions=(version,)) if len(version.payload) > PART_BYTES:
                out.hand_over.part = next(self._numbers)
                yield from _parts_to_datastore(out.hand_over.part, version.payload)
                small = replace(message, versions=(replace(version, payload=b""),))
                moving.hand_over_to_wire(small, out.hand_over, now)
            case HandOver():
                moving.hand_over_to_wire(message, out.hand_over, now)
            case CopiesMade():
                out.copies_made.epoch = message.epoch
            case HandingOver():
                moving.handing_over_to_wire(message, out.handing_over)
            case HandedOver():
                out.handed_over.epoch, out.handed_over.number = message.epoch, message.number
            case _:
                assert_never(message)
        yield envelope.SerializeToString()


class ToDatastoreDecoder:
    """What a datastore is told; raises InvalidArgument for what is malformed."""

    def __init__(self) -> None:
        self._parts = Parts()

    def __call__(self, data: bytes, now: float) -> list[ToDatastore]:
        messages: list[ToDatastore] = []
        for wire in parsed(pb.ExchangeRequest, data).messages:
            match wire.WhichOneof("message"):
                case "put":
                    payload = self._parts.take(wire.put.part) if wire.put.part else None
                    messages.append(convert.put_from_wire(wire.put, payload))
                case "get":
                    messages.append(convert.get_from_wire(wire.get, now))
                case "watch":
                    messages.append(convert.watch_from_wire(wire.watch))
                case "end_watch":
                    messages.append(EndWatch(wire.end_watch.request))
                case "part":
                    self._parts.add(wire.part.number, wire.part.data)
                case "meet":
                    messages.append(MeetNode(wire.meet.request, wire.meet.node, wire.meet.life))
                case "hand_over":
                    payload = self._parts.take(wire.hand_over.part) if wire.hand_over.part else None
                    messages.append(moving.hand_over_from_wire(wire.hand_over, now, payload))
                case "copies_made":
                    messages.append(CopiesMade(wire.copies_made.epoch))
                case "handing_over":
                    messages.append(moving.handing_over_from_wire(wire.handing_over))
                case "handed_over":
                    messages.append(HandedOver(wire.handed_over.epoch, wire.handed_over.number))
                case _:
                    raise unknown_message("datastore's caller's")
        return messages


class FromDatastoreEncoder:
    """A datastore's answers as envelopes; one encoder a stream."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, message: FromDatastore, now: float) -> Iterator[bytes]:
        envelope = pb.ExchangeResponse()
        out = envelope.messages.add()
        match message:
            case PutDone():
                convert.put_done_to_wire(message, out.put_done)
            case GetDone():
                yield from self._get_done(message, out.get_done)
            case Watched():
                value = message.value
                if value is not None and value.payload is not None and len(value.payload) > PART_BYTES:
                    out.watched.part = next(self._numbers)
                    yield from _parts_of_answer(out.watched.part, value.payload)
                    message = replace(message, value=replace(value, payload=None))
                convert.watched_to_wire(message, out.watched)
            case NodeMet():
                moving.met_to_wire(message, out.met)
            case HandOverDone():
                out.hand_over_done.request, out.hand_over_done.refused = message.request, message.refused
            case _:
                assert_never(message)
        yield envelope.SerializeToString()

    def _get_done(self, done: GetDone, out: pb.GetDone) -> Iterator[bytes]:
        """Fill `out` and yield the parts that go ahead of it; mostly there are none."""
        sizes = [len(value.payload or b"") for answer in done.answers for value in answer.objects]
        if sum(sizes) <= PART_BYTES:
            convert.get_done_to_wire(done, out)
            return
        done = _within_one_object(done)
        inline = 0
        answers = []
        for number, answer in enumerate(done.answers):
            objects = list(answer.objects)
            for position, value in enumerate(objects):
                size = len(value.payload or b"")
                if value.payload is None or (size <= PART_BYTES and inline + size <= INLINE_BYTES_MAX):
                    inline += size
                    continue
                part = out.parts.add(part=next(self._numbers), answer=number, object=position)
                yield from _parts_of_answer(part.part, value.payload)
                objects[position] = replace(value, payload=None)
            answers.append(replace(answer, objects=tuple(objects)) if objects else answer)
        convert.get_done_to_wire(GetDone(done.request, tuple(answers), done.files), out)


class FromDatastoreDecoder:
    """What a datastore answers; raises InvalidArgument for what is malformed."""

    def __init__(self) -> None:
        self._parts = Parts()

    def __call__(self, data: bytes, now: float) -> list[FromDatastore]:
        messages: list[FromDatastore] = []
        for wire in parsed(pb.ExchangeResponse, data).messages:
            match wire.WhichOneof("message"):
                case "put_done":
                    messages.append(convert.put_done_from_wire(wire.put_done))
                case "get_done":
                    messages.append(self._get_done(wire.get_done))
                case "watched":
                    payload = self._parts.take(wire.watched.part) if wire.watched.part else None
                    messages.append(convert.watched_from_wire(wire.watched, payload))
                case "part":
                    self._parts.add(wire.part.number, wire.part.data)
                case "met":
                    messages.append(moving.met_from_wire(wire.met))
                case "hand_over_done":
                    messages.append(HandOverDone(wire.hand_over_done.request, wire.hand_over_done.refused))
                case _:
                    raise unknown_message("datastore's")
        return messages

    def _get_done(self, wire: pb.GetDone) -> GetDone:
        payloads = {}
        for each in wire.parts:
            if each.answer >= len(wire.answers) or each.object >= len(wire.answers[each.answer].objects):
                raise InvalidArgument(f"part {each.part} belongs to no object of its answer")
            payloads[each.answer, each.object] = self._parts.take(each.part)
        return convert.get_done_from_wire(wire, payloads)


class Parts:
    """The parts that have come and wait for what they belong to: at most OBJECT_BYTES_MAX of them."""

    def __init__(self, bytes_max: int = OBJECT_BYTES_MAX) -> None:
        self._pieces: dict[int, list[bytes]] = {}
        self._left = bytes_max

    def add(self, number: int, data: bytes) -> None:
        self._left -= max(len(data), 1)  # an empty piece takes room too
        if self._left < 0:
            raise InvalidArgument("more arrives in parts than one object may hold", Reason.TOO_LARGE)
        self._pieces.setdefault(number, []).append(data)

    def take(self, number: int) -> bytes:
        """The payload of that number, whole."""
        pieces = self._pieces.pop(number, None)
        if pieces is None:
            raise InvalidArgument(f"nothing came in parts of the number {number}")
        self._left += sum([max(len(piece), 1) for piece in pieces])
        return b"".join(pieces)


def _pieces(payload: bytes) -> Iterator[bytes]:
    for start in range(0, len(payload), PART_BYTES):
        yield payload[start : start + PART_BYTES]


def _parts_to_datastore(number: int, payload: bytes) -> Iterator[bytes]:
    for data in _pieces(payload):
        part = pb.Part(number=number, data=data)
        yield pb.ExchangeRequest(messages=[pb.ToDatastore(part=part)]).SerializeToString()


def _parts_of_answer(number: int, payload: bytes) -> Iterator[bytes]:
    for data in _pieces(payload):
        part = pb.Part(number=number, data=data)
        yield pb.ExchangeResponse(messages=[pb.FromDatastore(part=part)]).SerializeToString()


def _within_one_object(done: GetDone) -> GetDone:
    """The same answers, save those that no receiver would take: over OBJECT_BYTES_MAX in all, an answer is refused."""
    left = OBJECT_BYTES_MAX
    answers = []
    for answer in done.answers:
        left -= sum([len(value.payload or b"") for value in answer.objects])
        if left < 0:
            message = f"one read returns {OBJECT_BYTES_MAX} bytes at most: ask for fewer objects at a time"
            answer = Answer((), answer.complete, Status.INVALID_ARGUMENT, Reason.TOO_LARGE, message)
        answers.append(answer)
    return done if left >= 0 else GetDone(done.request, tuple(answers), done.files)

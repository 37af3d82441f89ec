"""Spans of traced puts and gets: from the request's arrival to its answer, storage and waiting included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from covey.clock import wall_time_ns
from covey.errors import Status
from covey.messages import FromDatastore, Get, GetDone, Put, PutDone, ToDatastore
from covey.telemetry import Attribute, Attributes, SpanName, Tracer, is_sampled


@dataclass(frozen=True, slots=True)
class _Begun:
    name: SpanName
    parents: tuple[str, ...]
    start_ns: int
    attributes: Attributes


class RequestSpans:
    """What is under way for traced tasks and events, by link and request. Costs next to nothing for the others."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._begun: dict[int, dict[int, _Begun]] = {}

    def begin(self, link: int, messages: Sequence[ToDatastore]) -> None:
        for message in messages:
            match message:
                case Put() if is_sampled(message.traceparent):
                    attributes: Attributes = {
                        Attribute.POOL: message.ref.pool,
                        Attribute.GROUP: message.ref.group,
                        Attribute.BYTES: len(message.payload),
                    }
                    begun = _Begun(SpanName.PUT, (message.traceparent,), wall_time_ns(), attributes)
                case Get() if message.traceparents:
                    objects: Attributes = {Attribute.OBJECTS: len(message.reads)}
                    begun = _Begun(SpanName.GET, message.traceparents, wall_time_ns(), objects)
                case _:
                    continue
            self._begun.setdefault(link, {})[message.request] = begun

    def end(self, link: int, message: FromDatastore) -> None:
        begun = self._begun[link].pop(message.request, None) if link in self._begun else None
        if begun is None:
            return
        failed = ""
        if isinstance(message, PutDone) and message.status is not Status.OK:
            failed = f"{message.status} {message.reason}"
        if isinstance(message, GetDone):
            failed = next((f"{a.status} {a.reason}" for a in message.answers if a.status is not Status.OK), "")
        end_ns = wall_time_ns()
        for parent in begun.parents:
            self._tracer.record(begun.name, parent, begun.start_ns, end_ns, attributes=begun.attributes, error=failed)

    def forget(self, link: int) -> None:
        """The link has ended, and with it what was asked over it."""
        self._begun.pop(link, None)

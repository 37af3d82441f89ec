"""Every span, metric and attribute name, declared once, and the hook that what happened is handed to.

Spans are data: shells record what has happened, from instants and from the traceparent that came with the work, so
that nothing hangs on context variables. One event is one trace:

    event                       gateway: from admission to the outcome; the root, or a child of the client's span
    ├── schedule                scheduler: one stage's turn of a cascade, from ready to its report
    │   ├── fetch               worker: inputs of one task
    │   ├── compute             worker: the batch that the task was in
    │   └── store               worker: until the last emission was acknowledged
    └── put, get                datastore

    batch                       worker: a trace of its own, linked to the task of every event that shared it

`covey.telemetry_export` hands them to OpenTelemetry; nothing here imports it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

Attributes = Mapping[str, str | int | float | bool]


class SpanName(enum.StrEnum):
    EVENT = "event"
    SCHEDULE = "schedule"
    BATCH = "batch"
    FETCH = "fetch"
    COMPUTE = "compute"
    STORE = "store"
    PUT = "put"
    GET = "get"


class Attribute(enum.StrEnum):
    """Keys of attributes, on spans and metrics alike."""

    TENANT = "covey.tenant"
    PIPELINE = "covey.pipeline"
    EVENT = "covey.event"
    STAGE = "covey.stage"
    POOL = "covey.pool"
    GROUP = "covey.group"
    PRIORITY = "covey.priority"
    STATUS = "covey.status"
    REASON = "covey.reason"
    BATCH = "covey.batch"
    BATCH_SIZE = "covey.batch_size"
    WORKER = "covey.worker"
    NODE = "covey.node"
    BYTES = "covey.bytes"
    OBJECTS = "covey.objects"
    QUEUED_S = "covey.queued_s"
    HELD_S = "covey.held_s"  # of QUEUED_S: behind another task of the same state, or running in vain
    HOME = "covey.home"
    ATTEMPTS = "covey.attempts"
    RULE = "covey.why.rule"
    PREDICTED_S = "covey.why.predicted_s"
    PROMISED_S = "covey.why.promised_s"
    SPARE_S = "covey.why.spare_s"
    SLOWDOWN = "covey.why.slowdown"
    BESIDE = "covey.why.beside"
    HARM = "covey.why.harm"
    CACHE = "covey.cache"


class Kind(enum.Enum):
    """What a metric's numbers are."""

    COUNTER = "counter"  # amounts that are added
    GAUGE = "gauge"  # the value of now
    HISTOGRAM = "histogram"  # single values


class Metric(enum.Enum):
    """(name, kind, unit, what it says)."""

    EVENTS_ADMITTED = ("covey.events.admitted", Kind.COUNTER, "{event}", "Events that were admitted")
    EVENTS_REFUSED = ("covey.events.refused", Kind.COUNTER, "{event}", "Events that were not, by reason")
    OUTCOMES = ("covey.outcomes", Kind.COUNTER, "{event}", "Events that ended, by status and reason")
    EVENT_TIME = ("covey.event.time", Kind.HISTOGRAM, "s", "From admission to the outcome")
    TASKS_DONE = ("covey.tasks.done", Kind.COUNTER, "{task}", "Tasks that ended, by stage and status")
    TASKS_QUEUED = ("covey.tasks.queued", Kind.GAUGE, "{task}", "Tasks that wait, by stage")
    QUEUE_TIME = ("covey.task.queue_time", Kind.HISTOGRAM, "s", "From ready to dispatched, by stage")
    BATCH_SIZE = ("covey.batch.size", Kind.HISTOGRAM, "{task}", "Tasks of one batch, by stage")
    FETCH_TIME = ("covey.batch.fetch_time", Kind.HISTOGRAM, "s", "Reading a batch's inputs")
    WAIT_TIME = ("covey.batch.wait_time", Kind.HISTOGRAM, "s", "Waiting for a lane with all inputs there")
    COMPUTE_TIME = ("covey.batch.compute_time", Kind.HISTOGRAM, "s", "Computing a batch")
    STORE_TIME = ("covey.batch.store_time", Kind.HISTOGRAM, "s", "Until a batch's last emission was acknowledged")
    REMOTE_GETS = ("covey.reads.remote", Kind.COUNTER, "{read}", "Reads that another node answered")
    INCOMPLETE_READS = ("covey.reads.incomplete", Kind.COUNTER, "{read}", "Reads of something lost or evicted")
    BYTES_MOVED = ("covey.bytes.moved", Kind.COUNTER, "By", "Payload bytes that crossed between nodes")
    KEYS_UNGROUPED = ("covey.keys.ungrouped", Kind.COUNTER, "{key}", "Keys that their pool's rule did not match")
    GETS_SPANNING = ("covey.gets.spanning", Kind.COUNTER, "{get}", "Gets of several keys that were of several groups")
    OBJECTS = ("covey.datastore.objects", Kind.GAUGE, "{object}", "Objects that a node holds")
    OBJECT_BYTES = ("covey.datastore.bytes", Kind.GAUGE, "By", "Bytes that a node holds")
    OBJECTS_EVICTED = ("covey.datastore.evicted", Kind.COUNTER, "{object}", "Objects that memory pressure removed")
    CACHE_HITS = ("covey.worker.cache.hits", Kind.COUNTER, "{read}", "Reads that a worker's memory answered, by cache")
    CACHE_MISSES = ("covey.worker.cache.misses", Kind.COUNTER, "{read}", "Reads that it could have and did not")
    CACHE_EVICTED = ("covey.worker.cache.evicted", Kind.COUNTER, "{object}", "Objects that left it unasked for")
    CACHE_BYTES = ("covey.worker.cache.bytes", Kind.GAUGE, "By", "Payload bytes that it holds")
    GROUPS_HANDED_OVER = ("covey.datastore.groups_handed_over", Kind.COUNTER, "{group}", "Groups given to other nodes")
    BYTES_HANDED_OVER = (
        "covey.datastore.bytes_handed_over",
        Kind.COUNTER,
        "By",
        "Payloads sent with groups that moved",
    )
    PARKED_FOR_ARRIVAL = (
        "covey.datastore.parked_for_arrival",
        Kind.COUNTER,
        "{request}",
        "Requests that waited for a group on its way",
    )
    WANTED_WORKERS = (
        "covey.scheduler.wanted_workers",
        Kind.GAUGE,
        "{worker}",
        "Workers that a provisioned pipeline's plan asks for, whether or not they are there",
    )
    REPLICAS_UP = ("covey.scheduler.replicas", Kind.GAUGE, "{lane}", "Lanes that serve a stage, by stage")
    GPU_BUSY = ("hw.gpu.utilization", Kind.GAUGE, "1", "Share of the last moments in which a kernel ran")
    GPU_MEMORY = ("hw.gpu.memory.usage", Kind.GAUGE, "By", "Memory of the GPU that is in use")
    EPOCH = ("covey.epoch", Kind.GAUGE, "1", "The leader's epoch, as this process knows it")

    def __init__(self, metric_name: str, kind: Kind, unit: str, description: str) -> None:
        self.metric_name = metric_name
        self.kind = kind
        self.unit = unit
        self.description = description


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. Instants are wall-clock nanoseconds; the rest are traceparents.

    `parent` is empty for a root; `error` is empty when it went well.
    """

    name: SpanName
    traceparent: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: Attributes = field(default_factory=dict)
    links: Sequence[str] = ()
    error: str = ""


class Telemetry(Protocol):
    """Where spans and numbers go. Neither call blocks or raises."""

    def span(self, span: Span) -> None: ...

    def measure(self, metric: Metric, value: float, attributes: Attributes = ...) -> None:
        """Add to a counter, set a gauge, or record one value of a histogram."""


NOTHING: Attributes = {}


class NoTelemetry:
    """Nobody listens."""

    def span(self, span: Span) -> None: ...

    def measure(self, metric: Metric, value: float, attributes: Attributes = NOTHING) -> None: ...


# --- W3C trace context -----------------------------------------------------------------------------------------------
# `00-<trace, 32 hex digits>-<span, 16 hex digits>-<flags, 2 hex digits>`; the lowest flag says that it is sampled.
# https://www.w3.org/TR/trace-context/#traceparent-header

TRACEPARENT_LENGTH = 55


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A traceparent, parsed."""

    trace_id: int
    span_id: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.sampled:02x}"


def parse_traceparent(text: str) -> TraceContext | None:
    """What a client sent, or None when it is nothing that we understand; the trace then starts with us."""
    parts = text.split("-")
    if len(text) < TRACEPARENT_LENGTH or [len(part) for part in parts[:4]] != [2, 32, 16, 2] or parts[0] == "ff":
        return None
    if len(parts) > 4 and parts[0] == "00":
        return None
    digits = "".join(parts[:4])
    if not set(digits) <= set("0123456789abcdef"):
        return None
    trace_id, span_id = int(parts[1], 16), int(parts[2], 16)
    return TraceContext(trace_id, span_id, bool(int(parts[3], 16) & 1)) if trace_id and span_id else None


def is_sampled(traceparent: str) -> bool:
    """Whether spans under this (well-formed or empty) traceparent should be recorded; costs next to nothing."""
    return traceparent[-1:] in "13579bdf" if traceparent else False


def mint_traceparent(random: Random, sampled: bool = True) -> str:
    """The root of a new trace."""
    return str(TraceContext(random.getrandbits(128) or 1, random.getrandbits(64) or 1, sampled))


def child_traceparent(parent: str, random: Random) -> str:
    """A new span of the parent's trace, sampled as its parent is. The parent is well-formed."""
    return f"{parent[:36]}{random.getrandbits(64) or 1:016x}{parent[52:55]}"


class Tracer:
    """Records spans where they are sampled: what a shell holds."""

    def __init__(self, telemetry: Telemetry, random: Random, sampled_share: float = 1.0) -> None:
        """`sampled_share` is for traces that start here; a client's traceparent decides for itself.

        Where nobody listens no trace starts, so that nobody further on works for it.
        """
        self.telemetry = telemetry
        self._random = random
        self.listened_to = not isinstance(telemetry, NoTelemetry)
        self._sampled_share = sampled_share if self.listened_to else 0.0

    def start(self, clients: str = "") -> str:
        """The traceparent of a span to `finish` later: under the client's, if it sent a valid one.

        Empty where nobody listens, and the client does not trace either.
        """
        if clients and parse_traceparent(clients) is not None:
            return child_traceparent(clients, self._random)
        if not self.listened_to:
            return ""
        return mint_traceparent(self._random, self._random.random() < self._sampled_share)

    def finish(
        self,
        name: SpanName,
        traceparent: str,
        start_ns: int,
        end_ns: int,
        *,
        parent: str = "",
        attributes: Attributes = NOTHING,
        links: Sequence[str] = (),
        error: str = "",
    ) -> None:
        """Record the span that `traceparent` names."""
        if is_sampled(traceparent):
            self.telemetry.span(Span(name, traceparent, parent, start_ns, end_ns, attributes, links, error))

    def record(
        self,
        name: SpanName,
        parent: str,
        start_ns: int,
        end_ns: int,
        *,
        attributes: Attributes = NOTHING,
        error: str = "",
    ) -> None:
        """Record a span under `parent` that has no children."""
        if is_sampled(parent):
            mine = child_traceparent(parent, self._random)
            self.telemetry.span(Span(name, mine, parent, start_ns, end_ns, attributes, (), error))

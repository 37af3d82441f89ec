"""Hands spans and metrics to OpenTelemetry, off the loop: the exporters have threads and bounded queues of their own.

The standard `OTEL_*` variables say where OTLP goes; `--trace-to FILE` writes spans as JSON lines, which any number of
processes may append to one file.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from opentelemetry.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from covey.settings import otlp_is_configured
from covey.telemetry import NOTHING, Attributes, Kind, Metric, NoTelemetry, Span, Telemetry, parse_traceparent

SCOPE = "covey"
FLUSH_MS_MAX = 2_000


@asynccontextmanager
async def exporting(service: str, instance: str, trace_to: Path | None = None) -> AsyncIterator[Telemetry]:
    """Telemetry for one process, written out at the end; nothing at all where nobody has asked for any."""
    exporters: list[SpanExporter] = []
    if trace_to is not None:
        exporters.append(JsonLinesExporter(trace_to))
    if otlp_is_configured("traces"):
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporters.append(OTLPSpanExporter())
    metrics = otlp_is_configured("metrics")
    if not exporters and not metrics:
        yield NoTelemetry()
        return
    resource = Resource.create({SERVICE_NAME: f"covey-{service}", SERVICE_INSTANCE_ID: instance})
    exports = OpenTelemetry(resource, exporters, metrics)
    try:
        yield exports
    finally:
        await asyncio.to_thread(exports.close)


class OpenTelemetry:
    """A `covey.telemetry.Telemetry`."""

    def __init__(self, resource: Resource, exporters: Sequence[SpanExporter], metrics: bool = False) -> None:
        self._resource = resource
        self._processors = [BatchSpanProcessor(exporter) for exporter in exporters]
        self._meters = _meter_provider(resource) if metrics else None
        self._instruments = {metric: self._instrument(metric) for metric in Metric} if metrics else {}

    def span(self, span: Span) -> None:
        context = _context(span.traceparent)
        if context is None:
            return
        readable = ReadableSpan(
            name=span.name,
            context=context,
            parent=_context(span.parent),
            resource=self._resource,
            attributes=span.attributes,
            links=[Link(linked) for linked in map(_context, span.links) if linked is not None],
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
        )
        for processor in self._processors:
            processor.on_end(readable)

    def measure(self, metric: Metric, value: float, attributes: Attributes = NOTHING) -> None:
        instrument = self._instruments.get(metric)
        if isinstance(instrument, Counter):
            instrument.add(value, attributes)
        elif isinstance(instrument, Histogram):
            instrument.record(value, attributes)
        elif instrument is not None:
            instrument.set(value, attributes)

    def close(self) -> None:
        """Write out what waits; blocks for a bounded time."""
        for processor in self._processors:
            processor.force_flush(FLUSH_MS_MAX)
            processor.shutdown()  # type: ignore[no-untyped-call]
        if self._meters is not None:
            self._meters.shutdown(FLUSH_MS_MAX)

    def _instrument(self, metric: Metric) -> Any:
        assert self._meters is not None
        meter = self._meters.get_meter(SCOPE)
        make = {
            Kind.COUNTER: meter.create_counter,
            Kind.GAUGE: meter.create_gauge,
            Kind.HISTOGRAM: meter.create_histogram,
        }
        return make[metric.kind](metric.metric_name, unit=metric.unit, description=metric.description)


def _meter_provider(resource: Resource) -> MeterProvider:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    return MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)


def _context(traceparent: str) -> SpanContext | None:
    found = parse_traceparent(traceparent)
    if found is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if found.sampled else TraceFlags.DEFAULT)
    return SpanContext(found.trace_id, found.span_id, is_remote=False, trace_flags=flags)


class JsonLinesExporter(SpanExporter):
    """Appends one JSON object per span to a file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        text = "".join([json.dumps(_line(span), separators=(",", ":")) + "\n" for span in spans])
        os.write(self._file, text.encode())  # in one write, so that the lines of two processes do not mix
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        os.close(self._file)


def _line(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    return {
        "service": span.resource.attributes[SERVICE_NAME],
        "instance": span.resource.attributes[SERVICE_INSTANCE_ID],
        "name": span.name,
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "attributes": dict(span.attributes or {}),
        "links": [
            {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
            for link in span.links
        ],
        "error": span.status.description or "",
    }

"""Spans are data, sampled by their traceparent, and written where they are asked for."""

import json
from pathlib import Path
from random import Random

import pytest

from covey.telemetry import (
    Attribute,
    Attributes,
    Metric,
    NoTelemetry,
    Span,
    SpanName,
    TraceContext,
    Tracer,
    child_traceparent,
    is_sampled,
    mint_traceparent,
    parse_traceparent,
)
from covey.telemetry_export import exporting

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-1] + "0"


class Kept:
    """Telemetry in a list."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def span(self, span: Span) -> None:
        self.spans.append(span)

    def measure(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None: ...


def test_a_traceparent_is_read_and_written() -> None:
    """What the specification shows parses, and is written back the same."""
    found = parse_traceparent(SAMPLED)

    assert found == TraceContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True)
    assert str(found) == SAMPLED
    assert is_sampled(SAMPLED)
    assert not is_sampled(UNSAMPLED)
    assert not is_sampled("")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        SAMPLED.upper(),
        SAMPLED + "-00",
        "ff" + SAMPLED[2:],
        SAMPLED.replace("b7ad6b7169203331", "0" * 16),
        "é" * 55,
    ],
)
def test_what_is_no_traceparent_is_ignored(text: str) -> None:
    """A client's nonsense starts a trace of our own instead of an error."""
    assert parse_traceparent(text) is None


def test_a_child_stays_in_its_trace() -> None:
    """A child has its parent's trace and flags and a span of its own."""
    mine = parse_traceparent(child_traceparent(SAMPLED, Random(1)))

    assert mine is not None
    assert (mine.trace_id, mine.sampled) == (0x0AF7651916CD43DD8448EB211C80319C, True)
    assert mine.span_id != 0xB7AD6B7169203331
    assert not is_sampled(child_traceparent(UNSAMPLED, Random(1)))


def test_a_minted_traceparent_is_valid() -> None:
    """A new trace is one that others understand, sampled or not as it was asked."""
    assert parse_traceparent(mint_traceparent(Random(1))) is not None
    assert not is_sampled(mint_traceparent(Random(1), sampled=False))


def test_a_tracer_records_what_is_sampled() -> None:
    """Spans hang together by their traceparents; nothing is made for what nobody samples."""
    kept = Kept()
    tracer = Tracer(kept, Random(1))

    root = tracer.start(SAMPLED)
    tracer.record(SpanName.FETCH, root, 10, 20)
    tracer.finish(SpanName.EVENT, root, 5, 30, parent=SAMPLED, attributes={Attribute.EVENT: "e"})
    tracer.record(SpanName.FETCH, tracer.start(UNSAMPLED), 10, 20)

    assert [(span.name, span.parent) for span in kept.spans] == [("fetch", root), ("event", SAMPLED)]


async def write_two_spans(path: Path) -> None:
    async with exporting("gateway", "g1", trace_to=path) as telemetry:
        tracer = Tracer(telemetry, Random(1))
        root = tracer.start(SAMPLED)
        tracer.record(SpanName.PUT, root, 10, 20, attributes={Attribute.BYTES: 7}, error="LATE")
        tracer.finish(SpanName.BATCH, root, 5, 30, links=[SAMPLED])
        telemetry.measure(Metric.OUTCOMES, 1)


@pytest.mark.asyncio
async def test_spans_are_written_as_lines(tmp_path: Path) -> None:
    """`--trace-to` gives one JSON object per span, with everything that the span says."""
    path = tmp_path / "runs" / "trace.jsonl"

    await write_two_spans(path)

    put, batch = [json.loads(line) for line in path.read_text().splitlines()]
    assert put["parent_id"] == batch["span_id"]
    assert put["trace_id"] == batch["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert (put["service"], put["instance"], put["name"]) == ("covey-gateway", "g1", "put")
    assert (put["start_ns"], put["end_ns"], put["attributes"], put["error"]) == (10, 20, {"covey.bytes": 7}, "LATE")
    assert batch["links"] == [{"trace_id": batch["trace_id"], "span_id": "b7ad6b7169203331"}]


@pytest.mark.asyncio
async def test_nobody_asked_means_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file or a collector, telemetry is the one that does nothing."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)

    async with exporting("gateway", "g1") as telemetry:
        assert isinstance(telemetry, NoTelemetry)


def test_metric_names_are_unique() -> None:
    """No two metrics share a name."""
    names = [metric.metric_name for metric in Metric]

    assert len(set(names)) == len(names)

"""One event is one trace, whichever services it passed through."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

import covey
from covey.telemetry import mint_traceparent, parse_traceparent
from tests.worlds_processes import all_gone, covey_up

pytestmark = [pytest.mark.asyncio, pytest.mark.processes]


async def test_one_event_is_one_trace_across_all_services(tmp_path: Path) -> None:
    """`covey up --trace-to FILE` shows an event's way under the client's own span, and every parent is in the trace."""
    clients = mint_traceparent(Random(7))
    file = tmp_path / "spans.jsonl"
    async with covey_up("examples.quickstart.pipeline:app", tmp_path, "--trace-to", str(file)) as up:
        async with covey.connect(up.address, "quickstart") as client:
            await client.send("/readings/kitchen/1", 21.5, deadline_s=10, traceparent=clients)
        up.process.send_signal(signal.SIGINT)
        assert await all_gone(up.mark, 5.0)

    context = parse_traceparent(clients)
    assert context is not None
    lines: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    spans = [span for span in lines if span["trace_id"] == f"{context.trace_id:032x}"]
    services = {span["service"] for span in spans}
    assert services == {"covey-gateway", "covey-scheduler", "covey-worker", "covey-datastore"}
    names = [span["name"] for span in spans]
    assert names.count("event") == 1
    assert names.count("schedule") == 2
    assert {"fetch", "compute", "store", "put", "get"} <= set(names)
    known = {span["span_id"] for span in spans} | {f"{context.span_id:016x}"}
    assert all(span["parent_id"] in known for span in spans)
    assert all(span["start_ns"] <= span["end_ns"] for span in spans)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector that keeps what it is sent: (service, span name, trace id in hex) each."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str]] = []

    async def Export(self, request: Any, context: Any) -> Any:
        for sent in request.resource_spans:
            named = {each.key: each.value.string_value for each in sent.resource.attributes}
            for scope in sent.scope_spans:
                self.spans += [(named["service.name"], span.name, span.trace_id.hex()) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


async def test_traces_reach_a_collector_by_the_standard_variables(tmp_path: Path) -> None:
    """With OTEL_EXPORTER_OTLP_ENDPOINT set and nothing else, an event's trace is exported by all four services."""
    clients = mint_traceparent(Random(8))
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_METRICS_EXPORTER": "none"}
        async with covey_up("examples.quickstart.pipeline:app", tmp_path, variables=variables) as up:
            async with covey.connect(up.address, "quickstart") as client:
                await client.send("/readings/kitchen/1", 21.5, deadline_s=10, traceparent=clients)
            up.process.send_signal(signal.SIGINT)
            assert await all_gone(up.mark, 5.0)
            await asyncio.wait_for(up.process.wait(), 5.0)
    finally:
        await server.stop(0)

    context = parse_traceparent(clients)
    assert context is not None
    ours = [(service, name) for service, name, trace in collector.spans if trace == f"{context.trace_id:032x}"]
    assert {service for service, _ in ours} == {"covey-gateway", "covey-scheduler", "covey-worker", "covey-datastore"}
    assert {"event", "schedule", "fetch", "compute", "store", "put", "get"} <= {name for _, name in ours}

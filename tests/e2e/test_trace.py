"""One event is one trace, whichever services it passed through."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from random import Random
from typing import Any

import pytest

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

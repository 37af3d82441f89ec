"""Where a batch's time went, told to telemetry: one span a phase for every task's trace, and one for the batch."""

from __future__ import annotations

from covey.messages import BatchReport, RunBatch
from covey.model import Priority
from covey.telemetry import Attribute, Attributes, Metric, SpanName, Tracer

NS = 1_000_000_000


def record_batch(tracer: Tracer, run: RunBatch, report: BatchReport, end_ns: int) -> None:
    """Record a batch that was reported at the wall-clock instant `end_ns`; its phases follow each other up to there."""
    spans = []
    phase_end_ns = end_ns
    phases = ((SpanName.STORE, report.store_s), (SpanName.COMPUTE, report.compute_s), (None, report.wait_s))
    for name, seconds in (*phases, (SpanName.FETCH, report.fetch_s)):
        start_ns = phase_end_ns - round(seconds * NS)
        if name is not None and seconds > 0:
            spans.append((name, start_ns, phase_end_ns))
        phase_end_ns = start_ns
    attributes: Attributes = {
        Attribute.TENANT: run.scope.tenant,
        Attribute.PIPELINE: run.scope.pipeline,
        Attribute.STAGE: run.stage,
        Attribute.PRIORITY: Priority(run.priority).name,
        Attribute.BATCH: run.number,
        Attribute.BATCH_SIZE: len(run.tasks),
    }
    for task, ended in zip(run.tasks, report.tasks, strict=True):
        if task.traceparent:
            for name, start_ns, stop_ns in spans:
                tracer.record(
                    name, task.traceparent, start_ns, stop_ns, attributes=attributes, error=ended.reason.value
                )
    links = [task.traceparent for task in run.tasks if task.traceparent]
    if links:
        tracer.finish(
            SpanName.BATCH,
            tracer.start(),
            phase_end_ns,
            end_ns,
            attributes=attributes,
            links=tuple(dict.fromkeys(links)),
        )
    _measure(tracer, run, report)


def _measure(tracer: Tracer, run: RunBatch, report: BatchReport) -> None:
    stage: Attributes = {Attribute.PIPELINE: run.scope.pipeline, Attribute.STAGE: run.stage}
    measure = tracer.telemetry.measure
    measure(Metric.BATCH_SIZE, len(run.tasks), stage)
    measure(Metric.FETCH_TIME, report.fetch_s, stage)
    measure(Metric.WAIT_TIME, report.wait_s, stage)
    measure(Metric.COMPUTE_TIME, report.compute_s, stage)
    measure(Metric.STORE_TIME, report.store_s, stage)
    measure(Metric.REMOTE_GETS, sum([task.remote_gets for task in report.tasks]), stage)
    measure(Metric.BYTES_MOVED, sum([task.bytes_moved for task in report.tasks]), stage)
    measure(Metric.INCOMPLETE_READS, sum([task.incomplete for task in report.tasks]), stage)

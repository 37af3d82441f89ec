"""`covey explain EVENT_ID --traces FILE`: when and where every task of an event ran, what it waited for, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from covey.cli.calling import refused
from covey.errors import CoveyError, InvalidArgument, NotFound
from covey.telemetry import Attribute, SpanName

PARTS = {SpanName.FETCH: "read its inputs", SpanName.COMPUTE: "computed", SpanName.STORE: "stored what it emitted"}
NO_POLICY = (
    "No policy of priorities had a say (COVEY_PRIORITIES): what waits runs by priority and deadline, where most of "
    "what it reads lives, or elsewhere if it starts earlier there."
)
NO_TASK = "None of its tasks had come into being when it ended, or their spans are not in the file."


def explain(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="As the client named it, or was told.")],
    traces: Annotated[
        Path, typer.Option(metavar="FILE", help="What `covey up --trace-to FILE`, or COVEY_TRACE_TO, has written.")
    ],
) -> None:
    """Say when and where every task of an event ran, what it waited for, and why then and there."""
    try:
        lines = explained(read_spans(traces), event_id)
    except CoveyError as error:
        refused(error)
        raise typer.Exit(1) from None
    for line in lines:
        print(line)


# --- spans -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One span, as `covey.telemetry_export` writes it: instants in nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    error: str

    @property
    def seconds(self) -> float:
        return 1e-9 * (self.end_ns - self.start_ns)

    def number(self, attribute: Attribute) -> float:
        """0 where the span has none."""
        return float(self.attributes.get(attribute, 0.0))

    def text(self, attribute: Attribute) -> str:
        return str(self.attributes.get(attribute, ""))


def read_spans(file: Path) -> list[Line]:
    """The spans of a file. Raises InvalidArgument for one that can't be read; a line that is cut short is left out."""
    try:
        texts = file.read_text().splitlines()
    except OSError as error:
        raise InvalidArgument(f"the traces {str(file)!r} can't be read: {error.strerror}") from None
    return [span for text in texts if (span := _span(text)) is not None]


def _span(text: str) -> Line | None:
    try:
        found = json.loads(text)
        ids = found["trace_id"], found["span_id"], found["parent_id"]
        return Line(found["name"], *ids, found["start_ns"], found["end_ns"], found["attributes"], found["error"])
    except (ValueError, KeyError, TypeError):
        return None


# --- what they tell --------------------------------------------------------------------------------------------------


def explained(spans: Sequence[Line], event_id: str) -> list[str]:
    """A page on the event, or on each one of that id. Raises NotFound where no span is of such an event."""
    named = [span for span in spans if span.attributes.get(Attribute.EVENT) == event_id]
    traces = dict.fromkeys([span.trace for span in named if span.name in (SpanName.EVENT, SpanName.SCHEDULE)])
    if not traces:
        raise NotFound(
            f"no span is of an event {event_id!r}: it was not admitted, not sampled, or has not ended long enough ago"
        )
    lines: list[str] = []
    for trace in traces:
        of_trace = [span for span in spans if span.trace == trace]
        lines += ["", *_page(event_id, of_trace)] if lines else _page(event_id, of_trace)
    return lines


def _page(event_id: str, spans: Sequence[Line]) -> list[str]:
    tasks = [each for each in spans if each.name == SpanName.SCHEDULE and each.text(Attribute.EVENT) == event_id]
    tasks.sort(key=lambda each: (each.start_ns, each.end_ns))
    events = [each for each in spans if each.name == SpanName.EVENT and each.text(Attribute.EVENT) == event_id]
    event = events[0] if events else None
    began_ns = event.start_ns if event is not None else tasks[0].start_ns
    lines = [_of_event(event_id, event, spans[0].trace)]
    for task in tasks:
        parts = [each for each in spans if each.parent == task.id and each.name in PARTS]
        lines += ["", *_of_task(task, [each for each in parts if _is_of_batch(each, task)], began_ns)]
    if not tasks:
        lines += ["", NO_TASK]
    elif not any(task.text(Attribute.RULE) for task in tasks):
        lines += ["", NO_POLICY]
    return lines


def _is_of_batch(part: Line, task: Line) -> bool:
    """A task that was tried twice has the parts of both batches."""
    return part.attributes.get(Attribute.BATCH) == task.attributes.get(Attribute.BATCH)


def _of_event(event_id: str, event: Line | None, trace: str) -> str:
    if event is None:
        return f"event {event_id}, whose gateway has written no span; trace {trace}"
    reason = event.text(Attribute.REASON)
    ended = event.text(Attribute.STATUS) + (f" {reason}" if reason not in ("", "NONE") else "")
    owner = f"{event.text(Attribute.TENANT)}/{event.text(Attribute.PIPELINE)}"
    said = f": {event.error}" if event.error else ""
    priority = event.text(Attribute.PRIORITY)
    return f"event {event_id} of {owner}, {priority}: {ended} after {ms(event.seconds)}{said}; trace {trace}"


def _of_task(task: Line, parts: Sequence[Line], began_ns: int) -> list[str]:
    """When, what it waited for, where it ran, why."""
    at = ms(1e-9 * (task.start_ns - began_ns))
    failed = f" - {task.error}" if task.error else ""
    lines = [f"+{at}  {task.text(Attribute.STAGE)}  {task.text(Attribute.PRIORITY)}{failed}", _waited(task)]
    worker = task.text(Attribute.WORKER)
    if worker:
        lines.append(_ran(task, worker, parts))
    if task.text(Attribute.RULE):
        lines.append(f"why: {_why(task)}")
    return [lines[0], *["    " + line for line in lines[1:]]]


def _waited(task: Line) -> str:
    held_s = task.number(Attribute.HELD_S)
    queued_s = task.number(Attribute.QUEUED_S) - held_s
    home, attempts = task.text(Attribute.HOME), int(task.number(Attribute.ATTEMPTS))
    where = f"in the queue of {home}" if home else "in a queue that any worker takes from"
    if not task.text(Attribute.WORKER):
        where += ", and never ran"
    if not attempts and held_s < 1e-6:
        return f"waited {ms(queued_s)} {where}"
    tried = "once" if attempts == 1 else f"{attempts} times"
    before = f"was sent {tried} in vain" if attempts else "waited behind another task of its state"
    return f"{before} for {ms(held_s)}, then {ms(queued_s)} {where}"


def _ran(task: Line, worker: str, parts: Sequence[Line]) -> str:
    node, home, size = task.text(Attribute.NODE), task.text(Attribute.HOME), int(task.number(Attribute.BATCH_SIZE))
    place = node if home in ("", node) else f"{node}, away from its home {home}"
    company = "alone" if size == 1 else f"with {size - 1} more"
    took_s = task.seconds - task.number(Attribute.QUEUED_S)
    shares = ", ".join(_shares(parts))
    ran = f"ran on {worker} ({place}) {company} in batch {task.text(Attribute.BATCH)} for {ms(took_s)}"
    return f"{ran}: {shares}" if shares else ran


def _shares(parts: Sequence[Line]) -> Iterator[str]:
    for name, words in PARTS.items():
        seconds = sum([part.seconds for part in parts if part.name == name])
        if seconds > 0.0:
            yield f"{words} {ms(seconds)}"


def _why(task: Line) -> str:
    """The rule, and the numbers that it went by."""
    rule = task.text(Attribute.RULE)
    predicted_s, spare_s = task.number(Attribute.PREDICTED_S), task.number(Attribute.SPARE_S)
    if not task.text(Attribute.WORKER):
        return f"{rule} (it takes {ms(predicted_s)})"
    promised = f"predicted to take {ms(predicted_s)}, promised within {ms(task.number(Attribute.PROMISED_S))}"
    spare = f"{ms(spare_s)} before its deadline" if spare_s >= 0 else f"{ms(-spare_s)} too late"
    beside = task.text(Attribute.BESIDE)
    slowed = f"; {task.number(Attribute.SLOWDOWN):.2g} times as long beside {beside}" if beside else "; alone there"
    harm = task.number(Attribute.HARM)
    harmed = f"; likely to make {harm:.2g} HIGH events late" if harm > 0 else ""
    return f"{rule}; {promised}, {spare}{slowed}{harmed}"


def ms(seconds: float) -> str:
    """Milliseconds, to three digits."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1.0 else f"{seconds:.4g} s"

"""Messages and models are two spellings of one thing: what is written is what is read."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey import messages as m
from covey.declaration import Codec, Declaration, Join, Missing, Need, NeedKind, PoolDeclaration, StageDeclaration
from covey.edge import GroupWanted, KeysWanted, KeyWanted, PrefixWanted, SeriesWanted, Wanted
from covey.errors import InvalidArgument, Reason, Status
from covey.grouping import Scope
from covey.model import (
    Answer,
    Event,
    GroupId,
    KeyRead,
    LastRead,
    Node,
    ObjectName,
    ObjectRef,
    ObjectValue,
    Outcome,
    Placement,
    Priority,
    ScanRead,
    StageTime,
)
from covey.v1 import datastore_pb2, objects_pb2, scheduler_pb2, worker_pb2
from covey.wire.convert import edge, gateway, lead, objects, worker
from covey.wire.convert.declaration import declaration_from_bytes, declaration_to_bytes
from covey.wire.convert.view import beat_from_wire
from covey.wire.parts import FromDatastoreDecoder, FromDatastoreEncoder, ToDatastoreDecoder, ToDatastoreEncoder

NOW = 1024.0
FEW = 4

words = st.text(max_size=8)
blobs = st.binary(max_size=64)
counts = st.integers(0, 2**32 - 1)
numbers = st.integers(0, 2**64 - 1)
tiny = st.integers(0, 2**32 - 1)
indices = st.integers(-(2**63), 2**63 - 1)
spans = st.floats(0, 1e6, width=32)
exact_spans = st.floats(0, 1e6)
instants = st.integers(0, 1_000_000).map(lambda halves: NOW + halves / 2)  # exact in binary, so that it comes back so
past_instants = st.integers(0, 2_000).map(lambda halves: NOW - halves / 2)
ends = st.tuples(st.sampled_from(Status), st.sampled_from(Reason), words)


def some(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=FEW).map(tuple)


def ended(make: Callable[..., Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values with a status, a reason and a message."""
    return st.builds(
        lambda end, kwargs: make(status=end[0], reason=end[1], message=end[2], **kwargs),
        ends,
        st.fixed_dictionaries(parts),
    )


scopes = st.builds(Scope, words, words)
refs = st.builds(ObjectRef, words, words, words, numbers, numbers)
values = st.builds(ObjectValue, refs, st.none() | blobs)
last_reads = st.builds(LastRead, words, words, counts, st.none() | indices, st.booleans(), some(words), words)
key_reads = st.builds(KeyRead, words, words, words, numbers, words, st.booleans(), st.none() | past_instants)
scan_reads = st.builds(ScanRead, words, words, words, counts, some(words))
reads = last_reads | key_reads | scan_reads
answers = ended(Answer, objects=some(values), complete=st.booleans())
stage_times = st.builds(StageTime, words, counts, spans, spans, spans, spans, spans, counts)
outcomes = ended(
    Outcome,
    scope=scopes,
    event_id=words,
    results=some(values),
    incomplete=st.booleans(),
    stages=some(stage_times),
    remote_gets=counts,
    bytes_moved=numbers,
    elapsed_s=exact_spans,
    retry_after_s=exact_spans,
)
priorities = st.sampled_from(Priority)
events = st.builds(Event, scopes, words, refs, st.none() | blobs, priorities, instants, words, st.booleans(), words)
placements = st.builds(
    Placement,
    numbers,
    some(st.builds(Node, words, words, numbers)),
    st.dictionaries(st.builds(GroupId, scopes, words), words),
)

rules = st.just(("", "")) | st.tuples(st.sampled_from(["template", "pattern", "function"]), words)
pools = st.builds(
    lambda rule, **rest: PoolDeclaration(group_kind=rule[0], group=rule[1], **rest),
    rules,
    name=words,
    template=words,
    codec=st.sampled_from(Codec),
    durable=st.booleans(),
    ttl_s=exact_spans,
    keep_last=counts,
    strict=st.booleans(),
)
needs = st.builds(Need, words, st.sampled_from(NeedKind), counts, some(indices))
joins = st.builds(Join, some(words), st.sampled_from(Missing), exact_spans)
stages = st.builds(StageDeclaration, words, words, st.none() | joins, some(needs), some(words), counts, st.booleans())
declarations = st.builds(Declaration, words, exact_spans, some(pools), some(stages), words)

views = st.builds(m.View, numbers, numbers, placements, some(st.tuples(words, declarations)))
beats = st.builds(m.Beat, counts, spans, numbers, numbers)
leader_joined = st.builds(m.LeaderJoined, numbers, words)
tasks = st.builds(
    m.Task,
    numbers,
    blobs,
    words,
    st.none() | values,
    some(reads),
    some(st.tuples(words, some(reads))),
    some(st.tuples(words, st.text(min_size=1, max_size=8) | indices)),  # no field of a key is empty
    instants,
    st.booleans(),
    words,
    st.booleans(),
)
batches = st.builds(m.RunBatch, numbers, numbers, scopes, words, words, priorities, some(tasks))
task_reports = ended(
    m.TaskReport,
    number=numbers,
    emissions=some(st.builds(m.Emission, counts, values)),
    incomplete=st.booleans(),
    remote_gets=counts,
    bytes_moved=numbers,
    read=some(st.builds(ObjectName, words, words)),
)
reports = st.builds(m.BatchReport, numbers, numbers, some(task_reports), spans, spans, spans, spans)

gateway_to_scheduler = (
    st.builds(m.SubmitEvent, events)
    | st.builds(m.CancelEvent, scopes, words)
    | st.builds(m.GatewayJoined, words, numbers)
    | beats
)
scheduler_to_gateway = st.builds(m.OutcomeReady, outcomes) | st.builds(m.StoreAgain, scopes, words) | beats | views
assigned = st.builds(m.AssignLane, numbers, counts, words)
scheduler_to_worker = (
    batches | st.builds(m.CancelTasks, numbers, some(numbers)) | beats | views | leader_joined | assigned
)
worker_joined = st.builds(m.WorkerJoined, words, words, words, counts, some(words), numbers, some(words))
worker_to_scheduler = reports | beats | worker_joined | st.builds(m.LaneReady, numbers, counts, words)
scheduler_to_datastore = st.builds(m.Horizon, numbers, exact_spans) | beats | views | leader_joined
datastore_to_scheduler = st.builds(m.NodeJoined, words, words, numbers, placements) | beats
group_ids = st.builds(GroupId, scopes, words)
kept_versions = st.builds(
    m.KeptVersion, refs, blobs, blobs, past_instants, st.none() | past_instants, st.none() | past_instants
)
places = st.builds(m.SharedPlace, words, numbers)
to_datastore = (
    st.builds(m.Put, numbers, scopes, refs, blobs, blobs, st.none() | numbers, words, st.none() | places)
    | st.builds(m.Get, numbers, scopes, some(reads), instants, some(words), some(refs), st.booleans())
    | st.builds(m.Watch, numbers, scopes, words)
    | st.builds(m.EndWatch, numbers)
    | st.builds(m.MeetNode, numbers, words, numbers)
    | st.builds(m.HandingOver, numbers, numbers, some(group_ids), st.booleans())
    | st.builds(m.HandedOver, numbers, numbers)
    | st.builds(m.CopiesMade, numbers)
    | st.builds(
        m.HandOver,
        numbers,
        numbers,
        numbers,
        group_ids,
        numbers,
        some(kept_versions),
        some(st.builds(ObjectName, words, words)),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
)
from_datastore = (
    ended(m.PutDone, request=numbers, ref=st.none() | refs)
    | st.builds(m.GetDone, numbers, some(answers), some(st.builds(m.SharedFile, tiny, tiny, places)))
    | ended(m.Watched, request=numbers, value=st.none() | values)
    | st.builds(m.NodeMet, numbers, numbers, numbers, some(numbers))
    | st.builds(m.HandOverDone, numbers, st.booleans())
)

UNIONS = {
    "gateway_to_scheduler": (
        gateway_to_scheduler,
        scheduler_pb2.GatewayToScheduler,
        gateway.gateway_to_scheduler_to_wire,
        gateway.gateway_to_scheduler_from_wire,
    ),
    "scheduler_to_gateway": (
        scheduler_to_gateway,
        scheduler_pb2.SchedulerToGateway,
        gateway.scheduler_to_gateway_to_wire,
        gateway.scheduler_to_gateway_from_wire,
    ),
    "scheduler_to_worker": (
        scheduler_to_worker,
        worker_pb2.SchedulerToWorker,
        worker.scheduler_to_worker_to_wire,
        worker.scheduler_to_worker_from_wire,
    ),
    "worker_to_scheduler": (
        worker_to_scheduler,
        worker_pb2.WorkerToScheduler,
        worker.worker_to_scheduler_to_wire,
        worker.worker_to_scheduler_from_wire,
    ),
    "scheduler_to_datastore": (
        scheduler_to_datastore,
        datastore_pb2.SchedulerToDatastore,
        lead.scheduler_to_datastore_to_wire,
        lead.scheduler_to_datastore_from_wire,
    ),
    "datastore_to_scheduler": (
        datastore_to_scheduler,
        datastore_pb2.DatastoreToScheduler,
        lead.datastore_to_scheduler_to_wire,
        lead.datastore_to_scheduler_from_wire,
    ),
}


@pytest.mark.parametrize("union", UNIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_message_comes_back_as_it_was(union: str, data: st.DataObject) -> None:
    """Every message of every stream survives the wire unchanged, instants included, when no time passes."""
    strategy, wire_type, to_wire, from_wire = UNIONS[union]
    message = data.draw(strategy)
    out = wire_type()

    to_wire(message, out, NOW)

    assert _opened(from_wire(wire_type.FromString(out.SerializeToString()), NOW)) == message


def _opened(message: Any) -> Any:
    """An outcome that came packed, with what is in it."""
    if not isinstance(message, m.OutcomeReady):
        return message
    handed_on = objects_pb2.Outcome()
    objects.outcome_to_wire(message.outcome, handed_on)
    return m.OutcomeReady(objects.outcome_from_wire(handed_on))


@settings(max_examples=60, deadline=None)
@given(to_datastore)
def test_what_a_datastore_is_told_comes_back_as_it_was(message: Any) -> None:
    """Every message to a datastore survives the wire unchanged."""
    (data,) = ToDatastoreEncoder()(message, NOW)

    assert ToDatastoreDecoder()(data, NOW) == [message]


@settings(max_examples=60, deadline=None)
@given(from_datastore)
def test_what_a_datastore_answers_comes_back_as_it_was(message: Any) -> None:
    """Every message of a datastore survives the wire unchanged."""
    (data,) = FromDatastoreEncoder()(message, NOW)

    assert FromDatastoreDecoder()(data, NOW) == [message]


@settings(max_examples=60, deadline=None)
@given(declarations)
def test_a_declaration_comes_back_as_it_was(declaration: Declaration) -> None:
    """The registry's bytes hold the whole declaration, and the same bytes each time."""
    data = declaration_to_bytes(declaration)

    assert declaration_from_bytes(data) == declaration


def test_a_deadline_travels_as_what_remains() -> None:
    """A deadline keeps its distance although the two processes' clocks share no zero, and never grows."""
    out = scheduler_pb2.SubmitEvent()
    event = Event(Scope("t", "p"), "e", ObjectRef("pool", "/k", "g"), b"", Priority.HIGH, 10.25, "v")

    gateway.submit_to_wire(event, out, 10.0)

    assert out.budget_us == 250_000
    assert gateway.submit_from_wire(out, 5_000.0).deadline == 5_000.25


@pytest.mark.parametrize(
    "wanted",
    [
        KeyWanted("/k", 7, "g"),
        KeyWanted("/k", age_s=0.0),
        KeyWanted("/k", age_s=2.5),
        KeysWanted(("/k", "/l"), "g"),
        KeysWanted(("/k",), age_s=30.0),
        SeriesWanted("/k/*", 8, -3),
        SeriesWanted("/k/*", 8),
        PrefixWanted("/k", 5),
        GroupWanted("pool", "g", 5),
        GroupWanted("", "g", 5),
    ],
)
def test_what_a_client_wants_comes_as_it_was_asked(wanted: Wanted) -> None:
    """Every form of a get survives the edge."""
    scope = Scope("t", "p")

    assert edge.get_from_wire(edge.get_to_wire(scope, wanted), "t") == (scope, wanted)


@pytest.mark.parametrize(("deadline", "budget_us"), [(9.0, 0), (float("inf"), 10**15)])
def test_a_budget_has_bounds(deadline: float, budget_us: int) -> None:
    """What is over leaves no budget, and what never ends has a large one."""
    assert objects.microseconds(deadline - 10.0) == budget_us


def test_an_age_travels_and_not_its_instant() -> None:
    """`as_of` is as long ago for the reader as it was for the writer."""
    out = objects_pb2.KeyRead()

    objects.key_read_to_wire(KeyRead("pool", "/k", "g", 0, "node", True, as_of=7.5), out, 10.0)

    assert out.age_us == 2_500_000
    assert objects.key_read_from_wire(out, 100.0).as_of == 97.5


def test_a_beat_of_zeros_is_a_beat() -> None:
    """A message whose fields all have their defaults still says what it is."""
    out = datastore_pb2.DatastoreToScheduler()

    lead.datastore_to_scheduler_to_wire(m.Beat(), out, NOW)

    assert out.WhichOneof("message") == "beat"
    assert beat_from_wire(out.beat) == m.Beat()


@pytest.mark.parametrize("union", UNIONS)
def test_an_empty_message_is_malformed(union: str) -> None:
    """A message that holds nothing known is refused as the peer's mistake."""
    _, wire_type, _, from_wire = UNIONS[union]

    with pytest.raises(InvalidArgument):
        from_wire(wire_type(), NOW)


@pytest.mark.parametrize(
    "read",
    [
        lambda: objects.status_from_wire(77),
        lambda: objects.priority_from_wire(77),
        lambda: objects.read_from_wire(objects_pb2.Read(), NOW),
        lambda: declaration_from_bytes(b"\xff\xff"),
    ],
)
def test_what_no_peer_writes_is_malformed(read: Callable[[], object]) -> None:
    """Unknown words and broken bytes raise InvalidArgument, nothing else."""
    with pytest.raises(InvalidArgument):
        read()


def test_a_reason_of_a_newer_peer_is_read_as_none() -> None:
    """Services of two versions talk: a reason that is not known here costs its fineness and no more."""
    wire = objects_pb2.Verdict(status=objects_pb2.STATUS_UNAVAILABLE, reason="COSMIC_RAY", message="why")

    assert objects.verdict_of(objects_pb2.Answer(verdict=wire)) == (Status.UNAVAILABLE, Reason.NONE, "why")

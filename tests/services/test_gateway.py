"""The gateway's edge over real gRPC, with a leader and a home that the test scripts."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import covey
from covey.errors import (
    AlreadyExists,
    Cancelled,
    CoveyError,
    InvalidArgument,
    NotFound,
    Reason,
    ResourceExhausted,
    StageFailed,
    Status,
    Unavailable,
)
from covey.model import INLINE_BYTES_MAX, Event, Outcome, Priority
from covey.services.gateway.core.state import Limits
from covey.services.gateway.metrics import KeyCounts
from covey.telemetry import NOTHING, Attributes, Metric, Span, SpanName
from covey.v1 import gateway_pb2 as pb
from covey.v1 import gateway_pb2_grpc
from covey.wire.channel import open_channel
from tests.fakes_gateway import Mesh, ScriptedLeader, done, running_mesh

pytestmark = pytest.mark.asyncio

KEY = "/observations/s1/{}"


def open_for_ever(event: Event) -> Outcome | None:
    return None


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition of another task holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # what is waited for knows no events
            await asyncio.sleep(0.005)


def status_of(failure: grpc.aio.AioRpcError) -> tuple[str, str, str, float]:
    """Code, reason, domain and when to try again, as any client reads them."""
    status = rpc_status.from_call(failure)  # type: ignore[arg-type]  # it asks for no more than both have
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    return failure.code().name, info.reason, info.domain, retry.retry_delay.ToNanoseconds() / 1e9


async def sent(mesh: Mesh, timeout_s: float = 5, **fields: object) -> pb.SendResponse:
    """A Send as a client in any language makes it."""
    async with open_channel(mesh.address) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        event = pb.Event(**{"pipeline": "collisions", "key": KEY.format(1), "payload": b"x", **fields})
        response: pb.SendResponse = await stub.Send(pb.SendRequest(event=event), timeout=timeout_s)
        return response


# --- what works ------------------------------------------------------------------------------------------------------


async def test_send_gives_the_outcome() -> None:
    """A client sends a value and reads the results' values, decoded by their pool's codec."""
    async with running_mesh() as mesh, covey.connect(mesh.address, "collisions") as client:
        outcome = await client.send(KEY.format(3), {"boxes": [1, 2]}, id="mine", priority=Priority.LOW)
        (result,) = await client.results(outcome)

    assert (outcome.status, outcome.event_id) == (Status.OK, "mine")
    assert (result.scene, result.tick, result.value) == ("s1", 3, {"boxes": [1, 2]})
    assert mesh.leader.submitted[0].priority is Priority.LOW


async def test_a_large_payload_goes_through_the_home_both_ways() -> None:
    """The header travels alone, and a result that was too large to come along is fetched."""
    value = b"y" * (INLINE_BYTES_MAX + 1)
    async with running_mesh() as mesh, covey.connect(mesh.address) as client:
        outcome = await client.send(KEY.format(1), value)
        (result,) = await client.results(outcome)

    assert mesh.leader.submitted[0].payload is None
    assert result.value == value


async def test_a_stream_carries_many_events() -> None:
    """Outcomes come back to their events, whatever their order and status."""

    def decide(event: Event) -> Outcome:
        failed = event.ref.key.endswith("7")
        return Outcome(event.scope, event.id, Status.UNAVAILABLE, Reason.NO_WORKER) if failed else done(event)

    async with running_mesh(ScriptedLeader(decide)) as mesh, covey.connect(mesh.address) as client:
        async with client.stream(in_flight_max=16) as stream:
            pending = [await stream.send(KEY.format(tick), tick) for tick in range(200)]
        outcomes = [one.result() for one in pending]

    assert [outcome.status is Status.OK for outcome in outcomes] == [tick % 10 != 7 for tick in range(200)]
    assert len({outcome.event_id for outcome in outcomes}) == 200


async def test_a_client_may_finish_its_side_of_a_stream() -> None:
    """What was sent before the client finished is still answered, and then the stream ends well."""
    async with running_mesh() as mesh, open_channel(mesh.address) as channel:
        call = gateway_pb2_grpc.GatewayServiceStub(channel).Stream(timeout=5)
        events = [pb.Event(pipeline="collisions", key=KEY.format(tick), id=f"e{tick}") for tick in range(3)]
        await call.write(pb.StreamRequest(events=events))
        await call.done_writing()
        answered = [outcome.event_id async for response in call for outcome in response.outcomes]

        assert sorted(answered) == ["e0", "e1", "e2"]
        assert await call.code() is grpc.StatusCode.OK


async def test_put_get_last_and_scan() -> None:
    """What was put is read by key, by series, by prefix and by group."""
    async with running_mesh() as mesh, covey.connect(mesh.address) as client:
        ref = await client.put("/positions/s/a/1", [1.0, 2.0])
        await client.put("/positions/s/a/2", [3.0, 4.0])

        first = await client.get("/positions/s/a/1")
        assert first is not None
        assert (ref.version, ref.group, first.value, first.actor) == (1, "s/a", [1.0, 2.0], "a")
        assert await client.get("/positions/s/b/1") is None
        assert [found.tick for found in await client.last("/positions/s/a/*", 2)] == [1, 2]
        assert len(await client.scan("/positions/s/")) == 2
        assert len(await client.members("positions", "s/a")) == 2
    assert mesh.leader.submitted == []


async def test_subscribe_streams_what_is_put() -> None:
    """A subscription sees what is put into its pool from then on."""
    async with (
        running_mesh() as mesh,
        covey.connect(mesh.address) as client,
        client.subscribe("positions") as objects,
        asyncio.timeout(5),
        asyncio.TaskGroup() as group,
    ):
        seen = group.create_task(_first(objects))
        number = 0
        while not seen.done():  # a watch begins at the home a moment after the subscription is made
            number += 1
            await client.put(f"/positions/s/a/{number}", number)
            await asyncio.sleep(0.01)

    assert seen.result().key.startswith("/positions/s/a/")


async def _first(objects: AsyncIterator[covey.Object]) -> covey.Object:
    return await anext(objects)


async def test_describe_names_pipelines_and_nodes() -> None:
    """A client learns what it may send, and to how many nodes."""
    async with running_mesh() as mesh, covey.connect(mesh.address) as client:
        description = await client.describe()

    assert [declaration.pipeline for declaration in description.declarations] == ["collisions"]
    assert [node.id for node in description.nodes] == ["node-a"]


async def test_cancel_takes_an_event_back() -> None:
    """The waiting call ends CANCELLED, the leader is told, and a second cancel finds nothing."""
    async with running_mesh(ScriptedLeader(open_for_ever)) as mesh, covey.connect(mesh.address) as client:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_outcome_of(client.send(KEY.format(1), 1, id="mine", deadline_s=5)))
            await until(lambda: mesh.leader.submitted)
            assert await client.cancel("mine")
        assert not await client.cancel("mine")

    assert isinstance(sending.result(), Cancelled)
    assert mesh.leader.cancelled == ["mine"]


async def _outcome_of(sending: object) -> object:
    try:
        return await sending  # type: ignore[misc]
    except CoveyError as error:
        return error


async def test_a_client_that_goes_away_withdraws_its_events() -> None:
    """A call that is cancelled, and a stream that is broken off, leave nothing running."""
    async with running_mesh(ScriptedLeader(open_for_ever)) as mesh, open_channel(mesh.address) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        event = pb.Event(pipeline="collisions", key=KEY.format(1), id="unary", deadline_us=60_000_000)
        call = stub.Send(pb.SendRequest(event=event))
        stream = stub.Stream()
        event.id = "streamed"
        await stream.write(pb.StreamRequest(events=[event]))
        await until(lambda: len(mesh.leader.submitted) == 2)

        call.cancel()
        stream.cancel()

        await until(lambda: sorted(mesh.leader.cancelled) == ["streamed", "unary"])


async def test_the_calls_own_deadline_caps_the_events() -> None:
    """A Send with half a second left asks the mesh for no more than that."""
    async with running_mesh(ScriptedLeader(open_for_ever)) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await sent(mesh, timeout_s=0.3, deadline_us=60_000_000)

        assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: mesh.leader.cancelled)


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "reason", "sentence"),
    [
        ({"pipeline": ""}, "INVALID_ARGUMENT", "MALFORMED", "an event names its pipeline"),
        ({"pipeline": "none"}, "NOT_FOUND", "UNKNOWN_PIPELINE", "no pipeline 'none' is declared; known: collisions"),
        ({"key": "/nothing/1"}, "NOT_FOUND", "UNKNOWN_POOL", "no pool of 'collisions' has the key '/nothing/1'"),
        ({"key": "x"}, "INVALID_ARGUMENT", "MALFORMED", "a key starts with '/'"),
        ({"priority": 9}, "INVALID_ARGUMENT", "MALFORMED", "there is no priority 9"),
        ({"id": "i" * 200}, "INVALID_ARGUMENT", "MALFORMED", "an id has at most 128 characters"),
        ({"deadline_us": 50_000}, "DEADLINE_EXCEEDED", "LATE", "no outcome within 0.050 s"),
    ],
)
async def test_a_mistake_has_a_status_a_reason_and_a_sentence(
    fields: dict[str, object], code: str, reason: str, sentence: str
) -> None:
    """Any gRPC client can read what it did wrong."""
    async with running_mesh(ScriptedLeader(open_for_ever)) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await sent(mesh, **fields)

    assert status_of(failure.value)[:3] == (code, reason, "covey")
    assert sentence in (failure.value.details() or "")


async def test_the_same_mistakes_on_a_stream_are_outcomes() -> None:
    """One bad event does not end the stream of the others."""
    async with running_mesh() as mesh, open_channel(mesh.address) as channel:
        call = gateway_pb2_grpc.GatewayServiceStub(channel).Stream(timeout=5)
        good = pb.Event(pipeline="collisions", key=KEY.format(1), id="good")
        bad = [
            pb.Event(pipeline="collisions", key="/nothing", id="key"),
            pb.Event(key=KEY.format(1), id="pipeline"),
            pb.Event(pipeline="collisions", key=KEY.format(1), id="priority", priority=9),  # type: ignore[arg-type]
        ]
        await call.write(pb.StreamRequest(events=[*bad, good]))
        await call.done_writing()
        reasons = {one.event_id: one.verdict.reason async for response in call for one in response.outcomes}

    assert reasons == {"key": "UNKNOWN_POOL", "pipeline": "MALFORMED", "priority": "MALFORMED", "good": ""}


async def test_bytes_that_are_no_message_end_a_stream() -> None:
    """What can't be read is INVALID_ARGUMENT, and no internal error."""
    async with running_mesh() as mesh, open_channel(mesh.address) as channel:
        call = channel.stream_stream("/covey.v1.GatewayService/Stream")(timeout=5)
        await call.write(b"\xff\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call.read()

    assert status_of(failure.value)[:2] == ("INVALID_ARGUMENT", "MALFORMED")


async def test_a_full_gateway_says_when_to_try_again() -> None:
    """RESOURCE_EXHAUSTED carries RetryInfo, for clients that read it, and our own error for those that use ours."""
    async with running_mesh(ScriptedLeader(open_for_ever), limits=Limits(open_max=1)) as mesh:
        async with covey.connect(mesh.address) as client, asyncio.TaskGroup() as group:
            first = group.create_task(_outcome_of(client.send(KEY.format(1), 1, id="first", deadline_s=5)))
            await until(lambda: mesh.leader.submitted)
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await sent(mesh)
            with pytest.raises(ResourceExhausted) as refusal:
                await client.send(KEY.format(2), 2)
            await client.cancel("first")
        assert isinstance(first.result(), Cancelled)

    assert status_of(failure.value) == ("RESOURCE_EXHAUSTED", "NOT_ADMITTED", "covey", 0.1)
    assert refusal.value.retry_after_s == pytest.approx(0.1)


async def test_a_stages_failure_is_the_callers_to_see() -> None:
    """An outcome that is not OK is raised as the error that it stands for."""

    def fail(event: Event) -> Outcome:
        return Outcome(event.scope, event.id, Status.FAILED_PRECONDITION, Reason.STAGE_FAILED, "stage 'track' failed")

    async with running_mesh(ScriptedLeader(fail)) as mesh, covey.connect(mesh.address) as client:
        with pytest.raises(StageFailed, match="stage 'track' failed"):
            await client.send(KEY.format(1), 1)


async def test_an_id_names_one_event() -> None:
    """The same event again gives the same outcome; another under its id is refused."""
    async with running_mesh() as mesh, covey.connect(mesh.address) as client:
        first = await client.send(KEY.format(1), 1, id="mine")
        again = await client.send(KEY.format(1), 1, id="mine")
        with pytest.raises(AlreadyExists, match="was used with another"):
            await client.send(KEY.format(1), 2, id="mine")

    assert first == again
    assert len(mesh.leader.submitted) == 1


async def test_without_a_leader_nothing_hangs() -> None:
    """Events, puts, gets and descriptions all end with NO_LEADER after a second."""
    async with running_mesh(has_leader=False) as mesh, covey.connect(mesh.address) as client:
        with pytest.raises(Unavailable) as refusal:
            await client.describe()
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await sent(mesh)

    assert refusal.value.reason is Reason.NO_LEADER
    assert status_of(failure.value)[:2] == ("UNAVAILABLE", "NO_LEADER")


async def test_events_survive_a_change_of_leader() -> None:
    """What is open when the leader is lost goes to the next one, and the client sees only the outcome."""
    leader = ScriptedLeader(open_for_ever)
    async with running_mesh(leader) as mesh, covey.connect(mesh.address) as client, asyncio.TaskGroup() as group:
        sending = group.create_task(client.send(KEY.format(1), 1, deadline_s=5))
        await until(lambda: leader.submitted)
        leader.decide = done
        assert leader.link is not None
        leader.link.close()

        assert (await sending).status is Status.OK
        assert len(leader.submitted) == 2


async def test_a_gateway_that_stops_answers_what_is_open() -> None:
    """A stop lets what is open end, for a while; a stream is then told to look for another gateway."""
    leader = ScriptedLeader(open_for_ever)
    async with running_mesh(leader, grace_s=0.2) as mesh:
        client_task_done = asyncio.Event()
        outcomes: list[Outcome] = []

        async def use() -> None:
            async with covey.connect(mesh.address) as client, client.stream() as stream:
                outcomes.append(await (await stream.send(KEY.format(1), 1, deadline_s=0.1)))
                pending = await stream.send(KEY.format(2), 2, deadline_s=30)
                client_task_done.set()
                outcomes.append(await pending)

        using = asyncio.get_running_loop().create_task(use())
        await client_task_done.wait()
        await until(lambda: len(leader.submitted) == 2)
    await using

    assert [outcome.status for outcome in outcomes] == [Status.DEADLINE_EXCEEDED, Status.UNAVAILABLE]


@pytest.mark.parametrize(
    ("request_", "error", "sentence"),
    [
        (pb.GetRequest(pipeline="collisions"), InvalidArgument, "one of key, keys, series, prefix and in_group"),
        (pb.GetRequest(key="/a"), InvalidArgument, "a get names its pipeline"),
        (pb.GetRequest(pipeline="collisions", key="/a"), NotFound, "no pool of 'collisions'"),
        (pb.GetRequest(pipeline="collisions", in_group="g", pool="none"), NotFound, "has no pool 'none'"),
        (pb.GetRequest(pipeline="collisions", prefix="/"), InvalidArgument, "make it longer"),
    ],
)
async def test_a_mistaken_get_is_refused(request_: pb.GetRequest, error: type[CoveyError], sentence: str) -> None:
    """A get says what is wrong with it."""
    async with running_mesh() as mesh, open_channel(mesh.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await gateway_pb2_grpc.GatewayServiceStub(channel).Get(request_, timeout=5)

    assert failure.value.code().name == error.status
    assert sentence in (failure.value.details() or "")


async def test_a_subscription_to_no_pool_is_refused() -> None:
    """A pool that the pipeline does not have is NOT_FOUND."""
    async with running_mesh() as mesh, open_channel(mesh.address) as channel:
        call = gateway_pb2_grpc.GatewayServiceStub(channel).Subscribe(
            pb.SubscribeRequest(pipeline="collisions", pool="none"), timeout=5
        )
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call.read()

    assert status_of(failure.value)[:2] == ("NOT_FOUND", "UNKNOWN_POOL")


async def test_a_tenant_sees_its_own_pipelines_only() -> None:
    """Another tenant's pipelines are unknown."""
    async with running_mesh() as mesh, covey.connect(mesh.address, "collisions", tenant="other") as client:
        with pytest.raises(NotFound, match="no pipeline 'collisions' is declared; known: none"):
            await client.send(KEY.format(1), 1)


class Recorder:
    """Telemetry that is kept."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.numbers: list[tuple[Metric, float, Attributes]] = []

    def span(self, span: Span) -> None:
        self.spans.append(span)

    def measure(self, metric: Metric, value: float, attributes: Attributes = NOTHING) -> None:
        self.numbers.append((metric, value, attributes))


async def test_what_has_no_group_is_counted_by_pool() -> None:
    """Keys that their pool's rule leaves alone, and gets across groups, are metrics: what has come since last told."""
    recorder = Recorder()
    async with running_mesh() as mesh, covey.connect(mesh.address) as client:
        state = mesh.gateway._core.state
        counts = KeyCounts(state, recorder)
        await client.put("/loose/UPPER/1", 1)
        counts.report()
        await client.get_many(["/loose/a/1", "/loose/UPPER/1"])
        counts.report()

    loose = {"covey.pipeline": "collisions", "covey.pool": "loose"}
    assert recorder.numbers == [
        (Metric.KEYS_UNGROUPED, 1, loose),
        (Metric.KEYS_UNGROUPED, 1, loose),
        (Metric.GETS_SPANNING, 1, {"covey.pipeline": "collisions"}),
    ]


async def test_an_event_is_a_span_under_the_clients() -> None:
    """The event's span continues the client's trace, and the mesh's spans continue the event's."""
    clients = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    recorder = Recorder()
    async with running_mesh(telemetry=recorder) as mesh, covey.connect(mesh.address) as client:
        await client.send(KEY.format(1), 1, traceparent=clients)

    (span,) = recorder.spans
    assert (span.name, span.parent) == (SpanName.EVENT, clients)
    assert span.traceparent.startswith(clients[:35])
    assert mesh.leader.submitted[0].traceparent == span.traceparent

"""What every server of ours does around its handlers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from covey.errors import Bug, InvalidArgument, NotFound, Reason, ResourceExhausted, Unavailable
from covey.v1 import gateway_pb2, gateway_pb2_grpc
from covey.wire.channel import open_channel
from covey.wire.server import Service, serve
from covey.wire.status import error_of_rpc

pytestmark = pytest.mark.asyncio

NAME = "covey.v1.GatewayService"
Answering = Callable[[gateway_pb2.CancelRequest], Awaitable[gateway_pb2.CancelResponse]]


class Gateway(gateway_pb2_grpc.GatewayServiceServicer):
    """A servicer whose `Cancel` and `Subscribe` are what the test says."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer

    async def Cancel(self, request: gateway_pb2.CancelRequest, context: Any) -> gateway_pb2.CancelResponse:
        return await self._answer(request)

    async def Subscribe(
        self, request: gateway_pb2.SubscribeRequest, context: Any
    ) -> AsyncIterator[gateway_pb2.SubscribeResponse]:
        yield gateway_pb2.SubscribeResponse()
        raise ResourceExhausted("too slow", Reason.SLOW_READER, retry_after_s=2)


def service(answer: Answering) -> Service:
    return Service(NAME, lambda server: gateway_pb2_grpc.add_GatewayServiceServicer_to_server(Gateway(answer), server))


async def found(request: gateway_pb2.CancelRequest) -> gateway_pb2.CancelResponse:
    return gateway_pb2.CancelResponse(found=True)


async def outcome_of(answer: Answering) -> Exception:
    """The covey error that a call to such a server raises."""
    async with serve([service(answer)]) as address, open_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway_pb2_grpc.GatewayServiceStub(channel).Cancel(gateway_pb2.CancelRequest(), timeout=5)
        return error_of_rpc(caught.value)


async def test_an_answer_goes_through() -> None:
    """A handler that succeeds is not noticed."""
    async with serve([service(found)]) as address, open_channel(address) as channel:
        response = await gateway_pb2_grpc.GatewayServiceStub(channel).Cancel(gateway_pb2.CancelRequest())

    assert response.found


async def test_our_errors_arrive_as_they_are() -> None:
    """A covey error that a handler raises is the one that its caller can raise."""

    async def answer(request: object) -> gateway_pb2.CancelResponse:
        raise NotFound("no such event", Reason.UNKNOWN_EVENT)

    error = await outcome_of(answer)

    assert isinstance(error, NotFound)
    assert (error.reason, error.message) == (Reason.UNKNOWN_EVENT, "no such event")


async def test_a_bug_is_opaque() -> None:
    """What we did not expect is INTERNAL with a number, and says nothing about itself."""

    async def answer(request: object) -> gateway_pb2.CancelResponse:
        raise ZeroDivisionError("the password is 1234")

    error = await outcome_of(answer)

    assert isinstance(error, Bug)
    assert "1234 " not in error.message
    assert "password" not in error.message


async def test_a_cancellation_of_our_own_is_unavailable() -> None:
    """A handler that was cancelled inside answers, instead of leaving its caller to wait."""

    async def answer(request: object) -> gateway_pb2.CancelResponse:
        raise asyncio.CancelledError

    assert isinstance(await outcome_of(answer), Unavailable)


async def test_a_malformed_request_is_the_callers_mistake() -> None:
    """Bytes that are no message of the method are INVALID_ARGUMENT."""
    async with serve([service(found)]) as address, open_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await channel.unary_unary(f"/{NAME}/Cancel")(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as streaming:
            await channel.unary_stream(f"/{NAME}/Subscribe")(b"\xff\xff").read()

    assert isinstance(error_of_rpc(unary.value), InvalidArgument)
    assert isinstance(error_of_rpc(streaming.value), InvalidArgument)


async def test_a_stream_ends_with_its_error() -> None:
    """A handler that yields may fail in the middle; what it gave before arrives."""
    async with serve([service(found)]) as address, open_channel(address) as channel:
        call = gateway_pb2_grpc.GatewayServiceStub(channel).Subscribe(gateway_pb2.SubscribeRequest())
        await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()

    error = error_of_rpc(caught.value)
    assert isinstance(error, ResourceExhausted)
    assert (error.reason, error.retry_after_s) == (Reason.SLOW_READER, 2.0)


async def test_health_is_said_per_service() -> None:
    """The whole server and each of its services are SERVING while it serves."""
    async with serve([service(found)]) as address, open_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", NAME):
            response = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert response.status == health_pb2.HealthCheckResponse.SERVING


async def services_of(channel: grpc.aio.Channel) -> list[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    response = await call.read()
    await call.read()
    return [each.name for each in response.list_services_response.service]


async def test_reflection_stands_behind_a_flag() -> None:
    """Services are listed only where that was asked for."""
    async with serve([service(found)], reflect=True) as address, open_channel(address) as channel:
        assert NAME in await services_of(channel)
    async with serve([service(found)]) as address, open_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await services_of(channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_stopping_waits_for_what_is_in_flight() -> None:
    """A call that began before the stop gets its answer; the health says so meanwhile, and new calls are refused."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: object) -> gateway_pb2.CancelResponse:
        began.set()
        await go_on.wait()
        return gateway_pb2.CancelResponse(found=True)

    server = serve([service(answer)])
    async with asyncio.timeout(5), asyncio.TaskGroup() as group, open_channel(await server.__aenter__()) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        call = stub.Cancel(gateway_pb2.CancelRequest())
        await began.wait()
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = group.create_task(server.__aexit__(None, None, None))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Cancel(gateway_pb2.CancelRequest())
        assert error_of_rpc(caught.value).reason is Reason.DRAINING

        go_on.set()

        assert (await call).found
        await stopping


async def test_a_grace_ends_and_handlers_clean_up() -> None:
    """What is still in flight after the grace is cut off, and its `finally` has run when the server is gone."""
    began = asyncio.Event()
    cleaned = False

    async def answer(request: object) -> gateway_pb2.CancelResponse:
        nonlocal cleaned
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            cleaned = True
        raise AssertionError

    server = serve([service(answer)], grace_s=0.05)
    async with asyncio.timeout(5), open_channel(await server.__aenter__()) as channel:
        call = gateway_pb2_grpc.GatewayServiceStub(channel).Cancel(gateway_pb2.CancelRequest())
        await began.wait()
        await server.__aexit__(None, None, None)
        assert cleaned
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert isinstance(error_of_rpc(caught.value), Unavailable)


async def test_a_taken_port_is_unavailable() -> None:
    """Two servers do not share an address by accident."""
    async with serve([]) as address:
        with pytest.raises(Unavailable):
            async with serve([], address):
                pass

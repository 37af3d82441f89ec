"""The edge over gRPC: requests become what the shell is asked, answers and errors become responses.

The tenant comes from the call's metadata (`covey-tenant`); a call's own gRPC deadline caps what the request asks for.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any, TypeAlias, cast

import grpc

from covey.clock import Clock
from covey.errors import InvalidArgument, Reason
from covey.services.gateway.shell import Gateway
from covey.services.gateway.streaming import EventStream
from covey.v1 import gateway_pb2 as pb
from covey.v1 import gateway_pb2_grpc
from covey.wire.convert import edge
from covey.wire.convert.objects import object_to_wire, outcome_to_wire
from covey.wire.options import MESSAGE_BYTES_MAX
from covey.wire.server import Service

SERVICE = "covey.v1.GatewayService"
TENANT = "covey-tenant"
TENANT_DEFAULT = "default"
TENANT_CHARS_MAX = 128
ANSWER_BYTES_MAX = MESSAGE_BYTES_MAX - (1 << 20)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """Translates; the shell and its core decide."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def Send(self, request: pb.SendRequest, context: Context) -> pb.SendResponse:
        event = edge.event_from_wire(request.event, tenant_of(context), _remaining_s(context))
        outcome = await self._gateway.send(event)
        response = pb.SendResponse()
        outcome_to_wire(outcome, response.outcome)
        return response

    async def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.CancelResponse:
        name = edge.name_from_wire(request.event, tenant_of(context))
        return pb.CancelResponse(found=await self._gateway.cancel(name))

    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutResponse:
        new = edge.put_from_wire(request, tenant_of(context), _budget_s(context))
        return edge.put_answer_to_wire(await self._gateway.put(new))

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        scope, wanted = edge.get_from_wire(request, tenant_of(context))
        answer = await self._gateway.get(scope, wanted, _budget_s(context))
        size = sum(len(value.payload or b"") for value in answer.objects)
        if size > ANSWER_BYTES_MAX:
            raise InvalidArgument(
                f"{len(answer.objects)} objects of {size:,} bytes don't fit one answer; ask for fewer", Reason.TOO_LARGE
            )
        return edge.answer_to_wire(answer)

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> AsyncIterator[pb.SubscribeResponse]:
        scope = edge.scope_of(tenant_of(context), request.pipeline, "a subscription")
        async with self._gateway.watch(scope, request.pool) as objects:
            await context.send_initial_metadata(())  # tells the client that we listen
            async for value in objects:
                response = pb.SubscribeResponse()
                object_to_wire(value, response.objects.add())
                yield response

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        return edge.description_to_wire(await self._gateway.describe(tenant_of(context), request.pipeline))


def tenant_of(context: Context) -> str:
    """Who calls. Raises InvalidArgument for a name that no tenant can have."""
    for key, value in context.invocation_metadata() or ():
        if key == TENANT:
            name = value if isinstance(value, str) else value.decode(errors="replace")
            if not name or len(name) > TENANT_CHARS_MAX:
                raise InvalidArgument(f"a tenant's name has 1 to {TENANT_CHARS_MAX} characters: {name[:40]!r}")
            return name
    return TENANT_DEFAULT


def _budget_s(context: Context) -> float | None:
    """What remains of the call; None if it has no deadline."""
    return cast("float | None", context.time_remaining())


def _remaining_s(context: Context) -> float:
    remaining_s = _budget_s(context)
    return math.inf if remaining_s is None else remaining_s


def service(gateway: Gateway, clock: Clock) -> Service:
    """The gateway's service, as a server takes it."""
    live: dict[int, EventStream] = {}

    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        served = EventStream(gateway, tenant_of(context), clock)
        live[id(served)] = served
        try:
            await served.serve(requests, context)
        finally:
            del live[id(served)]

    def add_to(server: grpc.aio.Server) -> None:
        # The stream reads and writes bytes itself; handlers that are added first are found first.
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(stream)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Stream": handler}),))
        gateway_pb2_grpc.add_GatewayServiceServicer_to_server(GatewayServicer(gateway), server)

    def hang_up() -> None:
        for served in list(live.values()):
            served.hang_up()

    return Service(SERVICE, add_to, hang_up)

"""A gateway over gRPC, as a `covey.client.Edge`: our own values in and out, covey errors raised."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc

from covey.clock import Clock, MonotonicClock
from covey.edge import Description, EventName, NewEvent, NewObject, ToEdge, Wanted
from covey.link import Link
from covey.model import Answer, ObjectRef, ObjectValue, Outcome, Scope
from covey.v1 import gateway_pb2 as pb
from covey.v1 import gateway_pb2_grpc
from covey.wire.channel import connected
from covey.wire.convert import edge
from covey.wire.convert.objects import object_from_wire, outcome_from_wire
from covey.wire.status import error_of_rpc
from covey.wire.streams import dialed

TENANT = "covey-tenant"
"""The metadata key that says who calls."""

STREAM = "/covey.v1.GatewayService/Stream"
SLACK_S = 1.0
"""How much longer than its budget a call waits for the gateway's own word on it."""

CALL_S = 10.0
"""How long calls without a budget may take."""

Metadata = tuple[tuple[str, str], ...]
T = TypeVar("T")


@asynccontextmanager
async def gateway_at(
    address: str, clock: Clock | None = None, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[GatewayClient]:
    """The gateway that listens at `address`. Raises Unavailable when none answers."""
    async with connected(address, credentials) as channel:
        yield GatewayClient(channel, address, clock or MonotonicClock())


class GatewayClient:
    """Calls a gateway over one channel."""

    def __init__(self, channel: grpc.aio.Channel, address: str, clock: Clock) -> None:
        self._channel = channel
        self._address = address
        self._clock = clock
        self._stub = gateway_pb2_grpc.GatewayServiceStub(channel)

    async def send(self, event: NewEvent) -> Outcome:
        request = pb.SendRequest()
        edge.event_to_wire(event, request.event)
        timeout_s = None if event.budget_s is None else event.budget_s + SLACK_S
        response = await _answer(self._stub.Send(request, timeout=timeout_s, metadata=_metadata(event.scope.tenant)))
        return outcome_from_wire(response.outcome)

    @asynccontextmanager
    async def stream(self, tenant: str) -> AsyncIterator[Link[ToEdge, Outcome]]:
        async with dialed(
            self._channel,
            STREAM,
            self._address,
            edge.encode_to_edge,
            edge.decode_outcomes,
            self._clock,
            metadata=_metadata(tenant),
        ) as link:
            yield link

    async def cancel(self, name: EventName) -> bool:
        request = pb.CancelRequest()
        edge.name_to_wire(name, request.event)
        response = await _answer(self._stub.Cancel(request, timeout=CALL_S, metadata=_metadata(name.scope.tenant)))
        return bool(response.found)

    async def put(self, new: NewObject) -> ObjectRef:
        request = edge.put_to_wire(new)
        timeout_s = CALL_S if new.budget_s is None else new.budget_s
        call = self._stub.Put(request, timeout=timeout_s, metadata=_metadata(new.scope.tenant))
        return edge.put_answer_from_wire(await _answer(call))

    async def get(self, scope: Scope, wanted: Wanted, budget_s: float | None = None) -> Answer:
        request = edge.get_to_wire(scope, wanted)
        timeout_s = CALL_S if budget_s is None else budget_s
        call = self._stub.Get(request, timeout=timeout_s, metadata=_metadata(scope.tenant))
        return edge.answer_from_wire(await _answer(call))

    @asynccontextmanager
    async def watch(self, scope: Scope, pool: str) -> AsyncIterator[AsyncIterator[ObjectValue]]:
        request = pb.SubscribeRequest(pipeline=scope.pipeline, pool=pool)
        call = self._stub.Subscribe(request, metadata=_metadata(scope.tenant))
        try:
            await _answer(call.initial_metadata())
            yield _watched(call)
        finally:
            call.cancel()

    async def describe(self, tenant: str, pipeline: str = "") -> Description:
        request = pb.DescribeRequest(pipeline=pipeline)
        response = await _answer(self._stub.Describe(request, timeout=CALL_S, metadata=_metadata(tenant)))
        return edge.description_from_wire(response)


def _metadata(tenant: str) -> Metadata:
    return ((TENANT, tenant),)


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        raise error_of_rpc(failure) from None


async def _watched(
    call: grpc.aio.UnaryStreamCall[pb.SubscribeRequest, pb.SubscribeResponse],
) -> AsyncIterator[ObjectValue]:
    try:
        async for response in call:
            for value in response.objects:
                yield object_from_wire(value)
    except grpc.aio.AioRpcError as failure:
        raise error_of_rpc(failure) from None

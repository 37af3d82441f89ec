"""Every inner stream in one place: its method, what it carries each way, how it is dialed and how it is served.

Shells take what is here as a `covey.link.Dial` and offer a `covey.link.Serve`; they see links and nothing of gRPC.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from covey.clock import Clock, MonotonicClock
from covey.link import Dial, Link, Serve
from covey.messages import (
    DatastoreToScheduler,
    FromDatastore,
    GatewayToScheduler,
    SchedulerToDatastore,
    SchedulerToGateway,
    SchedulerToWorker,
    ToDatastore,
    WorkerToScheduler,
)
from covey.v1 import datastore_pb2, scheduler_pb2, worker_pb2
from covey.wire.channel import connected
from covey.wire.convert import gateway, lead, worker
from covey.wire.envelopes import Decode, Encode, plain_decoder, plain_encoder
from covey.wire.neighbours import Neighbours, dialed_near
from covey.wire.parts import FromDatastoreDecoder, FromDatastoreEncoder, ToDatastoreDecoder, ToDatastoreEncoder
from covey.wire.server import Service
from covey.wire.streams import AcceptedLinks, dialed

A = TypeVar("A")
B = TypeVar("B")

SCHEDULER = "covey.v1.SchedulerService"
WORKER = "covey.v1.WorkerService"
DATASTORE = "covey.v1.DatastoreService"


@dataclass(frozen=True, slots=True)
class Method(Generic[A, B]):
    """A stream: the dialer sends A and the acceptor B. Encoders and decoders are made anew for each stream."""

    service: str
    name: str
    encode: Callable[[], Encode[A]]
    decode: Callable[[], Decode[A]]
    encode_back: Callable[[], Encode[B]]
    decode_back: Callable[[], Decode[B]]

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"

    def dialer(
        self,
        neighbours: Neighbours | None = None,
        *,
        clock: Clock | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> Dial[A, B]:
        """Opens links to an address, through memory to a neighbour; raises Unavailable when nobody answers there."""
        ticking = clock or MonotonicClock()

        @asynccontextmanager
        async def dial(address: str) -> AsyncIterator[Link[A, B]]:
            near = neighbours.find(self.path, address) if neighbours else None
            if near is not None:
                async with dialed_near(near, ticking) as link:
                    yield link
                return
            async with (
                connected(address, credentials) as channel,
                dialed(channel, self.path, address, self.encode(), self.decode_back(), ticking) as link,
            ):
                yield link

        return dial

    def handler(self, links: AcceptedLinks[B, A]) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def accept(requests: object, context: Any) -> None:
            await links.accept(context, self.encode_back(), self.decode())

        return grpc.stream_stream_rpc_method_handler(accept)


def _plain(service: str, name: str, forth: tuple[Any, Any, Any], back: tuple[Any, Any, Any]) -> Method[Any, Any]:
    """A stream without parts; each direction as (envelope, to_wire, from_wire)."""
    return Method(
        service,
        name,
        encode=lambda: plain_encoder(forth[0], forth[1]),
        decode=lambda: plain_decoder(forth[0], forth[2]),
        encode_back=lambda: plain_encoder(back[0], back[1]),
        decode_back=lambda: plain_decoder(back[0], back[2]),
    )


SUBMIT: Method[GatewayToScheduler, SchedulerToGateway] = _plain(
    SCHEDULER,
    "Submit",
    (
        scheduler_pb2.SubmitRequest,
        gateway.gateway_to_scheduler_to_wire,
        gateway.gateway_to_scheduler_from_wire,
    ),
    (
        scheduler_pb2.SubmitResponse,
        gateway.scheduler_to_gateway_to_wire,
        gateway.scheduler_to_gateway_from_wire,
    ),
)
RUN: Method[SchedulerToWorker, WorkerToScheduler] = _plain(
    WORKER,
    "Run",
    (worker_pb2.RunRequest, worker.scheduler_to_worker_to_wire, worker.scheduler_to_worker_from_wire),
    (worker_pb2.RunResponse, worker.worker_to_scheduler_to_wire, worker.worker_to_scheduler_from_wire),
)
LEAD: Method[SchedulerToDatastore, DatastoreToScheduler] = _plain(
    DATASTORE,
    "Lead",
    (datastore_pb2.LeadRequest, lead.scheduler_to_datastore_to_wire, lead.scheduler_to_datastore_from_wire),
    (datastore_pb2.LeadResponse, lead.datastore_to_scheduler_to_wire, lead.datastore_to_scheduler_from_wire),
)
EXCHANGE: Method[ToDatastore, FromDatastore] = Method(
    DATASTORE,
    "Exchange",
    encode=ToDatastoreEncoder,
    decode=ToDatastoreDecoder,
    encode_back=FromDatastoreEncoder,
    decode_back=FromDatastoreDecoder,
)

dial_scheduler: Dial[GatewayToScheduler, SchedulerToGateway] = SUBMIT.dialer()
dial_worker: Dial[SchedulerToWorker, WorkerToScheduler] = RUN.dialer()
dial_datastore: Dial[ToDatastore, FromDatastore] = EXCHANGE.dialer()
dial_datastore_lead: Dial[SchedulerToDatastore, DatastoreToScheduler] = LEAD.dialer()


def scheduler_servicer(serve: Serve[SchedulerToGateway, GatewayToScheduler], clock: Clock | None = None) -> Service:
    """What the leader serves: gateways' streams."""
    return _service(SCHEDULER, (SUBMIT, AcceptedLinks(serve, clock or MonotonicClock())))


def worker_servicer(serve: Serve[WorkerToScheduler, SchedulerToWorker], clock: Clock | None = None) -> Service:
    """What a worker serves: the leader's stream."""
    return _service(WORKER, (RUN, AcceptedLinks(serve, clock or MonotonicClock())))


def datastore_servicer(
    exchange: Serve[FromDatastore, ToDatastore],
    lead: Serve[DatastoreToScheduler, SchedulerToDatastore],
    clock: Clock | None = None,
) -> Service:
    """What a datastore serves: puts, gets and watches of anyone, and the leader's stream."""
    ticking = clock or MonotonicClock()
    return _service(DATASTORE, (EXCHANGE, AcceptedLinks(exchange, ticking)), (LEAD, AcceptedLinks(lead, ticking)))


def _service(name: str, *methods: tuple[Method[Any, Any], AcceptedLinks[Any, Any]]) -> Service:
    handlers = {method.name: method.handler(links) for method, links in methods}

    def add_to(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    def hang_up() -> None:
        for _, links in methods:
            links.hang_up()

    return Service(name, add_to, hang_up, {method.path: links for method, links in methods})

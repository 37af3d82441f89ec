"""The floor: chains of raw gRPC, client -> A -> B -> C and back, four processes.

    python -m benchmarks.wire.floor unary|edge|streams [--to ADDRESS]

What no mesh of Python processes that speak gRPC can do without: no queue, no batch, no group, no deadline. A chain is
of unary calls, of streams that join what is pending, or of both: unary at the edge, streams inside. A message is a
covey.v1.Event, parsed and written at every hop.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from benchmarks.wire.joining import Joining
from benchmarks.wire.subject import LARGE, SMALL, Call, Failed, Running, Servers, Subject, Workload, check
from covey.beside import beside
from covey.children import Child, start_child, stop_children, tail
from covey.errors import Unavailable
from covey.runtime import run
from covey.settings import environment_with
from covey.tether import tethered
from covey.v1 import gateway_pb2 as pb
from covey.wire.channel import connected
from covey.wire.options import SERVER

SERVICE = "benchmarks.Floor"
ANSWER_BYTES = 64
START_S_MAX = 20.0
GRACE_S = 0.5

Handle = Callable[[pb.Event], Awaitable[pb.Event]]


def answer(event: pb.Event) -> pb.Event:
    """What the last process of a chain answers."""
    return pb.Event(id=event.id, payload=event.payload[:ANSWER_BYTES])


# --- the two ways to ask ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def unary_caller(address: str) -> AsyncIterator[Handle]:
    """Ask by a unary call each."""
    async with connected(address) as channel:
        call: Any = channel.unary_unary(
            f"/{SERVICE}/Unary",
            request_serializer=pb.Event.SerializeToString,
            response_deserializer=pb.Event.FromString,
        )

        async def ask(event: pb.Event) -> pb.Event:
            answered: pb.Event = await call(event)
            return answered

        yield ask


@asynccontextmanager
async def stream_caller(address: str) -> AsyncIterator[Handle]:
    """Ask over one stream; answers find their requests by id."""
    waiting: dict[str, asyncio.Future[pb.Event]] = {}
    numbers = itertools.count()
    loop = asyncio.get_running_loop()

    def take(event: pb.Event) -> None:
        future = waiting.pop(event.id, None)
        if future is not None and not future.done():
            future.set_result(event)

    async with stream_to(address, take) as joining:

        async def ask(event: pb.Event) -> pb.Event:
            asked = pb.Event(id=str(next(numbers)), payload=event.payload)
            future: asyncio.Future[pb.Event] = loop.create_future()
            waiting[asked.id] = future
            joining.send(asked, len(waiting))
            return await future

        yield ask


@asynccontextmanager
async def stream_to(address: str, take: Callable[[pb.Event], None]) -> AsyncIterator[Joining]:
    """A stream to the next process; `take` hears what comes back."""
    async with connected(address) as channel:
        call: Any = channel.stream_stream(
            f"/{SERVICE}/Stream",
            request_serializer=pb.StreamRequest.SerializeToString,
            response_deserializer=pb.StreamRequest.FromString,
        )()
        joining = Joining(call.write)

        async def read_all() -> None:
            while (message := await call.read()) is not grpc.aio.EOF:
                for event in message.events:
                    take(event)

        try:
            async with beside(joining.write_all()), beside(read_all()):
                yield joining
        finally:
            call.cancel()


# --- the processes of a chain ----------------------------------------------------------------------------------------


def unary_server(handle: Handle) -> Any:
    """Answers unary calls."""

    async def unary(request: pb.Event, _context: object) -> pb.Event:
        return await handle(request)

    return {
        "Unary": grpc.unary_unary_rpc_method_handler(
            unary, request_deserializer=pb.Event.FromString, response_serializer=pb.Event.SerializeToString
        )
    }


def stream_server(to: str) -> Any:
    """Answers a stream's events, or passes them on, and what comes back, back."""

    async def stream(_requests: object, context: Any) -> None:
        back = Joining(context.write)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(beside(back.write_all()))
            forth = await stack.enter_async_context(stream_to(to, back.send)) if to else None
            while (message := await context.read()) is not grpc.aio.EOF:
                for event in message.events:
                    if forth is None:
                        back.send(answer(event))
                    else:
                        forth.send(event)

    return {
        "Stream": grpc.stream_stream_rpc_method_handler(
            stream,
            request_deserializer=pb.StreamRequest.FromString,
            response_serializer=pb.StreamRequest.SerializeToString,
        )
    }


async def host(kind: str, to: str) -> None:
    """Serve one process of a chain until cancelled, and print its address."""
    async with AsyncExitStack() as stack:
        if kind == "streams":
            handlers = stream_server(to)
        elif to:
            caller = unary_caller if kind == "unary" else stream_caller
            handlers = unary_server(await stack.enter_async_context(caller(to)))
        else:
            handlers = unary_server(_answered)
        server = grpc.aio.server(options=SERVER)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(f"127.0.0.1:{port}", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop(0)


async def _answered(event: pb.Event) -> pb.Event:
    return answer(event)


# --- subjects --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def chain(kinds: tuple[str, ...], folder: Path) -> AsyncIterator[Running]:
    """Processes A, B, C of these kinds, the last of which answers."""
    children: list[Child] = []
    address = ""
    try:
        for name, kind in reversed(list(zip("abc", kinds, strict=False))):
            command = [sys.executable, "-m", "benchmarks.wire.floor", kind, "--to", address]
            child = await start_child(f"floor-{name}", tethered(command), environment_with({}), folder)
            children.append(child)
            address = await _address_of(child)
        yield Running(address, {child.name.removeprefix("floor-"): child.pid for child in reversed(children)})
    finally:
        await stop_children(children, GRACE_S)


async def _address_of(child: Child) -> str:
    try:
        async with asyncio.timeout(START_S_MAX):
            while child.running:
                if (text := child.log.read_text()).endswith("\n"):
                    return text.splitlines()[-1]
                await asyncio.sleep(0.02)
    except TimeoutError:
        pass
    raise Unavailable(f"{child.name} did not start: {tail(child.log)}")


@asynccontextmanager
async def asking(caller: Callable[[str], Any], workload: Workload, address: str) -> AsyncIterator[Call]:
    """The client's end of a chain."""
    async with caller(address) as ask:

        async def call(payload: bytes) -> None:
            try:
                answered = await ask(pb.Event(payload=payload))
            except grpc.aio.AioRpcError as error:
                raise Failed(str(error.code())) from None
            check(len(answered.payload), workload.answer_bytes)

        yield call


CHAINS = {
    "floor-hop": (("unary",), unary_caller),
    "floor-unary": (("unary",) * 3, unary_caller),
    "floor-edge": (("edge", "streams", "streams"), unary_caller),
    "floor-streams": (("streams",) * 3, stream_caller),
}


def subjects() -> list[Subject]:
    """One unary hop and three chains, each with small and with large payloads."""
    found = []
    for name, (kinds, caller) in CHAINS.items():
        servers = Servers(name, functools.partial(chain, kinds))
        for workload in (SMALL, LARGE):
            found.append(Subject(name, workload.name, servers, functools.partial(asking, caller, workload)))
    return found


def main() -> None:
    """Run one process of a chain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("unary", "edge", "streams"))
    parser.add_argument("--to", default="", help="the next process; without one this is the last, which answers")
    options = parser.parse_args()
    sys.exit(run(lambda: host(options.kind, options.to), log_level="WARNING"))


if __name__ == "__main__":
    main()

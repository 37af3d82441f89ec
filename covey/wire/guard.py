"""What stands between gRPC and every handler: counts them, parses for them, and turns what they raise into statuses.

* A CoveyError becomes its status with details; anything else a handler raises is our bug: logged under an opaque id,
  which is all that the caller sees.
* A request that is no message is the caller's INVALID_ARGUMENT (gRPC itself would say UNKNOWN, with our internals).
* Health and reflection stand outside: a watcher of our health must not keep us from stopping.
* A CancelledError that the caller did not cause would leave the caller hanging: it becomes UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import grpc

from covey.errors import Bug, CoveyError, InvalidArgument, Reason, Unavailable
from covey.wire.status import abort

log = logging.getLogger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behavior = Callable[[Any, Any], Any]


class Guard:
    """Wraps the handlers of a server, once, when they are added; interceptors would cost each call anew."""

    def __init__(self) -> None:
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._wrapped: dict[str, Handler] = {}
        self.draining = False
        """Refuse new calls."""

    async def idle(self) -> None:
        """Wait until no handler runs, their `finally` clauses included."""
        await self._idle.wait()

    def before(self, server: grpc.aio.Server) -> grpc.aio.Server:
        """The server as services see it: what is added to it is guarded."""
        if not self._handlers:
            server.add_generic_rpc_handlers([_GuardedHandlers(self)])
        return cast("grpc.aio.Server", _Adding(self))

    def add(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Guard what these handle; those that are added first are asked first."""
        self._handlers.extend(handlers)

    def find(self, details: grpc.HandlerCallDetails) -> Handler | None:
        """The guarded handler of a method; it is looked for once."""
        known = self._wrapped.get(details.method)
        if known is not None:
            return known
        for handlers in self._handlers:
            handler = handlers.service(details)
            if handler is not None:
                self._wrapped[details.method] = wrapped = self.wrapped(handler)
                return wrapped
        return None

    def wrapped(self, handler: Handler) -> Handler:
        """The handler with the guard before it."""
        parse = handler.request_deserializer or bytes
        options = {"response_serializer": handler.response_serializer}
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._answering(handler.unary_unary, parse), **options)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(handler.unary_stream, lambda request: _parsed(parse, request)), **options
            )
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(handler.stream_stream, lambda requests: _all_parsed(parse, requests)), **options
            )
        return handler  # we have no methods that take a stream and give one answer

    def _answering(self, behavior: Behavior, parse: Callable[[bytes], Any]) -> Behavior:
        async def guarded(request: bytes, context: Context) -> Any:
            return await self._watched(context, lambda: behavior(_parsed(parse, request), context))

        return guarded

    def _streaming(self, behavior: Behavior, parse: Callable[[Any], Any]) -> Behavior:
        """Both kinds of handlers: those that yield and those that write."""

        async def written(request: Any, context: Context) -> None:
            async for response in behavior(parse(request), context):
                await context.write(response)

        async def guarded(request: Any, context: Context) -> None:
            if inspect.isasyncgenfunction(behavior):
                await self._watched(context, lambda: written(request, context))
            else:
                await self._watched(context, lambda: behavior(parse(request), context))

        return guarded

    async def _watched(self, context: Context, begin: Callable[[], Awaitable[Any]]) -> Any:
        """Run a handler; what it raises leaves as a status."""
        if self.draining:
            await abort(context, Unavailable("this process is stopping; ask another", Reason.DRAINING))
        self._running += 1
        self._idle.clear()
        try:
            return await begin()
        except grpc.aio.AbortError:
            raise
        except CoveyError as error:
            if isinstance(error, Bug):
                log.error("a handler found a bug: %s", error.message, exc_info=error)
            await abort(context, error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            await abort(context, Unavailable("the call was given up on our side; try again"))
        except Exception as error:
            number = secrets.token_hex(4)
            log.exception("a handler failed (%s)", number)
            await abort(context, Bug(f"this is our bug; its number in our log is {number}"))
            raise error  # never reached: `abort` raises
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()


class _Adding:
    """What generated code adds handlers to."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._guard.add(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """The asyncio server knows no such handlers; the generic ones say the same."""


class _GuardedHandlers(grpc.GenericRpcHandler):
    """All that a server handles behind the guard."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        return self._guard.find(handler_call_details)


def _parsed(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except Exception as error:  # protobuf's DecodeError, or whatever a parser raises for bytes that it can't read
        raise InvalidArgument("the request is not the message that this method takes") from error


async def _all_parsed(parse: Callable[[bytes], Any], requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in requests:
        yield _parsed(parse, data)

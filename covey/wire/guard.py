"""What stands between gRPC and every handler: counts them, parses for them, and turns what they raise into statuses.

* A CoveyError becomes its status with details; anything else a handler raises is our bug: logged under an opaque id,
  which is all that the caller sees.
* A request that is no message is the caller's INVALID_ARGUMENT (gRPC itself would say UNKNOWN, with our internals).
* A CancelledError that the caller did not cause would leave the caller hanging: it becomes UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc

from covey.errors import Bug, CoveyError, InvalidArgument, Reason, Unavailable
from covey.wire.status import abort

log = logging.getLogger(__name__)

INFRASTRUCTURE = "/grpc."
"""Health and reflection: never counted, for a watcher of our health must not keep us from stopping."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior = Callable[[Any, Any], Any]


class Guard(grpc.aio.ServerInterceptor):
    """The outermost interceptor of every server."""

    def __init__(self) -> None:
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        """Refuse new calls."""

    async def idle(self) -> None:
        """Wait until no handler runs, their `finally` clauses included."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(INFRASTRUCTURE):
            return handler
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
        async def guarded(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with self._watched(context):
                return await behavior(_parsed(parse, request), context)

        return guarded

    def _streaming(self, behavior: Behavior, parse: Callable[[Any], Any]) -> Behavior:
        """Both kinds of handlers: those that yield and those that write."""

        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            async with self._watched(context):
                if inspect.isasyncgenfunction(behavior):
                    async for response in behavior(parse(request), context):
                        await context.write(response)
                else:
                    await behavior(parse(request), context)

        return guarded

    @asynccontextmanager
    async def _watched(self, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
        if self.draining:
            await abort(context, Unavailable("this process is stopping; ask another", Reason.DRAINING))
        self._running += 1
        self._idle.clear()
        try:
            yield
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


def _parsed(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except Exception as error:  # protobuf's DecodeError, or whatever a parser raises for bytes that it can't read
        raise InvalidArgument("the request is not the message that this method takes") from error


async def _all_parsed(parse: Callable[[bytes], Any], requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in requests:
        yield _parsed(parse, data)

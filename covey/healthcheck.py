"""Asks a service whether it is well: `python -m covey.healthcheck ADDRESS [SERVICE]`, for containers and probes.

Speaks grpc.health.v1. The exit code is 0 when the answer is SERVING and 1 for every other answer and for none, with a
sentence on stderr. SERVICE is a service's full name, such as covey.v1.GatewayService; without it the whole process is
asked about.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2

from covey.errors import Unavailable
from covey.wire.channel import connected

TIMEOUT_S = 3.0


async def check_health(address: str, service: str = "", timeout_s: float = TIMEOUT_S) -> None:
    """Return when the service says that it serves; raise Unavailable otherwise, within `timeout_s`."""
    async with connected(address, timeout_s=timeout_s) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{address} gave no answer about its health: {error.code().name}") from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        raise Unavailable(f"{address} says that it is {status}")


def main(arguments: list[str]) -> int:
    """Check once; the exit code."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m covey.healthcheck ADDRESS [SERVICE]", file=sys.stderr)
        return 2
    address, service = (*arguments, "")[:2]
    try:
        asyncio.run(check_health(address, service))
    except Unavailable as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

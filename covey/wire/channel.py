"""Channels: the dialing end of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from covey.errors import Unavailable
from covey.wire.options import CHANNEL, CONNECT_TIMEOUT_S


@asynccontextmanager
async def connected(
    address: str,
    credentials: grpc.ChannelCredentials | None = None,
    timeout_s: float = CONNECT_TIMEOUT_S,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel that has reached `address`; raises Unavailable at the first refusal or after `timeout_s`."""
    async with open_channel(address, credentials) as channel:
        try:
            async with asyncio.timeout(timeout_s):
                await _ready(channel, address)
        except TimeoutError:
            raise Unavailable(f"{address} did not answer within {timeout_s:g} s") from None
        yield channel


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel that connects when it is used, and again whenever it must."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=CHANNEL)
    return grpc.aio.secure_channel(address, credentials, options=CHANNEL)


async def _ready(channel: grpc.aio.Channel, address: str) -> None:
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            raise Unavailable(f"nobody answers at {address}")

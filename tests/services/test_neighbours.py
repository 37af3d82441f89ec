"""Links between services of one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from covey.errors import Unavailable
from covey.link import Link, LinkClosed
from covey.messages import Beat, SchedulerToWorker, WorkerToScheduler
from covey.wire.endpoints import RUN, worker_servicer
from covey.wire.linger import CROWD
from covey.wire.neighbours import Neighbours
from covey.wire.server import serve

pytestmark = pytest.mark.asyncio

ELSEWHERE = "worker.example:7000"
"""Advertised, and reached by no socket."""


class Heard:
    """Serves links: answers every message at once, and keeps how many came together."""

    def __init__(self) -> None:
        self.together: list[int] = []
        self.ended = asyncio.Event()

    async def serve(self, link: Link[WorkerToScheduler, SchedulerToWorker]) -> None:
        try:
            while True:
                messages = await link.receive()
                self.together.append(len(messages))
                for message in messages:
                    if isinstance(message, Beat):
                        link.send(message)
        finally:
            self.ended.set()


@asynccontextmanager
async def served(heard: Heard, neighbours: Neighbours) -> AsyncIterator[None]:
    async with serve([worker_servicer(heard.serve)], advertise=ELSEWHERE, neighbours=neighbours) as address:
        assert address == ELSEWHERE
        yield


async def test_a_neighbour_is_reached_without_a_socket() -> None:
    """A dial to an address that this process serves goes through memory, whatever that address is to others."""
    neighbours = Neighbours()
    async with served(Heard(), neighbours), RUN.dialer(neighbours)(ELSEWHERE) as link:
        link.send(Beat(queued=7))

        assert list(await link.receive()) == [Beat(queued=7)]


async def test_who_is_no_neighbour_is_dialed() -> None:
    """Nobody but a neighbour is found in memory: not by another process's dialer, and not once the server is gone."""
    neighbours = Neighbours()
    async with served(Heard(), neighbours):
        with pytest.raises(Unavailable):
            async with RUN.dialer(Neighbours())(ELSEWHERE):
                pass
    with pytest.raises(Unavailable):
        async with RUN.dialer(neighbours)(ELSEWHERE):
            pass


async def test_other_servers_are_reached_through_sockets() -> None:
    """A dialer with neighbours reaches everyone else as ever."""
    async with (
        serve([worker_servicer(Heard().serve)]) as address,
        RUN.dialer(Neighbours())(address) as link,
    ):
        link.send(Beat(queued=7))

        assert list(await link.receive()) == [Beat(queued=7)]


async def test_a_crowd_shares_its_way() -> None:
    """What is sent while much has no answer yet arrives in few messages, in order, and none is left behind."""
    neighbours, heard = Neighbours(), Heard()
    async with served(heard, neighbours), RUN.dialer(neighbours)(ELSEWHERE) as link:
        for number in range(8):
            link.send(Beat(queued=number), under_way=CROWD)
            await asyncio.sleep(0)
        found: list[object] = []
        while len(found) < 8:
            found.extend(await link.receive())

    assert found == [Beat(queued=number) for number in range(8)]
    assert len(heard.together) <= 3


async def test_what_is_held_goes_before_a_link_is_closed() -> None:
    """Closing a link hands over what waited for company."""
    neighbours, heard = Neighbours(), Heard()
    async with served(heard, neighbours), RUN.dialer(neighbours)(ELSEWHERE) as link:
        for number in range(3):
            link.send(Beat(queued=number), under_way=CROWD)
        link.close()
        await asyncio.wait_for(heard.ended.wait(), 1)

    assert sum(heard.together) == 3


async def test_a_server_that_stops_hangs_up() -> None:
    """Whoever dialed a neighbour hears that it stopped."""
    neighbours = Neighbours()
    async with served(Heard(), neighbours):
        dialing = RUN.dialer(neighbours)(ELSEWHERE)
        link = await dialing.__aenter__()
    with pytest.raises(LinkClosed):
        await link.receive()
    await dialing.__aexit__(None, None, None)

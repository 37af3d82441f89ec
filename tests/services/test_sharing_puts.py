"""Payloads that a worker puts into the datastore of its host through a ring of its own in shared memory."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.errors import Reason, Status, Unavailable
from covey.messages import Put, PutDone, SharedPlace
from covey.model import ObjectRef
from covey.services.datastore.sharing import SharedObjects
from covey.wire.sharing import SHARED_BYTES_MAX, SHARED_BYTES_MIN, SharedRing
from tests.worlds_datastore import SCOPE
from tests.worlds_sharing import LARGE, NODE, World, grpc_world, world

REF = ObjectRef("tracks", "/tracks/s", "s", size=len(LARGE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shared"


def versions_of(stored: list[object]) -> list[int]:
    assert all(isinstance(ref, ObjectRef) for ref in stored), stored
    return [ref.version for ref in stored if isinstance(ref, ObjectRef)]


async def said_to(here: World, *puts: Put) -> list[PutDone]:
    """What a datastore answers to puts that no client of ours would send."""
    answers: list[PutDone] = []
    async with here.network.dial(NODE.address) as link:
        for put in puts:
            link.send(put)
        while len(answers) < len(puts):
            answers += [message for message in await link.receive() if isinstance(message, PutDone)]
    return sorted(answers, key=lambda answer: answer.request)


@pytest.mark.asyncio
async def test_a_large_payload_goes_through_shared_memory(folder: Path) -> None:
    """The datastore beside the worker stores it whole, and not a byte of it goes through the link."""
    async with world(folder) as here:
        (ref,) = await here.put_all(("/tracks/s", LARGE))
        (value,) = await here.get()

        assert (value.ref, value.payload) == (ref, LARGE)
        assert [(put.payload, put.place is None) for put in here.puts] == [(b"", False)]


@pytest.mark.asyncio
async def test_a_neighbour_is_handed_the_payload_itself(folder: Path) -> None:
    """Within one process nothing is copied through shared memory: what is put is what the other end has, and back."""
    async with world(folder, near=True) as here:
        (done,) = await here.put_all(("/tracks/s", LARGE))
        (found,) = await here.get("/tracks/s")

    assert isinstance(done, ObjectRef)
    assert here.puts[0].payload is LARGE
    assert here.puts[0].place is None
    assert found.payload is LARGE


@pytest.mark.asyncio
async def test_it_goes_so_over_grpc_too(folder: Path) -> None:
    """What says where the payload stands survives the wire; many sizes, in one batch, some of them in parts."""
    payloads = [bytes([size % 251]) * size for size in (10, SHARED_BYTES_MIN, 300_000, 2_000_000, SHARED_BYTES_MAX + 1)]
    async with grpc_world(folder, 1 << 25) as here:
        keys = [f"/tracks/{len(payload)}" for payload in payloads]
        versions_of(await here.put_all(*zip(keys, payloads, strict=True)))
        for key, payload in zip(keys, payloads, strict=True):
            assert (await here.get(key))[0].payload == payload


@pytest.mark.asyncio
async def test_small_objects_and_those_for_other_nodes_come_along(folder: Path) -> None:
    """Shared memory is not worth its cost for a small payload, and of no use to a node that is not on the host."""
    async with world(folder) as here:
        await here.put_all(("/tracks/s", b"x" * (SHARED_BYTES_MIN - 1)))
        await here.put_all(("/tracks/s", LARGE), local="another")

        assert [put.place for put in here.puts] == [None, None]


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.asyncio
async def test_a_datastore_that_does_not_see_the_file_is_sent_the_payload(
    folder: Path, tmp_path: Path, shares: bool
) -> None:
    """It stands on another host, or shares nothing: the first put goes out twice, the next ones once."""
    async with world(folder if shares else None, seen=tmp_path / "elsewhere") as here:
        for payload in (LARGE, LARGE[1:], LARGE[2:]):
            versions_of(await here.put_all(("/tracks/s", payload)))
            assert (await here.get())[0].payload == payload

        assert [put.place is not None for put in here.puts] == [True, False, False, False]


@pytest.mark.asyncio
async def test_what_was_overwritten_is_sent(folder: Path) -> None:
    """A batch that is larger than the ring is stored whole, and the next put goes through the ring again."""
    async with world(folder, ring_max=3 * len(LARGE)) as here:
        objects = [(f"/tracks/{number}", bytes([number]) * len(LARGE)) for number in range(8)]
        versions_of(await here.put_all(*objects))
        for key, payload in objects:
            assert (await here.get(key))[0].payload == payload
        overwritten = [message for message in here.said if getattr(message, "reason", "") is Reason.FILE_OVERWRITTEN]
        assert overwritten

        before = len(here.puts)
        await here.put_all(("/tracks/s", LARGE))
        assert [put.place is not None for put in here.puts[before:]] == [True]


@pytest.mark.asyncio
async def test_versions_of_one_object_keep_their_order(folder: Path, tmp_path: Path) -> None:
    """What has to be sent again does not come after what the stage emitted later."""
    async with world(folder, seen=tmp_path / "elsewhere") as here:
        stored = await here.put_all(("/tracks/s", LARGE), ("/tracks/s", b"small"), ("/tracks/s", LARGE[1:]))

        assert versions_of(stored) == sorted(versions_of(stored))
        assert (await here.get())[0].payload == LARGE[1:]


@pytest.mark.asyncio
async def test_a_place_that_can_not_be_is_refused(folder: Path) -> None:
    """A broken peer hears what is wrong, whatever it names; nothing is stored, and its link goes on."""
    async with world(folder, seen=folder, ring_max=1 << 20) as here:
        await here.put_all(("/tracks/t", LARGE))
        (place,) = [put.place for put in here.puts if put.place is not None]
        wrong = [
            replace(REF, size=size)
            for size in (1 << 20, SHARED_BYTES_MAX + 1, 2**63)  # never announced, too large, absurd
        ]
        puts = [Put(0, SCOPE, ref, b"", place=place) for ref in wrong]
        puts += [
            Put(0, SCOPE, REF, b"", place=SharedPlace(name, 0))
            for name in ("../secret", "/etc/passwd", f"../{'0' * 32}", "", "0" * 33)
        ]
        puts += [Put(0, SCOPE, REF, b"", place=SharedPlace(place.name, begin)) for begin in (1 << 20, 2**64 - 1)]
        puts += [Put(0, SCOPE, REF, LARGE, place=place), Put(0, SCOPE, REF, LARGE)]
        answers = await said_to(here, *[replace(put, request=number) for number, put in enumerate(puts)])

        assert [answer.status for answer in answers] == [Status.INVALID_ARGUMENT] * (len(puts) - 1) + [Status.OK]
        assert all(answer.message for answer in answers[:-1])
        assert (await here.get())[0].payload == LARGE


@pytest.mark.asyncio
async def test_what_is_no_ring_is_not_seen(folder: Path) -> None:
    """A link, a folder or an empty file of such a name is as good as none."""
    async with world(folder) as here:
        (folder / ("0" * 32)).symlink_to("/etc/passwd")
        (folder / ("1" * 32)).mkdir()
        (folder / ("2" * 32)).write_bytes(b"")
        puts = [Put(number, SCOPE, REF, b"", place=SharedPlace(str(number) * 32, 0)) for number in range(4)]

        assert {answer.reason for answer in await said_to(here, *puts)} == {Reason.FILE_UNSEEN}


@pytest.mark.asyncio
async def test_a_ring_is_let_go_of_when_its_link_ends(folder: Path) -> None:
    """The memory of a worker that is gone does not stay with the datastore."""
    async with world(folder) as here:
        with SharedRing(folder, 1 << 20) as ring:
            place = ring.write(LARGE)
            assert place is not None
            (done,) = await said_to(here, Put(1, SCOPE, REF, b"", place=place))
            assert done.status is Status.OK
        async with asyncio.timeout(5):
            while place.name in Path("/proc/self/maps").read_text():  # noqa: ASYNC110
                await asyncio.sleep(0)


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(SHARED_BYTES_MIN, 4 * SHARED_BYTES_MIN)), max_size=40),
    st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_a_datastore_stores_what_was_put_or_asks_for_it(written: list[tuple[int, int]], lag: int) -> None:
    """However late it reads, never a byte of another object; what was written last is always there."""
    with (
        TemporaryDirectory() as folder,
        SharedObjects(Path(folder, "ring"), 10 * SHARED_BYTES_MIN) as sharing,
        SharedRing(Path(folder, "ring"), 10 * SHARED_BYTES_MIN) as ring,
    ):

        def payload_of(place: SharedPlace, size: int) -> bytes | None:
            try:
                return sharing.whole(1, Put(1, SCOPE, replace(REF, size=size), b""), place).payload
            except Unavailable as error:
                if error.reason is not Reason.FILE_OVERWRITTEN:
                    raise
                return None

        late: list[tuple[SharedPlace, bytes]] = []
        for fill, size in written:
            payload = bytes([fill]) * size
            place = ring.write(payload)
            assert place is not None
            assert payload_of(place, size) == payload
            late.append((place, payload))
            if len(late) > lag:
                place, payload = late.pop(0)
                assert payload_of(place, len(payload)) in (None, payload)


def test_a_worker_that_was_killed_leaves_nothing_that_stays(folder: Path) -> None:
    """Its ring is there as long as it lives, and goes when the next process that shares begins."""
    source = (
        "import sys, pathlib; from covey.wire.sharing import SharedRing\n"
        "with SharedRing(pathlib.Path(sys.argv[1]), 1 << 20): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        with SharedRing(folder, 1 << 20):
            assert len(list(folder.iterdir())) == 2
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert len(list(folder.iterdir())) == 1
        with SharedRing(folder, 1 << 20):
            assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []

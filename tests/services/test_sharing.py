"""Payloads that a worker gets from the datastore of its host through files in shared memory."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.errors import InvalidArgument
from covey.messages import Get, GetDone, SharedFile, SharedPlace
from covey.model import Answer, ObjectRef, ObjectValue
from covey.services.datastore.sharing import SharedObjects
from covey.wire.sharing import HEADER_BYTES, SHARED_BYTES_MAX, SHARED_BYTES_MIN, SharedFiles
from tests.worlds_datastore import SCOPE
from tests.worlds_sharing import LARGE, grpc_world, world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shared"


def done_with(*payloads: bytes, request: int = 7) -> GetDone:
    values = [
        ObjectValue(ObjectRef("tracks", f"/tracks/{number}", "s", 1, len(payload)), payload)
        for number, payload in enumerate(payloads)
    ]
    return GetDone(request, (Answer(tuple(values)),))


def shared_by(sharing: SharedObjects, done: GetDone) -> GetDone:
    """The answer as it goes to somebody on the same host."""
    sharing.note(1, Get(done.request, SCOPE, (), 1.0, shared=True))
    return sharing.answer(1, done)


def read_by(reader: SharedFiles, done: GetDone) -> list[bytes | None] | None:
    answers = reader.filled(done)
    return None if answers is None else [value.payload for answer in answers for value in answer.objects]


@pytest.mark.asyncio
async def test_a_large_payload_comes_through_shared_memory(folder: Path) -> None:
    """The worker beside the datastore gets it whole, and not a byte of it goes through the link."""
    async with world(folder) as here:
        ref = await here.put(LARGE)
        assert await here.get() == [ObjectValue(ref, LARGE)]

        assert (here.sent_inline, len(here.places)) == (0, 1)
        modes = [path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())]
        assert modes == [0o700, 0o600, 0o600], "the folder, and a file of either side"


@pytest.mark.asyncio
async def test_it_comes_so_over_grpc_too(folder: Path) -> None:
    """What says where the payload stands survives the wire; many sizes, in one get."""
    payloads = [bytes([size % 251]) * size for size in (10, SHARED_BYTES_MIN, 300_000, 2_000_000)]
    async with grpc_world(folder, 1 << 24) as here:
        keys = [f"/tracks/{len(payload)}" for payload in payloads]
        for key, payload in zip(keys, payloads, strict=True):
            await here.put(payload, key)
        assert [value.payload for value in await here.get(*keys)] == payloads
        written = [path.read_bytes()[HEADER_BYTES:] for path in folder.iterdir()]
        assert any(each.startswith(b"".join(payloads[1:])) for each in written)


@pytest.mark.asyncio
async def test_a_version_is_written_once(folder: Path) -> None:
    """However often it is read it stands in one place; the next version has its own."""
    async with world(folder) as here:
        await here.put(LARGE)
        assert await here.get() == await here.get()
        await here.put(LARGE[1:])
        assert (await here.get())[0].payload == LARGE[1:]

        assert [place.begin for place in here.places] == [0, 0, len(LARGE)]


@pytest.mark.asyncio
async def test_small_objects_and_other_nodes_payloads_come_along(folder: Path) -> None:
    """Shared memory is not worth its cost for a small payload, and of no use to a caller that is not on the host."""
    async with world(folder) as here:
        await here.put(b"x" * (SHARED_BYTES_MIN - 1))
        await here.get()
        await here.put(LARGE)
        await here.get(local="another")

        assert here.places == []
        assert here.sent_inline == SHARED_BYTES_MIN - 1 + len(LARGE)


@pytest.mark.asyncio
async def test_what_was_overwritten_is_asked_for_again(folder: Path) -> None:
    """An answer that is larger than the ring comes over the link, and the next one through the ring again."""
    async with world(folder, bytes_max=2 * len(LARGE)) as here:
        keys = [f"/tracks/{name}" for name in "abc"]
        for key in keys:
            await here.put(LARGE, key)
        assert [value.payload for value in await here.get(*keys)] == [LARGE] * 3
        assert (await here.get(keys[0]))[0].payload == LARGE

        assert [get.shared for get in here.gets] == [True, False, True]


@pytest.mark.asyncio
async def test_a_client_on_another_host_asks_once_in_vain(folder: Path, tmp_path: Path) -> None:
    """It does not find the file that the datastore names, and is told everything over the link from then on."""
    async with world(folder, seen=tmp_path / "elsewhere") as here:
        await here.put(LARGE)
        assert [(await here.get())[0].payload for _ in range(3)] == [LARGE] * 3

        assert [get.shared for get in here.gets] == [True, False, False, False]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(SHARED_BYTES_MIN, 4 * SHARED_BYTES_MIN)), max_size=40),
    st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_a_reader_gets_what_was_shared_or_nothing(shares: list[tuple[int, int]], lag: int) -> None:
    """However late it reads, never a byte of another object; what was shared last is always there."""
    with (
        TemporaryDirectory() as folder,
        SharedObjects(Path(folder, "ring"), 10 * SHARED_BYTES_MIN) as sharing,
        SharedFiles(Path(folder, "ring")) as reader,
    ):
        late: list[tuple[GetDone, bytes]] = []
        for fill, size in shares:
            payload = bytes([fill]) * size
            value = ObjectValue(ObjectRef("p", f"/{fill}", "g", size, size), payload)
            done = shared_by(sharing, GetDone(1, (Answer((value,)),)))
            assert len(done.files) == 1
            assert read_by(reader, done) == [payload]
            late.append((done, payload))
            if len(late) > lag:
                done, payload = late.pop(0)
                assert read_by(reader, done) in (None, [payload])


def test_a_ring_is_a_bound(folder: Path) -> None:
    """The file never grows beyond its size, and takes memory only as it is first written."""
    with SharedObjects(folder, 4 << 20) as sharing:
        (file,) = folder.iterdir()
        size = file.stat().st_size
        shared_by(sharing, done_with(LARGE))
        assert 0 < file.stat().st_blocks * 512 < size
        for number in range(100):
            shared_by(sharing, done_with(bytes([number]) * len(LARGE)))
        assert file.stat().st_size == size


def test_nothing_is_left_behind(folder: Path) -> None:
    """A datastore that ends takes its file along; that of one that died goes when the next one starts."""
    folder.mkdir(mode=0o700)
    dead = folder / ("0" * 32)
    dead.write_bytes(LARGE)
    (folder / "mine").write_bytes(b"")
    (folder / ("1" * 32)).symlink_to(folder / "mine")

    with SharedObjects(folder, 1 << 20), SharedObjects(folder, 1 << 20):
        names = [path.name for path in folder.iterdir()]
        assert dead.name not in names
        assert len(names) == 4, "two live datastores leave each other alone, and what is nobody's"
    assert sorted(path.name for path in folder.iterdir()) == ["1" * 32, "mine"]


def test_a_full_device_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is no memory for comes along."""

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with SharedObjects(folder, 1 << 20) as sharing:
        done = done_with(LARGE)
        assert shared_by(sharing, done) == done


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", f"../{'0' * 32}", f"{'0' * 32}/1", "0" * 33])
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    """A datastore can't make a worker read anything but a file of its own making."""
    with SharedFiles(folder) as reader, pytest.raises(InvalidArgument):
        reader.filled(replace(done_with(b"abc"), files=(SharedFile(0, 0, SharedPlace(name, 0)),)))


def test_a_symbolic_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """In place of a file it is no file."""
    (tmp_path / "secret").write_bytes(LARGE)
    with SharedFiles(folder) as reader:
        (folder / ("0" * 32)).symlink_to(tmp_path / "secret")
        assert read_by(reader, replace(done_with(b"abc"), files=(SharedFile(0, 0, SharedPlace("0" * 32, 0)),))) is None


def test_a_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Neither side uses a folder that somebody else may have prepared."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    open_to_all.chmod(0o755)
    for use in (SharedFiles, lambda folder: SharedObjects(folder, 1 << 20)):
        with pytest.raises(InvalidArgument, match="COVEY_SHARED_FOLDER"):
            use(open_to_all)


def test_what_is_too_large_for_one_write_travels_in_parts(folder: Path) -> None:
    """Over SHARED_BYTES_MAX nothing is written: it would hold up the node."""
    done = done_with(bytes(SHARED_BYTES_MAX + 1))
    with SharedObjects(folder, 1 << 25) as sharing:
        assert shared_by(sharing, done) is done


def test_only_those_who_asked_for_it_are_told_of_the_file(folder: Path) -> None:
    """Others get the payload."""
    done = done_with(LARGE)
    with SharedObjects(folder, 1 << 20) as sharing:
        assert sharing.answer(1, done) is done
        sharing.note(1, Get(done.request, SCOPE, (), 1.0, shared=True))
        sharing.forget(1)
        assert sharing.answer(1, done) is done

"""Payloads between a datastore and the workers of its host, in memory that both can see instead of in messages.

Each life of a datastore or a worker has one file below the folder that the host's processes share, in memory (tmpfs),
and says where in it a payload stands: a datastore in its answers, a worker in its puts. The file's name is a random
token, so that whoever finds it is on the same host and hears the process that wrote it: nobody has to be told who is
where. Its writer holds a lock on it for as long as it lives, however it ends; what is not locked was left behind by a
dead one, and goes when the next one makes its own.

The file is a ring that is written round and round. Its first 8 bytes say how far the writer may have come, in bytes
since the beginning; they are written long before what they announce. A reader that has copied its bytes looks there: if
the writer may have come round to them it wants the payload itself. So nobody waits for anybody. Both sides map the
file, so that a payload costs one copy each way and no call into the kernel.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from covey.errors import InvalidArgument
from covey.messages import GetDone, SharedPlace
from covey.model import Answer, ObjectValue

log = logging.getLogger(__name__)

SHARED_BYTES_MIN = 64 * 1024
"""Smaller payloads come along."""

SHARED_BYTES_MAX = 8 * 1024 * 1024
"""Larger ones travel in parts: to write them in one go would hold up whoever else wants something."""

HEADER_BYTES = 4096
"""Where the ring begins."""

STEPS = 16
"""A round is announced in so many steps, each a step before it is written: a reader that did not see the announcement
has long copied what it is about."""

TOKEN = re.compile(r"[0-9a-f]{32}")


def is_worth_sharing(payload: bytes) -> bool:
    return SHARED_BYTES_MIN <= len(payload) <= SHARED_BYTES_MAX


def private_folder(path: Path) -> Path:
    """The folder that the host's processes share, made if it is not there.

    Raises InvalidArgument when it can't be made, or when any other user could read or change what is in it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise InvalidArgument(f"COVEY_SHARED_FOLDER can't be {path}: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise InvalidArgument(f"COVEY_SHARED_FOLDER should be a folder of this user alone, and {path} is not")
    return path


class SharedRing:
    """What one life of a process writes, `bytes_max` payload bytes; a context, at whose end it is gone.

    Raises InvalidArgument for a folder that is not this user's alone.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        base = private_folder(folder)
        self._capacity = bytes_max
        self._token = uuid4().hex
        self._path = base / self._token
        self._position = 0
        self._reserved = 0
        self._is_short = False
        with _locked(base):
            _remove_left_behind(base)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        os.ftruncate(self._file, HEADER_BYTES + bytes_max)
        self._map = mmap.mmap(self._file, 0)
        self._header = memoryview(self._map)[:8].cast("Q")
        self._ring = memoryview(self._map)[HEADER_BYTES:]

    def __enter__(self) -> SharedRing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        self._header.release()
        self._ring.release()
        self._map.close()
        os.close(self._file)

    def write(self, payload: bytes) -> SharedPlace | None:
        """Where the payload stands now; None when there is no room for it."""
        size = len(payload)
        if size * 2 > self._capacity:
            return None
        offset = self._position % self._capacity
        begin = self._position if offset + size <= self._capacity else self._position + self._capacity - offset
        try:
            self._reserve(begin + size)
        except OSError as error:
            if not self._is_short:
                log.warning("the shared folder of %s has no room: %s", self._path, error.strerror)
            self._is_short = True
            return None
        self._ring[begin % self._capacity : begin % self._capacity + size] = payload
        self._position = begin + size
        return SharedPlace(self._token, begin)

    def holds(self, place: SharedPlace) -> bool:
        """Whether what was written there still stands."""
        return self._reserved <= place.begin + self._capacity

    def _reserve(self, until: int) -> None:
        """Announce that the ring may be written up to `until`, and see to it that it can be. Raises OSError.

        Memory is taken as the first round goes on. A map that is written where there is none left is a signal, not an
        error, so it is taken beforehand.
        """
        step = self._capacity // STEPS
        if until + step <= self._reserved:
            return
        reserved = until + 2 * step
        if self._reserved < self._capacity:
            os.posix_fallocate(self._file, 0, HEADER_BYTES + min(reserved, self._capacity))
        self._header[0] = self._reserved = reserved


class SharedFiles:
    """Reads what another process of this host has written below `folder`: one at a time, in its present life.

    A context; raises InvalidArgument as above.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._name = ""
        self._ring: mmap.mmap | None = None

    def __enter__(self) -> SharedFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def sees(self, name: str) -> bool:
        """Whether that file is there: if not, this is not its writer's host, or its writer is gone."""
        return self._open(name) is not None

    def read(self, place: SharedPlace, size: int) -> bytes | None:
        """The payload of that size; None when it has been overwritten, or its file can't be seen.

        Raises InvalidArgument for what names no file, and for a range that is not in it or was never announced: memory
        that was never written is not to be read, for that would take it.
        """
        ring = self._open(place.name)
        if ring is None:
            return None
        capacity = len(ring) - HEADER_BYTES
        offset = place.begin % capacity
        if size > SHARED_BYTES_MAX or offset + size > capacity or place.begin + size > _reserved(ring):
            raise InvalidArgument(f"a shared file has no {size:,} bytes for others to read at {place.begin:,}")
        payload = ring[HEADER_BYTES + offset : HEADER_BYTES + offset + size]
        return payload if _reserved(ring) <= place.begin + capacity else None

    def filled(self, done: GetDone) -> Sequence[Answer] | None:
        """The answers with the payloads that are in files; None when one of them is not there any more."""
        answers = list(done.answers)
        for number, position, place in done.files:
            if number >= len(answers) or position >= len(answers[number].objects):
                continue  # the answer was refused after all
            answer = answers[number]
            objects = list(answer.objects)
            ref = objects[position].ref
            payload = self.read(place, ref.size)
            if payload is None:
                return None
            objects[position] = ObjectValue(ref, payload)
            answers[number] = Answer(tuple(objects), answer.complete, answer.status, answer.reason, answer.message)
        return answers

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
        self._name, self._ring = "", None

    def _open(self, name: str) -> mmap.mmap | None:
        """The ring of that name, which stays open until another is asked for."""
        if name != self._name:
            if TOKEN.fullmatch(name) is None:
                raise InvalidArgument(f"what is shared is a file of its writer's own, not {name!r}")
            self.close()
            self._ring = _mapped(self._folder / name)
            self._name = name if self._ring is not None else ""
        return self._ring


def _mapped(path: Path) -> mmap.mmap | None:
    """A ring to read; None when there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(file)
            is_ring = stat.S_ISREG(found.st_mode) and found.st_size > HEADER_BYTES
            return mmap.mmap(file, 0, prot=mmap.PROT_READ) if is_ring else None
        finally:
            os.close(file)
    except OSError:
        return None


def _reserved(ring: mmap.mmap) -> int:
    """How far the ring's writer may have come."""
    return int.from_bytes(ring[:8], sys.byteorder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else makes or removes files in this folder meanwhile."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _remove_left_behind(folder: Path) -> None:
    """Remove the files of processes that did not live to do it."""
    for path in folder.iterdir():
        if TOKEN.fullmatch(path.name) is None or not path.is_file():
            continue
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # its process has just ended by itself, or it is a link
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:  # its process lives
            pass
        finally:
            os.close(file)

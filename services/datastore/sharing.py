"""Writes payloads for the workers of this host into shared memory (`covey.wire.sharing` has the law).

A payload is written when it is first asked for, and again when the ring has come round to it. The datastore holds a
lock on its file for as long as it lives, however it ends; what is not locked was left behind by a dead one, and goes.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from covey.grouping import Scope
from covey.messages import Get, GetDone, SharedFile
from covey.model import Answer, ObjectRef, ObjectValue
from covey.wire.sharing import HEADER_BYTES, SHARED_BYTES_MAX, SHARED_BYTES_MIN, TOKEN, private_folder

log = logging.getLogger(__name__)

STEPS = 16
"""A round is announced in so many steps, each a step before it is written: a reader that did not see the announcement
has long copied what it is about."""


class SharedObjects:
    """The ring of one life of a datastore, `bytes_max` payload bytes; a context, at whose end it is gone.

    Raises InvalidArgument for a folder that is not this user's alone.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        base = private_folder(folder)
        self._capacity = bytes_max
        self._token = uuid4().hex
        self._path = base / self._token
        self._written: OrderedDict[tuple[Scope, ObjectRef], int] = OrderedDict()  # where each begins, oldest first
        self._position = 0
        self._reserved = 0
        self._is_short = False
        self._asked: dict[tuple[int, int], Scope] = {}
        with _locked(base):
            _remove_left_behind(base)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        os.ftruncate(self._file, HEADER_BYTES + bytes_max)
        self._map = mmap.mmap(self._file, 0)
        self._header = memoryview(self._map)[:8].cast("Q")
        self._ring = memoryview(self._map)[HEADER_BYTES:]

    def __enter__(self) -> SharedObjects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        self._header.release()
        self._ring.release()
        self._map.close()
        os.close(self._file)

    def note(self, link: int, get: Get) -> None:
        """Remember that the answer to this may come through the file."""
        self._asked[link, get.request] = get.scope

    def forget(self, link: int) -> None:
        """The link has ended, and with it what was asked over it."""
        for asked in [asked for asked in self._asked if asked[0] == link]:
            del self._asked[asked]

    def answer(self, link: int, done: GetDone) -> GetDone:
        """What is sent: to whoever has asked for it, large payloads by where they are."""
        scope = self._asked.pop((link, done.request), None)
        if scope is None:
            return done
        files: list[SharedFile] = []
        answers = list(done.answers)
        for number, answer in enumerate(answers):
            objects = list(answer.objects)
            for position, value in enumerate(objects):
                payload = value.payload
                if payload is None or not SHARED_BYTES_MIN <= len(payload) <= SHARED_BYTES_MAX:
                    continue
                at = self._place_of(scope, value.ref, payload)
                if at is not None:
                    until = at + self._capacity
                    files.append(SharedFile(number, position, self._token, at % self._capacity, until))
                    objects[position] = ObjectValue(value.ref)
            answers[number] = Answer(tuple(objects), answer.complete, answer.status, answer.reason, answer.message)
        return GetDone(done.request, tuple(answers), tuple(files)) if files else done

    def _place_of(self, scope: Scope, ref: ObjectRef, payload: bytes) -> int | None:
        """Where a payload begins, written now unless it is there; None when it can't be written."""
        known = self._written.get((scope, ref))
        if known is not None and self._reserved <= known + self._capacity:
            return known
        size = len(payload)
        if size != ref.size or size * 2 > self._capacity:
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
        self._written.pop((scope, ref), None)
        self._written[scope, ref] = begin
        while next(iter(self._written.values())) + self._capacity < self._reserved:
            self._written.popitem(last=False)
        return begin

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
    """Remove the files of datastores that did not live to do it."""
    for path in folder.iterdir():
        if TOKEN.fullmatch(path.name) is None or not path.is_file():
            continue
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except OSError:  # its datastore lives
            pass
        finally:
            os.close(file)

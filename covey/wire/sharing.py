"""Payloads between a datastore and the workers of its host, in memory that both can see instead of in messages.

Each life of a datastore has one file below the folder that the host's processes share, in memory (tmpfs), and says in
its answers where in it a payload stands. The file's name is a random token, so that whoever finds it is on the same
host and hears the datastore that wrote it: nobody has to be told who is where.

The file is a ring that is written round and round. Its first 8 bytes say how far the writer may have come, in bytes
since the beginning; they are written long before what they announce. A reader that has copied its bytes looks there: if
the writer may have come round to them it asks again, for the payload itself. So nobody waits for anybody. Both sides
map the file, so that a payload costs one copy each way and no call into the kernel.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from covey.errors import InvalidArgument
from covey.messages import GetDone, SharedFile
from covey.model import Answer, ObjectValue

SHARED_BYTES_MIN = 64 * 1024
"""Smaller payloads come along."""

SHARED_BYTES_MAX = 8 * 1024 * 1024
"""Larger ones travel in parts: to write them in one go would hold up whoever else wants something."""

HEADER_BYTES = 4096
"""Where the ring begins."""

TOKEN = re.compile(r"[0-9a-f]{32}")


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


class SharedFiles:
    """Reads what the datastore of this host has written below `folder`. A context; raises InvalidArgument as above."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._name = ""
        self._ring: mmap.mmap | None = None

    def __enter__(self) -> SharedFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def sees(self, name: str) -> bool:
        """Whether that file is there: if not, this is not its writer's host, or its writer is gone."""
        return self._open(name) is not None

    def filled(self, done: GetDone) -> Sequence[Answer] | None:
        """The answers with the payloads that are in files; None when one of them is not there any more."""
        answers = list(done.answers)
        for shared in done.files:
            if shared.answer >= len(answers) or shared.position >= len(answers[shared.answer].objects):
                continue  # the answer was refused after all
            answer = answers[shared.answer]
            objects = list(answer.objects)
            ref = objects[shared.position].ref
            payload = self._read(shared, ref.size)
            if payload is None:
                return None
            objects[shared.position] = ObjectValue(ref, payload)
            answers[shared.answer] = Answer(
                tuple(objects), answer.complete, answer.status, answer.reason, answer.message
            )
        return answers

    def _read(self, shared: SharedFile, size: int) -> bytes | None:
        ring = self._open(shared.name)
        if ring is None:
            return None
        begin = HEADER_BYTES + shared.offset
        payload = ring[begin : begin + size]
        reserved = int.from_bytes(ring[:8], sys.byteorder)
        return payload if len(payload) == size and reserved <= shared.until else None

    def _open(self, name: str) -> mmap.mmap | None:
        """The ring of the datastore's present life, which stays open until the next one's is asked for."""
        if name != self._name:
            if TOKEN.fullmatch(name) is None:
                raise InvalidArgument(f"a datastore shares a file of its own, not {name!r}")
            self._close()
            try:
                file = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                return None
            with open(file, "rb", buffering=0):
                self._ring = mmap.mmap(file, 0, prot=mmap.PROT_READ)
            self._name = name
        return self._ring

    def _close(self) -> None:
        if self._ring is not None:
            self._ring.close()
        self._name, self._ring = "", None

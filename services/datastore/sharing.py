"""What a datastore and the workers of its host hand one another in shared memory (`covey.wire.sharing` has the law).

A payload is written when it is first asked for, and again when the ring has come round to it. What a worker puts is
copied out of the worker's ring as soon as the put comes in, so that nobody behind this sees where it came from.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from covey.errors import InvalidArgument, Reason, Unavailable
from covey.grouping import Scope
from covey.messages import Get, GetDone, Put, SharedFile, SharedPlace
from covey.model import Answer, ObjectRef, ObjectValue
from covey.wire.sharing import SharedFiles, SharedRing, is_worth_sharing


class SharedObjects:
    """The ring of one life of a datastore, `bytes_max` payload bytes, and for each link the ring of whoever puts.

    A context, at whose end they are closed. Raises InvalidArgument for a folder that is not this user's alone.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder = folder
        self._ring = SharedRing(folder, bytes_max)
        self._written: OrderedDict[tuple[Scope, ObjectRef], SharedPlace] = OrderedDict()  # oldest first
        self._asked: dict[tuple[int, int], Scope] = {}
        self._putters: dict[int, SharedFiles] = {}

    def __enter__(self) -> SharedObjects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for files in self._putters.values():
            files.close()
        self._ring.__exit__(kind, error, trace)

    def note(self, link: int, get: Get) -> None:
        """Remember that the answer to this may come through the file."""
        self._asked[link, get.request] = get.scope

    def forget(self, link: int) -> None:
        """The link has ended, and with it what was asked over it."""
        for asked in [asked for asked in self._asked if asked[0] == link]:
            del self._asked[asked]
        files = self._putters.pop(link, None)
        if files is not None:
            files.close()

    def whole(self, link: int, put: Put, place: SharedPlace) -> Put:
        """The put with the payload that stands there.

        Raises Unavailable when it is not there any more (FILE_OVERWRITTEN), or when this is not the host of whoever
        wrote it (FILE_UNSEEN), and InvalidArgument for a place that nobody writes to.
        """
        if put.payload:
            raise InvalidArgument(f"the put of {put.ref.key} has a payload and names a place for it, too")
        files = self._putters.get(link)
        if files is None:
            files = self._putters[link] = SharedFiles(self._folder)
        payload = files.read(place, put.ref.size)
        if payload is not None:
            return replace(put, payload=payload, place=None)
        if files.sees(place.name):
            raise Unavailable("the payload has been overwritten; send it", Reason.FILE_OVERWRITTEN)
        raise Unavailable("the payload's file can't be seen from here; send it", Reason.FILE_UNSEEN)

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
                if value.payload is None or not is_worth_sharing(value.payload):
                    continue
                place = self._place_of(scope, value.ref, value.payload)
                if place is not None:
                    files.append(SharedFile(number, position, place))
                    objects[position] = ObjectValue(value.ref)
            answers[number] = Answer(tuple(objects), answer.complete, answer.status, answer.reason, answer.message)
        return GetDone(done.request, tuple(answers), tuple(files)) if files else done

    def _place_of(self, scope: Scope, ref: ObjectRef, payload: bytes) -> SharedPlace | None:
        """Where a payload stands, written now unless it is there; None when it can't be written."""
        known = self._written.get((scope, ref))
        if known is not None and self._ring.holds(known):
            return known
        place = self._ring.write(payload) if len(payload) == ref.size else None
        if place is not None:
            self._written.pop((scope, ref), None)
            self._written[scope, ref] = place
            while not self._ring.holds(next(iter(self._written.values()))):
                self._written.popitem(last=False)
        return place

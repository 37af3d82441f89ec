"""The protocol of the first author's own benchmark: entry -> category -> output, over data that every task hashes.

A request is hashed together with all the entry data, which decides its category, so that nobody knows it before; then
it is hashed together with all the data of that category. Every stage asks for all of its data at once. The original
(`playground/affinity_sets_generic`, 2022) has 5 pieces of entry data and 50 a category, of 1 MB each; ours are scaled
to what two cores can move: see the constants.

The data of a stage are named in its key by the greatest piece that is wanted, so that `at` can name them all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from random import Random

import covey

OBJECTIVE_S = 0.200
CATEGORIES = 10
ENTRY_PIECES, CATEGORY_PIECES = 5, 10
PIECE_BYTES = 40_000
"""A 25th of the original's, and a category has a fifth of its pieces: 200 KB and 400 KB instead of 5 MB and 50 MB."""
REQUEST_BYTES = 1_000


def build(name: str, *, grouped: bool) -> covey.Pipeline:
    """The pipeline, with the group rules that one would write by hand, or without any."""
    app = covey.Pipeline(name, objective_s=OBJECTIVE_S)

    def by(rule: str) -> str | None:
        return rule if grouped else None

    entry_data = app.pool("/data/entry/{piece:int}", group=by("entry"), codec="bytes", ttl_s=7200)
    category_data = app.pool("/data/category/{category}/{piece:int}", group=by("{category}"), codec="bytes", ttl_s=7200)
    entries = app.pool("/entry/{request}/{piece:int}", group=by("entry"), codec="bytes", ttl_s=15)
    fresh = app.pool("/category/{category}/{request}/{piece:int}", group=by("{category}"), ttl_s=15)
    outputs = app.pool("/output/{category}/{request}", group=by("{category}"), ttl_s=15)

    @app.stage(on=entries, needs=entry_data.at(*_all(ENTRY_PIECES)), emits=fresh)
    def enter(batch: covey.Batch) -> None:
        """Which category is it?"""
        for task in batch:
            value = checksum(task.trigger.value, [piece.value for piece in task.needs[entry_data]])
            task.emit(fresh, value, category=f"c{value % CATEGORIES}", piece=CATEGORY_PIECES - 1)

    @app.stage(on=fresh, needs=category_data.at(*_all(CATEGORY_PIECES)), emits=outputs)
    def categorise(batch: covey.Batch) -> None:
        """What does the category make of it?"""
        for task in batch:
            before = int(task.trigger.value).to_bytes(4, "big")
            task.emit(outputs, checksum(before, [piece.value for piece in task.needs[category_data]]))

    return app


def checksum(start: bytes, pieces: list[bytes]) -> int:
    """One number that every byte has a part in."""
    value = zlib.crc32(start)
    for piece in pieces:
        value = zlib.crc32(piece, value)
    return value


def data() -> Iterator[tuple[str, bytes]]:
    """Every object that is there before the first request, with its key: the same in every run."""
    rng = Random(1)
    for piece in range(ENTRY_PIECES):
        yield f"/data/entry/{piece}", rng.randbytes(PIECE_BYTES)
    for category in range(CATEGORIES):
        for piece in range(CATEGORY_PIECES):
            yield f"/data/category/c{category}/{piece}", rng.randbytes(PIECE_BYTES)


def answer_to(request: bytes, known: dict[str, bytes]) -> tuple[str, int]:
    """The category of a request, and what comes out, computed in one place."""
    value = checksum(request, [known[f"/data/entry/{piece}"] for piece in range(ENTRY_PIECES)])
    category = f"c{value % CATEGORIES}"
    pieces = [known[f"/data/category/{category}/{piece}"] for piece in range(CATEGORY_PIECES)]
    return category, checksum(value.to_bytes(4, "big"), pieces)


def _all(pieces: int) -> list[int]:
    return [offset - (pieces - 1) for offset in range(pieces)]


grouped = build("synthetic", grouped=True)
ungrouped = build("synthetic", grouped=False)

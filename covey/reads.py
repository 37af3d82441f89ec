"""Reads that span nodes: which nodes answer a read, and one answer out of several. Pure.

The client of the datastores and the simulator share this, so that both read alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from covey.errors import Reason, Status
from covey.model import Answer, KeyRead, LastRead, ObjectValue, Read, ScanRead
from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought: an answer a read, in their order.

    `remote_gets` counts the reads that another node was asked for (one a node), `bytes_moved` the payload bytes that
    came from other nodes; `moved` has both for each read.
    """

    answers: tuple[Answer, ...]
    remote_gets: int = 0
    bytes_moved: int = 0
    moved: tuple[tuple[int, int], ...] = ()


def nodes_of(read: Read) -> tuple[str, ...]:
    """The nodes that a read is asked of."""
    match read:
        case KeyRead():
            return (read.node,)
        case LastRead() | ScanRead():
            return read.nodes
        case _:
            assert_never(read)


def split_by_node(reads: Sequence[Read]) -> dict[str, list[int]]:
    """Node -> the positions of the reads that it is asked."""
    split: dict[str, list[int]] = {}
    for position, read in enumerate(reads):
        for node in nodes_of(read):
            split.setdefault(node, []).append(position)
    return split


def gather(reads: Sequence[Read], answered: Mapping[str, Sequence[Answer]], local_node: str) -> Fetched:
    """One answer a read, out of what each node answered to its part of `split_by_node(reads)`."""
    parts: list[list[Answer]] = [[] for _ in reads]
    gets, moved_bytes = [0] * len(reads), [0] * len(reads)
    for node, positions in split_by_node(reads).items():
        for position, answer in zip(positions, answered[node], strict=True):
            parts[position].append(answer)
            if node != local_node:
                gets[position] += 1
                moved_bytes[position] += sum([value.ref.size for value in answer.objects if value.payload is not None])
    answers = tuple([merge(read, part) for read, part in zip(reads, parts, strict=True)])
    return Fetched(answers, sum(gets), sum(moved_bytes), tuple(zip(gets, moved_bytes, strict=True)))


def merge(read: Read, answers: Sequence[Answer]) -> Answer:
    """One answer out of those of the read's nodes; the first that is not OK speaks for all."""
    if not answers:
        return Answer((), False, Status.UNAVAILABLE, Reason.NO_HOME, "no datastore has joined the mesh")
    for answer in answers:
        if answer.status is not Status.OK:
            return replace(answer, objects=(), complete=False)
    if len(answers) == 1:
        return answers[0]
    if len(dict.fromkeys([answer.epoch for answer in answers])) > 1:
        return Answer((), False, Status.UNAVAILABLE, Reason.MOVED, "groups moved while several nodes were read")
    complete = all(answer.complete for answer in answers)
    values = _newest([value for answer in answers for value in answer.objects])
    match read:
        case LastRead():
            values.sort(key=lambda value: (index_in(read.series, value.ref.key), value.ref.group))
            return Answer(tuple(values[-read.count :]), complete)
        case ScanRead():
            values.sort(key=lambda value: (value.ref.key, value.ref.group))
            return Answer(tuple(values[: read.limit]), complete)
        case KeyRead():
            return Answer(tuple(values[:1]), complete)
        case _:
            assert_never(read)


def index_in(series: str, key: str) -> int:
    """The index of a key of `series`, the key with `*` for its index. Raises ValueError for a key of another series.

    A field may hold a `*` of its own, so each is tried: only at the right one does an integer stand in the key.
    """
    star = series.find("*")
    while star >= 0:
        tail = len(series) - star - 1
        middle = key[star : len(key) - tail]
        if middle.lstrip("-").isdecimal() and key == series[:star] + middle + series[star + 1 :]:
            return int(middle)
        star = series.find("*", star + 1)
    raise ValueError(f"key {key!r} is not of the series {series!r}")


def _newest(values: Sequence[ObjectValue]) -> list[ObjectValue]:
    """Each object once: two nodes have one while its group moves."""
    newest: dict[tuple[str, str], ObjectValue] = {}
    for value in values:
        known = newest.get((value.ref.key, value.ref.group))
        if known is None or value.ref.version > known.ref.version:
            newest[value.ref.key, value.ref.group] = value
    return list(newest.values())

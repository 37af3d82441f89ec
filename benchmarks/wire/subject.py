"""Who is measured, with what: a subject answers one workload's requests, and is asked in one way.

Servers run as processes of their own, and so does the client, which finds its subject by its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random


class Failed(Exception):
    """A request was not answered, or not as it should be; the text says why."""


Call = Callable[[bytes], Awaitable[None]]
"""Sends one request and returns when the whole answer is there; raises Failed."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of `request_bytes` each, whose answers have `answer_bytes`."""

    name: str
    request_bytes: int
    answer_bytes: int
    what: str

    def payload(self) -> bytes:
        """A request: the same for everyone. As float32 none of it is NaN."""
        return Random(self.name).randbytes(self.request_bytes).translate(_SMALL)


_SMALL = bytes(byte % 64 for byte in range(256))
"""With these bytes alone every float32 is finite and small."""

SMALL = Workload("64B", 64, 64, "64 B, answered as they came")
LARGE = Workload("150KB", 150_000, 64, "150 KB, answered with their first 64 bytes")
MLP = Workload("mlp", 784 * 4, 10 * 4, "784 float32 through a torch MLP 784 -> 512 -> 10")
THREE = Workload("three", 64, 64, "64 B through three stages, answered as they came")
WORKLOADS = {workload.name: workload for workload in (SMALL, LARGE, MLP, THREE)}


@dataclass(frozen=True, slots=True)
class Running:
    """Servers that answer. `pids` is by role; what is below each process counts with it."""

    address: str
    pids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Servers:
    """Processes that answer requests; `start` takes a folder for their logs, and stops them at its end.

    Servers of one name are the same: the subjects that have them share them.
    """

    name: str
    start: Callable[[Path], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured; `connect` takes the servers' address, in the client's process."""

    name: str
    workload: str
    servers: Servers
    connect: Callable[[str], AbstractAsyncContextManager[Call]]

    @property
    def id(self) -> str:
        return f"{self.name}/{self.workload}"


def check(size: int, expected: int) -> None:
    """Raise Failed for an answer that has not the bytes that it should."""
    if size != expected:
        raise Failed(f"the answer has {size} bytes, not {expected}")

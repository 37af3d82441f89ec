"""What an emulated device goes by, and what it leaves behind: the times of its stages, and a ledger of its work."""

from __future__ import annotations

import bisect
import itertools
import json
import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from covey.errors import InvalidArgument

_WORK = struct.Struct("<dddd")


@dataclass(frozen=True, slots=True)
class Table:
    """Times by batch size, measured: `sizes` ascend. Between two sizes, and past the last, it goes on straight."""

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    def at(self, size: int) -> float:
        """Seconds for a batch of `size` tasks."""
        if len(self.sizes) == 1 or size <= self.sizes[0]:
            return self.seconds[0]
        right = min(bisect.bisect_left(self.sizes, size), len(self.sizes) - 1)
        before, after = self.sizes[right - 1], self.sizes[right]
        slope = (self.seconds[right] - self.seconds[right - 1]) / (after - before)
        return max(0.0, self.seconds[right - 1] + slope * (size - before))

    @property
    def least(self) -> float:
        """Seconds per task in the batches that serve it best: what is spent beyond is the price of smaller ones."""
        return min(seconds / size for size, seconds in zip(self.sizes, self.seconds, strict=True))


class TimeProfile:
    """How long each stage keeps the device, by the size of its batch."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = dict(tables)

    def seconds(self, stage: str, size: int) -> float:
        return self._tables[stage].at(size)

    def useful(self, stage: str, tasks: int) -> float:
        """Of the time of so many tasks, the part that no batching could save."""
        return self._tables[stage].least * tasks

    def check(self, stages: Iterable[str]) -> None:
        """Raises InvalidArgument, naming the stages that the profile lacks."""
        lacking = [stage for stage in stages if stage not in self._tables]
        if lacking:
            raise InvalidArgument(f"the device's profile has no times for {', '.join(lacking)}")


def read_profile(path: Path) -> TimeProfile:
    """A profile out of a JSON file, `{"predict": [[1, 0.004], [8, 0.009]], ...}`: stage -> [batch size, seconds] pairs.

    Names that begin with an underscore are remarks. Raises InvalidArgument for a file that does not read so.
    """
    try:
        found = json.loads(path.read_text())
        return TimeProfile({stage: _table(pairs) for stage, pairs in found.items() if not stage.startswith("_")})
    except OSError as error:
        raise InvalidArgument(f"the device's profile {path} can't be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidArgument(
            f"the device's profile {path} should map stages to pairs of a batch size and seconds: {error}"
        ) from None


def _table(pairs: Any) -> Table:
    sizes = tuple([int(size) for size, _ in pairs])
    seconds = tuple([float(each) for _, each in pairs])
    if not sizes or sizes[0] < 1 or any(after <= before for before, after in itertools.pairwise(sizes)):
        raise ValueError(f"batch sizes ascend from 1 or more, not {list(sizes)}")
    if min(seconds) < 0:
        raise ValueError("no batch takes less than no time")
    return Table(sizes, seconds)


class Work(NamedTuple):
    """What a device has done since its process began. `useful_s` is of `busy_s` what no batching could have saved."""

    batches: float
    tasks: float
    busy_s: float
    useful_s: float


class Ledger:
    """A file that always holds the device's `Work`, which others may read while it is written."""

    def __init__(self, path: Path, profile: TimeProfile) -> None:
        path.write_bytes(_WORK.pack(0.0, 0.0, 0.0, 0.0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _WORK.size)
        self._profile = profile
        self._work = Work(0.0, 0.0, 0.0, 0.0)

    def add(self, stage: str, tasks: int) -> None:
        """Count a batch."""
        done = Work(1, tasks, self._profile.seconds(stage, tasks), self._profile.useful(stage, tasks))
        self._work = Work(*[before + more for before, more in zip(self._work, done, strict=True)])
        _WORK.pack_into(self._memory, 0, *self._work)


def read_ledger(path: Path) -> Work:
    """What a ledger holds. Raises OSError while the worker has not begun one."""
    return Work(*_WORK.unpack(path.read_bytes()))

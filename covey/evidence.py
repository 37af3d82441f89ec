"""What tasks have read together, and what a declaration's group rules come to on it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from covey.declaration import Declaration, PoolDeclaration
from covey.errors import InvalidArgument
from covey.model import ObjectName, TaskReads

Values = tuple[str, ...]
"""The fields of a key, in the order of its template."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a set of rules comes to: objects seen, groups that they fall into, reads, and reads outside the group that
    most of a task's reads are in. With n nodes, one in n of those happens to be on the right node all the same."""

    objects: int
    groups: int
    reads: int
    remote: int


@dataclass(frozen=True, slots=True)
class Together:
    """Keys that one task used: what it read, by pool, and the trigger that came inline, if any."""

    read: tuple[tuple[str, tuple[str, ...]], ...]
    trigger: ObjectName | None


class Evidence:
    """The records as the search wants them: equal tasks once, keys parsed once, what no pool has any more left out."""

    def __init__(self, declaration: Declaration, records: Iterable[TaskReads]) -> None:
        self.pools = {pool.name: pool for pool in declaration.pools}
        self.values: dict[str, dict[str, Values]] = {}
        """Pool -> key -> its fields."""
        self.read: dict[str, dict[str, None]] = {}
        """Pool -> the keys that were read."""
        self.times: Counter[Together] = Counter()
        for record in records:
            together = self._taken(record)
            if together.read:
                self.times[together] += 1

    def fields(self, pool: str) -> tuple[str, ...]:
        return self.pools[pool].compiled.names

    def shared(self, pool: str, keys: Sequence[str]) -> tuple[str | None, ...]:
        """The value of each field that all these keys share; None where they differ."""
        columns = zip(*[self.values[pool][key] for key in keys], strict=True)
        return tuple([column[0] if len(set(column)) == 1 else None for column in columns])

    def _taken(self, record: TaskReads) -> Together:
        read: dict[str, dict[str, None]] = {}
        for name in record.read:
            if self._know(name):
                read.setdefault(name.pool, {})[name.key] = None
                self.read.setdefault(name.pool, {})[name.key] = None
        trigger = record.trigger if record.inline and read else None
        if trigger is not None and (trigger.key in read.get(trigger.pool, ()) or not self._know(trigger)):
            trigger = None
        return Together(tuple((pool, tuple(sorted(read[pool]))) for pool in self.pools if pool in read), trigger)

    def _know(self, name: ObjectName) -> bool:
        """Whether the key is one of the pool, as the pool is declared now."""
        if name.key in self.values.get(name.pool, ()):
            return True
        pool = self.pools.get(name.pool)
        fields = pool.compiled.match(name.key) if pool is not None else None
        if fields is not None:
            self.values.setdefault(name.pool, {})[name.key] = tuple([str(value) for value in fields.values()])
        return fields is not None


def count(declaration: Declaration, records: Iterable[TaskReads]) -> Counted:
    """What the rules of a declaration come to, on these records."""
    return count_by_pool(Evidence(declaration, records), declaration)[1]


def count_by_pool(evidence: Evidence, declaration: Declaration) -> tuple[dict[str, Counted], Counted]:
    """What the rules of a declaration come to, pool by pool and in all."""
    groups = {
        (name, key): _group_of(declaration.pool(name), key, values)
        for name, known in evidence.values.items()
        for key, values in known.items()
    }
    reads: Counter[str] = Counter()
    remote: Counter[str] = Counter()
    for together, times in evidence.times.items():
        named = [(pool, groups[pool, key]) for pool, keys in together.read for key in keys]
        ((most, _),) = Counter([group for _, group in named]).most_common(1)
        for pool, group in named:
            reads[pool] += times
            remote[pool] += times * (group != most)
    by_pool = {
        name: Counted(len(known), len({groups[name, key] for key in known}), reads[name], remote[name])
        for name, known in evidence.values.items()
    }
    return by_pool, Counted(len(groups), len(set(groups.values())), reads.total(), remote.total())


def _group_of(pool: PoolDeclaration, key: str, values: Values) -> str:
    try:
        return pool.group_of(key, dict(zip(pool.compiled.names, values, strict=True)))[0]
    except InvalidArgument:  # a strict pool would not have taken this key with its rule of now
        return key

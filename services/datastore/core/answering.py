"""What a read finds, or what it must wait for. Reads change nothing but the order of use of groups. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import assert_never

from covey.declaration import PoolDeclaration
from covey.errors import InvalidArgument, NotFound, Reason, Status, Unavailable
from covey.grouping import Scope
from covey.model import Answer, GroupId, KeyRead, LastRead, ObjectValue, Read, ScanRead
from covey.services.datastore.core.commands import FindKeys
from covey.services.datastore.core.groups import use_group
from covey.services.datastore.core.state import (
    Address,
    Blocker,
    GroupLoad,
    History,
    Loading,
    ObjectPut,
    PoolId,
    SeriesId,
    State,
    Version,
    history_at,
)

Found = Mapping[Blocker, tuple[tuple[str, str], ...]]
"""What the request has waited for already: storage's answer to FindKeys, nothing for the rest."""

Blocked = tuple[Blocker, ...]


def declared(state: State, scope: Scope, pool: str) -> tuple[PoolDeclaration, ...]:
    """The pool's declarations, the current one first. Raises NotFound, or Unavailable before the first view."""
    pools = state.pools.get(PoolId(scope, pool))
    if pools is not None:
        return pools
    if state.view is None:
        raise Unavailable("this datastore has not heard from a leader yet", Reason.NO_LEADER)
    if scope not in state.pipelines:
        raise NotFound(f"no pipeline {scope.pipeline!r} is declared", Reason.UNKNOWN_PIPELINE)
    raise NotFound(f"pipeline {scope.pipeline!r} has no pool {pool!r}", Reason.UNKNOWN_POOL)


def answer(state: State, scope: Scope, read: Read, found: Found) -> Answer | Blocked:
    """What a read finds, or what it must wait for. Raises NotFound, InvalidArgument or Unavailable."""
    pool = declared(state, scope, read.pool)[0]
    match read:
        case KeyRead():
            return _answer_key(state, scope, pool, read, found)
        case LastRead():
            return _answer_last(state, scope, pool, read, found)
        case ScanRead():
            return _answer_scan(state, scope, pool, read, found)
        case _:
            assert_never(read)


def give_up(blockers: Blocked, failed: Collection[Blocker]) -> Answer:
    """The answer to a read that has waited in vain."""
    for blocker in blockers:
        if not isinstance(blocker, ObjectPut):
            problem = "could not be read" if blocker in failed else "did not come in time"
            message = f"what storage holds {problem}"
            return Answer((), False, Status.UNAVAILABLE, Reason.STORAGE_FAILED, message)
    keys = ", ".join(blocker.key for blocker in blockers if isinstance(blocker, ObjectPut))
    return _gone(f"no object has come under {keys}")


def _gone(message: str) -> Answer:
    """What must be there is not: the read can't be answered, which is not the same as finding nothing."""
    return Answer((), False, Status.NOT_FOUND, Reason.UNKNOWN_OBJECT, message)


# --- by key ----------------------------------------------------------------------------------------------------------


def _answer_key(state: State, scope: Scope, pool: PoolDeclaration, read: KeyRead, found: Found) -> Answer | Blocked:
    group = read.group or pool.group_of(read.key, pool.fields_of(read.key))[0]
    if pool.durable and not _is_loaded(state, GroupId(scope, group), found):
        return (GroupLoad(GroupId(scope, group)),)
    history = history_at(state, scope, pool.name, group, read.key)
    version = _version_of(history, read) if history is not None else None
    if version is not None:
        use_group(state, GroupId(scope, group))
        return Answer((ObjectValue(version.ref, version.payload),))
    is_lost = Address(scope, pool.name, group, read.key) in state.evicted_keys
    if history is not None:
        is_lost = _is_past(history, read)
    if read.required and not is_lost:
        return (ObjectPut(scope, pool.name, read.key),)
    if read.required:
        return _gone(f"version {read.version} of {read.key} is no longer here")
    return Answer((), complete=not is_lost and not read.version)


def _version_of(history: History, read: KeyRead) -> Version | None:
    """The version that a read names, or the one that was current at its instant.

    What is required may have come after that instant: it is then the first version.
    """
    if read.version and read.as_of is None:
        return next((version for version in reversed(history.versions) if version.ref.version == read.version), None)
    own = _first_of(history, read.before)
    if read.as_of is None and own is None:
        return history.versions[-1]
    for version in reversed(history.versions):
        if own is not None and version.ref.version >= own.ref.version:
            continue
        if own is None and version.ref.version < read.version:
            return None
        if version.ref.version == read.version or read.as_of is None or version.put_at <= read.as_of:
            return version
    return history.versions[0] if read.required else None


def _first_of(history: History, task: bytes) -> Version | None:
    """The first version that a task has put; its emissions' ids begin with its identity."""
    if not task:
        return None
    return next((version for version in history.versions if version.emission.startswith(task)), None)


def _is_past(history: History, read: KeyRead) -> bool:
    """Whether what a read names was here, if ever, and can't come any more."""
    if read.version:
        return history.versions[-1].ref.version > read.version
    own = _first_of(history, read.before)
    if own is not None and own.put_at <= history.lost_before:
        return True
    return read.as_of is not None and read.as_of < history.lost_before


# --- by series -------------------------------------------------------------------------------------------------------


def _answer_last(state: State, scope: Scope, pool: PoolDeclaration, read: LastRead, found: Found) -> Answer | Blocked:
    if pool.compiled.index is None:
        raise InvalidArgument(f"pool {pool.name!r} has no index, so that its keys have no last ones")
    series_id = SeriesId(scope, pool.name, read.series)
    series = state.series.get(series_id)
    if pool.durable and not (series is not None and series.complete):
        keys = FindKeys(scope, pool.name, series=read.series)
        if keys not in found:
            return (keys,)
    if read.awaits and _has_yet_to_come(state, scope, pool, read):
        fields = pool.fields_of(read.awaits)
        if Address(scope, pool.name, pool.group_of(read.awaits, fields)[0], read.awaits) in state.evicted_keys:
            return _gone(f"{read.awaits} is no longer here")
        return (ObjectPut(scope, pool.name, read.awaits),)
    entries = series.entries if series is not None else []
    end = len(entries) if read.as_of is None else bisect_left(entries, _first_beyond(read.as_of, read.exclusive))
    blockers: list[Blocker] = []
    values: list[ObjectValue] = []
    least, wanted = 0, read.count
    group_id, group = None, None
    for at in range(end - 1, -1, -1):
        if not wanted:
            break
        index, name, key = entries[at]
        if group_id is None or group_id.group != name:  # mostly all are of one group
            group_id = GroupId(scope, name)
            group = state.groups.get(group_id)
            if group is not None:
                state.groups.move_to_end(group_id)
        history = group.histories.get((pool.name, key)) if group is not None else None
        if history is not None:
            values.append(_current(history))
            least, wanted = index, wanted - 1
        elif not _is_loaded(state, group_id, found):
            blockers.append(GroupLoad(group_id))
            wanted -= 1
        # Otherwise the index of storage names a key whose put never came to an end.
    if blockers:
        return tuple(dict.fromkeys(blockers))
    evicted = state.evicted_series.get(series_id)
    is_complete = evicted is None or (len(values) == read.count and least > evicted)
    return Answer(tuple(reversed(values)), is_complete)


def _first_beyond(as_of: int, exclusive: bool) -> tuple[int, str, str]:
    """What sorts before every entry that a read must not see."""
    return (as_of if exclusive else as_of + 1, "", "")


def _has_yet_to_come(state: State, scope: Scope, pool: PoolDeclaration, read: LastRead) -> bool:
    """Whether this node is where the awaited put arrives, the first of the read's, and it is not here."""
    if read.nodes and read.nodes[0] != state.node:
        return False
    series = state.series.get(SeriesId(scope, pool.name, read.series))
    if series is None:
        return True
    index = int(pool.fields_of(read.awaits)[pool.compiled.index or ""])
    at = bisect_left(series.entries, (index, "", ""))
    return not (at < len(series.entries) and series.entries[at][2] == read.awaits)


# --- by prefix and by group ------------------------------------------------------------------------------------------


def _answer_scan(state: State, scope: Scope, pool: PoolDeclaration, read: ScanRead, found: Found) -> Answer | Blocked:
    if read.group:
        group_id = GroupId(scope, read.group)
        if pool.durable and not _is_loaded(state, group_id, found):
            return (GroupLoad(group_id),)
        keys = sorted(
            (key, read.group)
            for name, key in (state.groups[group_id].histories if group_id in state.groups else ())
            if name == pool.name and key.startswith(read.prefix)
        )
    elif pool.durable:
        wanted = FindKeys(scope, pool.name, prefix=read.prefix, limit=read.limit)
        if wanted not in found:
            return (wanted,)
        groups = [GroupId(scope, group) for _, group in found[wanted]]
        absent = [GroupLoad(group) for group in groups if not _is_loaded(state, group, found)]
        if absent:
            return tuple(dict.fromkeys(absent))
        keys = list(found[wanted])
    else:
        names = state.keys.get(PoolId(scope, pool.name))
        keys = list(islice(names.under(read.prefix), read.limit)) if names is not None else []
    complete = PoolId(scope, pool.name) not in state.evicted_in_pool
    return Answer(tuple(islice(_values(state, scope, pool, keys), read.limit)), complete)


def _values(
    state: State, scope: Scope, pool: PoolDeclaration, keys: Iterable[tuple[str, str]]
) -> Iterable[ObjectValue]:
    for key, group in keys:
        history = history_at(state, scope, pool.name, group, key)
        if history is not None:
            use_group(state, GroupId(scope, group))
            yield _current(history)


def _current(history: History) -> ObjectValue:
    version = history.versions[-1]
    return ObjectValue(version.ref, version.payload)


def _is_loaded(state: State, group_id: GroupId, found: Found) -> bool:
    """Whether the durable objects of a group are in memory; one that has been loaded for the request may have none."""
    group = state.groups.get(group_id)
    return (group is not None and group.loading is Loading.DONE) or GroupLoad(group_id) in found

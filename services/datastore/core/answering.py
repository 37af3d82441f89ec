"""What a read finds, or what it must wait for. Reads change nothing but the order of use of groups. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import assert_never

from covey.declaration import PoolDeclaration
from covey.errors import InvalidArgument, NotFound, Reason, Status, Unavailable
from covey.grouping import Scope
from covey.model import Answer, GroupId, KeyRead, LastRead, ObjectRef, ObjectValue, Read, ScanRead
from covey.services.datastore.core.commands import FindKeys
from covey.services.datastore.core.groups import use_group
from covey.services.datastore.core.standing import awaited_by_all, awaited_by_reader, group_of_series
from covey.services.datastore.core.state import (
    Address,
    Arrival,
    Blocker,
    GroupLoad,
    History,
    Loading,
    ObjectPut,
    PoolId,
    SeriesId,
    Settling,
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
    awaited_first = _awaited(state, scope, read)
    if awaited_first:
        return awaited_first
    result = _answer(state, scope, read, found)
    if not isinstance(read, KeyRead) and len(read.nodes) > 1 and isinstance(result, Answer):
        return replace(result, epoch=state.homes.placement.epoch)
    return result


def _awaited(state: State, scope: Scope, read: Read) -> Blocked:
    """What must be here before a read is answered: its group, or all that lives here. Raises Moved."""
    match read:
        case KeyRead():
            pool = declared(state, scope, read.pool)[0]
            return awaited_by_reader(
                state, GroupId(scope, read.group or pool.group_of(read.key, pool.fields_of(read.key))[0])
            )
        case ScanRead() if read.group:
            return awaited_by_reader(state, GroupId(scope, read.group))
        case ScanRead():
            return awaited_by_all(state, read.nodes)
        case LastRead():
            group = group_of_series(scope, declared(state, scope, read.pool)[0], read.series)
            if group is None:
                return awaited_by_all(state, read.nodes)
            if len(read.nodes) == 1 or state.homes.of(group) == state.node:
                return awaited_by_reader(state, group)
            return awaited_by_all(state, state.homes.nodes)
        case _:
            assert_never(read)


def _answer(state: State, scope: Scope, read: Read, found: Found) -> Answer | Blocked:
    match read:
        case KeyRead():
            return _answer_key(state, scope, declared(state, scope, read.pool)[0], read, found)
        case LastRead():
            return _answer_last(state, scope, declared(state, scope, read.pool)[0], read, found)
        case ScanRead() if read.group:
            return _answer_group(state, scope, _pools_of(state, scope, read), read, found)
        case ScanRead():
            return _answer_scan(state, scope, declared(state, scope, read.pool)[0], read, found)
        case _:
            assert_never(read)


def _pools_of(state: State, scope: Scope, read: ScanRead) -> tuple[PoolDeclaration, ...]:
    """The pools that a read of a group looks through: the one that it names, or all of the pipeline's."""
    if read.pool:
        return declared(state, scope, read.pool)[:1]
    return tuple([pools[0] for of, pools in state.pools.items() if of.scope == scope])


def give_up(blockers: Blocked, failed: Collection[Blocker]) -> Answer:
    """The answer to a read that has waited in vain."""
    for blocker in blockers:
        if isinstance(blocker, Arrival | Settling):
            return Answer((), False, Status.UNAVAILABLE, Reason.MOVED, "the group is on its way between nodes")
        if not isinstance(blocker, ObjectPut):
            problem = "could not be read" if blocker in failed else "did not come in time"
            message = f"what storage holds {problem}"
            return Answer((), False, Status.UNAVAILABLE, Reason.STORAGE_FAILED, message)
    keys = ", ".join(blocker.key for blocker in blockers if isinstance(blocker, ObjectPut))
    return _gone(f"no object has come under {keys}")


def without_known(answers: Sequence[Answer], known: Sequence[ObjectRef]) -> list[Answer]:
    """The answers without the payloads of what the caller holds, in these very versions."""
    held = dict.fromkeys(known)

    def without(values: Sequence[ObjectValue]) -> tuple[ObjectValue, ...]:
        return tuple([ObjectValue(value.ref) if value.ref in held else value for value in values])

    return [replace(answer, objects=without(answer.objects)) for answer in answers]


def _gone(message: str) -> Answer:
    """What must be there is not: the read can't be answered, which is not the same as finding nothing."""
    return Answer((), False, Status.NOT_FOUND, Reason.UNKNOWN_OBJECT, message)


# --- by key ----------------------------------------------------------------------------------------------------------


def _answer_key(state: State, scope: Scope, pool: PoolDeclaration, read: KeyRead, found: Found) -> Answer | Blocked:
    pool_id = PoolId(scope, pool.name)
    group = read.group or pool.group_of(read.key, pool.fields_of(read.key))[0]
    if pool.durable and not _is_loaded(state, GroupId(scope, group), found):
        return (GroupLoad(GroupId(scope, group)),)
    history = history_at(state, scope, pool.name, group, read.key)
    version = version_of(history, read) if history is not None else None
    if version is not None:
        use_group(state, GroupId(scope, group))
        return Answer((ObjectValue(version.ref, version.payload),))
    if history is not None:
        is_lost = _is_past(history, read)
    else:
        is_lost = Address(scope, pool.name, group, read.key) in state.evicted_keys
        is_lost = is_lost or (read.as_of is not None and read.as_of < state.lapsed_in_pool.get(pool_id, -math.inf))
    if read.required and not is_lost:
        return (ObjectPut(scope, pool.name, read.key),)
    if read.required:
        return _gone(f"version {read.version} of {read.key} is no longer here")
    return Answer((), complete=not is_lost and not read.version)


def version_of(history: History, read: KeyRead) -> Version | None:
    """The version that a read names, or the one that was current at its instant: the later, if it has both.

    Versions are in order of their numbers and of their instants, so that both are found by bisection. What is required
    may have come after the instant: it is then the first version.
    """
    versions = history.versions
    if read.version and read.as_of is None:
        at = _position(versions, read.version, len(versions))
        return versions[at] if at is not None else None
    own = _first_of(history, read.before)
    end = len(versions) if own is None else bisect_left(versions, own.ref.version, key=_number)
    current = (end if read.as_of is None else bisect_right(versions, read.as_of, hi=end, key=_put_at)) - 1
    named = _position(versions, read.version, end) if read.version else None
    if named is not None:
        return versions[max(current, named)]
    if current >= 0 and (own is not None or versions[current].ref.version >= read.version):
        return versions[current]
    is_older = own is None and versions[0].ref.version < read.version  # than the one that is named, and is gone
    return versions[0] if read.required and not is_older else None


def _position(versions: Sequence[Version], number: int, end: int) -> int | None:
    """Where the version of that number stands among the first `end`."""
    at = bisect_left(versions, number, hi=end, key=_number)
    return at if at < end and versions[at].ref.version == number else None


def _number(version: Version) -> int:
    return version.ref.version


def _put_at(version: Version) -> float:
    return version.put_at


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
        keys = FindKeys(scope, pool.name, series=read.series, epoch=state.homes.placement.epoch)
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


# --- by prefix, and by group -----------------------------------------------------------------------------------------


def _answer_scan(state: State, scope: Scope, pool: PoolDeclaration, read: ScanRead, found: Found) -> Answer | Blocked:
    if pool.durable:
        epoch = state.homes.placement.epoch
        wanted = FindKeys(scope, pool.name, prefix=read.prefix, limit=read.limit, epoch=epoch)
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


def _answer_group(
    state: State, scope: Scope, pools: Sequence[PoolDeclaration], read: ScanRead, found: Found
) -> Answer | Blocked:
    """Everything of a group in these pools, which is all in one place, here and in storage."""
    group_id = GroupId(scope, read.group)
    if any(pool.durable for pool in pools) and not _is_loaded(state, group_id, found):
        return (GroupLoad(group_id),)
    names = [pool.name for pool in pools]
    group = state.groups.get(group_id)
    if group is not None:
        state.groups.move_to_end(group_id)
    histories = [history for (name, _), history in group.histories.items() if name in names] if group else []
    histories.sort(key=lambda history: history.address.key)
    complete = not any(PoolId(scope, name) in state.evicted_in_pool for name in names)
    return Answer(tuple([_current(history) for history in histories[: read.limit]]), complete)


def _current(history: History) -> ObjectValue:
    version = history.versions[-1]
    return ObjectValue(version.ref, version.payload)


def _is_loaded(state: State, group_id: GroupId, found: Found) -> bool:
    """Whether the durable objects of a group are in memory; one that has been loaded for the request may have none."""
    group = state.groups.get(group_id)
    return (group is not None and group.loading is Loading.DONE) or GroupLoad(group_id) in found

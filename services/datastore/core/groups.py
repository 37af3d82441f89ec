"""The tables of objects: storing a version, and taking one out. Pure.

Every change of what is in memory goes through here, so that groups, series, keys and known emissions agree.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left

from covey.declaration import PoolDeclaration
from covey.model import GroupId
from covey.services.datastore.core.commands import Entry
from covey.services.datastore.core.sorted_keys import SortedKeys
from covey.services.datastore.core.state import (
    OVERHEAD_BYTES,
    Address,
    Group,
    GroupLoad,
    History,
    IndexEntry,
    Lapse,
    Loading,
    Place,
    PoolId,
    Removal,
    Series,
    SeriesId,
    State,
    Version,
    history_at,
    is_busy,
    lives_here,
)


def use_group(state: State, group_id: GroupId) -> Group:
    """The group, which is now the most recently used; a new one if it is not in memory."""
    group = state.groups.get(group_id)
    if group is None:
        group = state.groups[group_id] = Group(group_id, number=state.number_floor)
    else:
        state.groups.move_to_end(group_id)
    return group


def forget_if_empty(state: State, group: Group) -> None:
    """Keep no record of a group without objects, save that its numbers are never given again."""
    is_kept = (
        group.histories
        or group.listed
        or is_busy(group)
        or group.leaving
        or group.spreads
        or group.id in state.moves.arriving
    )
    if not is_kept and state.groups.get(group.id) is group:
        del state.groups[group.id]
        state.number_floor = max(state.number_floor, group.number)


def store(state: State, group: Group, place: Place, version: Version, now: float) -> None:
    """Put a version, newer than all of its object's, into the tables; what it supersedes or overflows lapses."""
    address = Address(group.id.scope, place.pool.name, group.id.group, version.ref.key)
    history = group.histories.get((address.pool, address.key))
    is_new = history is None
    if history is None:
        history = _new_history(state, group, place, address, version.put_at)
    else:
        history.pool = place.pool
        version.put_at = max(version.put_at, history.versions[-1].put_at)  # the clock of storage may have been set back
        lapse(state, history, history.versions[-1], version.put_at)
    history.versions.append(version)
    group.cost += version.cost
    state.cost += version.cost
    if (address.scope, version.emission) in state.emissions:
        version.emission = b""  # it was emitted to another group as well, and that one is known
    elif version.emission:
        state.emissions[address.scope, version.emission] = version
    series = history.series
    if series is not None:
        series.pool = place.pool
        series.put_at = max(series.put_at, version.put_at)
        _overflow(state, series, history, is_new, now)
    forget_mark(state, address)


def _new_history(state: State, group: Group, place: Place, address: Address, put_at: float) -> History:
    pool, series = place.pool, None
    if place.index is not None:
        series = series_of(state, pool, SeriesId(address.scope, pool.name, place.series), put_at)
        entry = (place.index, address.group, address.key)
        if (series.id, entry) in group.listed:
            _claim(state, group, series.id, entry)
        _list(series, entry)
    history = History(address, pool, place.index, series)
    group.histories[pool.name, address.key] = history
    state.objects += 1
    state.keys.setdefault(PoolId(address.scope, pool.name), SortedKeys()).add(address.key, address.group)
    if series is None or not pool.keep_last:
        wait_for_ttl(state, history, put_at + pool.ttl_s)
    return history


def series_of(state: State, pool: PoolDeclaration, series_id: SeriesId, put_at: float) -> Series:
    """The series, a new one if it is not known. With `keep_last`, it outlives its last put by the pool's ttl."""
    series = state.series.get(series_id)
    if series is None:
        series = state.series[series_id] = Series(series_id, pool, put_at=put_at)
        if pool.keep_last:
            wait_for_ttl(state, series, put_at + pool.ttl_s)
    return series


def adopt_keys(
    state: State, pool: PoolDeclaration, series_id: SeriesId, keys: tuple[tuple[str, str], ...], now: float
) -> None:
    """List the keys that storage has of a durable series, those of groups that live here."""
    for key, name in keys:
        group_id = GroupId(series_id.scope, name)
        group = state.groups.get(group_id)
        is_known = group is not None and (group.loading is Loading.DONE or (pool.name, key) in group.histories)
        if is_known or not lives_here(state, group_id):
            continue
        entry = (_index_of(pool, key), name, key)
        group = use_group(state, group_id)
        if (series_id, entry) not in group.listed:
            _list(series_of(state, pool, series_id, now), entry)
            group.listed[series_id, entry] = None
            group.cost += OVERHEAD_BYTES
            state.cost += OVERHEAD_BYTES
    series = state.series.get(series_id)
    if series is None:
        return
    series.complete = True
    overflow = len(series.entries) - pool.keep_last
    for _, name, key in series.entries[:overflow] if pool.keep_last and overflow > 0 else ():
        if history_at(state, series_id.scope, pool.name, name, key) is None:
            state.loads[GroupId(series_id.scope, name)] = None  # its objects lapse as they are loaded


def forget_unclaimed(state: State, group: Group) -> None:
    """Take out the entries that no loaded object claimed: keys whose put never came to an end, or that left memory."""
    for series_id, entry in list(group.listed):
        _claim(state, group, series_id, entry)
        _unlist_entry(state, state.series[series_id], entry)


def _claim(state: State, group: Group, series_id: SeriesId, entry: IndexEntry) -> None:
    del group.listed[series_id, entry]
    group.cost -= OVERHEAD_BYTES
    state.cost -= OVERHEAD_BYTES


def _index_of(pool: PoolDeclaration, key: str) -> int:
    return int(pool.fields_of(key)[pool.compiled.index or ""])


def _list(series: Series, entry: IndexEntry) -> None:
    at = bisect_left(series.entries, entry)
    if at == len(series.entries) or series.entries[at] != entry:
        series.entries.insert(at, entry)


def _overflow(state: State, series: Series, history: History, is_new: bool, now: float) -> None:
    """Let lapse what a put pushed beyond the `keep_last` greatest indices: itself, or the one it displaced."""
    beyond = len(series.entries) - series.pool.keep_last
    if not series.pool.keep_last or beyond <= 0 or history.index is None:
        return
    entry = (history.index, history.address.group, history.address.key)
    if bisect_left(series.entries, entry) < beyond:
        lapse(state, history, history.versions[-1], now)
    elif is_new:
        _, group, key = series.entries[beyond - 1]
        displaced = history_at(state, series.id.scope, series.id.pool, group, key)
        if displaced is not None:
            lapse(state, displaced, displaced.versions[-1], now)
        else:
            state.loads[GroupId(series.id.scope, group)] = None


def lapse(state: State, history: History, version: Version, at: float) -> None:
    """From `at` on the version is no longer current; it stays readable until the horizon has passed."""
    if version.lapsed_at == math.inf:
        version.lapsed_at = at
        _push(state, at, Lapse(history, version))


def wait_for_ttl(state: State, of: History | Series, instant: float) -> None:
    if instant < math.inf:
        _push(state, instant, Lapse(of))


def _push(state: State, instant: float, found: Lapse) -> None:
    state.lapse_number += 1
    heapq.heappush(state.lapses, (instant, state.lapse_number, found))


def remove_version(state: State, history: History, version: Version) -> None:
    """Take a version out for good, from storage too."""
    address = history.address
    group = state.groups[GroupId(address.scope, address.group)]
    history.versions.remove(version)
    history.lost_before = max(history.lost_before, version.lapsed_at)
    _discount(state, group, version)
    state.counts.removed += 1
    if history.pool.durable and not group.copy_of:  # its home takes it out of storage
        removal = state.removals.setdefault(group.id, Removal())
        removal.refs.append(version.ref)
        if not history.versions:
            removal.entries.append(entry_of(history))
    if not history.versions:
        pool = PoolId(address.scope, address.pool)
        state.lapsed_in_pool[pool] = max(state.lapsed_in_pool.get(pool, -math.inf), history.lost_before)
        _unlist(state, group, history)


def unload(state: State, group: Group, volatile_too: bool) -> None:
    """Take a group's objects out of memory: the durable ones stay in storage, the others are lost, and marked so."""
    if volatile_too:
        lose_volatile(state, group)
    for history in [history for history in group.histories.values() if history.pool.durable]:
        if history.series is not None:
            history.series.complete = False
        _drop(state, group, history)
    for series_id, _ in group.listed:
        state.series[series_id].complete = False
    forget_unclaimed(state, group)
    group.loading = Loading.ABSENT


def forget_durable(state: State, group: Group) -> None:
    """Another node may have put durable objects since: what storage has is read again when somebody asks."""
    for parked in state.parked.values():
        parked.found.pop(GroupLoad(group.id), None)
    is_loading = group.loading is Loading.UNDER_WAY
    unload(state, group, volatile_too=False)
    if is_loading:
        group.loading, group.is_stale = Loading.UNDER_WAY, True


def lose_volatile(state: State, group: Group) -> None:
    """Lose the objects of a group that are in memory alone, and mark them so."""
    for history in [history for history in group.histories.values() if not history.pool.durable]:
        _mark(state, history)
        _drop(state, group, history)


def _drop(state: State, group: Group, history: History) -> None:
    for version in history.versions:
        _discount(state, group, version)
    history.versions.clear()
    _unlist(state, group, history)


def discard(state: State, group: Group, histories_max: float) -> int:
    """Take objects of a group that another node has out of memory, without marks; how many. At the end it is gone."""
    taken = 0
    for history in list(group.histories.values()):
        if taken >= histories_max:
            return taken
        _drop(state, group, history)
        forget_mark(state, history.address)
        taken += 1
    forget_unclaimed(state, group)
    group.loading = Loading.ABSENT if group.loading is Loading.DONE else group.loading
    group.leaving, group.copy_of, group.copied_at = False, "", -1
    forget_if_empty(state, group)
    return taken


def entry_of(history: History) -> Entry:
    series = history.series.id.series if history.series is not None else ""
    return Entry(history.address.pool, history.address.key, series)


def _discount(state: State, group: Group, version: Version) -> None:
    group.cost -= version.cost
    state.cost -= version.cost
    if version.emission:
        del state.emissions[group.id.scope, version.emission]


def _unlist(state: State, group: Group, history: History) -> None:
    """Take a history without versions out of every table."""
    address = history.address
    del group.histories[address.pool, address.key]
    state.objects -= 1
    pool = PoolId(address.scope, address.pool)
    keys = state.keys[pool]
    keys.remove(address.key, address.group)
    if not keys:
        del state.keys[pool]
    series = history.series
    if series is not None and history.index is not None:
        _unlist_entry(state, series, (history.index, address.group, address.key))


def _unlist_entry(state: State, series: Series, entry: IndexEntry) -> None:
    del series.entries[bisect_left(series.entries, entry)]
    if not series.entries:
        del state.series[series.id]


# --- what was evicted, so that reads can say so ----------------------------------------------------------------------


def _mark(state: State, history: History) -> None:
    series = history.series.id if history.series is not None else None
    mark(state, history.address, series, history.index)


def mark(state: State, address: Address, series: SeriesId | None, index: int | None) -> None:
    """Remember that an object was here and is lost."""
    marks_max = state.limits.marks_max
    pool = PoolId(address.scope, address.pool)
    if address not in state.evicted_keys:
        state.evicted_in_pool[pool] = state.evicted_in_pool.get(pool, 0) + 1
    state.evicted_keys[address] = None
    if len(state.evicted_keys) > marks_max:
        forget_mark(state, next(iter(state.evicted_keys)))
    if series is not None and index is not None:
        greatest = state.evicted_series.pop(series, index)
        state.evicted_series[series] = max(greatest, index)
        if len(state.evicted_series) > marks_max:
            state.evicted_series.popitem(last=False)


def forget_mark(state: State, address: Address) -> None:
    """The key is there again, or there are too many marks."""
    if address not in state.evicted_keys:
        return
    del state.evicted_keys[address]
    pool = PoolId(address.scope, address.pool)
    state.evicted_in_pool[pool] -= 1
    if not state.evicted_in_pool[pool]:
        del state.evicted_in_pool[pool]

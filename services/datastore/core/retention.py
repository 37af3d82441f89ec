"""What is kept and what goes: a horizon as a vacuum has one, and memory pressure. Pure.

A version that lapsed (superseded, beyond `keep_last`, outlived by `ttl_s`) may still be what an open event must read,
for reads are as of their trigger. So the leader publishes the age of the oldest open event, and nothing goes that was
current then; only memory pressure may take it, least recently used groups first, and later reads say so.
"""

from __future__ import annotations

import heapq
from typing import assert_never

from covey.declaration import TTL_S
from covey.model import GroupId
from covey.services.datastore.core import groups
from covey.services.datastore.core.state import Group, History, Lapse, Series, State, history_at, is_busy

HORIZON_MARGIN_S = 1.0
"""For events that were admitted while the leader wrote its horizon, and for what a message takes."""

HORIZON_SILENCE_S_MAX = 30.0
"""Without a word for longer than this, the horizon is taken to be `TTL_S` ago."""

SWEEP_EVERY_S = 1.0
SWEEP_MAX = 1_000
"""Lapses looked at in one sweep; the rest waits for `SWEEP_AGAIN_S`, so that nothing else waits long."""

SWEEP_AGAIN_S = 0.01


def horizon_at(state: State, now: float) -> float:
    """The instant such that what was current then, or later, must stay readable."""
    if now - state.horizon_heard_at > HORIZON_SILENCE_S_MAX:
        return max(state.horizon, now - TTL_S)
    return state.horizon


def hear_horizon(state: State, age_s: float, now: float) -> None:
    state.horizon = max(state.horizon, now - age_s - HORIZON_MARGIN_S)
    state.horizon_heard_at = now


def next_sweep(state: State) -> float | None:
    """When something may have to go; None if nothing ever lapses."""
    if not state.lapses:
        return None
    return max(state.lapses[0][0] + HORIZON_MARGIN_S, state.swept_at + SWEEP_EVERY_S)


def sweep(state: State, now: float) -> None:
    """Remove what lapsed before the horizon."""
    due = next_sweep(state)
    if due is None or now < due:
        return
    state.swept_at = now
    horizon = horizon_at(state, now)
    for _ in range(SWEEP_MAX):
        if not state.lapses or state.lapses[0][0] >= horizon:
            return
        instant, _, lapsed = heapq.heappop(state.lapses)
        _remove(state, lapsed, instant, now)
    state.swept_at = now - SWEEP_EVERY_S + SWEEP_AGAIN_S


def _remove(state: State, lapsed: Lapse, instant: float, now: float) -> None:
    """Remove what lapsed at `instant`, unless it is gone or was put again since."""
    match lapsed.of:
        case History() as history if lapsed.version is not None:
            if lapsed.version in history.versions:
                groups.remove_version(state, history, lapsed.version)
                _forget(state, history)
        case History() as history:
            if not history.versions:
                return
            until = history.versions[-1].put_at + history.pool.ttl_s
            if until > instant:
                groups.wait_for_ttl(state, history, until)
            else:
                _remove_all(state, history, until)
        case Series() as series:
            if state.series.get(series.id) is not series:
                return
            until = series.put_at + series.pool.ttl_s
            if until > instant:
                groups.wait_for_ttl(state, series, until)
            else:
                _remove_series(state, series, until, now)
        case _:
            assert_never(lapsed.of)


def _remove_all(state: State, history: History, lapsed_at: float) -> None:
    for version in list(history.versions):
        version.lapsed_at = min(version.lapsed_at, lapsed_at)
        groups.remove_version(state, history, version)
    _forget(state, history)


def _remove_series(state: State, series: Series, lapsed_at: float, now: float) -> None:
    """An idle series goes wholly; durable objects that are not in memory are loaded first and go next time."""
    for _, group, key in list(series.entries):
        history = history_at(state, series.id.scope, series.id.pool, group, key)
        if history is not None:
            _remove_all(state, history, lapsed_at)
        else:
            state.loads[GroupId(series.id.scope, group)] = None
    if series.entries:
        groups.wait_for_ttl(state, series, now + SWEEP_EVERY_S)


def _forget(state: State, history: History) -> None:
    group = state.groups[GroupId(history.address.scope, history.address.group)]
    if group.id not in state.removals:
        groups.forget_if_empty(state, group)


def evict(state: State) -> None:
    """Take the least recently used groups out of memory until the rest fits; the last used one always stays."""
    if state.cost <= state.limits.memory_bytes_max:
        return
    last = next(reversed(state.groups.values()))
    for _ in range(len(state.groups)):
        if state.cost <= state.limits.memory_bytes_max:
            return
        group = next(iter(state.groups.values()))
        if group is last or is_busy(group) or group.leaving or group.spreads or group.id in state.moves.arriving:
            state.groups.move_to_end(group.id)
            continue
        _evict(state, group)


def evict_all(state: State) -> None:
    """Take every group out of memory; durable objects that storage is at work on stay."""
    for group in list(state.groups.values()):
        if is_busy(group):
            groups.lose_volatile(state, group)
        else:
            _evict(state, group)


def _evict(state: State, group: Group) -> None:
    state.counts.evicted += len(group.histories)
    groups.unload(state, group, volatile_too=True)
    groups.forget_if_empty(state, group)

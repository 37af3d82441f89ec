"""Requests that wait: what for, and until when. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from covey.messages import Get
from covey.model import GroupId
from covey.services.datastore.core.answering import Blocked
from covey.services.datastore.core.commands import Command, FindKeys, LoadGroup
from covey.services.datastore.core.groups import use_group
from covey.services.datastore.core.state import (
    Arrival,
    Blocker,
    GroupLoad,
    Loading,
    ObjectPut,
    Parked,
    Settling,
    State,
)

ANSWER_MARGIN_S = 0.002
"""A read gives up waiting this long before its deadline, so that its answer is still of use."""

WAIT_S_MAX = 1.0
"""How long a request waits for an object to be put, or for a group to come. One that takes longer was lost with the
group's last home, and whoever asks must learn it while there is time to begin again."""


def park(state: State, parked: Parked, blockers: Blocked, out: list[Command]) -> None:
    """Keep a request until what it waits for is there, and see to it that storage is asked."""
    is_for_arrival = any(isinstance(blocker, Arrival | Settling) for blocker in blockers)
    if not parked.number:
        state.parked_number += 1
        parked.number = state.parked_number
        state.counts.parked_for_arrival += is_for_arrival
        if isinstance(parked.request, Get):
            heapq.heappush(state.patience, (parked.request.deadline - ANSWER_MARGIN_S, parked.number))
        if isinstance(parked.request, Get) or is_for_arrival:
            heapq.heappush(state.patience, (parked.since + WAIT_S_MAX, parked.number))
    parked.blockers = blockers
    state.parked[parked.number] = parked
    for blocker in blockers:
        if isinstance(blocker, GroupLoad):
            load(state, blocker.group, out)
        elif isinstance(blocker, FindKeys) and blocker not in state.waiting:
            out.append(blocker)
        state.waiting.setdefault(blocker, {})[parked.number] = parked


def unpark(state: State, parked: Parked) -> None:
    """Take a request out of the tables."""
    del state.parked[parked.number]
    for blocker in parked.blockers:
        waiting = state.waiting[blocker]
        del waiting[parked.number]
        if not waiting:
            del state.waiting[blocker]


def has_waited(parked: Parked, now: float) -> bool:
    """Whether a request has waited for as long as one may."""
    return parked.since + WAIT_S_MAX <= now


def load(state: State, group_id: GroupId, out: list[Command]) -> None:
    """Have storage asked for a group, unless it is in memory or on its way."""
    group = use_group(state, group_id)
    if group.loading is Loading.ABSENT:
        group.loading = Loading.UNDER_WAY
        out.append(LoadGroup(group_id))


def has_come(state: State, blocker: Blocker, arrived: Mapping[GroupId, None], is_informed: bool) -> bool:
    """Whether what is waited for may be here, now that groups have arrived or other nodes have said what they have."""
    match blocker:
        case Arrival(group):
            return is_informed or group in arrived
        case Settling():
            return is_informed
        case ObjectPut(scope, pool, key):
            ids = [group for group in arrived if group.scope == scope and group in state.groups]
            return any((pool, key) in state.groups[group].histories for group in ids)
        case _:
            return False

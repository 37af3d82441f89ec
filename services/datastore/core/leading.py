"""What the leader says, and which leader counts. Pure.

A leader's epoch only grows. What a leader of an older epoch than the newest seen says is counted and ignored, save that
its joining is answered: the answer tells it of the newer epoch.
"""

from __future__ import annotations

from typing import assert_never

from covey.grouping import Scope
from covey.homes import Homes
from covey.messages import Beat, Horizon, LeaderJoined, NodeJoined, SchedulerToDatastore, View
from covey.services.datastore.core import retention
from covey.services.datastore.core.commands import Report
from covey.services.datastore.core.state import PoolId, State


def take(state: State, link: int, message: SchedulerToDatastore, now: float) -> list[Report]:
    """Act upon a leader's message; the answers to it."""
    if isinstance(message, LeaderJoined):
        state.leads[link] = message.epoch
    epoch = state.leads.get(link, 0) if isinstance(message, Beat) else message.epoch
    if epoch < state.epoch:
        state.counts.stale += 1
        return [Report(link, _joined(state))] if isinstance(message, LeaderJoined) else []
    state.epoch = epoch
    match message:
        case LeaderJoined():
            return [Report(link, _joined(state))]
        case View():
            _adopt(state, message)
            return [Report(link, _beat(state, now))]
        case Horizon(_, age_s):
            retention.hear_horizon(state, age_s, now)
            return []
        case Beat():
            return [Report(link, _beat(state, now))]
        case _:
            assert_never(message)


def _adopt(state: State, view: View) -> None:
    """Act upon a view from now on, unless a newer one is known."""
    if state.view is not None and (view.epoch, view.number) <= (state.view.epoch, state.view.number):
        return
    _let_go_if_lost(state, view)
    state.view = view
    state.homes = Homes(view.placement)
    state.pipelines = {Scope(tenant, declaration.pipeline): None for tenant, declaration in view.declarations}
    state.pools = {}
    for tenant, declaration in view.declarations:
        for pool in declaration.pools:
            pool_id = PoolId(Scope(tenant, declaration.pipeline), pool.name)
            known = state.pools.get(pool_id, ())
            if pool not in known:
                state.pools[pool_id] = (pool, *known)  # the last declaration of a view is the current one


def _let_go_if_lost(state: State, view: View) -> None:
    """Let go of everything when the leader has taken us for lost, as it says by leaving us out of its next view.

    The groups that were here live elsewhere by now, and would be out of date when they come back. A new leader has
    named no homes yet: being left out of its first view says nothing.
    """
    known = state.view
    was_home = known is not None and known.epoch == view.epoch and state.node in state.homes.nodes
    if was_home and all(node.id != state.node for node in view.placement.nodes):
        retention.evict_all(state)


def _joined(state: State) -> NodeJoined:
    return NodeJoined(state.node, state.address, state.epoch)


def _beat(state: State, now: float) -> Beat:
    return Beat(
        queued=len(state.parked),
        oldest_s=now - min((parked.since for parked in state.parked.values()), default=now),
        finished=state.counts.puts + state.counts.gets,
        view=state.view.number if state.view is not None else 0,
    )

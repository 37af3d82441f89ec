"""What the leader says, and which leader counts. Pure.

A leader's epoch only grows. What a leader of an older epoch than the newest seen says is counted and ignored, save that
its joining is answered: the answer tells it of the newer epoch.
"""

from __future__ import annotations

from typing import assert_never

from covey.grouping import Scope
from covey.messages import Beat, Horizon, LeaderJoined, NodeJoined, SchedulerToDatastore, View
from covey.services.datastore.core import adopting, retention
from covey.services.datastore.core.commands import Command, Report
from covey.services.datastore.core.state import PoolId, State


def take(state: State, link: int, message: SchedulerToDatastore, now: float) -> list[Command]:
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
            out: list[Command] = []
            _adopt(state, message, out)
            return [*out, Report(link, beat(state, now))]
        case Horizon(_, age_s):
            retention.hear_horizon(state, age_s, now)
            return []
        case Beat():
            return [Report(link, beat(state, now))]
        case _:
            assert_never(message)


def _adopt(state: State, view: View, out: list[Command]) -> None:
    """Act upon a view from now on, unless a newer one is known."""
    if state.view is not None and (view.epoch, view.number) <= (state.view.epoch, state.view.number):
        return
    state.view = view
    adopting.adopt(state, view.placement, out)
    state.pipelines = {Scope(tenant, declaration.pipeline): None for tenant, declaration in view.declarations}
    state.pools = {}
    for tenant, declaration in view.declarations:
        for pool in declaration.pools:
            pool_id = PoolId(Scope(tenant, declaration.pipeline), pool.name)
            known = state.pools.get(pool_id, ())
            if pool not in known:
                state.pools[pool_id] = (pool, *known)  # the last declaration of a view is the current one


def _joined(state: State) -> NodeJoined:
    return NodeJoined(state.node, state.address, state.epoch, state.homes.placement)


def beat(state: State, now: float) -> Beat:
    return Beat(
        queued=len(state.parked),
        oldest_s=now - min((parked.since for parked in state.parked.values()), default=now),
        finished=state.counts.puts + state.counts.gets,
        view=state.view.number if state.view is not None else 0,
        settled=max(0, state.moves.settled),
    )


def tell_settled(state: State, now: float) -> list[Report]:
    """Leaders wait for this before they move groups again."""
    return [Report(link, beat(state, now)) for link, epoch in state.leads.items() if epoch == state.epoch]

"""Who is there, and what do they have to know?

The leader's view goes to everyone who is connected. A datastore becomes a home only once it acts upon a view, and a new
declaration reaches gateways and workers only once every ready datastore knows it: no put ever meets a home that lacks
its pool. A peer that says nothing for `silence_s_max` is gone, whatever its connection says.

A new leader begins with the placement in force, as the newest of its datastores knows it, and *gathers*: it draws up
none of its own before the nodes of that one have joined, or `patience_s` has passed. A placement of half of them would
send every group to and fro. A node that was left out of a placement is a new one when it comes back: it has a new
membership, and what it held counts no more.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

from covey.declaration import Declaration
from covey.homes import Homes
from covey.messages import Beat, GatewayJoined, Horizon, NodeJoined, View, WorkerJoined
from covey.model import GroupId, Node, Scope
from covey.services.scheduler.core import balancing, replicas, sharing
from covey.services.scheduler.core import cascade as cascades
from covey.services.scheduler.core.commands import HangUp, Send
from covey.services.scheduler.core.compiling import compiled
from covey.services.scheduler.core.ordering import lose_states
from covey.services.scheduler.core.placement import epoch_base, place_anew
from covey.services.scheduler.core.state import Cascade, Gateway, NodePeer, PipelinePlan, StateKey, Worker
from covey.services.scheduler.core.step import Step

HANDOVER_S = 5.0
"""For how long after an election gateways may submit again what an earlier leader had admitted."""

FIRST_EPOCH = 1
"""Nobody has led before."""


def gateway_connected(step: Step, peer: int, joined: GatewayJoined) -> None:
    for other in list(step.state.gateways.values()):
        if other.id == joined.gateway:
            _replaced(step, other.peer)
    step.state.gateways[peer] = Gateway(peer, joined.gateway, step.now)
    step.out.append(Send(peer, view_for_users(step)))


def worker_connected(step: Step, peer: int, joined: WorkerJoined) -> None:
    for other in list(step.state.workers.values()):
        if other.id == joined.worker:
            _replaced(step, other.peer)
    stages = frozenset(joined.stages)
    lanes = max(1, joined.lanes)
    kept = joined.high_lanes, joined.low_lanes
    worker = Worker(peer, joined.worker, joined.node, lanes, stages, step.now, *kept)
    step.state.workers[peer] = worker
    step.state.lanes.clear()
    if step.state.shared is not None:
        sharing.joined(step.state.shared, worker)
    if step.state.served is not None:
        replicas.joined(step, step.state.served, peer, joined)
    publish(step)  # to everyone: stages may be served now that were not


def node_connected(step: Step, peer: int, joined: NodeJoined) -> None:
    for other in list(step.state.nodes.values()):
        if other.node.id == joined.node:
            _replaced(step, other.peer)
    state, known = step.state, joined.placement
    membership = next((node.joined for node in known.nodes if node.id == joined.node), 0)
    state.nodes[peer] = NodePeer(peer, Node(joined.node, joined.address, membership), step.now)
    if state.gathering and known.epoch > state.homes.placement.epoch:
        state.homes = Homes(known)
        balancing.adopt(state, known)
    publish(step)


def _replaced(step: Step, peer: int) -> None:
    step.out.append(HangUp(peer))
    lost(step, peer)


def lost(step: Step, peer: int) -> None:
    """Whoever it was, it is gone; unknown peers are ignored, for a link's end may be told twice."""
    state = step.state
    if state.gateways.pop(peer, None) is not None:
        for cascade in state.cascades.values():
            if peer in cascade.gateways:
                cascade.gateways.remove(peer)
    elif (worker := state.workers.pop(peer, None)) is not None:
        state.lanes.clear()
        if state.served is not None:
            replicas.lost(step, state.served, peer)
        if state.shared is not None:
            sharing.left(state.shared, worker)
        for batch in worker.batches.values():
            del state.batches[batch.number]
            for task in batch.tasks:
                if state.tasks.get(task.number) is task and task.batch == batch.number:
                    cascades.retry(step, task)
        publish(step)
    elif (node := state.nodes.pop(peer, None)) is not None and node.ready and not state.gathering:
        _home_lost(step, node.node.id, state.homes)


def _gather(step: Step) -> bool:
    """Draw up this leader's first placement, if the nodes of the one in force are there, or were waited for in vain."""
    state = step.state
    in_force = {node.id: node.joined for node in state.homes.placement.nodes}
    ready = {peer.node.id: peer for peer in state.nodes.values() if peer.ready}
    is_first = state.epoch == FIRST_EPOCH and not in_force
    are_all_there = bool(in_force) and all(name in ready for name in in_force)
    if not ready or not (is_first or are_all_there or step.now >= state.gathers_until):
        return False
    state.gathering = False
    for name, peer in ready.items():
        if name not in in_force or in_force[name] != peer.node.joined:
            peer.node = dataclasses.replace(peer.node, joined=state.view_number)
    before = state.homes
    place_anew(state)
    for name in in_force:
        if name not in ready:
            _home_lost(step, name, before)
    return True


def _home_lost(step: Step, node: str, before: Homes) -> None:
    """Groups of the node live elsewhere from now on, without the volatile objects that they had `before`."""
    states: dict[StateKey, str] = {}
    for key in step.state.lines:
        pool = next((plan.stages[key.stage].state_pool for plan in _plans(step, key) if key.stage in plan.stages), None)
        if pool is not None and not pool.durable:
            group, _ = pool.group_of(key.key, pool.fields_of(key.key))
            states[key] = before.of(GroupId(key.scope, group))
    touched = [cascade for cascade in step.state.cascades.values() if _touches(cascade, node, before)]
    place_anew(step.state)
    lose_states(step, node, states)
    publish(step)
    for cascade in touched:
        cascades.start_again(step, cascade, f"node {node!r}, home of objects that the event needs, is gone")


def _plans(step: Step, key: StateKey) -> list[PipelinePlan]:
    return list(reversed(step.state.pipelines.get(key.scope, OrderedDict()).values()))


def _touches(cascade: Cascade, node: str, homes: Homes) -> bool:
    """Whether open work of a cascade reads what lived on a node, or may be putting something there."""
    scope = cascade.event.scope
    if cascade.event.payload is None and homes.of(GroupId(scope, cascade.event.ref.group)) == node:
        return True
    members = [member for join in cascade.joins.values() for found in join.collected.values() for member in found]
    members += [member for task in cascade.tasks.values() for member in task.members]
    if any(homes.of(GroupId(scope, group)) == node for group in dict.fromkeys([each.ref.group for each in members])):
        return True
    return any(task.home == node for task in cascade.tasks.values())


# --- views -----------------------------------------------------------------------------------------------------------


def declared(step: Step, tenant: str, declaration: Declaration) -> None:
    """Take note of a declaration, and tell the datastores first."""
    scope = Scope(tenant, declaration.pipeline)
    current = step.state.pipelines.get(scope)
    announced = step.state.announced.get(scope)
    newest = announced[0].version if announced else next(reversed(current)) if current else ""
    if newest == declaration.version:
        return
    step.state.announced[scope] = (declaration, step.state.view_number + 1)
    publish(step)


def node_acknowledged(step: Step, peer: int, number: int) -> None:
    """A datastore acts upon a view of that number."""
    node = step.state.nodes[peer]
    node.acknowledged = max(node.acknowledged, number)
    changed = _activate(step)
    if not node.ready and node.acknowledged > epoch_base(step.state):
        node.ready = True
        if step.state.gathering:
            changed = _gather(step) or changed
        else:
            node.node = dataclasses.replace(node.node, joined=step.state.view_number)
            place_anew(step.state)
            changed = True
    if changed:
        publish(step)


def _activate(step: Step) -> bool:
    """Make announced declarations current that every ready datastore, and at least one, knows."""
    state = step.state
    known = [node.acknowledged for node in state.nodes.values() if node.acknowledged > epoch_base(step.state)]
    changed = False
    for scope, (declaration, number) in list(state.announced.items()):
        if not known or min(known) < number:
            continue
        del state.announced[scope]
        versions = state.pipelines.setdefault(scope, OrderedDict())
        versions[declaration.version] = compiled(scope, declaration)
        versions.move_to_end(declaration.version)
        while len(versions) > state.limits.declarations_max:
            versions.popitem(last=False)
        state.lanes.clear()
        changed = True
    return changed


def elected(step: Step, epoch: int) -> None:
    """Lead. View numbers start above those of any earlier epoch, so that an old acknowledgement counts for nothing.

    A leader that is elected anew (a peer knew a later epoch than the registry did) meets all of its peers again: what
    they still do for its old epoch is refused, and runs again.
    """
    state = step.state
    state.gathering, state.gathers_until = True, step.now + state.limits.patience_s
    for peer in (*state.workers, *state.nodes, *state.gateways):
        step.out.append(HangUp(peer))
        lost(step, peer)
    state.epoch = epoch
    state.handover_ends = step.now + (HANDOVER_S if epoch > FIRST_EPOCH else 0.0)
    step.state.view_number = epoch_base(step.state)
    publish(step)


def publish(step: Step) -> None:
    """Send everyone the view of now, under a new number."""
    step.state.view_number += 1
    users, nodes = view_for_users(step), _view_for_nodes(step)
    for peer in (*step.state.gateways, *step.state.workers):
        step.out.append(Send(peer, users))
    for peer in step.state.nodes:
        step.out.append(Send(peer, nodes))


def view_for_users(step: Step) -> View:
    """What gateways and workers may act upon."""
    state = step.state
    known = [
        (scope.tenant, plan.declaration) for scope, versions in state.pipelines.items() for plan in versions.values()
    ]
    return View(state.epoch, state.view_number, state.homes.placement, tuple(known), _unserved(step))


def _unserved(step: Step) -> tuple[tuple[str, str], ...]:
    """Stages of current declarations that no connected worker runs."""
    current = [versions[next(reversed(versions))] for versions in step.state.pipelines.values() if versions]
    workers = list(step.state.workers.values())
    return tuple(
        (plan.scope.pipeline, stage.id.name)
        for plan in current
        for stage in plan.stages.values()
        if not any(worker.runs(stage) for worker in workers)
    )


def _view_for_nodes(step: Step) -> View:
    view = view_for_users(step)
    announced = [(scope.tenant, declaration) for scope, (declaration, _) in step.state.announced.items()]
    return dataclasses.replace(view, declarations=(*view.declarations, *announced))


# --- liveness --------------------------------------------------------------------------------------------------------


def heard(step: Step, peer: int) -> bool:
    """A peer has said something; False: there is none of that number."""
    state = step.state
    found = state.gateways.get(peer) or state.workers.get(peer) or state.nodes.get(peer)
    if found is None:
        return False
    found.heard_at = step.now
    return True


def tick(step: Step, due_at: float) -> None:
    """Beat, tell the homes how far back they must be able to read, and hang up on the silent. `due_at`: not later."""
    state = step.state
    if state.gathering and _gather(step):
        publish(step)
    oldest = next(iter(state.cascades.values()), None)
    age_s = step.now - oldest.admitted_at if oldest is not None else 0.0
    beat = Beat(len(state.tasks), age_s, state.finished, state.view_number)
    for peer in state.nodes:
        step.out.append(Send(peer, beat))  # a datastore speaks only when it is spoken to
    if step.now >= state.next_beat:
        state.next_beat = step.now + state.limits.beat_s
        for peer in (*state.gateways, *state.workers):
            step.out.append(Send(peer, beat))
    if step.now - age_s >= state.handover_ends:
        # Before, events may be open that an earlier leader admitted: what it said of the horizon holds on.
        horizon = min(step.now - age_s, *state.exposed.values(), step.now)
        for peer in state.nodes:
            step.out.append(Send(peer, Horizon(state.epoch, step.now - horizon)))
    peers: list[Gateway | Worker | NodePeer] = [
        *state.gateways.values(),
        *state.workers.values(),
        *state.nodes.values(),
    ]
    if step.now > due_at + state.limits.silence_s_max / 2:
        for found in peers:  # it was we who did not listen: their silence says nothing
            found.heard_at = step.now
    for found in peers:
        if found.heard_at < step.now - state.limits.silence_s_max:
            step.out.append(HangUp(found.peer))
            lost(step, found.peer)

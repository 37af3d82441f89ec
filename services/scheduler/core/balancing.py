"""Which groups should live where, by what they cost?

By the weights of root groups (a stem with its branches, or a group that has none; see `weighing`): where hashing has
put too much on one node, the root group moves that evens the load most, unless its bytes cost more to carry than the
move gains. What feeds one another (a scene and its actors) lives together, so that a stage hop stays on its node; where
one node can't carry it, idle lanes elsewhere take its tasks (`affinity`): to spread its groups would only break up its
batches. A group that many nodes read and few write is replicated to them.

Greedy, one improvement at a time, with rests: every move makes requests wait for the groups that are on their way.
"""

from __future__ import annotations

from covey.declaration import Declaration
from covey.grouping import TemplateRule
from covey.model import GroupId, Placement
from covey.services.scheduler.core import membership
from covey.services.scheduler.core.placement import place_anew
from covey.services.scheduler.core.state import State
from covey.services.scheduler.core.step import Step
from covey.services.scheduler.core.weights import Readers

LOOK_S = 1.0
SHARE = 0.3
"""How much the newest second counts in the means."""
MOVES_MAX = 4
"""Groups that move at once."""
REST_S = 5.0
"""A group that was moved stays for so long."""
LOAD_MIN = 0.05
"""A node that is busy for a smaller share of its time has nothing to give away."""
GAIN_MIN = 0.05
"""A move must take so much off the load of the busiest node."""
PLACED_MAX = 10_000
"""Groups that live elsewhere than by default, since everyone has to know them."""
KEPT_S = 10.0
CARRIED_BYTES_PER_S = 50e6
PAYBACK_S = 10.0
"""A group is taken to hold what was put within KEPT_S, and to move at this pace; its move must pay within PAYBACK_S."""
READS_MIN = 5.0
READS_PER_PUT = 10.0
"""Reads per second from one node, and for each put, that a replica there is worth; it goes at a fifth of that."""


def adopt(state: State, placement: Placement) -> None:
    """Go on from what an earlier leader had decided."""
    state.balance.placed = {group: node for group, node in placement.exceptions.items() if group not in state.pins}
    state.balance.together = dict.fromkeys(placement.together)
    state.balance.replicas = dict(placement.replicas)
    for group, nodes in placement.replicas.items():
        # They were read there a moment ago; if they are no longer, their means fade, and the replicas go.
        state.balance.readers[group] = Readers(dict.fromkeys(nodes, READS_MIN))


def look(step: Step) -> None:
    """Decide anew where groups live, if that is worth it, and tell everyone."""
    state = step.state
    if not state.policy.balance or len(state.homes.nodes) < 2:
        return
    _expect_branches(state)
    changed = tuple(state.balance.together) != state.homes.placement.together
    if step.now - state.balance.looked_at >= LOOK_S:
        _mean(state, step.now - state.balance.looked_at)
        state.balance.looked_at = step.now
        if all(peer.settled >= state.homes.placement.epoch for peer in state.nodes.values() if peer.ready):
            changed = _replicate(state) or changed
            changed = _even_out(state, step.now) or changed
    if changed:
        place_anew(state)
        membership.publish(step)


def _expect_branches(state: State) -> None:
    """A declaration whose stages lead from a stem to its branches has them together from the start."""
    for scope, versions in state.pipelines.items():
        if scope in state.balance.together or not versions:
            continue
        if leads_to_branches(versions[next(reversed(versions))].declaration):
            state.balance.together[scope] = None


def leads_to_branches(declaration: Declaration) -> bool:
    """Whether some stage emits into groups whose names begin with the name of its trigger's group."""
    for stage in declaration.stages:
        rule = declaration.pool(stage.on).rule
        if not isinstance(rule, TemplateRule):
            continue
        for pool in stage.emits:
            emitted = declaration.pool(pool).rule
            if isinstance(emitted, TemplateRule) and emitted.text.startswith(f"{rule.text}/"):
                return True
    return False


def _mean(state: State, seconds: float) -> None:
    for weight in state.balance.weights.values():
        weight.busy += SHARE * (weight.busy_now / seconds - weight.busy)
        weight.put += SHARE * (weight.put_now / seconds - weight.put)
        weight.busy_now = weight.put_now = 0.0
    for readers in state.balance.readers.values():
        readers.puts += SHARE * (readers.puts_now / seconds - readers.puts)
        for node in dict.fromkeys([*readers.reads, *readers.reads_now]):
            mean = readers.reads.get(node, 0.0)
            readers.reads[node] = mean + SHARE * (readers.reads_now.get(node, 0) / seconds - mean)
        readers.reads_now.clear()
        readers.puts_now = 0


def _replicate(state: State) -> bool:
    """Give replicas to the nodes that read a group again and again, and take them away when they no longer do."""
    wanted: dict[GroupId, tuple[str, ...]] = {}
    for group, readers in state.balance.readers.items():
        has = state.balance.replicas.get(group, ())
        least = max(READS_MIN, READS_PER_PUT * readers.puts)
        nodes = [node for node, rate in readers.reads.items() if rate >= (least / 5 if node in has else least)]
        if nodes:
            wanted[group] = tuple(sorted(nodes))
    changed = wanted != state.balance.replicas
    state.balance.replicas = wanted
    return changed


def _even_out(state: State, now: float) -> bool:
    """Move root groups from the busiest node to the idlest as long as that evens the load; whether any moves."""
    lanes = dict.fromkeys(state.homes.nodes, 0)
    for worker in state.workers.values():
        if worker.node in lanes:
            lanes[worker.node] += worker.lanes
    able = [node for node in state.homes.nodes if lanes[node]]
    if len(able) < 2:
        return False
    loads, at = _loads(state, able, lanes)
    changed = False
    for _ in range(MOVES_MAX):
        busiest, idlest = max(able, key=lambda node: loads[node]), min(able, key=lambda node: loads[node])
        if loads[busiest] < LOAD_MIN:
            break
        best, gain = None, GAIN_MIN
        for root in at[busiest]:
            weight = state.balance.weights[root]
            after = max(
                loads[busiest] - weight.busy / lanes[busiest], loads[idlest] + weight.busy / lanes[idlest]
            )  # fmt: skip
            carried_s = weight.put * KEPT_S / CARRIED_BYTES_PER_S
            rests = weight.moved_at + REST_S > now
            if not rests and loads[busiest] - after > gain and carried_s < PAYBACK_S * (loads[busiest] - after):
                best, gain = root, loads[busiest] - after
        if best is None:
            break
        _place(state, best, idlest, now)
        changed = True
        at[busiest].remove(best)
        at[idlest].append(best)
        busy = state.balance.weights[best].busy
        loads[busiest] -= busy / lanes[busiest]
        loads[idlest] += busy / lanes[idlest]
    return changed


def _loads(state: State, able: list[str], lanes: dict[str, int]) -> tuple[dict[str, float], dict[str, list[GroupId]]]:
    """Each node's load, as a share of its lanes' time, and the root groups on it that may move."""
    loads = dict.fromkeys(able, 0.0)
    at: dict[str, list[GroupId]] = {node: [] for node in able}
    for root, weight in state.balance.weights.items():
        home = state.homes.of(root)
        if home in loads:
            loads[home] += weight.busy / lanes[home]
            if root not in state.pins:
                at[home].append(root)
    return loads, at


def _place(state: State, root: GroupId, node: str, now: float) -> None:
    state.balance.placed[root] = node
    if len(state.balance.placed) > PLACED_MAX:
        del state.balance.placed[next(iter(state.balance.placed))]  # it goes home again
    state.balance.weights[root].moved_at = now
    state.balance.moves += 1

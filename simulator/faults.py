"""What goes wrong: incidents drawn from the seed, each with a beginning and an end.

Swarm testing (Groce et al., ISSTA 2012): a world has some kinds of faults and lacks others, so that none is masked by
the rest. Everything is over by the instant `heal_at`; from then on the mesh has to finish what is outstanding.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from covey.simulator.mesh import Mesh
from covey.simulator.outcome_checker import Leeway

SETTLING_S = 2.0
"""For how long after an incident of a node its absence may show: the patience of those who listened to it."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One fault. `takes_memory`: a node is lost by it, or may be taken for lost."""

    kind: str
    at: float
    lasts_s: float
    target: str
    takes_memory: bool


def draw(mesh: Mesh, rng: random.Random, begin: float, heal_at: float, count: int) -> list[Incident]:
    """About `count` incidents of some kinds, all over by `heal_at`."""
    kinds = [kind for kind in KINDS if rng.random() < 0.5]
    if not kinds:
        return []
    incidents = []
    for _ in range(count):
        kind = rng.choice(kinds)
        at = rng.uniform(begin, heal_at)
        lasts_s = min(rng.choice((0.05, 0.3, 1.0, 3.0)) * rng.uniform(0.5, 1.5), heal_at - at)
        incidents.append(_incident(mesh, rng, kind, at, lasts_s))
    return sorted(incidents, key=lambda incident: incident.at)


def _incident(mesh: Mesh, rng: random.Random, kind: str, at: float, lasts_s: float) -> Incident:
    everyone = [*mesh.nodes, *mesh.workers, *mesh.gateways, "leader"]
    targets = {
        "crash_worker": mesh.workers,
        "crash_node": mesh.nodes,
        "slow_worker": mesh.workers,
        "lose_device": mesh.workers,
        "break_gateway_link": mesh.gateways,
        "pause": everyone,
        "cut_from_leader": [*mesh.nodes, *mesh.workers, *mesh.gateways],
    }
    target = rng.choice(targets.get(kind, ["leader"]))
    shares_host = kind == "cut_from_leader" and target in mesh.workers  # the cut is between hosts
    takes_memory = kind != "slow_worker" and (target in mesh.nodes or shares_host or kind == "slow_network")
    return Incident(kind, at, lasts_s, target, takes_memory)


def plan(mesh: Mesh, incidents: list[Incident], rng: random.Random, leeway: Leeway) -> None:
    """Have the incidents happen."""
    for incident in incidents:
        mesh.world.at(incident.at, _strike, mesh, incident, rng, leeway)


def _strike(mesh: Mesh, incident: Incident, rng: random.Random, leeway: Leeway) -> None:
    mesh.world.note(f"{incident.kind} {incident.target}")
    leeway.unavailable = True
    leeway.volatile_lost = leeway.volatile_lost or incident.takes_memory
    leeway.led_anew = leeway.led_anew or incident.kind in ("crash_leader", "fail_over")
    KINDS[incident.kind](mesh, incident, rng)


def _crash(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    mesh.crash(incident.target, incident.lasts_s, told=rng.random() < 0.7)


def _crash_leader(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    mesh.crash_leader(incident.lasts_s, told=rng.random() < 0.7)


def _fail_over(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    mesh.fail_over(0.7 * incident.lasts_s, incident.lasts_s * rng.uniform(0.2, 0.9), 0.3 * incident.lasts_s)


def _pause(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    name = mesh.leader if incident.target == "leader" else incident.target
    mesh.processes[name].pause(incident.lasts_s)


def _slow_worker(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    device = mesh.worker(incident.target).device
    device.slowness = rng.uniform(5, 50)
    mesh.world.after(incident.lasts_s, setattr, device, "slowness", 1.0)


def _lose_device(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    mesh.worker(incident.target).device_is_lost = True


def _break_gateway_link(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    for end in list(mesh.processes[incident.target].links.values()):
        if end.kind == "submit":
            end.break_off()


def _cut_from_leader(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    host, other = mesh.processes[incident.target].host, mesh.processes[mesh.leader].host
    mesh.network.cut(host, other)
    mesh.world.after(incident.lasts_s, mesh.network.heal, host, other)


def _cut_node(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    """A node and somebody who asks it can't talk, and both can talk to the leader."""
    node = rng.choice(mesh.nodes)
    other = rng.choice([*mesh.workers, *mesh.gateways])
    hosts = mesh.processes[node].host, mesh.processes[other].host
    if hosts[0] != hosts[1]:
        mesh.network.cut(*hosts)
        mesh.world.after(incident.lasts_s, mesh.network.heal, *hosts)


def _slow_network(mesh: Mesh, incident: Incident, rng: random.Random) -> None:
    mesh.network.slowness = rng.uniform(3, 30)
    mesh.world.after(incident.lasts_s, setattr, mesh.network, "slowness", 1.0)


KINDS: dict[str, Callable[[Mesh, Incident, random.Random], None]] = {
    "crash_worker": _crash,
    "crash_node": _crash,
    "crash_leader": _crash_leader,
    "fail_over": _fail_over,
    "pause": _pause,
    "slow_worker": _slow_worker,
    "lose_device": _lose_device,
    "break_gateway_link": _break_gateway_link,
    "cut_from_leader": _cut_from_leader,
    "cut_node": _cut_node,
    "slow_network": _slow_network,
}

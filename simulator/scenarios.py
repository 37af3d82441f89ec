"""Whole worlds from a seed: a short one with faults for the tests, and hours of traffic."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from covey.errors import Status
from covey.model import Priority
from covey.services.scheduler.core.policy import Policy
from covey.simulator import faults
from covey.simulator.arrivals import poisson
from covey.simulator.checkers import Checkers
from covey.simulator.clients import Clients, Sent
from covey.simulator.hardware import LatencyTable, affine
from covey.simulator.mesh import Mesh, Size, Ways
from covey.simulator.moves import Mover
from covey.simulator.violation import Violation
from covey.simulator.workload import Traffic, collisions, drawn_actors
from covey.simulator.world import World

READY_S = 1.0
"""When the first event is sent: by then everyone has found the leader."""

LIVENESS_S = 20.0
"""How long after the last fault everything outstanding may take."""

LONG_S = 600.0
"""A deadline that nothing misses."""

TABLES: dict[str, LatencyTable] = {
    "track": affine(0.0015, 0.0005),
    "predict": affine(0.004, 0.0003),
    "collide": affine(0.001, 0.0004),
}
"""Seconds by batch size, of the order of what the example takes on one core."""


@dataclass(frozen=True, slots=True)
class Run:
    """A world that has come to its end without a violation."""

    world: World
    mesh: Mesh
    clients: Clients
    incidents: list[faults.Incident] = field(default_factory=list)
    mixed: int = 0
    """Alerts that a change of leader has made of two states."""

    @property
    def statuses(self) -> Counter[str]:
        return Counter(str(outcome.status) for _, _, outcome in self.clients.outcomes())


def short_world(seed: int, events: int = 60, ways: Ways | None = None) -> Run:
    """A small mesh of a drawn shape with drawn faults (one in five has none); then healed and made to finish.

    Raises Violation, whose message says where to look; the seed repeats it.
    """
    world = World(seed)
    rng = world.random("shape")
    declaration = collisions(rng.random() < 0.7, rng.random() < 0.3, batch_max=rng.choice((1, 4, 32)))
    poison: dict[str, None] = {}
    traffic = Traffic(declaration, drawn_actors(rng.choice((1.0, 3.0)), world.random("actors")), poison)
    clients = Clients(traffic)
    checkers = Checkers(clients, traffic)
    size = Size(rng.choice((1, 2, 2, 3)), rng.choice((2, 3)), rng.choice((1, 2)), rng.choice((1, 2)))
    mesh = Mesh(world, size, traffic, TABLES, checkers, ways)
    sending_s = rng.choice((1.0, 4.0))
    heal_at = READY_S + sending_s + 0.5
    rng_of_faults = world.random("faults")
    count = 0 if rng.random() < 0.2 else rng.randint(1, 8)
    incidents = faults.draw(mesh, rng_of_faults, READY_S, heal_at, count)
    faults.plan(mesh, incidents, rng_of_faults, checkers.leeway)
    scenes = [f"s{number}" for number in range(rng.choice((1, 3)))]
    poisons = rng.random() < 0.2
    habits = world.random("clients")
    for instant in islice(poisson(events / sending_s, world.random("arrivals"), READY_S), events):
        scene = habits.choice(scenes)
        world.at(min(instant, heal_at), _send_some, mesh, clients, habits, scene, poison if poisons else None)
    _heal_and_finish(mesh, clients, checkers, scenes, traffic.poison, heal_at, bool(incidents))
    return Run(world, mesh, clients, incidents, checkers.outcomes.mixed)


@dataclass(frozen=True, slots=True)
class Load:
    """Hours of the collision traffic. `rate` is in events a second; `faults_an_hour` in incidents."""

    seconds: float = 3600.0
    rate: float = 1.5
    scenes: int = 8
    actors: float = 10.0
    budget_s: float = 10.0
    faults_an_hour: int = 0
    size: Size = Size(nodes=2, workers=2)


INVARIANTS_EVERY = 5_000
"""Steps between looks at a core's whole state, which is large in a long run."""


def long_world(
    seed: int,
    load: Load,
    arrivals: Iterator[float] | None = None,
    actors: Callable[[str, int], int] | None = None,
    tables: Mapping[str, LatencyTable] | None = None,
) -> Run:
    """Traffic for hours; faults strike up to a minute before its end. Raises Violation.

    Arrivals are Poisson, actors drawn and tables made up, unless given.
    """
    world = World(seed)
    traffic = Traffic(collisions(), actors or drawn_actors(load.actors, world.random("actors")), {})
    clients = Clients(traffic)
    checkers = Checkers(clients, traffic, INVARIANTS_EVERY)
    mesh = Mesh(world, load.size, traffic, {**TABLES, **(tables or {})}, checkers)
    rng_of_faults = world.random("faults")
    count = round(load.faults_an_hour * load.seconds / 3600)
    last = max(READY_S, load.seconds - 60)
    incidents = faults.draw(mesh, rng_of_faults, READY_S, last, count) if count else []
    faults.plan(mesh, incidents, rng_of_faults, checkers.leeway)
    instants = arrivals or poisson(load.rate, world.random("arrivals"))
    habits = world.random("clients")

    def send_next() -> None:
        gateway = mesh.gateway(habits.randrange(mesh.size.gateways))
        clients.send(gateway, f"scene-{habits.randrange(load.scenes)}", load.budget_s)
        plan_next()

    def plan_next() -> None:
        instant = next(instants, load.seconds)
        if instant < load.seconds:
            world.at(READY_S + instant, send_next)

    plan_next()
    world.run(READY_S + load.seconds)
    world.run(world.now + load.budget_s + 1, lambda: not clients.open)
    checkers.outcomes.finished()
    return Run(world, mesh, clients, incidents)


@dataclass(frozen=True, slots=True)
class Moving:
    """A world in which groups moved, and how often a pin changed."""

    run: Run
    moves: int

    @property
    def handed_over(self) -> int:
        """Groups that one node has taken over from another."""
        mesh = self.run.mesh
        return sum(mesh.node(name).core.state.counts.groups_handed_over for name in mesh.nodes)


def moving_world(seed: int, events: int = 80) -> Moving:
    """Groups are pinned here and there while events come, and a node joins; in one world of three with faults too.

    Without faults nothing may be lost: every event ends OK, every history is whole. Raises Violation.
    """
    world = World(seed)
    rng = world.random("shape")
    declaration = collisions(rng.random() < 0.8, rng.random() < 0.3, batch_max=rng.choice((1, 4, 32)))
    traffic = Traffic(declaration, drawn_actors(rng.choice((1.0, 3.0)), world.random("actors")), {})
    clients = Clients(traffic)
    checkers = Checkers(clients, traffic)
    size = Size(rng.choice((2, 3, 4)), rng.choice((2, 3)), rng.choice((1, 2)), rng.choice((1, 2)))
    ways = Ways(Policy(copies=rng.choice((1, 1, 2, 4))))
    mesh = Mesh(world, size, traffic, TABLES, checkers, ways)
    mesh.network.slowness = rng.choice((1.0, 10.0, 30.0))
    sending_s = rng.choice((1.0, 4.0))
    heal_at = READY_S + sending_s + 0.5
    if rng.random() < 0.5:  # it starts late, which takes nothing from anyone
        mesh.crash(mesh.nodes[-1], rng.uniform(READY_S, heal_at))
    incidents = []
    if rng.random() < 1 / 3:
        rng_of_faults = world.random("faults")
        incidents = faults.draw(mesh, rng_of_faults, READY_S, heal_at, rng.randint(1, 5))
        faults.plan(mesh, incidents, rng_of_faults, checkers.leeway)
    scenes = [f"s{number}" for number in range(rng.choice((1, 3)))]
    mover = Mover(mesh, world.random("moves"), scenes)
    mover.start(READY_S, heal_at, mean_s=rng.choice((0.02, 0.1, 0.5)))
    habits = world.random("clients")
    for instant in islice(poisson(events / sending_s, world.random("arrivals"), READY_S), events):
        world.at(min(instant, heal_at), _send_some, mesh, clients, habits, habits.choice(scenes), None)
    _heal_and_finish(mesh, clients, checkers, scenes, traffic.poison, heal_at, bool(incidents))
    return Moving(Run(world, mesh, clients, incidents, checkers.outcomes.mixed), mover.moves)


def _send_some(
    mesh: Mesh,
    clients: Clients,
    habits: random.Random,
    scene: str,
    poison: dict[str, None] | None,
) -> None:
    """One event as some client would send it: most plainly, some twice, taken back, in a hurry, or with a large one."""
    gateway = mesh.gateway(habits.randrange(mesh.size.gateways))
    kind = habits.random()
    budget_s = habits.choice((0.02, 0.1, 0.5)) if kind < 0.15 else LONG_S
    padding = 70_000 if 0.15 < kind < 0.25 else 0
    priority = Priority.LOW if habits.random() < 0.3 else Priority.HIGH
    if poison is not None and kind > 0.9:
        poison[clients.next_id(scene)] = None
    sent = clients.send(gateway, scene, budget_s, priority, padding)
    if 0.25 < kind < 0.32:
        mesh.world.after(habits.uniform(0, 0.02), clients.cancel, sent)
    elif 0.32 < kind < 0.4:
        mesh.world.after(habits.uniform(0, 0.05), clients.call, sent)


def _heal_and_finish(
    mesh: Mesh,
    clients: Clients,
    checkers: Checkers,
    scenes: list[str],
    poison: Mapping[str, None],
    heal_at: float,
    had_faults: bool,
) -> None:
    """Phase one ends at `heal_at`; then everything open must finish, and a fresh event of each scene end OK."""
    world = mesh.world
    world.run(heal_at)
    if not world.run(heal_at + LIVENESS_S, lambda: not clients.open):
        stuck = ", ".join(clients.open)
        raise Violation(f"{LIVENESS_S:.0f} s after the last fault these events are still open: {stuck}")
    world.run(max(world.now, heal_at + faults.SETTLING_S + 1.0) if had_faults else world.now)
    fresh = [
        clients.send(mesh.gateway(number % mesh.size.gateways), scene, LONG_S) for number, scene in enumerate(scenes)
    ]
    world.run(world.now + LIVENESS_S, lambda: not clients.open)
    for sent in fresh:
        _expect_ok(sent)
    if not had_faults:
        for sent in clients.sent.values():
            if sent.budget_s == LONG_S and not sent.cancelled and sent.id not in poison:
                _expect_ok(sent)
    checkers.outcomes.finished()


def _expect_ok(sent: Sent) -> None:
    for answer in sent.answers.values():
        if answer is None or answer[1].status is not Status.OK:
            raise Violation(f"event {sent.id} had nothing in its way, and ends {answer and answer[1]}")

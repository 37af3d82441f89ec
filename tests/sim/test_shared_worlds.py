"""Whole worlds in which the policy of priorities says what runs: every oracle holds, and HIGH and LOW get on."""

from itertools import islice
from typing import NamedTuple

import pytest

from covey.errors import Status
from covey.model import Priority
from covey.services.scheduler.core.policy import Policy
from covey.simulator.arrivals import poisson
from covey.simulator.checkers import Checkers
from covey.simulator.clients import Clients
from covey.simulator.mesh import Mesh, Size, Ways
from covey.simulator.scenarios import LONG_S, READY_S, TABLES, short_world
from covey.simulator.workload import Traffic, collisions, drawn_actors
from covey.simulator.world import World


@pytest.mark.parametrize("kept_lanes", [False, True])
def test_no_promise_is_broken_by_priorities(kept_lanes: bool) -> None:
    """HIGH and LOW events, crashes, pauses and elections: outcomes come once, and everything finishes. With lanes that
    are kept for one priority, as on CUDA, too."""
    ways = Ways(priorities=True, kept_lanes=kept_lanes)
    for seed in range(12):
        try:
            assert short_world(1_000 + seed, ways=ways).mixed == 0, "an alert of two states"
        except AssertionError as error:
            pytest.fail(f"seed {1_000 + seed}: {error}")


def test_low_does_not_wait_for_ever_on_idle_devices() -> None:
    """HIGH has stopped coming, its last having come too late to be answered; LOW, on which HIGH waits, ends."""
    short_world(2283, ways=Ways(priorities=True, kept_lanes=True))


class Beside(NamedTuple):
    """What became of HIGH events beside LOW ones that would fill the device by themselves."""

    in_time: int
    low_done: int


def beside_low(priorities: bool, budget_s: float, seconds: float = 8.0) -> Beside:
    """One device with two lanes, stages of 20, 50 and 14 ms, and HIGH events that need all three, five a second."""
    world = World(5, is_traced=False)
    traffic = Traffic(collisions(batch_max=8), drawn_actors(4.0, world.random("actors")), {})
    clients = Clients(traffic)
    tables = {stage: table.slower(10.0) for stage, table in TABLES.items()}
    checkers = Checkers(clients, traffic, invariants_every=1_000)
    mesh = Mesh(world, Size(1, 1, 1, 2), traffic, tables, checkers, Ways(priorities=priorities))
    gateway = mesh.gateway(0)
    for number in range(20):  # by then it is known how long they take
        world.at(READY_S + 0.2 * number, clients.send, gateway, f"w{number % 4}", LONG_S)
    world.run(READY_S + 6.0)
    began = world.now
    low = [clients.send(gateway, f"l{number % 40}", LONG_S, Priority.LOW) for number in range(250)]
    for number, at in enumerate(islice(poisson(5.0, world.random("high"), began), int(5.0 * seconds))):
        world.at(at, clients.send, gateway, f"h{number % 20}", budget_s)
    world.run(began + seconds + 2.0)
    in_time = [sent for sent, _, outcome in clients.outcomes() if sent.scene[0] == "h" and outcome.status is Status.OK]
    return Beside(len(in_time), sum([not sent.is_open for sent in low]))


def remote_reads(policy: Policy, seconds: float = 6.0) -> float:
    """Of an event, in the mean: four nodes with a device each, half busy, and a network as slow as a wide one."""
    world = World(7, is_traced=False)
    traffic = Traffic(collisions(), drawn_actors(4.0, world.random("actors")), {})
    clients = Clients(traffic)
    tables = {stage: table.slower(3.0) for stage, table in TABLES.items()}
    checkers = Checkers(clients, traffic, invariants_every=1_000)
    mesh = Mesh(world, Size(4, 4, 1, 2), traffic, tables, checkers, Ways(policy, priorities=True))
    mesh.network.slowness = 5.0
    habits = world.random("clients")
    for at in islice(poisson(50.0, world.random("arrivals"), READY_S), int(50.0 * seconds)):
        priority = habits.choice((Priority.HIGH, Priority.LOW))
        world.at(at, clients.send, mesh.gateway(0), f"s{habits.randrange(24)}", LONG_S, priority)
    world.run(READY_S + 2 * seconds, lambda: world.now > READY_S + seconds and not clients.open)
    found = [outcome.remote_gets for _, _, outcome in clients.outcomes() if outcome.status is Status.OK]
    assert len(found) == len(clients.sent)
    return sum(found) / len(found)


def test_devices_take_what_is_near_their_data() -> None:
    """With groups that live somewhere, the policy reads from other nodes less than half of what it does by load
    alone."""
    assert remote_reads(Policy()) < 0.5 * remote_reads(Policy(locality_weight=0.0))


def test_a_cascade_leaves_time_for_its_own_end() -> None:
    """HIGH events of three stages, beside more LOW work than the device carries, are answered in time, and LOW gets
    about as much as where everybody goes by urgency alone."""
    ours, ordinary = beside_low(True, 0.3), beside_low(False, 0.3)
    assert ours.in_time >= ordinary.in_time >= 35
    assert ours.low_done > 0.9 * ordinary.low_done > 50

"""Priorities on shared devices in virtual time: the device, the truth, and the policy on them."""

import random

import pytest

from benchmarks.priority.flood import flooded
from benchmarks.priority.plan import Cell
from benchmarks.priority.predicting import errors_in
from benchmarks.priority.systems import ABLATIONS, SYSTEMS
from covey.model import Priority
from covey.services.scheduler.core.contention import Load
from covey.services.scheduler.core.prioritising import Rules
from covey.services.scheduler.core.promising import KEPT
from covey.simulator.contention import MODELS, NONE, Drift, Truth
from covey.simulator.shared_device import CHUNK_BYTES, SharedDevice, Sharing
from covey.simulator.sharing import Figures, play

HIGH, LOW = Priority.HIGH, Priority.LOW
CELL = Cell(1, 20, 1.1, 2)
REQUESTS = 2500
SEED = 101


def device(sharing: Sharing) -> SharedDevice:
    return SharedDevice(Truth(MODELS, NONE, 1.0, random.Random(1)), sharing, random.Random(2))


def ends(device: SharedDevice) -> dict[int, float]:
    """Batch -> when it ends, running until nothing is left."""
    found = {}
    while device.jobs:
        now = device.next_at()
        for job in device.step(now):
            found[job.batch] = now
    return found


def played(name: str, cell: Cell = CELL, seed: int = SEED) -> Figures:
    system = (SYSTEMS | ABLATIONS)[name]
    return play(cell.traffic(REQUESTS), cell.devices, system.sharing, system.make, seed)


def alone_s(sharing: Sharing, load: Load) -> float:
    one = device(sharing)
    one.launch(1, load, load.size, 0.0)
    return ends(one)[1]


def test_side_by_side_two_take_longer_than_alone_and_less_than_in_turn() -> None:
    """What makes devices worth sharing, and prediction necessary."""
    mine, other = Load("dense", 4, LOW), Load("recommend", 4, LOW)
    apart = alone_s(Sharing.STREAMS, mine), alone_s(Sharing.STREAMS, other)
    both = device(Sharing.STREAMS)
    both.launch(1, mine, 4, 0.0)
    both.launch(2, other, 4, 0.0)
    found = ends(both)
    assert found[1] > 1.05 * apart[0]
    assert found[2] > 1.05 * apart[1]
    assert max(found.values()) < sum(apart)


def test_one_at_a_time_is_one_at_a_time() -> None:
    """Without sharing the second ends after the sum of both, save the copy that it overlaps."""
    mine = Load("dense", 4, LOW)
    both = device(Sharing.ONE)
    both.launch(1, mine, 4, 0.0)
    both.launch(2, mine, 4, 0.0)
    found = ends(both)
    assert found[1] < 1.2 * alone_s(Sharing.ONE, mine)
    assert found[2] > 1.8 * alone_s(Sharing.ONE, mine)


def test_a_stream_of_high_priority_is_slowed_less() -> None:
    """Beside LOW, HIGH is done sooner where streams have priorities."""
    found = {}
    for sharing in (Sharing.STREAMS, Sharing.HARDWARE):
        both = device(sharing)
        both.launch(1, Load("dense", 4, HIGH), 4, 0.0)
        both.launch(2, Load("dense", 16, LOW), 16, 0.0)
        found[sharing] = ends(both)[1]
    assert found[Sharing.HARDWARE] < 0.95 * found[Sharing.STREAMS]


def test_a_reset_frees_the_device_at_once_and_costs_the_low_batch() -> None:
    """HIGH takes hardly longer than alone; LOW waits for it and does some work again."""
    both, high = device(Sharing.RESET), Load("mobile", 1, HIGH)
    both.launch(2, Load("dense", 16, LOW), 16, 0.0)
    while both.next_at() < 0.01:
        list(both.step(both.next_at()))
    both.launch(1, high, 1, 0.01)
    found = ends(both)
    assert found[1] - 0.01 < 1.2 * alone_s(Sharing.RESET, high)
    assert found[2] > alone_s(Sharing.RESET, Load("dense", 16, LOW)) + alone_s(Sharing.RESET, high) - 0.001


def test_a_high_copy_waits_for_one_chunk_of_a_low_one() -> None:
    """Cut in chunks, a LOW copy of 24 MB delays HIGH by a chunk; in order, by all that is left of it."""
    delays = {}
    for sharing in (Sharing.PRIORITIES, Sharing.HARDWARE):
        both = device(sharing)
        both.launch(2, Load("segment", 4, LOW), 4, 0.0)
        both.launch(1, Load("mobile", 1, HIGH), 1, 0.0)
        delays[sharing] = ends(both)[1] - alone_s(sharing, Load("mobile", 1, HIGH))
    assert delays[Sharing.PRIORITIES] < CHUNK_BYTES / 8e9 * 1.5 + 0.001
    assert delays[Sharing.HARDWARE] > 3 * delays[Sharing.PRIORITIES]


def test_the_truth_drifts() -> None:
    """A throttled device is slower for a while, and a new version is slower from some moment on."""
    truth = Truth(MODELS, Drift(), 100.0, random.Random(1))
    load = Load("residual", 4, LOW)
    assert truth.slowdowns([load], 0, False, 50.0)[0] > truth.slowdowns([load], 0, False, 10.0)[0]
    assert truth.solo_s(load, 60.0) > truth.solo_s(load, 40.0)


@pytest.mark.parametrize("name", [*SYSTEMS, *ABLATIONS])
def test_every_system_answers_for_every_request(name: str) -> None:
    """What was offered was in time, late or dropped, and nothing is left when the run ends."""
    system = (SYSTEMS | ABLATIONS)[name]
    figures = play(CELL.traffic(600), 1, system.sharing, system.make, SEED)
    for each in (figures.high, figures.low):
        assert each.offered == each.in_time + each.late + each.dropped > 50


def test_a_seed_gives_the_same_run() -> None:
    """Twice the same, another seed not."""
    first, again, other = played("ours"), played("ours"), played("ours", seed=SEED + 1)
    assert (first.high.in_time, first.low.latencies) == (again.high.in_time, again.low.latencies)
    assert first.low.latencies != other.low.latencies


def test_ours_misses_fewer_high_deadlines_than_strict_priority_and_costs_low_little() -> None:
    """In a full cell: fewer by five points than priorities without prediction, with LOW as well off."""
    ours, strict = played("ours"), played("streams")
    assert ours.high.violations < strict.high.violations - 0.05
    assert ours.low.in_time > 0.9 * strict.low.in_time


def test_the_reserve_and_the_predictor_are_what_it_is_made_of() -> None:
    """Switched off alone, each costs HIGH deadlines."""
    ours = played("ours").high.violations
    assert played("no reserve").high.violations > ours + 0.02
    assert played("no interference").high.violations > ours


def test_promises_are_kept_as_often_as_is_said() -> None:
    """At dispatch, drift and all, within two points."""
    figures = play(Cell(1, 50, 0.9, 3).traffic(6000), 1, SYSTEMS["ours"].sharing, SYSTEMS["ours"].make, SEED)
    assert figures.broken / figures.promised == pytest.approx(1 - KEPT, abs=0.02)


def test_ours_predicts_best() -> None:
    """Its error above the floor is less than half of that without a model, and less than any other's."""
    errors = {name: error.mape for name, error in errors_in(Cell(1, 50, 0.9, 3), SEED).items()}
    assert errors["ours"] - errors["floor"] < 0.5 * (errors["none"] - errors["floor"])
    assert errors["ours"] == min([error for name, error in errors.items() if name != "floor"])


def test_a_flood_of_low_requests_neither_drowns_high_nor_starves_low() -> None:
    """HIGH's 99th percentile stays under its unloaded value and one LOW batch; LOW has its floor in every window."""
    flood = flooded(2.0, SEED)
    assert flood.high_p99_s < flood.bound_s
    assert flood.low_least >= Rules().floor

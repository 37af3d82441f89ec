"""The comparison of modes: what messages cost, that runs pair and repeat, and what the modes do differently."""

import random
from typing import Any

import pytest

from benchmarks.grouping_sim import Cell, grid, judged, summary_of
from covey.grouping import Scope
from covey.messages import Beat, GetDone, Put
from covey.model import Answer, ObjectRef, ObjectValue
from covey.simulator.arrivals import paced, turns
from covey.simulator.baselines.modes import PROPOSED, Mode, modes
from covey.simulator.grid import Condition, Figures, Period, play
from covey.simulator.network import End
from covey.simulator.transfer import MeteredNetwork, Rates, payload_bytes
from covey.simulator.workload import sized
from covey.simulator.world import Process, World

SMALL = Condition(3, 0.5, "small", skewed=False)
LARGE = Condition(3, 0.5, "large", skewed=False)
SHORT = (Period(15.0, 1.0, 2.0),)


def mode_of(name: str) -> Mode:
    return next(mode for mode in modes(3) if mode.name == name)


# --- transfer --------------------------------------------------------------------------------------------------------


class Listener(Process[Any, Any]):
    """Notes when something comes."""

    def __init__(self, world: World, host: str) -> None:
        super().__init__(world, host, host, None, None)  # type: ignore[arg-type]
        self.heard_at: list[float] = []

    def heard(self, end: End, messages: Any) -> None:
        self.heard_at += [self.world.now] * len(messages)


def linked(world: World, host: str, other: str, rates: Rates) -> tuple[End, Listener]:
    network = MeteredNetwork(world, random.Random(1), hop_s=0.001, rates=rates)
    network.delay_s = lambda end: 0.001 if end.owner.host != end.other.owner.host else 0.0  # type: ignore[method-assign]
    sender, listener = Listener(world, host), Listener(world, other)
    mine, theirs = End(network, sender, "exchange"), End(network, listener, "exchange")
    mine.other, theirs.other = theirs, mine
    return mine, listener


def put_of(size: int) -> Put:
    return Put(1, Scope("t", "p"), ObjectRef("pool", "/k", "g"), sized(b"x", size))


def test_a_payload_counts_as_long_as_it_is_said_to_be() -> None:
    """Its length is the declared one, its content the real one; a longer one stays as it is."""
    assert len(sized(b"abc", 1000)) == 1000
    assert sized(b"abc", 1000).decode() == "abc"
    assert sized(b"abc", 2) == b"abc"


def test_bytes_take_the_time_of_the_line_and_of_both_cpus() -> None:
    """A message to another host arrives after its CPU, its bytes over the line, the hop, and the CPU there."""
    world = World(1)
    end, listener = linked(world, "a", "b", Rates(packet_s=0.0001, byte_s=1e-9, line_bytes_per_s=1e9))

    end.send(put_of(1_000_000))
    end.flush()
    world.run(1.0)

    assert listener.heard_at == [pytest.approx(0.0011 + 0.001 + 0.001 + 0.0011, rel=0.01)]


def test_messages_queue_for_the_line() -> None:
    """The second of two large messages comes a transfer later than the first."""
    world = World(1)
    end, listener = linked(world, "a", "b", Rates(packet_s=0.0, byte_s=0.0, line_bytes_per_s=1e9))

    for _ in range(2):
        end.send(put_of(1_000_000))
        end.flush()
    world.run(1.0)

    assert listener.heard_at[1] - listener.heard_at[0] == pytest.approx(0.001, rel=0.01)


def test_a_small_message_is_not_held_up_by_one_that_is_still_on_its_way_from_afar() -> None:
    """The CPU of the receiver is taken when a message arrives, not when it is sent."""
    world = World(1)
    rates = Rates(packet_s=0.0001, byte_s=0.0, line_bytes_per_s=1e9)
    far, listener = linked(world, "a", "b", rates)
    far.send(put_of(1_000_000))
    far.flush()
    near, _ = linked(world, "b", "b", rates)
    near.other.owner = listener
    near.send(Beat())
    near.flush()
    world.run(1.0)

    assert listener.heard_at[0] == pytest.approx(0.0002)


def test_objects_on_the_same_host_come_through_shared_memory() -> None:
    """A large payload that is read on its own host is not copied, a small one is; to another host both are."""
    found = [ObjectValue(ObjectRef("p", "/k", "g", 1), sized(b"x", size)) for size in (100, 100_000)]
    message = GetDone(1, (Answer(tuple(found)),))

    assert payload_bytes(message, local=True) == 100
    assert payload_bytes(message, local=False) == 100_100


# --- arrivals --------------------------------------------------------------------------------------------------------


def test_paced_arrivals_come_one_in_each_interval() -> None:
    """Ten a second: the tenth is in the last tenth of the first second."""
    instants = paced(10.0, random.Random(1), start=5.0)

    assert [int((next(instants) - 5.0) * 10) for _ in range(20)] == list(range(20))


def test_skewed_turns_give_the_first_source_half() -> None:
    """Every other turn is its; the others take theirs in rounds."""
    order = turns(5, True, random.Random(1))
    first = [next(order) for _ in range(16)]

    assert first[::2] == [0] * 8
    assert sorted(first[1:8:2]) == [1, 2, 3, 4]


# --- modes -----------------------------------------------------------------------------------------------------------


def test_a_run_repeats_itself() -> None:
    """The same condition, mode and seed give the same figures."""
    assert play(SMALL, mode_of(PROPOSED), SHORT, 10_001) == play(SMALL, mode_of(PROPOSED), SHORT, 10_001)


@pytest.mark.parametrize("name", [mode.name for mode in modes(3)])
def test_no_mode_loses_an_event(name: str) -> None:
    """At a rate that every mode carries, every event that is sent ends OK."""
    (figures,) = play(LARGE, mode_of(name), SHORT, 10_001)

    assert figures.lost == 0
    assert figures.events > 20
    assert 0 < figures.p50_ms <= figures.p99_ms < 1000


def test_grouping_reads_next_to_nothing_from_afar() -> None:
    """Strictly grouped no object is read from another node; hashed by key, dozens for each event."""
    (grouped,), (hashed,) = (play(LARGE, mode_of(name), SHORT, 10_001) for name in ("grouping_strict", "key_hash"))

    assert grouped.remote_gets == 0
    assert hashed.remote_gets > 10
    assert grouped.bytes_moved < hashed.bytes_moved / 10


def test_periods_of_a_run_are_told_apart() -> None:
    """A run through two rates has the figures of each."""
    low, high = play(SMALL, mode_of("least_loaded"), (Period(5.0, 1.0, 2.0), Period(20.0, 0.5, 2.0)), 10_001)

    assert low.events == pytest.approx(10, abs=2)
    assert high.events == pytest.approx(40, abs=4)
    assert sum(high.utilisation) > 2 * sum(low.utilisation)


# --- judging ---------------------------------------------------------------------------------------------------------


def figures_of(mean_ms: float) -> Figures:
    return Figures(100, 0, mean_ms, 1.0, mean_ms, mean_ms, mean_ms, 0.0, 0.0, 0.0, (0.5,), 10.0, 0)


def test_the_proposed_mode_is_judged_against_the_best_other_one() -> None:
    """The ratio is paired by seed: what a seed does to both modes is not in its interval."""
    by_mode = {
        PROPOSED: {1: figures_of(101.0), 2: figures_of(202.0), 3: figures_of(50.5)},
        "key_hash": {1: figures_of(300.0), 2: figures_of(300.0), 3: figures_of(300.0)},
        "least_loaded": {1: figures_of(100.0), 2: figures_of(200.0), 3: figures_of(50.0)},
    }

    verdict = judged(by_mode)

    assert verdict.best == "least_loaded"
    assert verdict.low == pytest.approx(1.01) == verdict.high
    summary = summary_of({Cell(SMALL, 0.8): verdict})
    assert summary["cells"] == summary["best_or_within_3_percent"] == 1


def test_a_cell_whose_interval_goes_beyond_the_margin_does_not_count() -> None:
    """Non-inferiority is the whole interval's, not the mean's."""
    by_mode = {
        PROPOSED: {1: figures_of(90.0), 2: figures_of(110.0)},
        "key_hash": {1: figures_of(100.0), 2: figures_of(100.0)},
    }

    assert summary_of({Cell(SMALL, 0.8): judged(by_mode)})["best_or_within_3_percent"] == 0


def test_the_full_grid_has_every_cell() -> None:
    """Three delays, four loads, two skews, two sizes on five nodes; and a larger mesh beside them."""
    cells = [(condition, load) for condition, loads in grid(quick=False) for load in loads]

    assert len(cells) == len(set(cells)) == 48 + 2
    assert {condition.nodes for condition, _ in cells} == {5, 16}

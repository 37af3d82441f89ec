"""The cyclic collector looks at what is new, in short passes, and at all of it only where that is short too."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from covey.collector import PAUSE_S_MAX, Collector, Pass


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at


class Knot:
    """In a cycle with itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def begun(clock: Clock) -> Collector:
    collector = Collector(clock)
    collector.begin()
    return collector


def test_nothing_is_collected_between_turns() -> None:
    """However much is allocated, Python's own thresholds stop nobody."""
    begun(Clock())
    found = weakref.ref(Knot())

    kept: list[list[None]] = [[] for _ in range(100_000)]

    assert kept
    assert found() is not None


@pytest.mark.parametrize("looks", [(), (0.1,), (0.1, 2.0)])
def test_a_cycle_goes_with_the_next_look_at_its_age(looks: tuple[float, ...]) -> None:
    """One that comes undone at once goes within 0.1 s, one that was held for longer within 2 s, or within a minute."""
    clock = Clock()
    collector = begun(clock)
    held = Knot()
    found = weakref.ref(held)
    for seconds in looks:
        clock.at += seconds
        collector.turn()
    del held

    for _ in range(20):
        clock.at += (0.1, 2.0, 60.0)[len(looks)]
        collector.turn()

    assert found() is None


def test_a_pass_comes_sooner_when_those_before_it_took_long() -> None:
    """What young passes have looked at for 3 ms together is looked at before its 2 s are over."""
    recent = Pass(1, every_s_max=2.0, due_at=102.0)

    recent.ahead_s = PAUSE_S_MAX / 5

    assert not recent.is_due(100.0)

    recent.ahead_s = PAUSE_S_MAX / 3

    assert recent.is_due(100.0)


def test_a_long_pass_brings_the_next_one_forward() -> None:
    """What is looked at comes with time, so that a shorter interval means a shorter pass; short ones relax again."""
    young = Pass(0, every_s_max=0.1, every_s=0.08)

    young.took(0.004, now=10.0)

    assert (young.every_s, young.due_at) == (0.04, 10.04)

    young.took(0.002, now=11.0)

    assert young.every_s == 0.04

    young.took(0.000_1, now=12.0)
    young.took(0.000_1, now=13.0)

    assert young.every_s == 0.1


class Slow(Clock):
    """A clock by which every pass takes 3 ms."""

    def now(self) -> float:
        self.at += 0.003
        return self.at


@pytest.mark.parametrize(("clock", "frozen"), [(Slow(), True), (Clock(), False)])
def test_what_takes_long_to_look_at_is_frozen(clock: Clock, frozen: bool) -> None:
    """A process that holds a great deal does not look at it again; one that holds little does."""
    collector = begun(clock)
    before = gc.get_freeze_count()
    kept = [Knot() for _ in range(1_000)]

    for _ in range(12):
        clock.at += 100.0
        collector.turn()

    assert (gc.get_freeze_count() >= before + len(kept)) is frozen

"""How many HIGH requests a LOW batch makes late by taking a slot."""

import pytest

from covey.model import Priority
from covey.services.scheduler.core.contention import Load, Overlap, Request
from covey.services.scheduler.core.occupancy import Occupancy
from covey.services.scheduler.core.reserving import Reserve
from covey.services.scheduler.core.transfer import CopyCost

LONG = Load("long", 1, Priority.LOW)


class Known:
    """HIGH takes 2 ms, LOW 20; nothing interferes, and predictions are what comes."""

    def solo_s(self, load: Load) -> float:
        return 0.002 if load.priority is Priority.HIGH else 0.020

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        return 1.0

    def margin(self, load: Load) -> float:
        return 1.0

    def learn(self, load: Load, *seen: list[Overlap] | float) -> None:
        raise AssertionError("a reserve only asks")


def reserve(devices: int = 1, budget_s: float = 0.004, rate: float = 100.0) -> tuple[Reserve, dict[int, Occupancy]]:
    """After five seconds of HIGH requests at a steady rate, half as many LOW ones; nothing runs."""
    known, costs = Known(), (CopyCost(0.0, 0.0), CopyCost(0.0, 0.0))
    idle = {number: Occupancy({}, known, costs, 0) for number in range(devices)}
    found = Reserve(known, known, idle)
    for number in range(int(5 * rate)):
        now = number / rate
        found.arrived(Request(number, "short", Priority.HIGH, now, now + budget_s), now)
        if number % 2:
            found.arrived(Request(-number, "long", Priority.LOW, now, now + 1.0), now)
    return found, idle


class Seat(Occupancy):
    """A device on which one LOW batch runs for 20 ms."""

    def __init__(self) -> None:
        super().__init__({}, Known(), (CopyCost(0.0, 0.0), CopyCost(0.0, 0.0)), 0)
        self.running = {1: type("Some", (), {"load": LONG})()}  # type: ignore[dict-item]  # all that is asked of it

    def lasts_s(self, now: float) -> list[float]:
        return [0.020]


def test_what_is_late_by_itself_says_nothing_of_those_to_come() -> None:
    """After one request whose deadline had passed when it came, a slot beside a LOW batch still makes nobody late."""
    found, _ = reserve()
    found.arrived(Request(0, "short", Priority.HIGH, 5.0, 4.0), 5.0)
    assert found.harm(0, LONG, 0.020, 5.0) == 0.0


def test_a_free_slot_beside_it_makes_nobody_late() -> None:
    """HIGH requests find the other slot."""
    found, _ = reserve()
    assert found.harm(0, LONG, 0.020, 5.0) == 0.0


def test_who_takes_the_last_slot_makes_those_late_that_could_not_wait() -> None:
    """For 18 of its 20 ms a request that has 2 ms to spare is late: 100 a second are 1.8 of them, nearly."""
    found, idle = reserve()
    idle[0] = Seat()
    assert found.harm(0, LONG, 0.020, 5.0) == pytest.approx(1.8, rel=0.15)


def test_those_with_time_to_wait_count_for_nothing() -> None:
    """With 30 ms to spare they wait for either slot."""
    found, idle = reserve(budget_s=0.032)
    idle[0] = Seat()
    assert found.harm(0, LONG, 0.020, 5.0) == 0.0


def test_other_devices_with_a_free_slot_help() -> None:
    """The more of them, the less likely are all taken."""
    harms = []
    for devices in (1, 2, 4):
        found, idle = reserve(devices, rate=50.0)
        idle[0] = Seat()
        harms.append(found.harm(0, LONG, 0.020, 5.0))
    assert harms[0] > 1.5 * harms[1] > 0.0
    assert harms[1] > 5 * harms[2]


def test_rates_are_those_of_late() -> None:
    """Requests that have stopped coming are forgotten within some seconds."""
    found, idle = reserve()
    idle[0] = Seat()
    assert found.harm(0, LONG, 0.020, 25.0) < 0.01
    assert found.worth(5.0, 1.0) == pytest.approx(2.0, rel=0.05)


def test_a_request_has_its_share_of_what_an_event_may_wait() -> None:
    """LOW takes the only slot for 20 ms. A request of 2 ms has 32 ms: all of them, or if 6 ms follow, a quarter of the
    24 that are to spare."""
    harm = {}
    for follows_s in (0.0, 0.006):
        known = Known()
        found = Reserve(known, known, {0: Seat()})
        for number in range(500):
            now = number / 100
            found.arrived(Request(number, "short", Priority.HIGH, now, now + 0.032, follows_s), now)
        harm[follows_s] = found.harm(0, LONG, 0.020, 5.0)
    assert harm[0.0] == 0.0
    assert harm[0.006] > 0.5


def test_another_late_high_request_matters_less_the_more_are_late_anyway() -> None:
    """What LOW may cost grows with the square of what HIGH misses; however little that is, it is not nothing."""
    found, _ = reserve()
    assert found.worth(5.0, 0.03) == pytest.approx(2.0 * 0.03**2, rel=0.05)
    for number in range(2000):
        found.settled(1, number % 4 == 0)
    assert found.worth(5.0, 0.03) == pytest.approx(2.0 * 0.25**2, rel=0.2)

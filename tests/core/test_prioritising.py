"""What runs next on devices that two priorities share."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from covey.model import Priority
from covey.services.scheduler.core.contention import (
    Choice,
    Demand,
    Load,
    ModelProfile,
    Overlap,
    Report,
    Request,
    Rule,
    Slots,
    Slowdowns,
)
from covey.services.scheduler.core.guessing import Guessed, profile_of
from covey.services.scheduler.core.interference import Interference
from covey.services.scheduler.core.prioritising import Prioritised, Rules
from covey.simulator.hardware import LatencyTable

HIGH, LOW = Priority.HIGH, Priority.LOW
SECONDS = {"short": 0.002, "long": 0.020, "loud": 0.010}


class Known:
    """Everything takes what it takes; each neighbour adds a fifth, and `loud` twice the time of everybody."""

    def solo_s(self, load: Load) -> float:
        return SECONDS[load.model] * (1 + load.size) / 2

    def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
        return 1.0 + sum([2.0 if other.model == "loud" else 0.2 for other in others])

    def learn(self, load: Load, overlaps: Sequence[Overlap], seconds: float) -> None:
        return None


class Exact:
    """Predictions are what comes."""

    def margin(self, load: Load) -> float:
        return 1.0

    def learn(self, load: Load, predicted_s: float, seconds: float) -> None:
        return None


def policy(
    devices: int = 1, rules: Rules | None = None, slowdowns: Slowdowns | None = None, four_s: float = 0.0
) -> Prioritised:
    """`four_s`: what a batch of four of `long` takes, by its profile; two take half of that."""
    demand = Demand(0.5, 0.5, 0.5)
    profiles = {
        name: ModelProfile(LatencyTable((1,), (seconds,)), (1, 2, 4), (demand,) * 3, 0, 0)
        for name, seconds in SECONDS.items()
    }
    if four_s:
        curve = LatencyTable((1, 2, 4), (SECONDS["long"], four_s / 2, four_s))
        profiles["long"] = replace(profiles["long"], curve=curve)
    return Prioritised(profiles, devices, slowdowns or Known(), Exact(), rules)


numbers = itertools.count(1)


def ask(
    policy: Prioritised, model: str, priority: Priority, budget_s: float, now: float = 0.0, count: int = 1
) -> Choice:
    """So many requests arrive; what is done about it."""
    for _ in range(count):
        policy.arrived(Request(next(numbers), model, priority, now, now + budget_s), now)
    return policy.choose(now)


def started(choice: Choice) -> list[tuple[str, int, Priority, int]]:
    return [(each.load.model, len(each.requests), each.load.priority, each.device) for each in choice.launches]


def rules_of(choice: Choice) -> list[Rule]:
    return [each.why.rule for each in (*choice.launches, *choice.drops)]


AWAY_S = 0.005
"""What fetching from another node adds."""


def at_nodes(*nodes: str, away_s: float = AWAY_S) -> tuple[Prioritised, Callable[..., Choice]]:
    """A device on each of these nodes; and how requests for data of a node arrive."""
    found = policy(0)
    for number, node in enumerate(nodes):
        found.joined(number, Slots(), node=node)

    def ask_at(home: str, model: str = "short", priority: Priority = HIGH, count: int = 1) -> Choice:
        for _ in range(count):
            found.arrived(Request(next(numbers), model, priority, 0.0, 1.0, 0.0, home, away_s), 0.0)
        return found.choose(0.0)

    return found, ask_at


def test_of_two_equal_devices_the_one_with_the_data_is_chosen() -> None:
    """For HIGH and LOW, and whichever of the two has them: the other would end later by what fetching adds."""
    for home, priority in itertools.product(("a", "b"), (HIGH, LOW)):
        _, ask_at = at_nodes("a", "b")
        choice = ask_at(home, priority=priority)
        assert started(choice) == [("short", 1, priority, "ab".index(home))]
        assert choice.launches[0].why.predicted_s < AWAY_S


def test_where_the_data_are_may_be_too_busy() -> None:
    """Beside `loud` a task takes three times as long: fetching is quicker for a long task, and not for a short one."""
    for model, expected in (("long", 0), ("short", 1)):
        _, ask_at = at_nodes("a", "b")
        assert started(ask_at("b", "loud", LOW)) == [("loud", 1, LOW, 1)]
        choice = ask_at("b", model)
        assert started(choice) == [(model, 1, HIGH, expected)]
        away_s = AWAY_S if expected == 0 else 0.0
        assert choice.launches[0].why.predicted_s >= SECONDS[model] + away_s


def test_a_batch_is_of_one_home_where_there_are_devices() -> None:
    """What two nodes hold runs on each; what nodes without a device hold is away everywhere, and runs together."""
    found, _ = at_nodes("a", "b")
    for home in ("a", "b", "c", "d"):
        found.arrived(Request(next(numbers), "short", HIGH, 0.0, 1.0, 0.0, home, AWAY_S), 0.0)
    assert sorted(started(found.choose(0.0))) == [("short", 1, HIGH, 0), ("short", 1, HIGH, 1), ("short", 2, HIGH, 0)]


def test_a_home_whose_last_device_is_gone_is_no_home() -> None:
    """What comes then runs together with what comes for others like it."""
    found, _ = at_nodes("a", "b")
    found.left(1)
    for home in ("b", "c"):
        found.arrived(Request(next(numbers), "short", HIGH, 0.0, 1.0, 0.0, home, AWAY_S), 0.0)
    assert started(found.choose(0.0)) == [("short", 2, HIGH, 0)]


def test_what_may_not_be_away_waits_for_its_home() -> None:
    """A price of infinity: the idle device is no place for it."""
    found, ask_at = at_nodes("a", "b", away_s=math.inf)
    assert started(ask_at("b", "loud", count=8)) == [("loud", 4, HIGH, 1), ("loud", 4, HIGH, 1)]
    assert started(ask_at("b")) == []


def test_high_goes_where_it_ends_first() -> None:
    """Of two devices, the one where nothing slows it down; the trace says so."""
    both = policy(2)
    ask(both, "loud", LOW, 1.0)
    choice = ask(both, "short", HIGH, 1.0)
    assert started(choice) == [("short", 1, HIGH, 1)]
    assert rules_of(choice) == [Rule.SOONEST]
    assert choice.launches[0].why.beside == ()


def test_high_runs_before_low_that_is_more_urgent() -> None:
    """Deadlines order within a priority, not across."""
    one = policy(rules=Rules(slots=1))
    first = ask(one, "short", HIGH, 1.0)
    ask(one, "short", LOW, 0.05)
    ask(one, "long", HIGH, 1.0)
    one.ended(Report(first.launches[0].batch, 0.0, 0.002, 0.0), 0.002)
    assert started(one.choose(0.002)) == [("long", 1, HIGH, 0)]


def test_a_batch_is_as_large_as_its_most_urgent_task_allows() -> None:
    """Four take 50 ms and two 30: that is how many there are, while there is so much time left."""
    for budget_s, size in ((1.0, 4), (0.053, 4), (0.033, 2), (0.023, 1)):
        other = policy(rules=Rules(slots=1))
        first = ask(other, "short", HIGH, 1.0)
        ask(other, "long", HIGH, budget_s, count=4)
        other.ended(Report(first.launches[0].batch, 0.0, 0.002, 0.0), 0.002)
        assert [len(each.requests) for each in other.choose(0.002).launches] == [size], budget_s


def test_nobody_joins_who_would_make_a_running_high_late() -> None:
    """Beside `loud` it takes 28 ms and has 25; without the rule it is late."""
    for protect, expected in ((True, []), (False, [("loud", 1, LOW, 0)])):
        one = policy(rules=Rules(protect=protect))
        ask(one, "long", HIGH, 0.025)
        assert started(ask(one, "loud", LOW, 1.0)) == expected


def test_low_waits_for_a_slot_that_it_would_only_be_late_in() -> None:
    """LOW starts if it ends in time, and is dropped once it could not even alone."""
    one = policy()
    ask(one, "loud", HIGH, 1.0)
    assert started(ask(one, "long", LOW, 0.025)) == []
    choice = one.choose(0.006)
    assert rules_of(choice) == [Rule.HOPELESS]
    assert started(choice) == []


def test_low_leaves_the_last_slot_to_high_requests_that_are_likely() -> None:
    """While HIGH requests keep coming that could not wait, a second LOW batch does; without any, it need not."""
    for coming, rules, expected in ((0, Rules(), 2), (50, Rules(floor=0.0), 1), (50, Rules(exchange=1e9), 2)):
        one = policy(rules=rules)
        now = 0.0
        for _ in range(coming):
            now += 0.01
            for priority in (LOW, HIGH):
                choice = ask(one, "short", priority, 0.004, now)
                one.ended(Report(choice.launches[0].batch, 0.0, 0.002, 0.0), now + 0.002)
        choices = [ask(one, "long", LOW, 1.0, now + 0.005), ask(one, "long", LOW, 1.0, now + 0.006)]
        assert sum([len(choice.launches) for choice in choices]) == expected, (coming, rules)


def test_low_gets_its_floor_whatever_is_likely() -> None:
    """With the floor, LOW that has had nothing of the window starts though the reserve says no."""
    found = {}
    for floor in (0.0, 0.05):
        one = policy(rules=Rules(slots=1, floor=floor, exchange=0.0))
        now = 0.0
        for _ in range(100):
            now += 0.01
            choice = ask(one, "short", HIGH, 0.004, now)
            one.ended(Report(choice.launches[0].batch, 0.0, 0.002, 0.0), now + 0.002)
        found[floor] = rules_of(ask(one, "long", LOW, 1.0, now + 0.003))
    assert found == {0.0: [], 0.05: [Rule.FLOOR]}


def test_low_has_its_floor_of_a_window_in_which_nothing_ran() -> None:
    """HIGH has come and may come again, but has left the device idle for a second: LOW takes it, though it may harm."""
    found = {}
    for floor in (0.0, 0.05):
        one = policy(rules=Rules(slots=1, floor=floor, exchange=0.0))
        for number in range(3):
            choice = ask(one, "short", HIGH, 0.004, 0.01 * number)
            one.ended(Report(choice.launches[0].batch, 0.0, 0.002, 0.0), 0.01 * number + 0.002)
        found[floor] = rules_of(ask(one, "long", LOW, 9.0, 1.1))
    assert found == {0.0: [], 0.05: [Rule.FLOOR]}


def test_of_low_that_may_start_the_most_for_its_time_does() -> None:
    """Two short ones in 3 ms run before a long one of 20, though that one is more urgent."""
    one = policy(rules=Rules(slots=1))
    choice = ask(one, "loud", LOW, 1.0)
    ask(one, "long", LOW, 0.2, 0.001)
    ask(one, "short", LOW, 0.3, 0.002, count=2)
    one.ended(Report(choice.launches[0].batch, 0.0, 0.010, 0.0), 0.010)
    assert started(one.choose(0.010)) == [("short", 2, LOW, 0)]


def test_low_that_is_nearly_through_goes_before_the_beginning_of_another() -> None:
    """The last 10 ms of an event run before 2 ms that 50 more have to follow."""
    one = policy(rules=Rules(slots=1))
    choice = ask(one, "long", LOW, 1.0)
    ask(one, "loud", LOW, 1.0, 0.001)
    one.arrived(Request(next(numbers), "short", LOW, 0.002, 0.5, follows_s=0.05), 0.002)
    one.ended(Report(choice.launches[0].batch, 0.0, 0.020, 0.0), 0.020)
    assert started(one.choose(0.020)) == [("loud", 1, LOW, 0)]


@pytest.mark.parametrize(("late", "expected"), [(False, 0), (True, 1)])
def test_low_gives_way_less_where_high_is_late_anyway(late: bool, expected: int) -> None:
    """The same slot, and the same HIGH requests to come: LOW has it once most of those miss their deadlines."""
    one = policy(rules=Rules(slots=1, floor=0.0, exchange=10.0))
    now = 0.0
    for _ in range(400):
        now += 0.01
        for priority in (LOW, HIGH):
            choice = ask(one, "short", priority, 0.004, now)
            took_s = 0.005 if late and priority is HIGH else 0.002
            for launch in choice.launches:
                one.ended(Report(launch.batch, 0.0, took_s, 0.0), now + took_s)
    assert len(ask(one, "long", LOW, 1.0, now + 0.006).launches) == expected


def waits_s(rules: Rules) -> float:
    """For how long LOW that has a second waits for the only slot, while HIGH requests come that could not; infinity:
    to its end."""
    one = policy(rules=rules)
    for number in range(200):
        now = number / 100
        for launch in ask(one, "short", HIGH, 0.004, now).launches:
            one.ended(Report(launch.batch, 0.0, 0.002, 0.0), now + 0.002)
        now += 0.005
        choice = ask(one, "long", LOW, 1.0, now, count=number == 99)
        if choice.launches:
            assert rules_of(choice) == [Rule.FITS]
            return now - 0.995
    return math.inf


def test_low_that_is_kept_is_worth_more_the_longer_it_waits() -> None:
    """It leaves the slot to HIGH as long as it has time, and less long by a higher rate of exchange; LOW that is not
    kept does so for good."""
    assert waits_s(Rules(slots=1, floor=0.0)) == math.inf
    assert 0.7 < waits_s(Rules(slots=1, floor=0.0, keep_low=True)) < 0.98
    assert 0.2 < waits_s(Rules(slots=1, floor=0.0, keep_low=True, exchange=3.0)) < 0.5


@pytest.mark.parametrize(
    ("keep_low", "four_s", "waited_s", "expected"),
    [(True, 0.079, 0.0, 1), (True, 0.040, 0.0, 2), (True, 0.079, 0.6, 4), (False, 0.079, 0.0, 4)],
)
def test_low_that_is_kept_runs_in_batches_no_larger_than_saves_time(
    keep_low: bool, four_s: float, waited_s: float, expected: int
) -> None:
    """Two that take no longer than one run at once, and four that take twice as long only where they have waited longer
    than they have left."""
    one = policy(rules=Rules(slots=1, keep_low=keep_low), four_s=four_s)
    first = ask(one, "loud", LOW, 2.0)
    ask(one, "long", LOW, 1.0, 0.001, count=4)
    one.ended(Report(first.launches[0].batch, 0.0, 0.010, 0.0), 0.01 + waited_s)
    assert started(one.choose(0.01 + waited_s)) == [("long", expected, LOW, 0)]


def test_low_that_is_kept_may_come_at_its_deadline() -> None:
    """A stage that is known to take no time is not hopeless at the last instant, though no time is left; what does not
    run then is dropped right after."""
    guess = Guessed()
    guess.observe(1, 0.0)
    profiles = {"instant": profile_of(guess, 1)}
    one = Prioritised(profiles, 1, Interference(profiles), Exact(), Rules(slots=1, keep_low=True))
    first = ask(one, "instant", LOW, 0.0)
    then = one.choose(first.again_at or 0.0)
    assert len(first.launches) + len(then.drops) == 1


def test_high_with_time_to_wait_leaves_the_last_slot_to_one_that_has_none() -> None:
    """A long HIGH batch with much time does not fill a device on which short ones are likely to come."""
    for patience, expected in ((0.8, 0), (0.0, 1)):
        one = policy(rules=Rules(patience=patience))
        now = 0.0
        for _ in range(50):
            now += 0.01
            choice = ask(one, "short", HIGH, 0.003, now)
            one.ended(Report(choice.launches[0].batch, 0.0, 0.002, 0.0), now + 0.002)
        ask(one, "long", HIGH, 1.0, now + 0.004)
        assert len(ask(one, "long", HIGH, 1.0, now + 0.005).launches) == expected


def test_what_has_gone_is_not_run() -> None:
    """A request that was cancelled while it waited is in no batch, and unknown numbers do no harm."""
    one = policy(rules=Rules(slots=1))
    first = ask(one, "short", HIGH, 1.0)
    one.arrived(Request(9001, "long", HIGH, 0.0, 1.0), 0.0)
    one.gone(9001, 0.0)
    one.gone(9002, 0.0)
    one.ended(Report(first.launches[0].batch, 0.0, 0.002, 0.0), 0.002)
    assert started(one.choose(0.002)) == []


def test_no_device_ever_holds_more_than_its_slots() -> None:
    """However many wait."""
    two = policy(2, Rules(slots=3, exchange=1e9, patience=0.0))
    choice = ask(two, "short", HIGH, 10.0, count=40)
    assert [each.device for each in choice.launches].count(0) == 3
    assert [each.device for each in choice.launches].count(1) == 3


def test_a_launch_says_what_it_promises() -> None:
    """Predicted, promised and spare add up to the deadline, and the slowdown is by what it runs beside."""
    one = policy()
    ask(one, "long", HIGH, 1.0)
    why = ask(one, "short", LOW, 0.5, 0.001).launches[0].why
    assert why.rule is Rule.FITS
    assert why.beside == (Load("long", 1, HIGH),)
    assert why.slowdown == pytest.approx(1.2)
    assert why.promised_s + why.spare_s == pytest.approx(0.5)


def test_devices_come_and_go() -> None:
    """Nothing starts where there is no device; one that comes takes what waits, and what ran on one that left is
    forgotten with it."""
    one = policy(0)
    assert started(ask(one, "short", HIGH, 1.0)) == []
    one.joined(7, Slots())
    assert started(one.choose(0.0)) == [("short", 1, HIGH, 7)]
    one.left(7)
    one.joined(7, Slots(1, 1, 1))
    assert started(ask(one, "long", HIGH, 1.0)) == [("long", 1, HIGH, 7)]


def test_a_device_takes_what_it_runs_in_the_slots_that_it_has() -> None:
    """A lane that is kept for HIGH takes one HIGH batch and no LOW one; a model goes only where it is run."""
    one = policy(0)
    one.joined(1, Slots(2, high=1, low=1))
    one.joined(2, Slots(2), lambda model: model == "long")
    choices = [ask(one, "short", priority, 1.0) for priority in (LOW, LOW, HIGH, HIGH)]
    assert [started(choice) for choice in choices] == [[("short", 1, LOW, 1)], [], [("short", 1, HIGH, 1)], []]
    assert started(ask(one, "long", LOW, 1.0)) == [("long", 1, LOW, 2)]


def test_a_batch_that_failed_frees_its_slot_and_teaches_nothing() -> None:
    """What it took is the time of a failure, not of the model."""

    class Unteachable(Known):
        def learn(self, load: Load, overlaps: Sequence[Overlap], seconds: float) -> None:
            raise AssertionError("a failure teaches nothing")

    one = policy(rules=Rules(slots=1), slowdowns=Unteachable())
    (launch,) = ask(one, "long", HIGH, 1.0).launches
    assert started(ask(one, "short", HIGH, 1.0)) == []
    one.failed(launch.batch, 0.001)
    assert started(one.choose(0.001)) == [("short", 1, HIGH, 0)]


def test_what_has_not_run_for_long_is_probed() -> None:
    """A prediction that is too long would never be corrected: once a second, one hopeless task is run all the same."""
    for probe_s, expected in ((math.inf, []), (1.0, [1.0, 2.0])):
        one = policy(rules=Rules(probe_s=probe_s))
        found = []
        for step in range(1, 29):
            now = step / 10
            for launch in ask(one, "long", HIGH, 0.001, now).launches:
                found.append(now)
                assert launch.why.rule is Rule.PROBE
                one.ended(Report(launch.batch, 0.0, 0.02, 0.0), now + 0.02)
        assert found == expected


def test_a_probe_makes_nobody_late() -> None:
    """Where the only device has a HIGH batch that would be pushed late, there is none."""
    one = policy(rules=Rules(probe_s=0.0))
    assert rules_of(ask(one, "long", HIGH, 0.025)) == [Rule.SOONEST]
    assert rules_of(ask(one, "loud", LOW, 0.001)) == [Rule.HOPELESS]


def test_a_stage_leaves_time_for_what_follows_it() -> None:
    """With 25 ms for one that takes 20, and 10 that follow, there is no use in starting; without them there is."""
    for follows_s, expected in ((0.0, [Rule.SOONEST]), (0.010, [Rule.HOPELESS])):
        one = policy()
        one.arrived(Request(next(numbers), "long", HIGH, 0.0, 0.025, follows_s), 0.0)
        assert rules_of(one.choose(0.0)) == expected


def test_the_rest_of_an_event_goes_before_the_beginning_of_another() -> None:
    """Of two events of one deadline, and of one that is more urgent: the second stage of one goes before the first of
    the other, though the first has to end sooner."""
    for deadline, expected in ((1.0, "short"), (0.99, "long")):
        one = policy(rules=Rules(slots=1))
        first = ask(one, "short", HIGH, 1.0)
        one.arrived(Request(next(numbers), "long", HIGH, 0.0, deadline, 0.002), 0.0)
        one.arrived(Request(next(numbers), "short", HIGH, 0.0, 1.0), 0.0)
        one.ended(Report(first.launches[0].batch, 0.0, 0.002, 0.0), 0.002)
        assert [each.load.model for each in one.choose(0.002).launches] == [expected]


def test_what_is_not_padded_runs_with_as_many_as_wait() -> None:
    """Three wait: of sizes 1, 2 and 4 two run, of any size three."""
    for padded, expected in ((True, 2), (False, 3)):
        demand = Demand(0.5, 0.5, 0.5)
        profile = ModelProfile(LatencyTable((1,), (0.002,)), (1, 2, 4), (demand,) * 3, 0, 0, padded=padded)
        one = Prioritised({"short": profile}, 1, Known(), Exact())
        assert [len(each.requests) for each in ask(one, "short", HIGH, 1.0, count=3).launches][0] == expected

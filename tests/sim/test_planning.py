"""The cheapest devices for a pipeline: cases whose answer can be worked out by hand, played by the production cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from covey.services.scheduler.core.provision import Profile
from covey.simulator.hardware import LatencyTable
from covey.simulator.pipelines import Exactly, Workload
from covey.simulator.planning import Kind, Question, Setup, busiest, peak, planned
from covey.simulator.tails import Term, limit_of
from tests.builders_provision import pipeline_of, profile_of

REGULAR = [number * 0.060 for number in range(200)]
"""One event in 60 ms."""


def chain(stages: Mapping[str, Profile], objective_ms: float) -> Workload:
    pipeline = pipeline_of(stages, objective_ms)
    return Workload("chain", pipeline, {edge.source: Exactly({edge.target: 1}) for edge in pipeline.edges})


def kind(name: str, price: float, **milliseconds: float) -> Kind:
    """Batches of one task, which take exactly so long, by stage."""
    return Kind(name, price, {stage: profile_of(each) for stage, each in milliseconds.items()})


def question(kinds: Sequence[Kind], objective_ms: float, instants: Sequence[float] = REGULAR) -> Question:
    return Question(chain(kinds[0].stages, objective_ms), kinds, instants, seeds=(1,))


@pytest.mark.parametrize(
    ("slow_price", "devices", "price"), [(1.0, {"fast": 1}, 1.5), (0.7, {"slow": 2}, 1.4)], ids=["dear", "cheap"]
)
def test_a_kind_is_taken_when_its_price_makes_it_cheapest(
    slow_price: float, devices: Mapping[str, int], price: float
) -> None:
    """100 ms of work every 60 ms is two slow devices' or, at half the time, one fast one's; prices decide which."""
    found = planned(question([kind("slow", slow_price, see=100), kind("fast", 1.5, see=50)], 150))

    assert found.cheapest is not None
    assert found.cheapest.setup.devices == devices
    assert found.cheapest.price == pytest.approx(price)
    assert found.cheapest.in_time == 1.0
    assert found.cheapest.p50_s == pytest.approx(0.100 if "slow" in devices else 0.050, abs=0.015)


def test_each_stage_is_on_the_kind_that_suits_it() -> None:
    """A kind that is no faster at one stage is not paid for there."""
    slow, fast = kind("slow", 1.0, see=20, tell=200), kind("fast", 3.0, see=20, tell=40)
    found = planned(question([slow, fast], 150))

    assert found.cheapest is not None
    assert [name for name, _, _ in found.cheapest.setup.key] == ["slow", "fast"]
    assert found.cheapest.price == 4.0


def test_where_there_are_too_many_ways_all_stages_are_on_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four ways to give two kinds to two stages are too many where three may be looked at."""
    monkeypatch.setattr("covey.simulator.planning.MIXES_MAX", 3)
    slow, fast = kind("slow", 1.0, see=20, tell=200), kind("fast", 3.0, see=20, tell=40)
    found = planned(question([slow, fast], 150))

    assert found.cheapest is not None
    assert found.cheapest.setup.devices == {"fast": 2}


def test_no_device_can_be_spared() -> None:
    """Whichever is taken away, the objective is missed; the search has tried, and what it tried costs what it says."""
    asked = question([kind("one", 1.0, see=100, tell=170)], 400)
    found = planned(asked)

    assert found.cheapest is not None
    assert found.cheapest.setup.devices == {"one": 5}
    tried = {each.setup.key: each for each in found.tried if each.scaling is None}
    for stage, share in found.cheapest.setup.provision.items():
        if share.replicas > 1:
            assert tried[found.cheapest.setup.with_more(stage, -1).key].in_time < asked.share


def test_an_objective_that_nothing_meets_has_a_nearest() -> None:
    """What takes 100 ms is not answered within 80, however many devices; it says that computing is what limits it."""
    found = planned(question([kind("slow", 1.0, see=100)], 80))

    assert found.cheapest is None
    assert found.scaled is None
    assert found.nearest is not None
    assert found.nearest.in_time == 0.0
    assert limit_of(found.nearest.terms) == ("see", Term.COMPUTE)


def test_dropping_what_is_late_spares_devices() -> None:
    """Of a burst of 20 most are late on one device; where these are dropped, what follows them is in time."""
    instants = [number * 0.125 for number in range(200)] + [0.01 * number for number in range(20)]
    asked = question([kind("one", 1.0, see=100)], 250, sorted(instants))
    kept = planned(Question(asked.workload, asked.kinds, asked.instants, 0.85, (1,)))
    dropped = planned(Question(asked.workload, asked.kinds, asked.instants, 0.85, (1,), drops=True))

    assert kept.cheapest is not None
    assert dropped.cheapest is not None
    assert (kept.cheapest.price, dropped.cheapest.price) == (2.0, 1.0)


def test_what_varies_by_seed_has_to_pass_with_all() -> None:
    """One device is enough where batches are quick by luck, and not when it has to do with another draw, too."""
    spread = Profile(LatencyTable((1,), (0.050,), 0.5), 1, 5.0)
    asked = question([Kind("one", 1.0, {"see": spread})], 260)
    lucky = planned(Question(asked.workload, asked.kinds, REGULAR, 0.95, (4,))).cheapest
    both = planned(Question(asked.workload, asked.kinds, REGULAR, 0.95, (4, 1))).cheapest

    assert lucky is not None
    assert both is not None
    assert (lucky.price, both.price) == (1.0, 2.0)


def test_devices_that_come_and_go_cost_what_they_are_there_for() -> None:
    """A load that rises in half a minute is followed within a cold start, and before it fewer devices are enough."""
    instants = [number * 0.1 for number in range(400)]
    while instants[-1] < 70:
        instants.append(instants[-1] + 1 / (10 + 70 * (instants[-1] - 40) / 30))
    quick = Profile(LatencyTable((1,), (0.050,), 0.0), 1, 0.5)
    found = planned(question([Kind("one", 1.0, {"see": quick})], 400, instants))

    assert found.cheapest is not None
    assert found.scaled is not None
    assert found.scaled.scaling is not None
    assert found.scaled.price < found.cheapest.price
    assert found.scaled.devices[0] < found.scaled.devices[1]


def test_the_busiest_stretch_of_a_trace_is_found() -> None:
    """So many events that came fastest, from 0 on; a trace that has fewer is taken whole."""
    instants = [0.0, 5.0, 6.0, 6.5, 9.0]

    assert busiest(instants, 3) == [0.0, 1.0, 1.5]
    assert busiest(instants, 9) == instants
    assert peak(instants, 2.0) == 1.5


def test_a_setup_costs_what_its_devices_cost() -> None:
    """A device for each replica, at the price of the kind that its stage is on."""
    slow, fast = kind("slow", 1.0, see=20, tell=20), kind("fast", 4.0, see=5, tell=5)
    found = planned(question([slow], 400)).cheapest
    assert found is not None
    setup = Setup({"see": slow, "tell": fast}, found.setup.provision)

    assert setup.price == setup.devices["slow"] + 4.0 * setup.devices["fast"]

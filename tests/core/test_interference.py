"""How much longer a batch computes beside others, learned while it happens."""

import random
from collections.abc import Mapping

import pytest

from covey.model import Priority
from covey.services.scheduler.core.contention import Demand, Load, ModelProfile, Overlap
from covey.services.scheduler.core.interference import ALONE, Interference, Learning, features
from covey.simulator.contention import MODELS, NONE, Truth, profiles_of
from covey.simulator.hardware import LatencyTable

SHY = Demand(0.2, 0.2, 0.1)
GREEDY = Demand(0.9, 0.9, 0.9)


def profile(demand: Demand, measured: bool = True) -> ModelProfile:
    return ModelProfile(LatencyTable((1, 8), (0.01, 0.04)), (1, 8), (demand, demand), 1000, 1000, measured)


PROFILES: Mapping[str, ModelProfile] = {"shy": profile(SHY), "greedy": profile(GREEDY), "new": profile(SHY, False)}
SHY_LOW, GREEDY_LOW = Load("shy", 1, Priority.LOW), Load("greedy", 1, Priority.LOW)
GREEDY_HIGH = Load("greedy", 1, Priority.HIGH)


def teach(model: Interference, load: Load, others: tuple[Load, ...], seconds: float, times: int) -> None:
    for _ in range(times):
        model.learn(load, [Overlap(seconds, others)], seconds)


def test_before_anything_was_seen_greedy_neighbours_are_the_worse_ones() -> None:
    """The first weights say that two which want the same wait for one another."""
    model = Interference(PROFILES)
    assert model.slowdown(GREEDY_LOW, ()) == 1.0
    assert 1.0 < model.slowdown(GREEDY_LOW, (SHY_LOW,)) < model.slowdown(GREEDY_LOW, (GREEDY_LOW,))


def test_what_is_seen_again_and_again_is_what_is_predicted() -> None:
    """After many batches beside one neighbour the prediction is what they took; alone it stays what it was."""
    model = Interference(PROFILES)
    for _ in range(200):
        teach(model, GREEDY_LOW, (GREEDY_LOW,), 0.021, 1)
        teach(model, GREEDY_LOW, (), 0.010, 1)
    assert model.solo_s(GREEDY_LOW) * model.slowdown(GREEDY_LOW, (GREEDY_LOW,)) == pytest.approx(0.021, rel=0.03)
    assert model.solo_s(GREEDY_LOW) == pytest.approx(0.010, rel=0.03)


def test_parts_of_a_batch_count_by_the_work_that_was_done_in_them() -> None:
    """Half of the work beside a neighbour that doubles it, half alone: both are found from the sum of the two."""
    model = Interference(PROFILES)
    for share in [0.1, 0.3, 0.5, 0.7, 0.9] * 80:
        beside, alone = Overlap(0.01 * share * 2.0, (GREEDY_LOW,)), Overlap(0.01 * (1 - share), ())
        model.learn(GREEDY_LOW, [beside, alone], beside.seconds + alone.seconds)
    predicted = model.solo_s(GREEDY_LOW) * model.slowdown(GREEDY_LOW, (GREEDY_LOW,))
    assert predicted == pytest.approx(0.020, rel=0.05)


def test_a_guess_that_gets_better_is_asked_again() -> None:
    """A model that was never measured may come later than the predictor, and with a curve that learns."""
    curves = {"late": 0.010}

    class Refined:
        def mean_s(self, size: int) -> float:
            return size * curves["late"]

        def quantile_s(self, size: int, share: float) -> float:
            return self.mean_s(size)

    profiles = dict(PROFILES)
    model = Interference(profiles)
    profiles["late"] = ModelProfile(Refined(), (1, 2), (SHY, SHY), 0, 0, measured=False)
    found = []
    for curves["late"] in (0.010, 0.030):
        found.append(model.solo_s(Load("late", 2, Priority.LOW)))
    assert found == [0.020, 0.060]


def test_a_new_version_is_a_new_level_and_not_a_new_interference() -> None:
    """A model that takes half as long again, alone and beside others, keeps its slowdown."""
    model = Interference(PROFILES)
    before = model.slowdown(GREEDY_LOW, (SHY_LOW,))
    for _ in range(300):
        teach(model, SHY_LOW, (), 0.010, 1)
        teach(model, GREEDY_LOW, (), 0.015, 1)
        teach(model, GREEDY_LOW, (SHY_LOW,), 0.015 * before, 1)
    alone = model.slowdown(GREEDY_LOW, ())
    assert model.solo_s(GREEDY_LOW) / model.solo_s(SHY_LOW) == pytest.approx(1.5, rel=0.1)
    assert model.slowdown(GREEDY_LOW, (SHY_LOW,)) / alone == pytest.approx(before, rel=0.1)


def test_a_model_that_was_never_measured_is_known_after_a_few_batches() -> None:
    """Its first batches count for more than later ones, and say nothing of interference."""
    model = Interference(PROFILES)
    weights = model.slowdown(GREEDY_LOW, (SHY_LOW,))
    teach(model, Load("new", 1, Priority.LOW), (), 0.02, 8)
    assert model.solo_s(Load("new", 1, Priority.LOW)) == pytest.approx(0.02, rel=0.15)
    assert model.slowdown(GREEDY_LOW, (SHY_LOW,)) == weights


def test_one_absurd_batch_moves_a_prediction_little() -> None:
    """What is a thousand times too slow is taken for three times."""
    absurd, slow = Interference(PROFILES), Interference(PROFILES)
    teach(absurd, GREEDY_LOW, (SHY_LOW,), 1000 * 0.01, 1)
    teach(slow, GREEDY_LOW, (SHY_LOW,), 3.5 * 0.01 * slow.slowdown(GREEDY_LOW, (SHY_LOW,)), 1)
    assert absurd.slowdown(GREEDY_LOW, (SHY_LOW,)) == slow.slowdown(GREEDY_LOW, (SHY_LOW,))


def test_a_slowdown_is_bounded() -> None:
    """Neither less than 1, nor more than the limit, however many neighbours there are."""
    model = Interference(PROFILES, Learning(slowdown_max=4.0))
    assert model.slowdown(GREEDY_LOW, (GREEDY_LOW,) * 20) == 4.0
    teach(model, GREEDY_LOW, (SHY_LOW,), 0.004, 300)
    assert model.slowdown(GREEDY_LOW, (SHY_LOW,)) == 1.0


def test_a_covariance_that_blows_up_begins_anew() -> None:
    """Forgetting without new evidence makes it grow without end; it is reset, and what was learned is kept."""
    model = Interference(PROFILES, Learning(forgetting=0.9))
    teach(model, GREEDY_LOW, (SHY_LOW,), 0.015, 40)
    before = model.slowdown(GREEDY_LOW, (SHY_LOW,))
    teach(model, GREEDY_LOW, (SHY_LOW,), 0.015, 100)
    assert model.resets > 0
    assert model.slowdown(GREEDY_LOW, (SHY_LOW,)) == pytest.approx(before, rel=0.05)


def test_neighbours_that_give_way_are_told_from_those_that_do_not() -> None:
    """Beside LOW, HIGH has other features than beside HIGH: its stream goes first."""
    beside_low = features(PROFILES, GREEDY_HIGH, (GREEDY_LOW,))
    beside_high = features(PROFILES, GREEDY_HIGH, (GREEDY_HIGH,))
    assert beside_low != beside_high
    assert features(PROFILES, GREEDY_HIGH, ()) == ALONE
    assert len(ALONE) <= 8


def test_it_learns_a_truth_of_another_form() -> None:
    """On random pairs of the hidden truth the error above the noise falls under a third of that without a model."""
    rng = random.Random(7)
    truth, profiles = Truth(MODELS, NONE, 1.0, rng), profiles_of(MODELS, rng)
    known = [name for name in MODELS if MODELS[name].measured]
    model = Interference(profiles)
    wrong = blind = 0.0
    for number in range(3000):
        mine, other = (
            Load(name, rng.choice(MODELS[name].sizes), rng.choice(list(Priority))) for name in rng.choices(known, k=2)
        )
        seconds = truth.solo_s(mine, 0.0) * truth.slowdowns([mine, other], 0, True, 0.0)[0]
        if number >= 1500:
            wrong += abs(model.solo_s(mine) * model.slowdown(mine, (other,)) / seconds - 1)
            blind += abs(truth.solo_s(mine, 0.0) / seconds - 1)
        model.learn(mine, [Overlap(seconds, (other,))], seconds)
    assert wrong < blind / 3

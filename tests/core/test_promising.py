"""What may be promised: a quantile of what predictions were wrong by."""

import random

import pytest

from covey.model import Priority
from covey.services.scheduler.core.contention import Load
from covey.services.scheduler.core.promising import Promises

LOAD = Load("model", 4, Priority.HIGH)


@pytest.mark.parametrize("kept", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("spread", [0.03, 0.3])
def test_the_wanted_share_of_promises_is_kept(kept: float, spread: float) -> None:
    """Whatever the errors are spread like, the share of broken promises is within two points of the nominal."""
    promises, rng = Promises(kept), random.Random(3)
    broken = 0
    for _ in range(6000):
        seconds = 0.01 * rng.lognormvariate(0.0, spread)
        broken += seconds > 0.01 * promises.margin(LOAD)
        promises.learn(LOAD, 0.01, seconds)
    assert broken / 6000 == pytest.approx(1 - kept, abs=0.02)


def test_a_drift_is_followed() -> None:
    """Predictions that are a third too short from some moment on cost promises only for a while."""
    promises, rng = Promises(0.8), random.Random(4)
    late = 0
    for number in range(4000):
        seconds = (0.01 if number < 1000 else 0.013) * rng.lognormvariate(0.0, 0.05)
        late += number >= 2000 and seconds > 0.01 * promises.margin(LOAD)
        promises.learn(LOAD, 0.01, seconds)
    assert late / 2000 == pytest.approx(0.2, abs=0.02)


def test_models_and_priorities_do_not_share_a_margin() -> None:
    """One whose predictions are bad does not make the promises of others dear."""
    promises = Promises(0.8)
    before = promises.margin(Load("model", 1, Priority.LOW))
    for _ in range(100):
        promises.learn(LOAD, 0.01, 0.02)
    assert promises.margin(LOAD) > 1.5
    assert promises.margin(Load("model", 1, Priority.LOW)) == before

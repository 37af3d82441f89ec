"""The scheduler's core: what each stage will have to do."""

from __future__ import annotations

import random

import pytest

from covey.services.scheduler.core.estimating import (
    CascadeEstimator,
    Envelope,
    Level,
    Mean,
    Peak,
    Signal,
    StageEstimator,
    visits,
)
from covey.services.scheduler.core.provision import Edge, Pipeline, Profile, Seen, Window
from covey.simulator.hardware import affine

TICK_S = 0.5
INTO, FOUND, READ = Edge("", "detect"), Edge("detect", "classify"), Edge("classify", "write")


def pipeline(objective_s: float = 0.2) -> Pipeline:
    """A detector finds three things in each frame; one in three of these is written down."""
    profile = Profile(affine(0.005, 0.002), 16, cold_s=5.0)
    stages = ("detect", "classify", "write")
    fan_outs = {INTO: 1.0, FOUND: 3.0, READ: 1 / 3}
    return Pipeline(stages, (INTO, FOUND, READ), fan_outs, dict.fromkeys(stages, profile), objective_s)


def seen(arrived: int = 0, processed: int = 0, led_to: dict[str, int] | None = None, queued: int = 0) -> Seen:
    return Seen(arrived, processed, 0, led_to or {}, queued, running=0, replicas=1, coming=0)


def window(offered: int, ends_at: float = 0.0, **stages: Seen) -> Window:
    return Window(ends_at, TICK_S, offered, {name: stages.get(name, seen()) for name in pipeline().stages})


def poisson_count(rate: float, rng: random.Random) -> int:
    """Arrivals within a tick."""
    number, instant = 0, rng.expovariate(rate)
    while instant < TICK_S:
        number, instant = number + 1, instant + rng.expovariate(rate)
    return number


def fed(signal: Signal, counts: list[int]) -> Signal:
    for count in counts:
        signal.observe(count, TICK_S)
    return signal


# --- signals ---------------------------------------------------------------------------------------------------------


def test_a_level_is_as_good_as_any_in_calm_and_as_quick_as_any_after_a_step() -> None:
    """At a steady rate its error is a third of the last window's; after a step it is the last window."""
    rng = random.Random(1)
    level = Level()
    by_level, by_window = [], []
    for _ in range(200):
        count = poisson_count(100.0, rng)
        by_level.append(abs(fed(level, [count]).rate(0.0) - 100))
        by_window.append(abs(count / TICK_S - 100))
    assert sum(by_level) < sum(by_window) / 3

    assert fed(Level(), [100] * 40 + [250]).rate(0.0) == 500
    assert fed(Level(), [100] * 40 + [40]).rate(0.0) == 80
    assert fed(Level(), [100] * 40 + [110] * 2).rate(0.0) == pytest.approx(200, rel=0.02)


def test_a_level_forgets() -> None:
    """What is older than the memory counts no more, however small the change."""
    assert fed(Level(memory_s=8.0), [100] * 40 + [103] * 16).rate(0.0) == 206


def test_noise_is_no_load() -> None:
    """At a steady rate the highest estimate of half a minute is within a tenth; the highest window is far above."""
    rng = random.Random(1)
    envelope, peak = Envelope(), Peak()
    estimates, peaks = [], []
    for _ in range(120):
        count = poisson_count(100.0, rng)
        envelope.observe(count, TICK_S)
        peak.observe(count, TICK_S)
        estimates.append(envelope.rate(5.0))
        peaks.append(peak.rate(5.0))

    assert 90 < max(estimates[60:]) < 110
    assert min(estimates[60:]) > 85
    assert max(peaks[60:]) > 120


def test_one_window_proves_a_step() -> None:
    """After a step, one window brings the estimate most of the way; a mean is half way."""
    steady, step = [100] * 40, [250]
    assert fed(Envelope(), steady + step).rate(0.0) > 430
    assert fed(Mean(), steady + step).rate(0.0) == 350


def test_a_step_is_not_a_trend() -> None:
    """Looking ahead after a step expects what has come, and no more."""
    envelope = fed(Envelope(), [100] * 40)
    for _ in range(60):
        envelope.observe(250, TICK_S)
        assert envelope.rate(10.0) <= 1.1 * 500


def test_a_rise_goes_on_for_one_cold_start() -> None:
    """While the load grows steadily, looking ahead sees most of what comes; without that a sixth is missing."""
    rng = random.Random(2)
    envelope = Envelope()
    for tick in range(60):
        envelope.observe(poisson_count(1500 + 60 * tick * TICK_S, rng), TICK_S)
    then = 1500 + 60 * 40

    assert 0.9 * then < envelope.rate(10.0) < 1.05 * then
    assert envelope.rate(0.0) < 0.85 * then


def test_nothing_is_known_of_further_ahead_than_was_looked_back() -> None:
    """A trend is not drawn out beyond the memory that it was taken from."""
    rising = fed(Envelope(memory_s=8.0), [500 + 20 * tick for tick in range(40)])
    assert rising.rate(8.0) == rising.rate(80.0) > 1.1 * rising.rate(0.0)


def test_a_load_that_falls_is_forgotten() -> None:
    """The estimate falls slowly, and within the memory."""
    envelope = fed(Envelope(memory_s=8.0), [250] * 40 + [50] * 4)
    assert envelope.rate(0.0) > 350
    assert 90 < fed(envelope, [50] * 12).rate(5.0) <= 100


# --- the cascade -----------------------------------------------------------------------------------------------------


def test_every_stage_rises_with_the_root() -> None:
    """In the window of a step the last stage's rate rises, though nothing has arrived there yet."""
    cascade, by_stage = CascadeEstimator(pipeline(), Mean), StageEstimator(pipeline())
    for _ in range(20):
        steady = window(50, detect=seen(50, 50, {"classify": 150}), classify=seen(150, 150, {"write": 50}))
        cascade.observe(steady)
        by_stage.observe(steady)
    step = window(250, detect=seen(250, 60, {"classify": 180}), classify=seen(180, 150, {"write": 50}))
    cascade.observe(step)
    by_stage.observe(step)

    assert cascade.load(5.0).rates == pytest.approx({"detect": 300, "classify": 900, "write": 300})
    assert by_stage.load(5.0).rates["classify"] < 350


def test_what_was_refused_counts() -> None:
    """The load is what was offered, though nothing of it was let in."""
    cascade = CascadeEstimator(pipeline(), Mean)
    cascade.observe(window(100))
    assert cascade.load(0.0).rates == pytest.approx({"detect": 200, "classify": 600, "write": 200})


def test_fan_outs_follow_what_is_processed() -> None:
    """The known fan-out holds until there is evidence, by inputs that were processed and not by those that arrived."""
    cascade = CascadeEstimator(pipeline(), Mean)
    cascade.observe(window(100, detect=seen(100, 5, {"classify": 30})))
    assert 3.0 < cascade.load(0.0).fan_outs[FOUND] < 3.5
    for _ in range(20):
        cascade.observe(window(100, detect=seen(100, 40, {"classify": 240})))
    assert cascade.load(0.0).fan_outs[FOUND] == pytest.approx(6.0, rel=0.05)


def test_fan_outs_that_drift_are_followed() -> None:
    """What was measured a few thousand inputs ago is forgotten."""
    cascade = CascadeEstimator(pipeline(), Mean)
    for led_to in (600, 100):
        for _ in range(40):
            cascade.observe(window(100, detect=seen(100, 100, {"classify": led_to})))
    assert cascade.load(0.0).fan_outs[FOUND] == pytest.approx(1.0, abs=0.2)


def test_a_backlog_is_no_load() -> None:
    """What waits has been offered before, and adds to no rate."""
    cascade = CascadeEstimator(pipeline(), Mean)
    cascade.observe(window(100, detect=seen(queued=900), classify=seen(queued=320)))
    assert cascade.load(0.0).rates == pytest.approx({"detect": 200, "classify": 600, "write": 200})


def test_a_stage_can_go_by_its_own_arrivals_and_queue() -> None:
    """The estimator to compare with: the more of mean and last window, and the queue within its time."""
    by_stage = StageEstimator(pipeline(), Peak, drain_s=4.0)
    by_stage.observe(window(0, classify=seen(arrived=100)))
    by_stage.observe(window(0, classify=seen(arrived=50, queued=40)))
    assert by_stage.load(5.0).rates == {"detect": 0, "classify": 150 + 10, "write": 0}


def test_edges_to_a_join_share_its_tasks() -> None:
    """Two halves that are joined lead to half of the join's tasks each."""
    known = pipeline()
    edges = {Edge("", "split"): 2.0, Edge("split", "left"): 1.0, Edge("split", "right"): 1.0}
    edges |= {Edge("left", "join"): 0.5, Edge("right", "join"): 0.5}
    stages = ("split", "left", "right", "join")
    joined = Pipeline(stages, tuple(edges), edges, dict.fromkeys(stages, known.profiles["detect"]), 1.0)
    assert visits(joined, edges) == {"split": 2, "left": 2, "right": 2, "join": 2}

"""When events arrive: rates and burstiness of what is drawn, over long draws."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise, takewhile
from pathlib import Path
from statistics import fmean, pstdev

import pytest

from covey.simulator.arrivals import diurnal, gamma, mmpp, poisson, steps, trace_at


def until(seconds: float, instants: Iterable[float]) -> list[float]:
    return list(takewhile(lambda instant: instant < seconds, instants))


def gaps(instants: Iterable[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(instants)]


def counts(instants: Iterable[float], window_s: float, windows: int) -> list[int]:
    found = [0] * windows
    for instant in instants:
        found[int(instant / window_s)] += 1
    return found


@pytest.mark.parametrize("cv", [0.5, 1.0, 4.0])
def test_gamma_arrivals_have_their_rate_and_their_variation(cv: float) -> None:
    """Over 40,000 gaps the mean is within 8 % (four standard errors at cv 4) and the variation within 6 %."""
    found = gaps(islice(gamma(50.0, cv, random.Random(1)), 40_001))

    assert fmean(found) == pytest.approx(1 / 50, rel=0.08)
    assert pstdev(found) / fmean(found) == pytest.approx(cv, rel=0.06)


def test_steps_are_silent_at_rate_zero() -> None:
    """A step of rate 0 passes without arrivals, and the next one begins when it should."""
    instants = list(steps([(10.0, 0.0), (10.0, 100.0)], random.Random(2)))

    assert 10.0 < instants[0] < 10.2
    assert len(instants) == pytest.approx(1000, abs=130)


def test_mmpp_spends_its_time_in_phases_by_their_means() -> None:
    """The rate is that of the phases weighted by their seconds, and counts vary far more than a Poisson process's."""
    seconds = 4000
    instants = until(seconds, mmpp([(4.0, 10.0), (1.0, 60.0)], random.Random(3)))
    by_second = counts(instants, 1.0, seconds)

    assert fmean(by_second) == pytest.approx(20.0, rel=0.08)
    assert pstdev(by_second) ** 2 / fmean(by_second) > 10


def test_diurnal_arrivals_follow_the_sine() -> None:
    """The first half of a period has more than its share by 2/pi times the amplitude, the second as much less."""
    instants = until(2000.0, diurnal(50.0, 0.8, 100.0, random.Random(4)))
    rising = sum(instant % 100 < 50 for instant in instants)

    assert len(instants) == pytest.approx(100_000, rel=0.02)
    assert rising / len(instants) == pytest.approx(0.5 + 0.8 / 3.1416, abs=0.01)


def test_a_trace_keeps_its_bursts_at_another_rate(tmp_path: Path) -> None:
    """Scaled to 100 a second, ten quiet seconds and ten with four times as many are still ten seconds long each."""
    stamps = [
        f"2023-11-16 18:17:{second:02}.{part}00000"
        for second in range(20)
        for part in ("5",) * (1 + 3 * (second >= 10))
    ]
    path = tmp_path / "trace.csv"
    path.write_text("TIMESTAMP,ContextTokens\n" + "".join(f"{stamp},1\n" for stamp in stamps))

    found = counts(trace_at(path, 100.0, random.Random(5)), 10.0, 2)

    assert sum(found) / 20 == pytest.approx(100.0, rel=0.1)
    assert found[1] / found[0] == pytest.approx(4.0, rel=0.15)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: poisson(10.0, rng, 5.0),
        lambda rng: gamma(10.0, 3.0, rng, 5.0),
        lambda rng: mmpp([(1.0, 5.0), (1.0, 50.0)], rng, 5.0),
        lambda rng: diurnal(10.0, 0.5, 20.0, rng, 5.0),
    ],
)
def test_arrivals_repeat_with_their_seed_and_are_in_order(draw: object) -> None:
    """The same seed gives the same instants, another one others; they start late and ascend."""
    assert callable(draw)

    def instants(seed: int) -> list[float]:
        drawn: Iterator[float] = draw(random.Random(seed))
        return list(islice(drawn, 200))

    assert instants(1) == instants(1) != instants(2)
    assert instants(1) == sorted(instants(1))
    assert instants(1)[0] > 5.0

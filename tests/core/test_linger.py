"""The linger rule holds under load and never when idle."""

import pytest

from covey.wire.linger import HOLD_S, HOLD_S_MAX, Linger


def arrive(linger: Linger, count: int, start: float, span_s: float) -> float:
    """Spread arrivals evenly; the time after the last."""
    for number in range(count):
        linger.arrived(start + span_s * number / count)
    return start + span_s


def test_an_idle_stream_never_holds() -> None:
    """Single messages go at once, however close two of them happen to be."""
    linger = Linger()

    for number in range(100):
        linger.arrived(number * 0.020)
        linger.arrived(number * 0.020 + 0.000_01)

        assert linger.hold_s(2, number * 0.020 + 0.000_02) == 0.0


def test_a_busy_stream_holds() -> None:
    """Once more than 3,500 items a second came in a whole window, the next message waits 1 ms."""
    linger = Linger()

    now = arrive(linger, 50, 0.0, 0.010)

    assert linger.hold_s(1, now) == HOLD_S


def test_a_rate_at_the_bound_does_not_hold() -> None:
    """35 items in 10 ms are not more than 3,500 a second."""
    linger = Linger()

    now = arrive(linger, 35, 0.0, 0.010)

    assert linger.hold_s(1, now) == 0.0


def test_a_full_message_does_not_wait() -> None:
    """With 32 queued there is company enough."""
    linger = Linger()

    now = arrive(linger, 100, 0.0, 0.010)

    assert linger.hold_s(32, now) == 0.0
    assert linger.hold_s(31, now) == HOLD_S


def test_a_burst_is_forgotten_after_a_quiet_window() -> None:
    """The last window counts, not the last that was busy."""
    linger = Linger()
    arrive(linger, 1000, 0.0, 0.009)

    assert linger.hold_s(1, 0.015) == HOLD_S
    assert linger.hold_s(1, 0.050) == 0.0


def crowd(under_way: int, rate: float) -> tuple[Linger, float]:
    """Half a second of arrivals of which so many are under way; and now."""
    linger = Linger()
    for number in range(int(rate / 2)):
        linger.arrived(number / rate, under_way)
    return linger, 0.5


def test_in_a_crowd_a_message_waits_for_a_part_of_what_an_item_takes() -> None:
    """With 16 under way at 2,000 a second an item takes 8 ms (Little): hold for 40 % of that."""
    linger, now = crowd(under_way=16, rate=2_000)

    assert linger.hold_s(1, now) == pytest.approx(0.4 * 16 / 2_000)


def test_with_few_under_way_nothing_is_held() -> None:
    """With 3 under way the same rate holds nothing: they would only wait for each other."""
    linger, now = crowd(under_way=3, rate=2_000)

    assert linger.hold_s(1, now) == 0.0


def test_a_crowd_that_is_served_slowly_holds_5_ms_at_most() -> None:
    """A thousand under way at 1,000 a second take a second each; a tenth of it would be no linger any more."""
    linger, now = crowd(under_way=1_000, rate=1_000)

    assert linger.hold_s(1, now) == HOLD_S_MAX


def test_a_crowd_does_not_hold_a_busy_stream_for_less() -> None:
    """At a rate that holds anyway, it is for 1 ms at least."""
    linger, now = crowd(under_way=4, rate=10_000)

    assert linger.hold_s(1, now) == HOLD_S

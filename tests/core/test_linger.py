"""The linger rule holds under load and never when idle."""

import pytest

from covey.wire.linger import DISTANCE_S, HOLD_S, Linger


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
    """With 16 queued there is company enough."""
    linger = Linger()

    now = arrive(linger, 100, 0.0, 0.010)

    assert linger.hold_s(16, now) == 0.0
    assert linger.hold_s(15, now) == HOLD_S


def test_a_burst_is_forgotten_after_a_quiet_window() -> None:
    """The last window counts, not the last that was busy."""
    linger = Linger()
    arrive(linger, 1000, 0.0, 0.009)

    assert linger.hold_s(1, 0.015) == HOLD_S
    assert linger.hold_s(1, 0.050) == 0.0


def crowd(linger: Linger, under_way: int, now: float) -> float:
    """How long an item waits that arrives with so many under way."""
    linger.arrived(now, under_way)
    return linger.hold_s(1, now)


def test_in_a_crowd_messages_keep_their_distance() -> None:
    """With three under way, what comes 1 ms after a message waits until it is 4 ms old."""
    linger = Linger()
    linger.wrote(10.0)

    assert crowd(linger, 3, 10.001) == pytest.approx(DISTANCE_S - 0.001)


def test_after_a_pause_nobody_waits() -> None:
    """Where the last message is older than the distance, the next goes at once, however many are under way."""
    linger = Linger()
    linger.wrote(10.0)

    assert crowd(linger, 1_000, 10.0 + DISTANCE_S) == 0.0


def test_with_few_under_way_nobody_waits() -> None:
    """Two that wait for their answers would only wait for each other."""
    linger = Linger()
    linger.wrote(10.0)

    assert crowd(linger, 2, 10.001) == 0.0


def test_a_crowd_does_not_hold_a_busy_stream_for_less() -> None:
    """At a rate that holds anyway, it is for 1 ms at least."""
    linger = Linger()
    now = arrive(linger, 50, 0.0, 0.010)
    linger.wrote(now - DISTANCE_S)

    assert crowd(linger, 4, now) == HOLD_S

"""The tracker: who is who, from positions alone."""

import msgspec
import numpy as np
import pytest

from examples.collisions import tracker
from examples.collisions.domain import AIRCRAFT
from examples.collisions.scores import identity_score
from examples.collisions.tracks import Floats, load
from tests import builders_collisions as builders

SPACING_M = 20_000.0


def abreast(tick: int, count: int = 4, speed_mps: float = 200.0) -> Floats:
    """Place aircraft side by side, all flying east."""
    x = np.full(count, tick * AIRCRAFT.tick_s * speed_mps)
    return np.stack([x, np.arange(count) * SPACING_M, np.full(count, 9000.0)], axis=1)


def follow(ticks: list[int]) -> list[list[str]]:
    """Track the aircraft abreast over these ticks and return the ids of each."""
    state, ids = None, []
    for tick in ticks:
        state, actors = tracker.step(state, abreast(tick), tick, AIRCRAFT)
        ids.append([actor for actor, _ in actors])
    return ids


@pytest.mark.parametrize("name", ["quickstart", "switzerland"])
def test_aircraft_keep_their_tracks(name: str) -> None:
    """At 10-second ticks, 99 % of the aircraft that are there in two ticks running keep their track."""
    replay = builders.adsb(name)
    score = identity_score([frame for frame in replay.frames if frame.tick < 2000], replay.domain)
    assert score.chances > 20_000
    assert score.share >= 0.99


@pytest.mark.parametrize("name", builders.PEDESTRIANS)
def test_pedestrians_keep_their_tracks(name: str) -> None:
    """So do 98 % of pedestrians at 2.5 Hz."""
    replay = load([builders.pedestrians(name)])
    assert identity_score(replay.frames, replay.domain).share >= 0.98


def test_the_same_positions_give_the_same_tracks() -> None:
    """The tracker is a function: a second run, and one whose state can't be written to, give the same to the bit."""
    frames = [frame for frame in builders.adsb(sectors=1).frames if frame.tick < 100]

    def run(seal: bool) -> list[tuple[str, bytes]]:
        state, out = None, []
        for frame in frames:
            state, actors = tracker.step(state, frame.positions, frame.tick, AIRCRAFT)
            if seal:
                for value in state.values():
                    if isinstance(value, np.ndarray):
                        value.flags.writeable = False
            out += [(actor, place.tobytes()) for actor, place in actors]
        return out

    assert run(seal=False) == run(seal=True)


def test_the_order_of_positions_does_not_matter() -> None:
    """Each position gets the track that it would get in any other order of its tick."""
    random = np.random.default_rng(1)
    state, _ = tracker.step(None, abreast(0), 0, AIRCRAFT)
    for tick in range(1, 6):
        order = random.permutation(4)
        state, actors = tracker.step(state, abreast(tick)[order], tick, AIRCRAFT)
        assert [actor for actor, _ in actors] == [f"a{row}" for row in order]


def test_a_state_is_arrays_and_numbers() -> None:
    """The state holds nothing but what msgpack with arrays can carry."""
    state, _ = tracker.step(None, abreast(0), 0, AIRCRAFT)
    state, _ = tracker.step(state, abreast(1), 1, AIRCRAFT)
    assert {type(value) for value in state.values()} == {int, np.ndarray}
    assert all(value.dtype in (np.int64, np.float64) for value in state.values() if isinstance(value, np.ndarray))
    msgspec.msgpack.encode({name: np.asarray(value).tolist() for name, value in state.items()})


def test_a_missed_tick_keeps_the_tracks() -> None:
    """Actors that were not seen for two ticks come back as themselves, since the filter looks ahead."""
    assert follow([0, 1, 2, 3, 6, 7]) == [["a0", "a1", "a2", "a3"]] * 6


def test_a_long_gap_ends_the_tracks() -> None:
    """After a longer gap everyone is new, and no id is given twice."""
    assert follow([0, 1, 2, 40]) == [["a0", "a1", "a2", "a3"]] * 3 + [["a4", "a5", "a6", "a7"]]


def test_a_tick_without_anyone() -> None:
    """A tick at which nothing is seen gives no actors and keeps the tracks."""
    state, _ = tracker.step(None, abreast(0), 0, AIRCRAFT)
    state, actors = tracker.step(state, [], 1, AIRCRAFT)
    assert actors == []
    assert list(state["ids"]) == [0, 1, 2, 3]


def test_time_does_not_run_back() -> None:
    """A tick before the one that the state describes is an error that names both."""
    state, _ = tracker.step(None, abreast(5), 5, AIRCRAFT)
    with pytest.raises(ValueError, match="tick 4 comes before tick 5"):
        tracker.step(state, abreast(4), 4, AIRCRAFT)


def test_a_wrong_altitude_is_not_believed() -> None:
    """A report that is 5 km too high keeps its track, and the track keeps its altitude."""
    state = None
    for tick in range(8):
        state, _ = tracker.step(state, abreast(tick), tick, AIRCRAFT)
    wrong = abreast(8)
    wrong[1, 2] += 5000.0
    _, actors = tracker.step(state, wrong, 8, AIRCRAFT)
    assert [actor for actor, _ in actors] == ["a0", "a1", "a2", "a3"]
    assert actors[1][1][2] == pytest.approx(9000.0, abs=1.0)

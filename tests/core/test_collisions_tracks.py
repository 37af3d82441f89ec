"""The readers and the pair search, held against figures that others found, and against their plainest version."""

import math
from itertools import combinations

import numpy as np
import pytest

from examples.collisions.domain import AIRCRAFT, PEDESTRIANS, Domain, domain_of
from examples.collisions.scores import straight_alerts
from examples.collisions.separation import NEAR_TIE, close_pairs, near_ties
from examples.collisions.tracks import load, sectors_of
from tests import builders_collisions as builders

DOMAINS = pytest.mark.parametrize("domain", [AIRCRAFT, PEDESTRIANS], ids=lambda domain: domain.name)


def test_the_figures_of_the_sources() -> None:
    """Reader and pair search find in the sample of Paris what SOURCES.md says is there."""
    reports = builders.adsb_reports("quickstart")
    alerts = straight_alerts(reports)
    assert len(np.unique(reports.ticks)) == 1080
    assert len(reports.ticks) == 22_829
    assert len(alerts) == 1705
    assert len({pair for _, pair in alerts}) == 225


@pytest.mark.parametrize("name", ["quickstart", "switzerland"])
def test_sectors_are_busy(name: str) -> None:
    """Without a say in it, the airspace is split into scenes of at least 8 aircraft on average."""
    means = builders.adsb(name).actors_per_scene()
    assert len(means) >= 2
    assert min(means.values()) >= 8


def test_sectors_share_the_traffic() -> None:
    """Each of five sectors gets a fifth of all positions, and none is lost."""
    reports = builders.adsb_reports("quickstart")
    shares = np.bincount(sectors_of(reports, 5)) / len(reports.ticks)
    assert shares == pytest.approx([0.2] * 5, abs=0.001)


def test_frames_come_in_order_and_hide_who_is_who() -> None:
    """Frames are ordered by tick and scene, and rows by position and not by identity."""
    frames = builders.adsb().frames
    assert [(f.tick, f.scene) for f in frames] == sorted({(f.tick, f.scene) for f in frames})
    assert all((np.diff(f.positions[:, 0]) >= 0).all() for f in frames)
    assert any(list(f.identities) != sorted(f.identities) for f in frames)


@pytest.mark.parametrize(
    ("name", "frames", "rows", "last_tick"),
    [("sdd_gates_3", 733, 6440, 762), ("sdd_little_3", 1149, 7240, 1171), ("ucy_students03", 540, 21_846, 539)],
)
def test_pedestrian_files_are_read_whole(name: str, frames: int, rows: int, last_tick: int) -> None:
    """Each file is one scene with a tick per sampled frame, gaps stay gaps, and nobody has a height."""
    replay = load([builders.pedestrians(name)])
    assert list(replay.actors_per_scene()) == [f"pedestrians-0.4s-{name}"]
    assert len(replay.frames) == frames
    assert sum(len(frame.positions) for frame in replay.frames) == rows
    assert replay.frames[-1].tick == last_tick
    assert not any(frame.positions[:, 2].any() for frame in replay.frames)


def test_the_domains_do_not_mix() -> None:
    """One replay holds aircraft or pedestrians; both at once is an error that says so."""
    builders.adsb_reports("quickstart")
    with pytest.raises(ValueError, match="one domain"):
        load(["quickstart", builders.pedestrians("sdd_gates_3")])


@pytest.mark.parametrize("domain", [AIRCRAFT, PEDESTRIANS, AIRCRAFT.every(2.5)], ids=str)
def test_a_scene_names_its_domain(domain: Domain) -> None:
    """The domain and its tick length can be read from the name of a scene."""
    assert domain_of(domain.scene("paris-south-3")) == domain


def test_a_scene_without_a_domain_is_refused() -> None:
    """A scene that names no domain is an error that says how a name reads."""
    with pytest.raises(ValueError, match="<domain>-<seconds>s-<place>"):
        domain_of("paris")


def random_paths(domain: Domain, seed: int) -> tuple[list[str], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Draw 12 actors whose paths come close now and then, in no order."""
    random = np.random.default_rng(seed)
    size = np.array([domain.horizontal_m, domain.horizontal_m, AIRCRAFT.vertical_m])
    start = random.uniform(-2, 2, (12, 1, 3))
    moves = random.normal(0, 0.3, (12, 12, 3)).cumsum(axis=1)
    return [f"a{number}" for number in random.permutation(40)[:12]], (start + moves) * size


@DOMAINS
@pytest.mark.parametrize("seed", range(20))
def test_the_pair_search_finds_what_looking_at_all_finds(domain: Domain, seed: int) -> None:
    """Pairs, the first step at which they are close and their distances are those of a loop over everything."""
    names, paths = random_paths(domain, seed)
    expected = {}
    for (a, path), (b, other) in combinations(zip(names, paths, strict=True), 2):
        for step in range(12):
            x, y, z = path[step] - other[step]
            if math.hypot(x, y) < domain.horizontal_m and abs(z) < domain.vertical_m:
                low, high = sorted((a, b), key=lambda name: int(name[1:]))
                expected[f"{low}-{high}"] = (step, math.hypot(x, y), abs(z))
                break
    found = {pair: (step, *distances) for pair, step, *distances in close_pairs(names, paths, domain)}
    assert found.keys() == expected.keys()
    for pair, (step, *distances) in expected.items():
        assert found[pair] == pytest.approx((step, *map(float, distances)))
    assert found


def test_the_order_of_actors_does_not_matter() -> None:
    """The same actors in another order give the same list."""
    names, paths = random_paths(AIRCRAFT, 1)
    order = np.random.default_rng(2).permutation(len(names))
    assert close_pairs([names[i] for i in order], paths[order], AIRCRAFT) == close_pairs(names, paths, AIRCRAFT)


def test_one_and_none_have_no_pairs() -> None:
    """A scene with one actor or none has nothing to search."""
    assert close_pairs(["a0"], np.zeros((1, 12, 3)), AIRCRAFT) == []
    assert close_pairs([], np.zeros((0, 12, 3)), AIRCRAFT) == []
    assert near_ties([], [], AIRCRAFT) == []


def two(*between: tuple[float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Build two paths that are apart by (shares of the horizontal, of the vertical minimum) at each step."""
    apart = [(share * AIRCRAFT.horizontal_m, 0.0, height * AIRCRAFT.vertical_m) for share, height in between]
    return np.stack([np.zeros((len(apart), 3)), apart])


def test_neighbouring_flight_levels_are_apart() -> None:
    """Aircraft exactly 1,000 ft apart are not too close, whatever the last bits of a float say."""
    for share in (1 - 1e-7, 1.0, 1 + 1e-7):
        assert close_pairs(["a0", "a1"], two((0.1, share)), AIRCRAFT) == []
        assert near_ties(["a0", "a1"], two((0.1, share)), AIRCRAFT) == ["a0-a1"]


@pytest.mark.parametrize(
    ("between", "tied"),
    [
        ([(1 - NEAR_TIE / 2, 0.0)], True),
        ([(1 + NEAR_TIE / 2, 0.0)], True),
        ([(0.5, 1 + NEAR_TIE / 2)], True),
        ([(1 + NEAR_TIE * 2, 0.0)], False),
        ([(1.0, 1.5)], False),  # at the horizontal minimum, but far above
        ([(1.0, 0.5), (0.5, 0.5)], False),  # close at another step: the alert stands either way
    ],
)
def test_near_ties_are_those_whose_verdict_could_turn(between: list[tuple[float, float]], tied: bool) -> None:
    """A pair is a near tie when a change of 0.1 % of a minimum could make it close or not."""
    assert bool(near_ties(["a0", "a1"], two(*between), AIRCRAFT)) == tied

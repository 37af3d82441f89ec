"""The model and the reference: what is predicted, and what one process makes of it."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the model needs torch: pip install 'covey[worker]'")

import torch  # noqa: E402 (after the test for it)

from examples.collisions import reference, train  # noqa: E402
from examples.collisions.histories import Windows, stack, windows  # noqa: E402
from examples.collisions.model import WEIGHTS, TrajectoryModel, TrajectoryNet  # noqa: E402
from examples.collisions.tracks import load  # noqa: E402
from tests import builders_collisions as builders  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> TrajectoryModel:
    model = TrajectoryModel()
    model.load("cpu")
    return model


@pytest.fixture(scope="module")
def held_out() -> dict[str, Windows]:
    """Return, by sample, the windows of aircraft that the training has not seen."""
    found = {}
    for name in ("quickstart", "switzerland"):
        replay = builders.adsb(name, sectors=1)
        data = windows([frame for frame in replay.frames if frame.tick < 1100], replay.domain)
        found[name] = data.of(train.held_out(data.identities))
    return found


@pytest.mark.parametrize("name", ["quickstart", "switzerland"])
def test_the_model_beats_constant_velocity(name: str, model: TrajectoryModel, held_out: dict[str, Windows]) -> None:
    """On aircraft that it never saw, the model is nearer than constant velocity, however that takes its velocity."""
    table = train.compare(model.net, held_out[name])
    ours = table.pop("model")
    print(name, ours, *table.items(), sep="\n")
    assert len(table) >= 3
    for errors in table.values():
        assert ours.mean_m < 0.97 * errors.mean_m
        assert ours.final_m < 0.97 * errors.final_m


def test_training_starts_from_constant_velocity(held_out: dict[str, Windows]) -> None:
    """An untrained net predicts the straight line through the last two positions."""
    table = train.compare(TrajectoryNet(), held_out["quickstart"])
    assert table["model"].mean_m == pytest.approx(table["constant velocity, last 1 moves"].mean_m)


def test_the_weights_are_small() -> None:
    """The committed weights stay below 500 kB."""
    assert WEIGHTS.stat().st_size < 500_000


def test_one_position_stays_put(model: TrajectoryModel) -> None:
    """An actor seen once is expected to stay where it is."""
    history, mask = stack([[np.array([1e5, -2e5, 9e3])]])
    paths = model(torch.from_numpy(history), torch.from_numpy(mask)).numpy()
    assert paths == pytest.approx(np.tile(history[:, -1:], (1, 12, 1)))


def test_an_actor_that_stands_stays(model: TrajectoryModel) -> None:
    """So is one that hasn't moved in eight positions."""
    history, mask = stack([[np.array([3.0, 4.0, 0.0])] * 8])
    paths = model(torch.from_numpy(history), torch.from_numpy(mask)).numpy()
    assert paths == pytest.approx(np.tile(history[:, -1:], (1, 12, 1)))


def test_two_positions_go_on(model: TrajectoryModel) -> None:
    """An actor seen twice is expected to go on roughly as it did."""
    history, mask = stack([[np.array([0.0, 0.0, 9000.0]), np.array([2000.0, 0.0, 9000.0])]])
    path = model(torch.from_numpy(history), torch.from_numpy(mask)).numpy()[0]
    straight = 2000.0 * np.arange(2, 14)
    assert np.abs(path[:, 0] - straight).max() < 0.2 * 24_000
    assert np.abs(path[:, 1]).max() < 0.2 * 24_000
    assert path[:, 2] == pytest.approx(9000.0)


def test_a_row_does_not_see_the_others(model: TrajectoryModel, held_out: dict[str, Windows]) -> None:
    """A row's path is the same alone, in any batch and in any place of it, up to the last bits."""
    data = held_out["quickstart"]
    history, mask = torch.from_numpy(data.history[:100]), torch.from_numpy(data.mask[:100])
    together = model(history, mask).numpy()
    alone = np.concatenate([model(history[row : row + 1], mask[row : row + 1]).numpy() for row in range(100)])
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    shuffled = model(history[order], mask[order]).numpy()
    assert together == pytest.approx(alone, rel=1e-5, abs=0.1)
    assert together[order] == pytest.approx(shuffled, rel=1e-5, abs=0.1)


def test_the_model_knows_no_place_and_no_direction(model: TrajectoryModel, held_out: dict[str, Windows]) -> None:
    """A history that is moved and turned gives a path that is moved and turned."""
    data = held_out["quickstart"]
    history = data.history[data.mask.all(axis=1)][:200]
    history = history - history[:, -1:]
    turned = history @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)
    mask = torch.ones(len(history), 8, dtype=torch.bool)
    path = model(torch.from_numpy(history), mask).numpy()
    path_turned = model(torch.from_numpy(turned + np.float32(1000.0)), mask).numpy() - np.float32(1000.0)
    assert path[..., 0] == pytest.approx(path_turned[..., 1], abs=1.0)
    assert path[..., 1] == pytest.approx(-path_turned[..., 0], abs=1.0)


@pytest.mark.parametrize("name", ["quickstart", "switzerland", *builders.PEDESTRIANS])
def test_every_data_set_has_alerts(name: str, model: TrajectoryModel) -> None:
    """The reference finds alerts in every data set, and more than there are near ties."""
    replay = load([builders.pedestrians(name)]) if name in builders.PEDESTRIANS else builders.adsb(name)
    found = reference.run([frame for frame in replay.frames if frame.tick < 600], replay.domain, model)
    print(name, len(found.alerts), len(found.near_ties))
    assert len(found.alerts) > 20
    assert found.positions == sum(len(frame.positions) for frame in replay.frames if frame.tick < 600)


def test_another_batch_gives_the_same_alerts(model: TrajectoryModel) -> None:
    """The reference equals itself when the model is called one actor at a time, save near ties."""

    def one_by_one(history: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.cat([model(history[row : row + 1], mask[row : row + 1]) for row in range(len(mask))])

    frames = [frame for frame in builders.adsb().frames if frame.tick < 60]
    domain = builders.adsb().domain
    expected = reference.run(frames, domain, model)
    assert reference.compare(reference.run(frames, domain, one_by_one).alerts, expected).equal


def test_a_comparison_lists_what_differs() -> None:
    """Missing and unexpected alerts are listed; near ties may fall either way and are counted."""
    ours = reference.Reference(
        alerts={("s", 1, "a0-a1"), ("s", 2, "a0-a2")}, near_ties={("s", 2, "a0-a2"), ("s", 3, "a1-a2")}
    )
    same = reference.compare({("s", 1, "a0-a1"), ("s", 3, "a1-a2")}, ours)
    assert same.equal
    assert same.ties_that_differ == (("s", 2, "a0-a2"), ("s", 3, "a1-a2"))
    other = reference.compare({("s", 9, "a8-a9")}, ours)
    assert not other.equal
    assert other.missing == (("s", 1, "a0-a1"),)
    assert other.unexpected == (("s", 9, "a8-a9"),)
    assert "1 alerts missing, 1 unexpected" in str(other)

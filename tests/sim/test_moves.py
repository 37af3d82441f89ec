"""Worlds in which groups move all the time, and what finds a hand-over with a hole in it."""

import pytest

from covey.model import GroupId
from covey.services.datastore.core import copying, handing_over, requests, standing
from covey.services.datastore.core.state import Arrival, State
from covey.simulator.scenarios import moving_world
from covey.simulator.violation import Violation

SEEDS = 20
SEEDS_MAX = 80


def test_groups_that_move_lose_double_and_reorder_nothing() -> None:
    """Pins change, nodes join, some groups have copies: outcomes come once and right, histories are whole."""
    moves = handed_over = 0
    for seed in range(SEEDS):
        try:
            world = moving_world(seed)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")
        moves += world.moves
        handed_over += world.handed_over
    assert moves > 10 * SEEDS
    assert handed_over > 10 * SEEDS


def _serve_before_it_is_there(patch: pytest.MonkeyPatch) -> None:
    """A new home answers as soon as it knows that it is one."""
    checked = standing.awaited

    def awaited(state: State, group_id: GroupId) -> tuple[Arrival, ...]:
        checked(state, group_id)
        return ()

    for module in (handing_over, requests, standing):
        patch.setattr(module, "awaited", awaited)


def _hand_over_nothing(patch: pytest.MonkeyPatch) -> None:
    """Objects are dropped instead of handed over."""
    patch.setattr(copying, "pieces", lambda group: handing_over.deque())


@pytest.mark.parametrize("plant", [_serve_before_it_is_there, _hand_over_nothing])
def test_a_planted_hole_is_found(plant: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand-over that leaves something behind, or is not waited for, does not survive the seeds."""
    plant(monkeypatch)  # type: ignore[operator]

    assert any(_is_broken(seed) for seed in range(SEEDS_MAX)), "no seed has found it"


def _is_broken(seed: int) -> bool:
    try:
        moving_world(seed)
    except Violation:
        return True
    return False

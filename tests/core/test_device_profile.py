"""The times that an emulated device goes by, and the ledger of its work."""

import json
from pathlib import Path

import pytest

from covey.errors import InvalidArgument
from covey.services.worker.engine.profile import Ledger, Work, read_ledger, read_profile


def written(folder: Path, content: object) -> Path:
    path = folder / "profile.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_times_between_and_past_the_measured_sizes_lie_on_straight_lines(tmp_path: Path) -> None:
    """Sizes that were measured have their times, others those of the line through their neighbours."""
    profile = read_profile(written(tmp_path, {"_speed": 1, "predict": [[1, 0.004], [4, 0.010], [8, 0.012]]}))
    found = [profile.seconds("predict", size) for size in (1, 2, 4, 6, 8, 16)]
    assert found == pytest.approx([0.004, 0.006, 0.010, 0.011, 0.012, 0.016])


def test_one_measured_size_stands_for_all(tmp_path: Path) -> None:
    """A stage with a single pair takes that time for any batch."""
    profile = read_profile(written(tmp_path, {"track": [[1, 0.002]]}))
    assert profile.seconds("track", 64) == 0.002


@pytest.mark.parametrize(
    "content",
    ["no json", {"track": []}, {"track": [[0, 1.0]]}, {"track": [[4, 1.0], [2, 1.0]]}, {"track": 3}, ["track"],
     {"track": [[1, -1.0]]}],
)  # fmt: skip
def test_a_profile_that_does_not_read_so_is_refused_by_name(content: object, tmp_path: Path) -> None:
    """Whatever is wrong with the file, the error names it."""
    with pytest.raises(InvalidArgument, match="profile.json"):
        read_profile(written(tmp_path, content))


def test_a_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path that leads nowhere is the user's mistake, too."""
    with pytest.raises(InvalidArgument, match="can't be read"):
        read_profile(tmp_path / "nowhere.json")


def test_a_profile_must_know_every_stage(tmp_path: Path) -> None:
    """The stages that it lacks are named before the worker serves."""
    profile = read_profile(written(tmp_path, {"track": [[1, 0.002]]}))
    profile.check(["track"])
    with pytest.raises(InvalidArgument, match="no times for predict, collide"):
        profile.check(["track", "predict", "collide"])


def test_a_ledger_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    """Another process sees each batch as soon as it was counted, and what of its time was useful."""
    profile = read_profile(written(tmp_path, {"predict": [[1, 0.5], [4, 1.0]]}))
    ledger = Ledger(tmp_path / "ledger", profile)
    assert read_ledger(tmp_path / "ledger") == Work(0, 0, 0, 0)
    ledger.add("predict", 4)
    ledger.add("predict", 1)
    assert read_ledger(tmp_path / "ledger") == Work(2, 5, 1.5, 1.25)

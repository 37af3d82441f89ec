"""Latency tables as curves, and what `covey profile` writes."""

import json
import random
from pathlib import Path

import pytest

from covey.services.scheduler.core.provision import Curve
from covey.simulator.hardware import LatencyTable, affine, read_device_profile

MEASURED = {"sizes": [1, 4], "mean_s": [0.010, 0.020], "std_s": [0.001, 0.002], "cold_s": 3.5}


def test_a_quantile_is_what_draws_stay_within() -> None:
    """Of 20,000 draws as many end within the quantile as it says."""
    table: Curve = affine(0.010, 0.001, spread=0.2)
    rng = random.Random(1)
    limit = table.quantile_s(8, 0.9)
    drawn = [affine(0.010, 0.001, spread=0.2).draw_s(8, rng) for _ in range(20_000)]

    assert sum(seconds <= limit for seconds in drawn) / len(drawn) == pytest.approx(0.9, abs=0.01)


def test_without_spread_all_quantiles_are_the_mean() -> None:
    """An exact table is exact."""
    table = LatencyTable((1, 2), (0.010, 0.015), 0.0)
    assert table.quantile_s(2, 0.999) == table.quantile_s(2, 0.001) == 0.015


def test_a_device_profile_gives_each_stage_its_table_and_cold_start(tmp_path: Path) -> None:
    """The largest batch is the last that was measured; the spread is the mean of the relative deviations."""
    path = tmp_path / "l4.json"
    path.write_text(json.dumps({"device": "NVIDIA L4", "stages": {"predict": MEASURED}}))

    found = read_device_profile(path)

    assert found.device == "NVIDIA L4"
    predict = found.stages["predict"]
    assert (predict.batch_max, predict.cold_s) == (4, 3.5)
    assert predict.curve.mean_s(2) == pytest.approx(0.010 + 0.010 / 3)
    assert predict.curve.quantile_s(1, 0.8413447) == pytest.approx(0.010 * 2.718281828**0.1)


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        json.dumps({"stages": {}}),
        *[
            json.dumps({"device": "d", "stages": {"predict": {**MEASURED, **wrong}}})
            for wrong in (
                {"sizes": [1]},
                {"sizes": [4, 1]},
                {"sizes": [0, 4]},
                {"mean_s": [0.0, 0.02]},
                {"cold_s": -1},
                {"cold_s": None},
            )
        ],
    ],
)
def test_a_file_that_is_no_device_profile_is_refused_by_name(content: str, tmp_path: Path) -> None:
    """Whatever is wrong with the file, the error names it."""
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="wrong.json is no device profile"):
        read_device_profile(path)

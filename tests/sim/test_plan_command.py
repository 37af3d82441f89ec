"""`covey plan pipeline`, as a person types it."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from covey.cli import cli


def stage(milliseconds: float) -> dict[str, Any]:
    return {"sizes": [1], "mean_s": [milliseconds / 1000], "std_s": [0.0], "cold_s": 5.0}


def profile(folder: Path, name: str, **milliseconds: float) -> Path:
    """A chain of stages whose batches of one take so long."""
    stages = list(milliseconds)
    edges = [[source, target, 1] for source, target in zip(["", *stages], stages, strict=False)]
    path = folder / f"{name}.json"
    path.write_text(
        json.dumps(
            {
                **{"name": "cameras", "device": name, "objective_s": 0.15, "edges": edges, "joins": []},
                "stages": {each: stage(took) for each, took in milliseconds.items()},
            }
        )
    )
    return path


def plan(folder: Path, *arguments: str) -> Result:
    """With a slow and a fast kind, a trace of an event in 60 ms, and what is written below the folder."""
    trace = folder / "trace.txt"
    if not trace.exists():
        trace.write_text("\n".join(f"{number * 0.06:.3f}" for number in range(60)))
    slow = profile(folder, "slow", see=100)
    profile(folder, "fast", see=50)
    usual = {"--pipeline": str(slow), "--trace": str(trace), "--out": str(folder / "plan"), "--seeds": "1"}
    given = [text for option, value in usual.items() if option not in arguments for text in (option, value)]
    return CliRunner().invoke(cli, ["plan", "pipeline", *given, *arguments], env={"COLUMNS": "160"})


def both(folder: Path) -> tuple[str, str]:
    return "--profiles", f"slow={folder / 'slow.json'},fast={folder / 'fast.json'}"


def test_the_cheapest_is_printed_with_what_limits_it(tmp_path: Path) -> None:
    """Devices, replicas and batches by stage, p50 and p99, the share in time, the stage and the term."""
    ran = plan(tmp_path, "--price", "slow=1,fast=1.5", *both(tmp_path))

    assert ran.exit_code == 0, ran.output
    assert "1 fast, 1.5 an hour" in ran.output
    assert "p50 51 ms, p99 5" in ran.output
    assert "100.00 % in time" in ran.output
    assert "limited by see, compute: 50 ms" in ran.output


def test_a_plan_can_be_read_by_programs(tmp_path: Path) -> None:
    """`--json` prints the same as one object; without --profiles the pipeline's own times are those of the one kind."""
    ran = plan(tmp_path, "--price", "slow=2.5", "--json")
    told = json.loads(ran.stdout)

    assert told["cheapest"]["price"] == 5.0
    assert told["cheapest"]["stages"] == {"see": {"kind": "slow", "replicas": 2, "batch": 1}}
    assert told["cheapest"]["limit"]["stage"] == "see"
    assert told["objective_s"] == 0.15


def test_the_picture_and_its_points_are_written(tmp_path: Path) -> None:
    """A PNG, and every set-up that was played as a line of CSV, by price."""
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib: pip install 'covey[example]'")
    plan(tmp_path, "--price", "slow=1,fast=1.5", *both(tmp_path))
    with (tmp_path / "plan.csv").open(newline="") as file:
        points = list(csv.DictReader(file))

    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert {"price": "1.5", "devices": "1 fast", "stages": "see: fast x1 batch 1"}.items() <= points[0].items()
    assert [float(point["price"]) for point in points] == sorted(float(point["price"]) for point in points)


def test_without_matplotlib_there_are_points_and_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and how to get it, is said; the plan is printed all the same."""
    monkeypatch.setitem(sys.modules, "covey.cli.plan_picture", None)
    ran = plan(tmp_path, "--price", "slow=1")

    assert ran.exit_code == 0
    assert "pip install 'covey[example]'" in ran.output
    assert (tmp_path / "plan.csv").exists()
    assert not (tmp_path / "plan.png").exists()


def test_an_objective_that_nothing_meets_leaves_with_1(tmp_path: Path) -> None:
    """The nearest is printed, with what limits it."""
    ran = plan(tmp_path, "--price", "slow=1,fast=1.5", *both(tmp_path), "--objective", "40ms")

    assert ran.exit_code == 1
    assert "nothing meets the objective; the nearest:" in ran.output
    assert "limited by see, compute" in ran.output
    assert (tmp_path / "plan.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--price", "slow=1,b200=9", "--profiles", "slow=slow.json"], "nothing is known of the kind 'b200'"),
        (["--price", "slow=1,b200=9"], "nothing is known of the kind 'slow'"),
        (["--price", "slow=1", "--profiles", "slow=slow.json,fast=fast.json"], "'fast' has a profile and no price"),
        (["--price", "slow=cheap"], "the price of slow is a number"),
        (["--price", "slow=-1"], "the price of slow is a number"),
        (["--price", "slow"], "--price names each kind once"),
        (["--price", "slow=1,slow=2"], "--price names each kind once"),
        (["--price", ""], "--price names a kind of device at least"),
        (["--price", "slow=1", "--objective", "fast"], "a time is a number"),
    ],
)
def test_a_command_line_that_makes_no_sense_leaves_with_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    """It says what is wrong with it, and writes nothing."""
    ran = plan(tmp_path, *arguments)

    assert ran.exit_code == 2
    assert said in " ".join(ran.output.replace("│", " ").split())
    assert not (tmp_path / "plan.csv").exists()


def test_files_that_do_not_read_are_named(tmp_path: Path) -> None:
    """A trace, a pipeline or a profile that is none leaves with 1 and says which and why."""
    (tmp_path / "bad.txt").write_text("0\nsoon\n")
    other = profile(tmp_path, "other", hear=10)

    trace = plan(tmp_path, "--price", "slow=1", "--trace", str(tmp_path / "bad.txt"))
    pipeline = plan(tmp_path, "--price", "slow=1", "--pipeline", str(tmp_path / "bad.txt"))
    stages = plan(tmp_path, "--price", "slow=1", "--profiles", f"slow={other}")

    assert [ran.exit_code for ran in (trace, pipeline, stages)] == [1, 1, 1]
    assert "bad.txt, line 2: 'soon' is not a number of seconds" in trace.output
    assert "bad.txt is not what `covey profile` writes" in pipeline.output
    assert "other.json has no times for see" in stages.output


def test_of_a_long_trace_the_busiest_part_is_planned_for(tmp_path: Path) -> None:
    """--events bounds how long planning takes; it says so."""
    slow = [number * 0.5 for number in range(40)]
    (tmp_path / "trace.txt").write_text("\n".join(map(str, [*slow, *(20 + number * 0.06 for number in range(30))])))
    ran = plan(tmp_path, "--price", "slow=1", "--events", "30")

    assert "30 events (the busiest of 70) in 2 s" in ran.output
    assert "2 slow, 2 an hour" in ran.output

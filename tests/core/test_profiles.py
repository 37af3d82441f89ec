"""What `covey profile` writes, and what reads it: the scheduler, an emulated device, the simulator."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.slo.own import read_pipeline
from covey.errors import InvalidArgument
from covey.profiles import LatencyTable, PipelineProfile, StageProfile, pipeline_profile, read_profile, written
from covey.services.scheduler.app import serving_of
from covey.services.scheduler.core.provision import Edge, Seen, Window
from covey.services.scheduler.settings import SchedulerSettings

STAGE = {"sizes": [1, 4], "mean_s": [0.010, 0.020], "std_s": [0.001, 0.002], "cold_s": 3.5}
WRITTEN: dict[str, Any] = {
    "name": "mine",
    "device": "cpu",
    "objective_s": 0.4,
    "stages": {"find": STAGE, "name": STAGE, "join": STAGE},
    "edges": [["", "find", 1.0], ["find", "name", 4.0], ["name", "join", 0.25]],
    "joins": ["join"],
}


def file(folder: Path, **changed: Any) -> Path:
    path = folder / "profile.json"
    path.write_text(json.dumps({**WRITTEN, **changed}))
    return path


def settings(profile: Path | None, **changed: Any) -> SchedulerSettings:
    return SchedulerSettings("redis://nobody", profile=profile, **changed)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """A profile survives its file: stages, fan-outs, joins and the spread of the times."""
    found = read_profile(file(tmp_path))

    assert found.stages["find"] == StageProfile(LatencyTable((1, 4), (0.010, 0.020), 0.1), 3.5)
    assert found.fan_outs == {("", "find"): 1.0, ("find", "name"): 4.0, ("name", "join"): 0.25}
    assert pipeline_profile(written(found)) == found


def test_the_simulator_s_benchmark_takes_the_same_file(tmp_path: Path) -> None:
    """`benchmarks.slo --pipeline` sees the pipeline that the scheduler provisions."""
    path = file(tmp_path)
    serving = serving_of(settings(path))

    assert serving is not None
    assert read_pipeline(path).pipeline == serving.pipeline
    assert read_pipeline(path).joins == ("join",)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"edges": [["", "find", 1], ["name", "join", 1]]}, "no edge leads to stage 'name'"),
        ({"edges": [*WRITTEN["edges"], ["find", "lost", 1]]}, "the stage 'lost', which has no times"),
        ({"objective_s": 0}, "an objective is more than no time"),
        ({"stages": {"find": {**STAGE, "sizes": [4, 1]}}}, "batch sizes ascend"),
        ({"stages": {"find": {"sizes": [1]}}}, "KeyError: 'mean_s'"),
        ({"edges": "none"}, "is not what `covey profile` writes"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, changed: dict[str, Any], complaint: str) -> None:
    """The error names the file, and what is wrong with it."""
    path = file(tmp_path, **changed)
    with pytest.raises(InvalidArgument, match=complaint) as raised:
        read_profile(path)
    assert str(path) in raised.value.message


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    """No traceback, but a sentence."""
    with pytest.raises(InvalidArgument, match="can't be read: No such file"):
        read_profile(tmp_path / "nothing.json")


# --- the scheduler's settings ----------------------------------------------------------------------------------------


def test_without_a_profile_nothing_is_provisioned() -> None:
    """The scheduler then serves whatever is declared, as ever."""
    assert serving_of(settings(None)) is None


def test_the_profile_names_the_pipeline_and_the_settings_the_tenant(tmp_path: Path) -> None:
    """Its scope, its fan-outs and its cold starts are what the provisioner is given."""
    serving = serving_of(settings(file(tmp_path), tenant="them"))

    assert serving is not None
    assert serving.scope == ("them", "mine")
    assert serving.pipeline.fan_outs[Edge("find", "name")] == 4.0
    assert serving.pipeline.profiles["join"].cold_s == 3.5


def replicas(found: dict[str, Any], offered: int) -> int:
    """How many are wanted after a window in which so many events came, of which the first stage let ten through."""
    serving = serving_of(SchedulerSettings("redis://nobody", **found))
    assert serving is not None
    stages = {stage: Seen(10, 10, 0, {}, 0, 0, 1, 0) for stage in serving.pipeline.stages}
    provision = serving.provisioner.decide(Window(1.0, 1.0, offered, stages))
    return sum(share.replicas for share in provision.values())


def test_each_setting_of_the_plan_matters(tmp_path: Path) -> None:
    """A tighter objective, more headroom and a reserve ask for more replicas; a limit, and an estimator that sees less,
    for fewer.

    Downstream of a stage that lets little through, only the cascade's estimate sees what was offered.
    """
    usual = {"profile": file(tmp_path), "reserve": 0.0}
    wanted = replicas(usual, 400)

    assert replicas({**usual, "objective_s": 0.06}, 400) > wanted
    assert replicas({**usual, "headroom": 2.0}, 400) > wanted
    assert replicas({**usual, "reserve": 0.5}, 400) > wanted
    assert replicas({**usual, "replicas_max": 5}, 400) <= 5 < wanted
    assert replicas({**usual, "estimator": "stage"}, 400) < wanted


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"estimator": "crystal ball"}, "COVEY_ESTIMATOR is cascade or stage, not 'crystal ball'"),
        ({"replicas_max": 2}, "COVEY_REPLICAS_MAX is 3 or more, one for each stage of 'mine'"),
        ({"headroom": 0.5}, "COVEY_HEADROOM is 1 or more"),
        ({"objective_s": -1.0}, "COVEY_OBJECTIVE_S and COVEY_RESERVE are 0 or more"),
        ({"reserve": -0.1}, "COVEY_OBJECTIVE_S and COVEY_RESERVE are 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, changed: dict[str, Any], complaint: str) -> None:
    """The error names the variable."""
    with pytest.raises(InvalidArgument, match=complaint):
        serving_of(settings(file(tmp_path), **changed))


def test_no_estimator_is_unknown_even_where_nothing_is_provisioned() -> None:
    """A typing mistake shows before it matters."""
    with pytest.raises(InvalidArgument, match="COVEY_ESTIMATOR"):
        serving_of(settings(None, estimator="casacde"))


def test_batches_are_as_large_as_what_was_measured() -> None:
    """Nobody knows how long a larger one takes."""
    found: PipelineProfile = pipeline_profile(WRITTEN)
    assert found.stages["name"].batch_max == 4

"""The pipelines of the comparison, and the rate that none of their systems can exceed."""

import os
import random
from pathlib import Path

import pytest

from covey.services.scheduler.core.estimating import visits
from covey.simulator.bounds import capacity, capacity_of_replicas, event_device_s, least_device_s
from covey.simulator.pipelines import (
    SYNTHETIC,
    Objective,
    Workload,
    actors_in,
    chain3,
    chain5,
    collisions,
    nexus_tables,
    traffic,
)
from tests.builders_provision import pipeline_of, profile_of

DATA = Path(os.environ.get("COVEY_DATA", Path(__file__).parents[2] / "../shared/data"))
WORKLOADS = [
    chain3(SYNTHETIC, Objective.MEDIUM),
    chain5(SYNTHETIC, Objective.MEDIUM),
    traffic(SYNTHETIC, Objective.MEDIUM),
    traffic(SYNTHETIC, Objective.MEDIUM, counts=[0, 2, 10]),
    collisions(Objective.MEDIUM),
    collisions(Objective.MEDIUM, counts=[1, 3, 11]),
]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_what_is_drawn_has_the_fan_outs_that_are_known(workload: Workload) -> None:
    """Over 5,000 draws each edge that is not a join's leads to as many tasks as its pipeline says, within 5 %."""
    rng = random.Random(1)
    drawn = {edge: 0 for edge in workload.pipeline.edges if edge.target not in workload.joins}
    for source in dict.fromkeys(edge.source for edge in drawn):
        for _ in range(5000):
            for target, tasks in workload.led_to[source](rng).items():
                drawn[source, target] += tasks  # type: ignore[index]

    for edge, tasks in drawn.items():
        assert tasks / 5000 == pytest.approx(workload.pipeline.fan_outs[edge], rel=0.05)


def test_a_join_has_one_task_for_each_event() -> None:
    """The collision pipeline predicts seven times for an event, and joins once."""
    pipeline = collisions(Objective.MEDIUM).pipeline
    assert visits(pipeline, pipeline.fan_outs) == pytest.approx({"track": 1.0, "predict": 7.0, "collide": 1.0})


def test_an_objective_is_so_many_times_the_longest_path() -> None:
    """Traffic has the detector and its slower classifier on the longest path; the three objectives lie a factor two
    apart."""
    alone_s = (0.00129 + 0.01940) + (0.00486 + 0.00319)
    found = [traffic(SYNTHETIC, objective).pipeline.objective_s for objective in Objective]
    assert found == pytest.approx([4 * alone_s, 8 * alone_s, 16 * alone_s])


def test_the_tables_of_nexus_are_what_was_measured() -> None:
    """VGG-16 takes 6.2774 ms for one image on a TITAN X, and no batch here is larger than was measured."""
    if not (DATA / "profiles").is_dir():
        pytest.skip(
            f"the profiles are not here: no {DATA / 'profiles'}; COVEY_DATA names the folder that has profiles/"
        )
    tables = nexus_tables(DATA)
    assert tables["vgg16"].mean_s(1) == pytest.approx(0.0062774)
    assert traffic(tables, Objective.TIGHT).pipeline.profiles["detect"].batch_max == 24


def test_actors_are_counted_by_frame(tmp_path: Path) -> None:
    """A recording of two frames with two actors and one has these counts."""
    path = tmp_path / "track.txt"
    path.write_text("0 1.0 3.5 4.5\n0 2.0 1.0 1.0\n12 1.0 3.6 4.6\n")
    assert actors_in(path) == [2, 1]


def test_an_event_costs_its_tasks_in_the_largest_batches_that_fit() -> None:
    """Batches of 4 run for 10 ms as those of one do, but with 8 ms left only batches of two fit: 4 ms a task."""
    steady, rising = profile_of(10, 10, 10, 10), profile_of(4, 8, 9, 10)
    fan_out = [("", "a", 1.0), ("a", "b", 3.0)]

    assert event_device_s(pipeline_of({"a": steady, "b": rising}, 40, fan_out)) == pytest.approx(0.0025 + 3 * 0.0025)
    assert event_device_s(pipeline_of({"a": steady, "b": rising}, 18.4, fan_out)) == pytest.approx(0.0025 + 3 * 0.004)
    with pytest.raises(ValueError, match="objective of 0.013 s"):
        event_device_s(pipeline_of({"a": steady, "b": rising}, 13, fan_out))


def test_whole_replicas_carry_less_than_devices_that_change_between_stages() -> None:
    """Stages of 10 and 30 ms on three devices: 75 events a second, or 66.7 with one and two replicas."""
    pipeline = pipeline_of({"a": profile_of(10), "b": profile_of(30)}, 100)

    assert capacity(pipeline, 3) == pytest.approx(75)
    assert capacity_of_replicas(pipeline, 3) == pytest.approx(2 / 0.030, rel=0.001)
    with pytest.raises(ValueError, match="2 stages have no replica each on 1 devices"):
        capacity_of_replicas(pipeline, 1)


def test_events_cost_their_work_or_a_replica_of_each_stage() -> None:
    """Of 40 ms of work an event a thousand cost 40 device-seconds, and a hundred two replicas for all of 10 s."""
    pipeline = pipeline_of({"a": profile_of(10), "b": profile_of(30)}, 100)

    assert least_device_s(pipeline, 1000, 10) == pytest.approx(40)
    assert least_device_s(pipeline, 100, 10) == pytest.approx(20)

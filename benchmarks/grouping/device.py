"""Measure how long the real stages take on this machine, for the devices that the benchmark emulates.

    python -m benchmarks.grouping.device [--speed 1.0]

Runs the stages of the collision pipeline with the trained model, and those of the synthetic one, in one thread, on
batches of several sizes made from real tracks, decoding and encoding included, and writes the medians to device.json.
A device of speed 0.5 takes twice as long.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import torch

from benchmarks.grouping import real_collisions, synthetic
from benchmarks.grouping.collisions import FRAME_BYTES
from benchmarks.grouping.experiment import PROFILE
from benchmarks.grouping.tracks import sdd_tracks
from benchmarks.provenance import machine
from covey.batch import Batch, TaskInputs, TaskOutput
from covey.codec import encode
from covey.declare import Pipeline
from covey.messages import Task
from covey.model import ObjectRef, ObjectValue
from examples.collisions.domain import HISTORY_STEPS
from examples.collisions.tracks import load

SIZES = (1, 2, 4, 8, 16, 32, 64)
TICKS = 120
REPEATS = 25

Object = tuple[str, bytes]
"""Key and payload."""


def objects(pipeline: Pipeline, pool: str, found: Sequence[Object]) -> tuple[ObjectValue, ...]:
    """Objects as a worker holds them."""
    return tuple(ObjectValue(ObjectRef(pool, key, "", 1, len(payload)), payload) for key, payload in found)


def inputs(
    pipeline: Pipeline,
    stage: str,
    trigger: Object | None,
    needs: Mapping[str, Sequence[Object]],
    members: Sequence[Object] = (),
) -> TaskInputs:
    """What a worker would have fetched for a task."""
    declared = pipeline.stages[stage].declaration
    first = trigger or members[0]
    fields = pipeline.declaration().pool(declared.on).fields_of(first[0])
    if declared.join is not None:
        fields = {name: fields[name] for name in declared.join.by}
    value = objects(pipeline, declared.on, [trigger])[0] if trigger is not None else None
    task = Task(1, b"", "", value, (), (), tuple(fields.items()), 0.0)
    needed = {pool: objects(pipeline, pool, found) for pool, found in needs.items()}
    return TaskInputs(task, value, objects(pipeline, declared.on, members), needed, True)


class Bench:
    """Runs stages of one pipeline in this thread."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._declaration = pipeline.declaration()
        self._models = {}
        for name, stage in pipeline.stages.items():
            if stage.model is not None:
                self._models[name] = stage.model()
                self._models[name].load("cpu")

    def run(self, stage: str, tasks: Sequence[TaskInputs]) -> list[TaskOutput]:
        """What the stage emits."""
        batch = Batch(self._declaration, stage, tasks, None, "cpu")
        model = [self._models[stage]] if stage in self._models else []
        self.pipeline.stages[stage].function(batch, *model)
        return batch.outputs()

    def table(self, stage: str, tasks: Sequence[TaskInputs]) -> list[tuple[int, float]]:
        """Median seconds by batch size, up to the largest batch that the stage takes."""
        rng = Random(0)
        found = []
        for size in SIZES:
            if size > self.pipeline.stages[stage].declaration.batch_max:
                break
            seconds = []
            for _ in range(REPEATS):
                batch = rng.choices(tasks, k=size)
                started = time.perf_counter()
                self.run(stage, batch)
                seconds.append(time.perf_counter() - started)
            found.append((size, statistics.median(seconds)))
        return found


def collision_tasks(bench: Bench) -> dict[str, list[TaskInputs]]:
    """Tasks of every stage, from the first ticks of the three scenes."""
    codec = bench.pipeline.declaration().pool("observations").codec
    pixels = Random(0).randbytes(FRAME_BYTES)
    tasks: dict[str, list[TaskInputs]] = {"track": [], "predict": [], "collide": []}
    states: dict[str, list[Object]] = defaultdict(list)
    histories: dict[str, list[Object]] = defaultdict(list)
    for frame in load(sdd_tracks()).frames:
        if frame.tick > TICKS:
            break
        payload = encode(codec, {"positions": frame.positions, "pixels": pixels})
        observation = f"/observations/{frame.scene}/{frame.tick}", payload
        tracking = inputs(bench.pipeline, "track", observation, {"tracks": states[frame.scene]})
        tasks["track"].append(tracking)
        predicting = []
        for emitted in bench.run("track", [tracking])[0].emissions:
            if emitted.pool == "tracks":
                states[frame.scene] = [(emitted.key, emitted.payload)]
                continue
            history = histories[emitted.key.rpartition("/")[0]]
            history.append((emitted.key, emitted.payload))
            needs = {"positions": history[-HISTORY_STEPS:]}
            predicting.append(inputs(bench.pipeline, "predict", history[-1], needs))
        tasks["predict"] += predicting
        outputs = bench.run("predict", predicting)
        members = [(each.key, each.payload) for output in outputs for each in output.emissions]
        if members:
            tasks["collide"].append(inputs(bench.pipeline, "collide", None, {}, members))
    return tasks


def synthetic_tasks(bench: Bench) -> dict[str, list[TaskInputs]]:
    """Tasks of both stages, over the data that is there before."""
    known = dict(synthetic.data())
    rng = Random(0)
    tasks: dict[str, list[TaskInputs]] = {"enter": [], "categorise": []}
    entry = [(key, known[key]) for key in known if key.startswith("/data/entry/")]
    for number in range(TICKS):
        request = f"/entry/r{number}/{synthetic.ENTRY_PIECES - 1}", rng.randbytes(synthetic.REQUEST_BYTES)
        entering = inputs(bench.pipeline, "enter", request, {bench_pool(bench, "/data/entry"): entry})
        tasks["enter"].append(entering)
        (fresh,) = bench.run("enter", [entering])[0].emissions
        category = fresh.key.split("/")[2]
        data = [(key, known[key]) for key in known if key.startswith(f"/data/category/{category}/")]
        needs = {bench_pool(bench, "/data/category"): data}
        tasks["categorise"].append(inputs(bench.pipeline, "categorise", (fresh.key, fresh.payload), needs))
    return tasks


def bench_pool(bench: Bench, prefix: str) -> str:
    """The name of the pool whose keys begin so."""
    return next(name for name, pool in bench.pipeline.pools.items() if pool.declaration.template.startswith(prefix))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", type=float, default=1.0, help="of the device, relative to a thread of this machine")
    parser.add_argument("--out", type=Path, default=PROFILE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    collisions, requests = Bench(real_collisions.grouped), Bench(synthetic.grouped)
    tables = {stage: collisions.table(stage, tasks) for stage, tasks in collision_tasks(collisions).items()}
    tables |= {stage: requests.table(stage, tasks) for stage, tasks in synthetic_tasks(requests).items()}
    profile = {
        stage: [[size, round(seconds / options.speed, 6)] for size, seconds in table] for stage, table in tables.items()
    }
    for stage, table in profile.items():
        print(f"{stage:10} " + "  ".join(f"{size}: {seconds * 1e3:.2f} ms" for size, seconds in table))
    remarks = {"_machine": machine(), "_speed": options.speed}
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in {**remarks, **profile}.items()]
    options.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

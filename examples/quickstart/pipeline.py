"""Smooth the readings of each sensor, and raise an alarm where a reading departs from what was usual.

    covey up examples.quickstart.pipeline:app
    covey send quickstart /readings/kitchen/1 --json 21.5

An event is a reading; `smooth` sees it with up to four before it and emits what is usual for the sensor by now, which
triggers `judge`. Its verdict is in a pool that no stage reads, and so is part of the event's outcome.
"""

import covey

app = covey.Pipeline("quickstart", objective_s=0.5)

readings = app.pool("/readings/{sensor}/{minute:int}", group="{sensor}", keep_last=5)
departures = app.pool("/departures/{sensor}/{minute:int}", group="{sensor}")
verdicts = app.pool("/verdicts/{sensor}/{minute:int}", group="{sensor}")


@app.stage(on=readings, needs=readings.last(5), emits=departures, batch_max=16)
def smooth(batch: covey.Batch) -> None:
    values, mask = batch.stack(readings)  # [tasks, 5] degrees, the newest last, and which of them there are
    usual = values.sum(axis=1) / mask.sum(axis=1)
    for task, mean in zip(batch, usual, strict=True):
        task.emit(departures, task.trigger.value - mean)  # sensor and minute are the trigger's


@app.stage(on=departures, emits=verdicts, batch_max=16)
def judge(batch: covey.Batch) -> None:
    for task in batch:
        departure = task.trigger.value
        task.emit(verdicts, {"alarm": abs(departure) > 5.0, "departure": departure})

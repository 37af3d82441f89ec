"""Covey's programs without torch: the identity as one stage and as three, and a large request's first bytes.

A client is a source, or many; its requests are a group. Like the servers that Covey is compared with, these pipelines
store nothing: their pools are transient.
"""

from __future__ import annotations

import covey

BATCH_MAX = 64
HEAD_BYTES = 64

app = covey.Pipeline("wire", objective_s=10.0)

small, echoes, large, heads = (
    app.pool(f"/{name}/{{source}}/{{n:int}}", group="{source}", codec="bytes", transient=True)
    for name in ("small", "echoes", "large", "heads")
)


@app.stage(on=small, emits=echoes, batch_max=BATCH_MAX)
def echo(batch: covey.Batch) -> None:
    for task in batch:
        task.emit(echoes, task.trigger.value)


@app.stage(on=large, emits=heads, batch_max=BATCH_MAX)
def head(batch: covey.Batch) -> None:
    for task in batch:
        task.emit(heads, task.trigger.value[:HEAD_BYTES])


three = covey.Pipeline("wire-three", objective_s=10.0)

one, two, threes, last = (
    three.pool(f"/{name}/{{source}}/{{n:int}}", group="{source}", codec="bytes", transient=True)
    for name in ("one", "two", "three", "last")
)


@three.stage(on=one, emits=two, batch_max=BATCH_MAX)
def first(batch: covey.Batch) -> None:
    for task in batch:
        task.emit(two, task.trigger.value)


@three.stage(on=two, emits=threes, batch_max=BATCH_MAX)
def second(batch: covey.Batch) -> None:
    for task in batch:
        task.emit(threes, task.trigger.value)


@three.stage(on=threes, emits=last, batch_max=BATCH_MAX)
def third(batch: covey.Batch) -> None:
    for task in batch:
        task.emit(last, task.trigger.value)

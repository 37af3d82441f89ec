"""What a live flood runs: a short stage that someone waits for, and a long one that fills the rest."""

from __future__ import annotations

import numpy as np

import covey

app = covey.Pipeline("flood", objective_s=2.0)

questions = app.pool("/questions/{n:int}", codec="bytes", transient=True)
answers = app.pool("/answers/{n:int}", codec="bytes", transient=True)
jobs = app.pool("/jobs/{n:int}", codec="bytes", transient=True)
done = app.pool("/done/{n:int}", codec="bytes", transient=True)

SIDE = 256
MATRIX = np.full((SIDE, SIDE), 1.0 / SIDE, np.float32)
QUESTION, JOB = 16, 256
"""Products of two such matrices: some 5 ms and 80 ms of one core, in which the interpreter is free. Ten times what two
lanes carry of those jobs is few enough events for a mesh on the same cores."""


def multiply(times: int) -> bytes:
    """So many products, one after the other."""
    product = MATRIX
    for _ in range(times):
        product = product @ MATRIX
    return product[0, :1].tobytes()


@app.stage(on=questions, emits=answers)
def answer(batch: covey.Batch) -> None:
    for task in batch:
        task.emit(answers, multiply(QUESTION))


@app.stage(on=jobs, emits=done)
def work(batch: covey.Batch) -> None:
    for task in batch:
        task.emit(done, multiply(JOB))

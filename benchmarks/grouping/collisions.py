"""The collision pipeline with the weight that video brings: frames of 150 KB, and 256 KB of what the tracker remembers.

`grouped` has the group rules of `examples.collisions`, `ungrouped` has none; both compute the same alerts. A frame
carries pixels beside its positions, and the tracker's state a gallery of appearance features that every tick reads and
rewrites, as a re-identifying tracker does; without pixels both stay as small as in the example. These two predict at
constant velocity, in numpy, since their devices are emulated and five processes with torch on two cores would measure
torch; `real_grouped` and `real_ungrouped` have the trained model, for devices that really compute.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import covey
from examples.collisions import separation, tracker
from examples.collisions.domain import HISTORY_STEPS, HORIZON_STEPS, domain_of

OBJECTIVE_S = 0.200
FRAME_BYTES = 150_000
GALLERY_ROWS, GALLERY_COLUMNS = 64, 1024
"""float32: 256 KiB."""

Floats = npt.NDArray[np.float32]


def remember(gallery: Floats | None, pixels: bytes, tick: int) -> Floats:
    """The gallery after a frame: its feature takes the place of the oldest. Empty as long as frames have no pixels."""
    if not pixels:
        return np.zeros((0, GALLERY_COLUMNS), np.float32)
    after: Floats = np.zeros((GALLERY_ROWS, GALLERY_COLUMNS), np.float32) if gallery is None else gallery.copy()
    feature = np.frombuffer(pixels, np.uint8, GALLERY_COLUMNS).astype(np.float32)
    similarity = after @ feature  # every row is read
    after[tick % GALLERY_ROWS] = feature / np.float32(1.0 + abs(similarity.mean()))
    return after


def straight_on(history: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    """Paths [n, 12, 3] at the velocity of the last move of histories [n, 8, 3], oldest first; standing without one."""
    moved = (mask[:, -1] & mask[:, -2])[:, None]
    velocity = np.where(moved, history[:, -1] - history[:, -2], np.float32(0))
    steps = np.arange(1, HORIZON_STEPS + 1, dtype=np.float32)
    return np.asarray(history[:, None, -1] + velocity[:, None] * steps[None, :, None], np.float32)


def build(name: str, *, grouped: bool, model: type | None = None) -> covey.Pipeline:
    """The pipeline, with its group rules or without; a `model` takes the place of going straight on."""
    app = covey.Pipeline(name, objective_s=OBJECTIVE_S)

    def by(rule: str) -> str | None:
        return rule if grouped else None

    observations = app.pool("/observations/{scene}/{tick:int}", group=by("{scene}"), ttl_s=15)
    tracks = app.pool("/tracks/{scene}", group=by("{scene}"))
    positions = app.pool(
        "/positions/{scene}/{actor}/{tick:int}", group=by("{scene}/{actor}"), keep_last=HISTORY_STEPS, ttl_s=60
    )
    predictions = app.pool("/predictions/{scene}/{tick:int}/{actor}", group=by("{scene}/{tick}"), ttl_s=15)
    alerts = app.pool("/alerts/{scene}/{tick:int}/{pair}", ttl_s=15)

    @app.stage(on=observations, needs=tracks.latest(), emits=[positions, tracks], batch_max=16)
    def track(batch: covey.Batch) -> None:
        """Which observation belongs to which actor? Stateful: one tick of a scene after the other."""
        for task in batch:
            before = task.needs[tracks]
            scene, tick = str(task.fields["scene"]), int(task.fields["tick"])
            state = None if before is None else before.value
            seen = task.trigger.value
            after, actors = tracker.step(
                None if state is None else state["tracker"], seen["positions"], tick, domain_of(scene)
            )
            gallery = remember(None if state is None else state["gallery"], seen["pixels"], tick)
            for actor, position in actors:
                task.emit(positions, position, actor=actor)
            task.emit(tracks, {"tracker": after, "gallery": gallery})

    def predict(batch: covey.Batch, model: Any = straight_on) -> None:
        """Where will each actor be at the next twelve steps?"""
        history, mask = batch.stack(positions)  # [tasks, 8, 3] float32 in metres, [tasks, 8] bool
        for task, path in zip(batch, np.asarray(model(history, mask)), strict=True):
            task.emit(predictions, path)

    app.stage(on=positions, needs=positions.last(HISTORY_STEPS), emits=predictions, model=model, batch_max=64)(predict)

    @app.stage(on=predictions.all_of(by=["scene", "tick"]), emits=alerts, batch_max=16)
    def collide(batch: covey.Batch) -> None:
        """Which pairs of one scene come too close at the same step?"""
        for task in batch:
            for pair, alert in separation.alerts_of(str(task.fields["scene"]), task.members):
                task.emit(alerts, alert, pair=pair)

    return app


grouped = build("collisions", grouped=True)
ungrouped = build("collisions", grouped=False)

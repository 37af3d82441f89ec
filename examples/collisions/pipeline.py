"""The collision pipeline, as a user writes it: track, predict, collide.

`app` groups a scene's objects, an actor's positions and a tick's predictions; `ungrouped` is the same without any rule.
Both compute the same alerts.
"""

from __future__ import annotations

import covey
from examples.collisions import separation, tracker
from examples.collisions.domain import HISTORY_STEPS, domain_of
from examples.collisions.model import TrajectoryModel


def build(name: str, *, grouped: bool = True) -> covey.Pipeline:
    """The pipeline, with its group rules or without."""
    app = covey.Pipeline(name, objective_s=0.200)

    def by(rule: str) -> str | None:
        return rule if grouped else None

    # An actor's last eight positions may span more than the default minute, at the pace of the real world.
    observations = app.pool("/observations/{scene}/{tick:int}", group=by("{scene}"))
    tracks = app.pool("/tracks/{scene}", group=by("{scene}"), ttl_s=600)
    positions = app.pool(
        "/positions/{scene}/{actor}/{tick:int}", group=by("{scene}/{actor}"), keep_last=HISTORY_STEPS, ttl_s=600
    )
    predictions = app.pool("/predictions/{scene}/{tick:int}/{actor}", group=by("{scene}/{tick}"), ttl_s=10)
    alerts = app.pool("/alerts/{scene}/{tick:int}/{pair}")

    @app.stage(on=observations, needs=tracks.latest(), emits=[positions, tracks], batch_max=16)
    def track(batch: covey.Batch) -> None:
        """Which observation belongs to which actor? Stateful: one tick of a scene after the other."""
        for task in batch:
            before = task.needs[tracks]
            scene, tick = str(task.fields["scene"]), int(task.fields["tick"])
            state = None if before is None else before.value
            after, actors = tracker.step(state, task.trigger.value, tick, domain_of(scene))
            for actor, position in actors:
                task.emit(positions, position, actor=actor)
            task.emit(tracks, after)

    @app.stage(
        on=positions, needs=positions.last(HISTORY_STEPS), emits=predictions, model=TrajectoryModel, batch_max=64
    )
    def predict(batch: covey.Batch, model: TrajectoryModel) -> None:
        """Where will each actor be at the next twelve steps?"""
        history, mask = batch.stack(positions)  # [tasks, 8, 3] float32 in metres, [tasks, 8] bool
        for task, path in zip(batch, model(history, mask).cpu().numpy(), strict=True):
            task.emit(predictions, path)

    @app.stage(on=predictions.all_of(by=["scene", "tick"]), emits=alerts, batch_max=16)
    def collide(batch: covey.Batch) -> None:
        """Which pairs of one scene come too close at the same step?"""
        for task in batch:
            for pair, alert in separation.alerts_of(str(task.fields["scene"]), task.members):
                task.emit(alerts, alert, pair=pair)

    return app


app = build("collisions")
ungrouped = build("collisions-ungrouped", grouped=False)

"""The heavy collision pipeline with the trained model, for devices that really compute: this one imports torch."""

from __future__ import annotations

from benchmarks.grouping.collisions import build
from examples.collisions.model import TrajectoryModel

grouped = build("collisions", grouped=True, model=TrajectoryModel)
ungrouped = build("collisions", grouped=False, model=TrajectoryModel)

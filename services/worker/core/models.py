"""Which stage does each lane serve, and which models are in memory for that?

A leader that provisions gives each lane a stage, and the lane takes batches of that stage alone, once its model is
loaded. What is loaded is a fact that outlives the leader, and what is assigned is not: a new leader is told of the
models, and assigns anew, at no cost where it wants what is there. Without a leader that provisions lanes take anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from covey.messages import AssignLane, LaneReady
from covey.services.worker.core.commands import Command, LoadModel, Send, UnloadModel
from covey.services.worker.core.state import Lane, WorkerState
from covey.services.worker.core.stimuli import ModelLoaded


def assign(state: WorkerState, assigned: AssignLane) -> Iterator[Command]:
    """Give a lane its stage: what to answer, or to load and unload first."""
    lane, stage = state.lanes[assigned.lane], assigned.stage
    before, lane.stage = lane.model, stage
    if stage and before == stage:
        yield from _told(state, assigned.lane, stage)
        return
    lane.model = ""
    if before and not _is_wanted(state, before):
        yield UnloadModel(before)
    if stage and any(stage == other.model for other in state.lanes):
        lane.model = stage  # lanes of a device share it
        yield from _told(state, assigned.lane, stage)
    elif stage:
        yield LoadModel(assigned.lane, stage)


def take_loaded(state: WorkerState, loaded: ModelLoaded) -> Iterator[Command]:
    """A model is in memory, or can't be: say so, or let go of it where it was called off meanwhile."""
    lane = state.lanes[loaded.lane]
    if loaded.failed:
        if lane.stage == loaded.stage and not lane.model:
            lane.stage = ""
            yield from _told(state, loaded.lane, "")
    elif lane.stage == loaded.stage:
        if not lane.model:
            lane.model = loaded.stage
            yield from _told(state, loaded.lane, loaded.stage)
    elif not _is_wanted(state, loaded.stage):
        yield UnloadModel(loaded.stage)


def forget_assignments(state: WorkerState) -> None:
    """Another leader has come: it has assigned nothing yet."""
    for lane in state.lanes:
        lane.stage = ""


def models_by_lane(lanes: list[Lane]) -> tuple[str, ...]:
    """For the introduction; nothing where nothing was ever loaded for a lane."""
    return tuple([lane.model for lane in lanes]) if any(lane.model for lane in lanes) else ()


def _told(state: WorkerState, lane: int, stage: str) -> Iterator[Send]:
    """Word to the leader, if there is one."""
    if state.leader is not None:
        yield Send(state.leader, LaneReady(state.epoch, lane, stage))


def _is_wanted(state: WorkerState, stage: str) -> bool:
    return any(stage in (lane.stage, lane.model) for lane in state.lanes)

"""Which lane serves which stage?

The provisioner says how many replicas each stage should have; here lanes are given to stages so that this comes true
with the fewest changes. A stage that needs more gets lanes that serve nobody; then those that another stage can spare,
of these first the ones that are not up yet, then idle ones, then those whose batch ends first. A lane that runs a batch
finishes it before it changes hands. What nobody needs lets go of its model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from covey.messages import AssignLane, LaneReady, WorkerJoined
from covey.services.scheduler.core.commands import Send
from covey.services.scheduler.core.provision import Provision, Share
from covey.services.scheduler.core.served import Replica, Served
from covey.services.scheduler.core.step import Step
from covey.services.scheduler.core.windows import take_window


def look(step: Step) -> None:
    """Have the provisioner decide, if it is time, and see to it."""
    served = step.state.served
    if served is None or step.now < served.next_window:
        return
    period_s = step.state.limits.provision_s
    seconds = period_s if served.window_began is None else step.now - served.window_began
    served.provision = served.serving.provisioner.decide(take_window(served, step.now, seconds))
    served.serving.batcher.provisioned(served.provision)
    served.next_window = max(served.next_window + period_s, step.now + period_s / 2)
    lanes_each = len(served.replicas) / len(step.state.workers) if served.replicas else 1.0
    step.state.wanted_workers = math.ceil(sum(share.replicas for share in served.provision.values()) / lanes_each)
    assign(step, served)


def joined(step: Step, served: Served, peer: int, worker: WorkerJoined) -> None:
    """A worker's lanes are there. What an earlier leader had them load is kept, as far as it is wanted."""
    prefix = f"{served.serving.scope.pipeline}/"
    for lane in range(max(1, worker.lanes)):
        replica = served.replicas[peer, lane] = Replica(peer, lane, worker.node)
        model = worker.loaded[lane].removeprefix(prefix) if lane < len(worker.loaded) else ""
        if model in served.stages:
            _switch(step, served, replica, model)
    assign(step, served)


def lost(step: Step, served: Served, peer: int) -> None:
    """A worker is gone, and its lanes with it."""
    for key in [key for key in served.replicas if key[0] == peer]:
        replica = served.replicas.pop(key)
        _leave(served, replica)
        for number in replica.batches:
            del served.running[number]
            served.stages[replica.stage].running -= len(step.state.batches[number].tasks)
    assign(step, served)


def ready(step: Step, served: Served, peer: int, said: LaneReady) -> None:
    """A lane has its model; with an empty stage, it could not load it, and serves nobody until it is tried again."""
    replica = served.replicas.get((peer, said.lane))
    if replica is None or said.epoch != step.state.epoch or replica.is_ready:
        return
    if not said.stage:
        replica.stage = ""
    elif said.stage == _qualified(served, replica.stage):
        replica.is_ready = True
        _take_up(served, replica)


def free(step: Step, served: Served, replica: Replica) -> None:
    """A replica runs nothing any more: it is idle, or goes over to the stage that it was to become."""
    if replica.becomes is None:
        served.stages[replica.stage].idle[replica] = None
    else:
        _switch(step, served, replica, replica.becomes)


# --- assignment ------------------------------------------------------------------------------------------------------


def assign(step: Step, served: Served) -> None:
    """Make what is bound for each stage as many as are provisioned, as far as there are lanes."""
    if not served.provision:
        return
    wanted = {stage: share.replicas for stage, share in within(served.provision, len(served.replicas)).items()}
    bound: dict[str, list[Replica]] = {stage: [] for stage in ("", *wanted)}
    for replica in served.replicas.values():
        bound[replica.bound_for].append(replica)
    spare = bound.pop("")
    surplus = [
        replica
        for stage, count in wanted.items()
        for replica in sorted(bound[stage], key=_dearness, reverse=True)[count:]
    ]
    surplus.sort(key=_dearness)
    for stage, count in wanted.items():
        for _ in range(count - len(bound[stage])):
            available = spare or surplus
            if not available:
                return  # there are fewer lanes than stages
            chosen = min(available, key=lambda each: _distance(served, each, stage))
            available.remove(chosen)
            _bind(step, served, chosen, stage)
    for replica in surplus:
        _bind(step, served, replica, "")


def _dearness(replica: Replica) -> tuple[bool, bool, float]:
    """What a stage gives up last is greatest."""
    return (replica.is_ready and replica.becomes is None, bool(replica.batches), replica.free_at)


def _distance(served: Served, replica: Replica, stage: str) -> tuple[bool, int]:
    """How far a lane is from serving a stage: one that only has to stay comes first, then a worker with idle lanes."""
    stays = replica.is_ready and replica.stage == stage
    return (not stays, sum(key[0] == replica.worker and bool(each.bound_for) for key, each in served.replicas.items()))


def _bind(step: Step, served: Served, replica: Replica, stage: str) -> None:
    _leave(served, replica)
    if replica.is_ready and replica.stage == stage:
        replica.becomes = None
        _take_up(served, replica)
    elif replica.batches:
        replica.becomes = stage
    else:
        _switch(step, served, replica, stage)


def _switch(step: Step, served: Served, replica: Replica, stage: str) -> None:
    """Have an idle lane load the model of another stage."""
    replica.stage, replica.becomes, replica.is_ready = stage, None, False
    replica.free_at = step.now + (served.serving.pipeline.profiles[stage].cold_s if stage else 0.0)
    step.out.append(Send(replica.worker, AssignLane(step.state.epoch, replica.lane, _qualified(served, stage))))


def _take_up(served: Served, replica: Replica) -> None:
    stage = served.stages[replica.stage]
    stage.up[replica] = None
    if not replica.batches:
        stage.idle[replica] = None


def _leave(served: Served, replica: Replica) -> None:
    if replica.stage:
        stage = served.stages[replica.stage]
        stage.up.pop(replica, None)
        stage.idle.pop(replica, None)


def _qualified(served: Served, stage: str) -> str:
    return f"{served.serving.scope.pipeline}/{stage}" if stage else ""


def within(shares: Mapping[str, Share], devices: int) -> Provision:
    """At most as many replicas as there are devices, one of each stage at least: the stages give up in proportion."""
    wanted = sum(share.replicas for share in shares.values())
    if wanted <= devices:
        return dict(shares)
    granted = {stage: max(1, math.floor(share.replicas * devices / wanted)) for stage, share in shares.items()}
    while sum(granted.values()) < devices:
        neediest = max(granted, key=lambda stage: shares[stage].replicas / granted[stage])
        granted[neediest] += 1
    while sum(granted.values()) > devices and max(granted.values()) > 1:
        richest = max(granted, key=lambda stage: granted[stage] / shares[stage].replicas if granted[stage] > 1 else 0.0)
        granted[richest] -= 1
    return {stage: share._replace(replicas=granted[stage]) for stage, share in shares.items()}

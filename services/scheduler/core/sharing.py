"""What runs on devices that two priorities share?

The policy (`prioritising.py`) is told what waits, which workers there are and how batches ended, and says what starts
where, when and why. Here that becomes batches and drops. What runs together is of one version of a stage; a task that
has to run by itself, and one whose version is another's, waits again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from covey.errors import OK, Reason, Status
from covey.messages import BatchReport
from covey.services.scheduler.core import contention
from covey.services.scheduler.core.batching import ANYWHERE, Drop, send_batch
from covey.services.scheduler.core.contention import Launch, ModelProfile, Report, Slots
from covey.services.scheduler.core.dropping import late_message
from covey.services.scheduler.core.guessing import Guessed
from covey.services.scheduler.core.interference import Interference
from covey.services.scheduler.core.prioritising import Prioritised, Rules
from covey.services.scheduler.core.promising import Promises
from covey.services.scheduler.core.provision import Curve
from covey.services.scheduler.core.requesting import arrive, give_back, start
from covey.services.scheduler.core.shared import Shared
from covey.services.scheduler.core.state import QUEUED, Batch, TaskState, Worker
from covey.services.scheduler.core.step import Step

PROBE_S = 1.0
"""How long a stage may be taken for too slow before that is tried again."""


def shared_devices(curves: Mapping[str, Curve], rules: Rules | None = None) -> Shared:
    """Nobody is there yet. `curves`: model -> how long it takes alone, of what was measured beforehand."""
    profiles: dict[str, ModelProfile] = {}
    slowdowns = Interference(profiles)
    policy = Prioritised(profiles, 0, slowdowns, Promises(), (rules or Rules())._replace(probe_s=PROBE_S))
    return Shared(policy, profiles, curves)


def dispatch(step: Step, shared: Shared, drop: Drop) -> None:
    """Start and drop what the policy says, until it says nothing more; it is asked again when it wants to be."""
    while True:
        choice = shared.policy.choose(step.now)
        for condemned in choice.drops:
            _let_go(step, shared, condemned, drop)
        for launch in choice.launches:
            _start(step, shared, launch)
        if not (choice.drops or choice.launches):
            break
    step.state.dispatch_at = choice.again_at


def _let_go(step: Step, shared: Shared, condemned: contention.Drop, drop: Drop) -> None:
    task = step.state.tasks.get(condemned.request)
    if task is None or give_back(step, shared, task):  # it has fallen with another, or has time of its own
        return
    reason = Reason.LATE if task.cascade.event.deadline <= step.now else Reason.PREDICTED_LATE
    task.why = condemned.why
    drop(step, task, Status.DEADLINE_EXCEEDED, reason, late_message(task.plan, reason))


def _start(step: Step, shared: Shared, launch: Launch) -> None:
    """Send what of a launch may run together; the rest waits again."""
    state = step.state
    open_tasks = [task for number in launch.requests if (task := state.tasks.get(number)) and task.phase is QUEUED]
    together = _together(open_tasks)
    for task in open_tasks:
        start(shared, task)
        if task not in together:
            arrive(step, shared, task)
    if not together:  # drops of this round have ended their cascades
        shared.policy.failed(launch.batch, step.now)
        return
    for task in together:
        task.why = launch.why
    worker = state.workers[launch.device]
    away = any(task.home not in (worker.node, ANYWHERE) for task in together)
    batch = send_batch(step, worker, together, away)
    shared.running[batch.number] = launch


def _together(tasks: list[TaskState]) -> list[TaskState]:
    """The first, and those that may share its batch."""
    if not tasks or tasks[0].alone:
        return tasks[:1]
    plan = tasks[0].plan
    return [task for task in tasks if task.plan is plan and not task.alone][: plan.declaration.batch_max]


def take_report(step: Step, shared: Shared, batch: Batch, report: BatchReport) -> None:
    """A batch has ended, and its slot is free; the policy learns how long it took, if all of it was computed."""
    launch = shared.running.pop(batch.number)
    computed = sum([task.status in (OK, Status.DEADLINE_EXCEEDED) for task in report.tasks])
    whole_s = step.now - batch.dispatched_at
    if computed < len(launch.requests) or report.compute_s <= 0.0 or whole_s <= 0.0:
        shared.policy.failed(launch.batch, step.now)
        return
    curve = shared.profiles[launch.load.model].curve
    if isinstance(curve, Guessed):
        curve.observe(computed, report.compute_s / launch.why.slowdown)
    there_s = report.fetch_s + report.wait_s + report.compute_s + report.store_s
    way_s = max(0.0, whole_s - there_s) / 2  # what passes on the way there, and back
    parts = (report.fetch_s + report.wait_s + way_s, report.compute_s, report.store_s + way_s)
    shared.policy.ended(Report(launch.batch, *parts), step.now)


def joined(shared: Shared, worker: Worker) -> None:
    """A worker is there: a device with as many slots as it has lanes for each priority, within the policy's rules."""
    slots = Slots(worker.lanes, worker.lanes - worker.low_lanes, worker.lanes - worker.high_lanes)
    shared.policy.joined(worker.peer, slots, _runs(worker), worker.node)


def _runs(worker: Worker) -> Callable[[str], bool]:
    return lambda model: not worker.stages or model.partition("/")[2] in worker.stages


def left(shared: Shared, worker: Worker) -> None:
    """A worker is gone, and what it ran with it."""
    shared.policy.left(worker.peer)
    for number in worker.batches:
        del shared.running[number]

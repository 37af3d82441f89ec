"""What a task has to read, and what becomes of it when a read fails."""

from __future__ import annotations

from covey.errors import Reason, Status
from covey.homes import Homes
from covey.messages import RunBatch, Task
from covey.model import GroupId, KeyRead, LastRead, ObjectName, Read
from covey.services.worker.core.state import BatchState, TaskState
from covey.services.worker.core.stimuli import Found


def reads_of(homes: Homes, node: str, run: RunBatch, task: Task) -> tuple[Read, ...]:
    """Everything that a task reads: its trigger, where that was too large to come along, its members, its needs."""
    if not (task.members or task.needs) and task.trigger is not None and task.trigger.payload is not None:
        return ()
    reads = [*task.members, *(read for _, needed in task.needs for read in needed)]
    if task.trigger is not None and task.trigger.payload is None:
        ref = task.trigger.ref
        nearest = homes.nearest(GroupId(run.scope, ref.group), node)
        reads.insert(0, KeyRead(ref.pool, ref.key, ref.group, ref.version, nearest, required=True))
    return tuple(reads)


def names_read(read: Read, found: Found | None) -> list[ObjectName]:
    """The objects that a read asked for by name or found; `found` is None for what was resident."""
    if isinstance(read, KeyRead):
        return [ObjectName(read.pool, read.key)]
    return [ObjectName(ref.pool, ref.key) for ref in found.objects] if found is not None else []


def charge(batch: BatchState, now: float) -> None:
    """Tell the open tasks what their reads found; what a read cost is counted towards the first that makes it."""
    uncounted = dict(batch.found)
    for task in batch.open_tasks:
        for read in task.reads:
            found = batch.found.get(read)
            if found is not None:
                judge(task, read, found, now)
            task.note_reads(names_read(read, found))
            counted = uncounted.pop(read, None)
            if counted is not None:
                task.remote_gets += counted.remote_gets
                task.bytes_moved += counted.bytes_moved


def judge(task: TaskState, read: Read, found: Found, now: float) -> None:
    """End the task if it can't run on what the read found.

    Only a read that says "nothing there" may pass for an absent object. A home that could not be asked never does: the
    stage would compute a wrong result from it.
    """
    match read:
        case KeyRead():
            required = read.required
        case LastRead():
            required = bool(read.awaits)
        case _:
            required = False
    missing = found.status is Status.NOT_FOUND or (found.status is Status.OK and not found.objects)
    if missing and required:
        task.end(Status.UNAVAILABLE, Reason.INPUT_LOST, f"{_name(read)} is lost")
    elif found.status is Status.DEADLINE_EXCEEDED and task.task.deadline > now:
        task.end(Status.UNAVAILABLE, Reason.INPUT_LOST, f"{_name(read)} did not come")
    elif found.status not in (Status.OK, Status.NOT_FOUND):
        task.end(found.status, found.reason, found.message)
    task.incomplete |= not found.complete


def _name(read: Read) -> str:
    match read:
        case KeyRead():
            return read.key
        case _:
            return f"an input from pool {read.pool!r}"

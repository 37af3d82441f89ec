"""Where what the tasks emitted goes, what is tried again, and what is worth keeping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from covey.declaration import Declaration, PoolDeclaration, graph
from covey.errors import Status
from covey.model import GroupId, ObjectRef, emission_id
from covey.services.worker.core.commands import PutEmission
from covey.services.worker.core.state import BatchState, TaskState, WorkerState
from covey.services.worker.core.stimuli import Stored


def take_emitted(pools: Mapping[str, PoolDeclaration], task: TaskState, refs: tuple[ObjectRef, ...]) -> None:
    """Note what a task has emitted; what no home is to keep is where it must be already."""
    task.emitted = refs
    task.stored = {index: ref for index, ref in enumerate(refs) if not pools[ref.pool].is_stored(ref.size)}


def puts_of(state: WorkerState, batch: BatchState) -> tuple[PutEmission, ...]:
    """What no home has acknowledged yet, each with its home by the newest view."""
    homes, scope = state.homes, batch.run.scope
    puts: list[PutEmission] = []
    for number, task in batch.tasks.items():
        if task.status is None and len(task.stored) < len(task.emitted):
            puts += [
                PutEmission(
                    number, index, emission_id(task.task.identity, index), ref, homes.of(GroupId(scope, ref.group))
                )
                for index, ref in enumerate(task.emitted)
                if index not in task.stored
            ]
    return tuple(puts)


def take_answers(batch: BatchState, answers: tuple[Stored, ...], local_node: str, is_last_attempt: bool) -> None:
    """Note what was acknowledged and what of it left this node, and end the tasks whose puts can't succeed.

    MOVED, a lost home and a broken link are all UNAVAILABLE: worth another attempt, unless this was the last.
    """
    for put, answer in zip(batch.puts, answers, strict=True):
        task = batch.tasks[put.task]
        if answer.status is Status.OK and answer.ref is not None:
            stored = answer.ref
            task.stored[put.index] = stored if stored.size == put.ref.size else replace(stored, size=put.ref.size)
            task.bytes_moved += put.ref.size if put.node != local_node else 0
        elif is_last_attempt or answer.status is not Status.UNAVAILABLE:
            task.end(answer.status, answer.reason, answer.message)


def worth_keeping(declaration: Declaration, batch: BatchState) -> list[ObjectRef]:
    """The emissions that a later task may read by their exact version."""
    known = graph(declaration)
    if not (known.needed or known.joined):
        return []
    stored = [ref for task in batch.open_tasks for ref in task.stored.values()]
    return [ref for ref in stored if ref.pool in known.needed or ref.pool in known.joined]

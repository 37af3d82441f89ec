"""Where each read of a batch is answered: from memory, from what was read ahead, or by the homes. Pure.

A read whose prefetch is under way waits for it, while the rest is fetched: a batch fetches in rounds, mostly in one.
"""

from __future__ import annotations

from dataclasses import replace

from covey.model import KeyRead, ObjectRef, Read
from covey.services.worker.core.commands import Ahead, Fetch
from covey.services.worker.core.prefetching import ReadAhead, finds_the_same_always
from covey.services.worker.core.state import BatchState, WorkerState
from covey.services.worker.core.stimuli import Found


def wanted_by(batch: BatchState) -> dict[Read, str]:
    """Each read of the batch's open tasks once, with the event of the first task that makes it."""
    wanted: dict[Read, str] = {}
    for task in batch.open_tasks:
        for read in task.reads:
            wanted.setdefault(read, task.task.event_id)
    return wanted


def next_round(state: WorkerState, batch: BatchState) -> Fetch | None:
    """Take what can be read now out of `batch.unread`; None when all of it is under way already."""
    scope, counters = batch.run.scope, state.counters
    reads: list[Read] = []
    resident: list[KeyRead] = []
    ahead: list[Ahead] = []
    later: dict[Read, str] = {}
    served: dict[str, None] = {}
    for read, event_id in batch.unread.items():
        if isinstance(read, KeyRead) and read.version:
            if state.residency.holds(scope, read):
                counters.resident_hits += 1
                resident.append(read)
                continue
            counters.resident_misses += 1
        elif isinstance(read, KeyRead) and finds_the_same_always(read):
            known = state.prefetches.find(scope, event_id, read)
            if known is not None and known.found is None:
                later[read] = event_id
                continue
            if known is not None and known.found is not None:
                counters.prefetch_hits += 1
                ahead.append(Ahead(read, known.number, known.read))
                batch.found[read] = _used(known, known.found)
                served[event_id] = None
                continue
            counters.prefetch_misses += 1
        reads.append(read)
    batch.unread = later
    if not (reads or resident or ahead):
        return None
    state.prefetches.use(scope, served)
    batch.reads = tuple(reads)
    known_versions = _known_versions(state, batch) if state.residency.caches else {}
    return Fetch(batch.run, batch.reads, tuple(resident), tuple(ahead), known_versions, batch.deadline_max)


def end_round(state: WorkerState, batch: BatchState, found: tuple[Found, ...]) -> None:
    """The homes have answered."""
    for read, answer in zip(batch.reads, found, strict=True):
        batch.found[read] = answer
        if not (isinstance(read, KeyRead) and read.version):
            asked = sum(state.residency.is_worth_caching(ref) for ref in answer.objects)
            state.counters.count_cached(asked, answer.unchanged)


def _used(ahead: ReadAhead, found: Found) -> Found:
    """What a prefetch found; what it cost is counted towards the first task that it served."""
    if ahead.used:
        return replace(found, remote_gets=0, bytes_moved=0)
    ahead.used = True
    return found


def _known_versions(state: WorkerState, batch: BatchState) -> dict[Read, tuple[ObjectRef, ...]]:
    """What the homes need not send, for it is here, if it is still what a read finds."""
    recalled = {read: state.residency.recall(batch.run.scope, read) for read in batch.reads}
    return {read: refs for read, refs in recalled.items() if refs}


def worth_holding(state: WorkerState, batch: BatchState) -> list[ObjectRef]:
    """What later reads may be answered with: exact versions, and, in a cache, what is large enough."""
    held: list[ObjectRef] = []
    for read, found in batch.found.items():
        if isinstance(read, KeyRead) and read.version:
            held += found.objects
        elif state.residency.caches:
            large = [ref for ref in found.objects if state.residency.is_worth_caching(ref)]
            state.residency.note(batch.run.scope, read, large)
            held += large
    return held

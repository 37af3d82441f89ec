"""A device in the simulation that several batches share: they are copied in, compute side by side, are copied out.

Computing is fluid: a batch has seconds of work, which drain at a rate that depends on what else computes, by the hidden
truth, and changes whenever that does. Each direction has one copy engine, which serves one copy after the other
(measured by others on real devices: copies of one direction never overlap); LOW copies may be cut in chunks, between
which a HIGH copy goes ahead.
"""

from __future__ import annotations

import enum
import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from covey.model import Priority
from covey.services.scheduler.core.contention import Load, Overlap
from covey.simulator.contention import NOISE, Truth

BANDWIDTH = 8e9
"""Bytes a second of a copy, one direction alone."""
BOTH_WAYS = 0.85
"""Of it, while the other direction is busy, too."""
SETUP_S = 15e-6
CHUNK_BYTES = 2_000_000
"""What LOW copies are cut into, where they are."""

EVICT_S = 0.00004
"""REEF's reset: how long a HIGH batch waits until the kernels of a LOW one are gone (its paper: about 40 us) ..."""
REDONE_S = 0.0003
"""... and what that one has to do again: the kernels that were killed, and their launches."""
DRAIN_S = 0.0002
"""Orion: a LOW kernel that runs already is waited for ..."""
INTERCEPTED = 1.01
"""... and every kernel passes its scheduler."""
FITS = 1.0
"""Orion: LOW kernels run beside HIGH ones while they ask for no more of the multiprocessors than there are, and ..."""


class Sharing(enum.Enum):
    """How a device runs several batches."""

    ONE = "one after the other, in order; copies overlap"
    STREAMS = "side by side"
    PRIORITIES = "side by side, on streams of two priorities, LOW copies in chunks"
    HARDWARE = "side by side, on streams of two priorities, copies in order"
    RESET = "HIGH one after the other, alone; LOW kernels are killed for it, as REEF does"
    KERNELS = "HIGH side by side; LOW kernels only where they fit beside it, as Orion does"


class Phase(enum.Enum):
    IN = "in"
    RUN = "run"
    OUT = "out"


@dataclass(slots=True, eq=False)
class Job:
    """A batch on a device. `work_s`: what remains of its computing, alone. Instants in seconds."""

    batch: int
    load: Load
    bytes_in: int
    bytes_out: int
    noise: float
    began_at: float
    phase: Phase = Phase.IN
    work_s: float = 0.0
    rate: float = 0.0
    computes_at: float = math.inf
    computed_at: float = 0.0
    overlaps: list[Overlap] = field(default_factory=list)
    """What computed beside it, for how long."""


@dataclass(slots=True)
class CopyEngine:
    """One direction of one device. HIGH copies go ahead of LOW ones where `chunk_bytes` is not 0."""

    rng: random.Random
    chunk_bytes: int = 0
    waiting: tuple[deque[Job], deque[Job]] = field(default_factory=lambda: (deque(), deque()))
    now: Job | None = None
    remaining: dict[int, int] = field(default_factory=dict)
    done_at: float = math.inf
    busy_s: float = 0.0

    def add(self, job: Job, size: int) -> None:
        self.remaining[job.batch] = size
        self.waiting[job.load.priority if self.chunk_bytes else 0].append(job)

    def start(self, now: float, other_busy: bool) -> None:
        """Begin the next copy, or chunk, if none is under way."""
        if self.now is not None:
            return
        line = self.waiting[0] or self.waiting[1]
        if not line:
            return
        self.now = job = line.popleft()
        size = self.remaining[job.batch]
        if self.chunk_bytes and job.load.priority is Priority.LOW:
            size = min(size, self.chunk_bytes)
        self.remaining[job.batch] -= size
        bandwidth = BANDWIDTH * (BOTH_WAYS if other_busy else 1.0)
        seconds = SETUP_S + size / bandwidth * self.rng.lognormvariate(0.0, NOISE)
        self.done_at = now + seconds
        self.busy_s += seconds

    def finish(self) -> Job | None:
        """The copy, or chunk, under way is done: the job, if that was all of it."""
        job, self.now, self.done_at = self.now, None, math.inf
        assert job is not None
        if self.remaining[job.batch]:
            self.waiting[job.load.priority].appendleft(job)
            return None
        del self.remaining[job.batch]
        return job


class SharedDevice:
    """`step` when `next_at` has come; what it yields has ended."""

    def __init__(self, truth: Truth, sharing: Sharing, rng: random.Random) -> None:
        self.jobs: dict[int, Job] = {}
        self.busy_s = 0.0
        """Seconds in which anything computed."""
        chunk = CHUNK_BYTES if sharing is Sharing.PRIORITIES else 0
        self.engines = (CopyEngine(rng, chunk), CopyEngine(rng, chunk))
        self._truth = truth
        self._sharing = sharing
        self._rng = rng
        self._computing: list[Job] = []
        self._at = 0.0
        self._evicted = False

    def launch(self, batch: int, load: Load, tasks: int, now: float) -> None:
        """A batch of `tasks`, padded to the size of its load, begins to be copied."""
        self._advance(now)
        model = self._truth.models[load.model]
        noise = self._rng.lognormvariate(0.0, NOISE)
        job = Job(batch, load, tasks * model.bytes_in, tasks * model.bytes_out, noise, now)
        self.jobs[batch] = job
        self.engines[0].add(job, job.bytes_in)
        self._settle(now)

    def next_at(self) -> float:
        """When something ends, if nothing changes; infinity: nothing is here."""
        soonest = min(self.engines[0].done_at, self.engines[1].done_at)
        for job in self._computing:
            if job.rate > 0.0:
                soonest = min(soonest, self._at + job.work_s / job.rate)
        return soonest

    def step(self, now: float) -> Iterator[Job]:
        """Carry on until now."""
        self._advance(now)
        into, out = self.engines
        if into.done_at <= now and (job := into.finish()) is not None:
            job.phase = Phase.RUN
            job.work_s = self._truth.solo_s(job.load, now) * job.noise
            self._computing.append(job)
            self._interrupt(job)
        for job in [job for job in self._computing if job.work_s <= 1e-12]:
            self._computing.remove(job)
            job.phase, job.computed_at = Phase.OUT, now
            out.add(job, job.bytes_out)
        if out.done_at <= now and (job := out.finish()) is not None:
            del self.jobs[job.batch]
            yield job
        self._settle(now)

    def _interrupt(self, job: Job) -> None:
        """What it costs both that a HIGH batch does not wait for a LOW one that computes."""
        lows = [other for other in self._computing if other.load.priority is Priority.LOW]
        if job.load.priority is not Priority.HIGH or not lows:
            return
        if self._sharing is Sharing.RESET:
            job.work_s += EVICT_S
            if not any(other.load.priority is Priority.HIGH for other in self._computing if other is not job):
                for other in lows:
                    other.work_s += REDONE_S
        elif self._sharing is Sharing.KERNELS:
            job.work_s += DRAIN_S

    def _advance(self, now: float) -> None:
        passed = now - self._at
        if passed > 0.0 and self._computing:
            self.busy_s += passed
            for job in self._computing:
                others = tuple([other.load for other in self._computing if other is not job])
                job.overlaps.append(Overlap(passed, others))
                job.work_s -= passed * job.rate
                if job.work_s < 1e-9:
                    job.work_s = 0.0
        self._at = now

    def _settle(self, now: float) -> None:
        """Begin the copies that can begin, and say at which rate each batch computes from now on."""
        into, out = self.engines
        into.start(now, out.now is not None)
        out.start(now, into.now is not None)
        for job in self._computing:
            job.rate = 0.0
        running = self._running()
        copies = (into.now is not None) + (out.now is not None)
        streams = self._sharing in (Sharing.PRIORITIES, Sharing.HARDWARE, Sharing.KERNELS)
        slowdowns = self._truth.slowdowns([job.load for job in running], copies, streams, now)
        tax = INTERCEPTED if self._sharing is Sharing.KERNELS else 1.0
        for job, slowdown in zip(running, slowdowns, strict=True):
            job.computes_at = min(job.computes_at, now)
            job.rate = 1.0 / (slowdown * tax)

    def _running(self) -> list[Job]:
        """Of what is here to compute, what does."""
        jobs = self._computing
        high = [job for job in jobs if job.load.priority is Priority.HIGH]
        match self._sharing:
            case Sharing.ONE:
                return jobs[:1]
            case Sharing.RESET:
                return high[:1] or jobs[:1]
            case Sharing.KERNELS if high:
                return high + [job for job in jobs if job.load.priority is Priority.LOW and self._may_join(job, high)]
        return jobs

    def _may_join(self, low: Job, high: list[Job]) -> bool:
        """Orion's rule: where all of them together fit, and what they are short of differs."""
        demands = {id(job): self._truth.models[job.load.model].demand(job.load.size) for job in (low, *high)}
        of_low = demands[id(low)]
        if sum(demand.compute for demand in demands.values()) > FITS:
            return False
        return all((d.compute > d.bandwidth) != (of_low.compute > of_low.bandwidth) for d in list(demands.values())[1:])
